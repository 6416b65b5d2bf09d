"""Figures of brain maps: glass brains in MNI space, slices in a person's own space."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from matplotlib import colormaps
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from nilearn.plotting import plot_glass_brain, plot_stat_map

from boldformer.errors import InputError
from boldformer.visualization.drawing import FULL, Drawing
from boldformer.visualization.finished_run import FinishedRun
from boldformer.visualization.style import shorten

# Percentage of a map's voxels that a figure shows, the strongest: on a glass brain,
# which piles the whole depth up, fewer than on slices.
_SHOWN_ON_GLASS, _SHOWN_ON_SLICES = 5, 10
_EVEN = 0.999

# Without their dark parts, which would be lost on dark anatomy.
_BRIGHT = ListedColormap(colormaps["inferno"](np.linspace(0.35, 1, 256)))
_SIGNED = ListedColormap(
    colormaps["cold_hot"](np.r_[np.linspace(0, 0.36, 128), np.linspace(0.64, 1, 128)])
)


def is_mni(space: str | None) -> bool:
    """Whether coordinates in a space are those of the MNI template's glass brain.

    Parameters
    ----------
    space : str or None
        BIDS name of a space, such as ``MNI152NLin2009cAsym``.
    """
    return bool(space) and str(space).casefold().startswith("mni")


def space_of(file: str, default: str | None = None) -> str:
    """Space that a file name states, else `default`."""
    found = re.search(r"(?:^|_)space-([^_]+)", Path(file).name)
    return found[1] if found else default or ""


def draw_maps(results: FinishedRun) -> Iterator[Drawing]:
    """Draw every map that ``maps/maps.tsv`` lists and that shows something."""
    drawn = (draw_listed(results, row) for row in range(len(results.maps)))
    return (drawing for drawing in drawn if drawing is not None)


def draw_listed(results: FinishedRun, row: int) -> Drawing | None:
    """Draw a map that ``maps/maps.tsv`` lists, in the way its space allows.

    Parameters
    ----------
    results : FinishedRun
        Of the run.
    row : int
        Of the list.

    Returns
    -------
    Drawing or None
        None for a map without a value other than zero, and for the one listed with the
        method ``background``, which is the anatomy under the slices of others.

    Raises
    ------
    InputError
        When a listed file is missing or no image.
    """
    is_background = results.maps["method"] == "background"
    if is_background.iloc[row]:
        return None
    listed: Any = results.maps.iloc[row]
    image = _load(results, listed.file)
    if not np.any(image.get_fdata(dtype=np.float32)):
        return None
    backgrounds = results.maps.loc[is_background, "file"]
    background = _load(results, backgrounds.iloc[0]) if len(backgrounds) else None
    space = space_of(listed.file, results.metrics["dataset"].get("space"))
    figure = draw_map(image, space, background)
    label = "" if listed.label != listed.label else str(listed.label)
    return _describe(Path(listed.file), label, listed, figure, is_mni(space))


def draw_map(image: Any, space: str, background: Any = None) -> Figure:
    """Draw one map: on the glass brain in MNI space, else as slices.

    Parameters
    ----------
    image : Nifti1Image
        Values without NaN.
    space : str
        Space of its coordinates.
    background : Nifti1Image, optional
        Anatomy in the same coordinates, for maps in native space.
    """
    values = image.get_fdata(dtype=np.float32)
    signed = bool(values.min() < 0)
    on_glass = is_mni(space)
    threshold = _threshold(values, _shown(on_glass))
    common = {
        "threshold": threshold,
        "vmax": float(np.abs(values).max()),
        # One-sided maps spend all their colours on what is shown.
        "vmin": None if signed else threshold,
        "symmetric_cbar": signed,
        "cbar_tick_format": "%.2g",
    }
    if on_glass:
        figure = Figure(figsize=(FULL, 2.0))
        plot_glass_brain(
            image,
            figure=figure,
            display_mode="lyrz",
            plot_abs=False,
            cmap="RdBu_r" if signed else "YlOrRd",
            **common,
        )
        _move_scale(figure, "black")
        return figure
    figure = Figure(figsize=(FULL, 1.5), facecolor="black")
    display = plot_stat_map(
        image,
        bg_img=background,
        figure=figure,
        display_mode="z",
        cut_coords=7,
        black_bg=True,
        annotate=False,
        cmap=_SIGNED if signed else _BRIGHT,
        **common,
    )
    display.annotate(size=7)
    _move_scale(figure, "white")
    return figure


def _move_scale(figure: Figure, colour: str) -> None:
    """Put the numbers of the colour bar, drawn last, outside, clear of the brain."""
    figure.axes[-1].yaxis.tick_right()
    figure.axes[-1].tick_params(labelsize=7, labelcolor=colour)


def _shown(on_glass: bool) -> int:
    return _SHOWN_ON_GLASS if on_glass else _SHOWN_ON_SLICES


def _threshold(values: np.ndarray, shown: int) -> float:
    """Value that the strongest `shown` % of the map's own brain exceed."""
    strength = np.abs(values[values != 0])
    cut = float(np.percentile(strength, 100 - shown))
    # A map that is even all over has no strongest part to cut to.
    return cut if cut < _EVEN * float(strength.max()) else 0.0


def _describe(
    file: Path, label: str, row: Any, figure: Figure, on_glass: bool
) -> Drawing:
    view = (
        "Glass brains: the strongest value along each line of sight, seen from the "
        "left, from behind, from the right and from above"
        if on_glass
        else "Slices in the scanner's own coordinates, not on a template"
    )
    described = "" if row.description != row.description else str(row.description)
    described = described[:1].upper() + described[1:].rstrip(".")
    name = file.name.removesuffix(".gz").removesuffix(".nii")
    method = str(row.method).replace("_", " ")
    return Drawing(
        f"map_{name}",
        figure,
        label or "all classes",
        f"{described + '. ' if described else ''}{view}; the {_shown(on_glass)} % "
        "of voxels with the strongest values. Each map has a colour scale of its own.",
        f"Brain map of {shorten(label, 60) or 'all classes'}, {method}.",
        image="png",
        on_black=not on_glass,
        group=method,
    )


def _load(results: FinishedRun, file: str) -> Any:
    path = results.folder / "maps" / Path(file).name
    try:
        image: Any = nib.load(path)
        values = np.nan_to_num(image.get_fdata(dtype=np.float32), posinf=0, neginf=0)
    except (OSError, EOFError, nib.filebasedimages.ImageFileError) as error:
        raise InputError(
            f"cannot read the map {str(path)!r}",
            wanted="a NIfTI image that maps/maps.tsv lists",
            received=str(error),
            fix="repeat the run, or take its line out of maps.tsv",
        ) from None
    return nib.Nifti1Image(values, image.affine)
