"""All figures of a run: which there are, drawn, marked and written to disk."""

from __future__ import annotations

import base64
import functools
import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from boldformer.data.atomic import atomic_path
from boldformer.data.scheduling import Failure, run_each
from boldformer.errors import InputError
from boldformer.visualization import brain, curves, learning, scores
from boldformer.visualization import robustness_figures as robustness
from boldformer.visualization.drawing import Drawing, mark_leaky
from boldformer.visualization.finished_run import FinishedRun
from boldformer.visualization.style import adapt_to_page, figure_style, save_figure

_EMBEDDED_WIDTH = 1100
"""Pixels across an embedded brain map."""
_MANY_MAPS = 16
"""Beyond so many, maps take longer than starting processes that share them."""

Draw = Callable[[FinishedRun], Drawing | None]

DRAWERS: tuple[Draw, ...] = (
    scores.draw_decoders,
    scores.draw_confusion,
    curves.draw_roc,
    curves.draw_precision_recall,
    scores.draw_recall,
    scores.draw_groups,
    curves.draw_reliability,
    curves.draw_coverage,
    robustness.draw_columns,
    robustness.draw_null,
    robustness.draw_curve,
    learning.draw_loss,
    learning.draw_accuracy,
)
"""Every figure of scores; each gives None where the results do not hold it."""


@dataclass(frozen=True)
class Picture:
    """A figure as the report embeds it.

    Parameters
    ----------
    name, title, caption, alt, group : str
        As in `Drawing`.
    wide, on_black, inked : bool
        Whether it needs the full width; brings its own black background; or is drawn
        in dark ink on white and must be inverted on a dark page.
    source : str
        Data URI.
    """

    name: str
    title: str
    caption: str
    alt: str
    group: str
    wide: bool
    on_black: bool
    inked: bool
    source: str


def make_figures(results: FinishedRun) -> tuple[dict[str, Picture], list[Picture]]:
    """Draw everything and put it into ``figures/``, which is replaced as a whole.

    Returns
    -------
    pictures : dict of str to Picture
        The figures of scores, by name.
    maps : list of Picture
        The brain maps, in the order of ``maps/maps.tsv``.
    """
    with atomic_path(results.folder / "figures", ours=()) as folder, figure_style():
        folder.mkdir()
        plots = [_save(drawing, results, folder) for drawing in _score_figures(results)]
        maps = _save_maps(results, folder)
    return {picture.name: picture for picture in plots}, maps


def _save_maps(results: FinishedRun, folder: Path) -> list[Picture]:
    """Draw the brain maps, several at once where there are many."""
    n = len(results.maps)
    n_jobs = (os.cpu_count() or 1) if n > _MANY_MAPS else 1
    work = functools.partial(_save_map, results=results, folder=folder)
    found = dict(run_each(work, range(n), n_jobs=n_jobs))
    for failed in found.values():
        if isinstance(failed, Failure):
            raise InputError("a brain map could not be drawn", received=str(failed))
    return [one for k in range(n) if isinstance(one := found[k], Picture)]


def _save_map(row: int, results: FinishedRun, folder: Path) -> Picture | None:
    drawing = brain.draw_listed(results, row)
    if drawing is None:
        return None
    with figure_style():
        return _save(drawing, results, folder)


def _score_figures(results: FinishedRun) -> Iterator[Drawing]:
    for draw in DRAWERS:
        drawing = draw(results)
        if drawing is not None:
            yield drawing


def _save(drawing: Drawing, results: FinishedRun, folder: Path) -> Picture:
    if results.leaky:
        mark_leaky(drawing.figure)
    svg, png = save_figure(drawing.figure, folder / drawing.name)
    if drawing.image == "svg":
        source = _data_uri("svg+xml", adapt_to_page(svg.read_text("utf-8")).encode())
    else:
        source = _data_uri("png", _light(png))
    return Picture(
        drawing.name,
        drawing.title,
        drawing.caption,
        drawing.alt,
        drawing.group,
        drawing.wide,
        drawing.on_black,
        drawing.image == "png" and not drawing.on_black,
        source,
    )


def _light(png: Path) -> bytes:
    """Bring a picture to the size a page shows; the file keeps its full quality."""
    with Image.open(png) as image:
        small = image.convert("RGB")
        small.thumbnail((_EMBEDDED_WIDTH, _EMBEDDED_WIDTH))
        buffer = io.BytesIO()
        small.quantize(128).save(buffer, "png", optimize=True)
    return buffer.getvalue()


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
