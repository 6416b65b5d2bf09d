"""One page on one run: its images, its noise, its motion and its responses."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from boldformer.data.store import Grid
from boldformer.visualization.cards import OPAQUE, Cards, Condition
from boldformer.visualization.drawing import Drawing
from boldformer.visualization.panels import FD_LIMIT_MM, Images, Page, Traces
from boldformer.visualization.slices import Planes
from boldformer.visualization.style import BLUE, CLASS_COLOURS, INK, MUTED, shorten

MAX_CONDITIONS = 12
_PAGE_HEIGHT = 10.6  # A4 with margins, inches
_TOP, _LINE = 0.46, 0.128  # above the first panel; a line of the caption


@dataclass(frozen=True, eq=False)
class Inspection:
    """What was measured of a run.

    Parameters
    ----------
    name : str
        Of the run.
    t_r : float
        Repetition time, seconds.
    grid : Grid
        Where voxels lie.
    mean : ndarray, shape (x, y, z)
        Mean image.
    mask : ndarray of bool, shape (x, y, z)
        Voxels that are measured.
    tsnr : ndarray, shape (x, y, z), optional
        Temporal signal-to-noise ratio.
    frames : DataFrame
        One row a volume (see `boldformer.visualization.panels.Traces`).
    carpet : ndarray, shape (n_rows, n_times)
        See `boldformer.data.quality.carpet`; without the non-steady volumes.
    events : DataFrame
        ``onset``, ``duration`` (s from the first row of `frames`), ``trial_type``.
    conditions : sequence of Condition
        Those with a response; empty where there is none to show.
    window_s : tuple of float
        First and last second of the response window after onset.
    notes : sequence of str
        Sentences the reader must know.
    """

    name: str
    t_r: float
    grid: Grid
    mean: np.ndarray
    mask: np.ndarray
    tsnr: np.ndarray | None
    frames: pd.DataFrame
    carpet: np.ndarray
    events: pd.DataFrame
    conditions: Sequence[Condition]
    window_s: tuple[float, float]
    notes: Sequence[str]

    @property
    def n_non_steady(self) -> int:
        """Volumes before the steady state."""
        return int(self.frames["non_steady"].sum())

    @property
    def details(self) -> str:
        """Size of the run, in a line."""
        minutes, seconds = divmod(round(len(self.frames) * self.t_r), 60)
        parts = [
            f"{' × '.join(map(str, self.grid.shape))} voxels of "
            f"{' × '.join(f'{mm:.3g}' for mm in self.grid.voxel_size_mm)} mm",
            f"{self.mask.sum():,} in the mask",
            f"TR {self.t_r:.4g} s",
            f"{len(self.frames)} volumes ({minutes} min {seconds} s)",
            self.grid.space or "scanner space",
        ]
        return "  ·  ".join(parts)


def draw_inspection(shown: Inspection) -> Drawing:
    """Draw the page of one run, two columns wide and at most as high as A4.

    Parameters
    ----------
    shown : Inspection
    """
    caption = _caption(shown)
    lines = textwrap.wrap(caption, 152)
    # Pictures and curves shrink, words do not, until the page is one.
    for shrink in (1.0, 0.9, 0.8, 0.7, 0.6):
        images, cards, traces = _panels(shown, shrink)
        around = _TOP + _LINE * len(lines) + (cards.height if cards else 0)
        height = around + images.height + traces.height
        if height <= _PAGE_HEIGHT:
            break
    page, top, letters = Page(height), _TOP, iter("ABCD"[images.n_panels :])
    page.text(0, 0.02, shorten(shown.name, 70), fontsize=11, fontweight="bold")
    page.text(0, 0.24, shown.details, fontsize=7.5, color=MUTED)
    colours = _colours(shown.events)
    images.draw(page, top)
    top += images.height
    if cards:
        cards.draw(page, top, next(letters), shown.window_s, colours)
        top += cards.height
    traces.draw(page, top, next(letters), colours)
    top += traces.height
    page.text(0, top, "\n".join(lines), fontsize=6.8, color=INK, linespacing=1.3)
    return Drawing(
        "inspection",
        page.figure,
        f"Inspection of {shown.name}",
        caption,
        f"Mean image, noise, motion and carpet plot of {shown.name}.",
        image="png",
    )


def _panels(shown: Inspection, shrink: float) -> tuple[Images, Cards | None, Traces]:
    planes = Planes(shown.mask, shown.grid.matrix)
    images = Images(shown.mean, shown.mask, shown.tsnr, planes, shrink)
    traces = Traces(shown.frames, shown.carpet, shown.events, shown.t_r, shrink)
    if not shown.conditions:
        return images, None, traces
    first = shown.conditions[:MAX_CONDITIONS]
    return images, Cards(first, shown.mean, shown.mask, planes, shrink), traces


def _colours(events: pd.DataFrame) -> dict[str, str]:
    """Colour of each type; one for all where there are too many to tell apart."""
    names = sorted(set(events["trial_type"]))
    few = len(names) <= 6
    return {name: CLASS_COLOURS[i] if few else BLUE for i, name in enumerate(names)}


def _caption(shown: Inspection) -> str:
    parts = ["Left is on the left."]
    if shown.tsnr is not None:
        parts.append(
            "Temporal SNR: mean over standard deviation in time, linearly detrended."
        )
    if shown.conditions:
        parts.append(
            "Responses: averaged over events after high-pass filtering, relative to "
            "the seconds before each onset; not deconvolved. Maps: the slices with "
            "the strongest responses; colour is the mean response in the window, "
            "opacity its size over its standard error, as the voxel's variation in "
            f"time gives it without autocorrelation (opaque from {OPAQUE:g}). Curves: "
            "mean and standard error over events, in the hundredth of voxels that "
            "responds most in the other half of the events: no event chose "
            "the voxels it is shown in; grey: the stimulus."
        )
    if len(shown.conditions) > MAX_CONDITIONS:
        parts.append(
            f"Shown are the first {MAX_CONDITIONS} of {len(shown.conditions)} "
            "conditions; the files beside this page hold all."
        )
    has_motion = "framewise_displacement" in shown.frames
    if has_motion:
        parts.append(f"FD: framewise displacement; dashed: {FD_LIMIT_MM:g} mm.")
    moves = "that move more than that, or whose" if has_motion else "whose"
    parts.append(
        f"Triangles: volumes {moves} DVARS is significant and practically relevant "
        "(Afyouni and Nichols 2018). Carpet: z-scores after linear detrending."
    )
    if shown.n_non_steady:
        parts.append(
            f"Grey band: the first {shown.n_non_steady} volumes, before the steady "
            "state, left out of all measures."
        )
    return " ".join([*parts, *shown.notes])
