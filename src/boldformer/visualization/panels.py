"""Panels of the page on one run: its images, and what happened along it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator

from boldformer.visualization.drawing import FULL
from boldformer.visualization.slices import Planes
from boldformer.visualization.style import (
    BLUE,
    INK,
    MUTED,
    ORANGE,
    VERMILION,
    shorten_all,
)

FD_LIMIT_MM = 0.5
GAP = 0.12
"""Between neighbours, inches."""
_LEFT, _RIGHT = 1.0, 0.5  # margins of everything that shares the time axis
_TRACE = 0.46  # height of a curve along the run
_MOST_NAMES = 12  # rows of events that can be told apart


class Page:
    """A figure whose axes are placed in inches from its top left corner.

    Parameters
    ----------
    height : float
        Inches; it is two columns wide.
    """

    def __init__(self, height: float) -> None:
        self.height = height
        self.figure = Figure(figsize=(FULL, height))

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Add a pair of axes."""
        bottom = 1 - (top + height) / self.height
        place = (left / FULL, bottom, width / FULL, height / self.height)
        return self.figure.add_axes(place)

    def text(self, left: float, top: float, text: str, **style: Any) -> None:
        """Write a text that begins there."""
        where = (left / FULL, 1 - top / self.height)
        self.figure.text(*where, text, va="top", **style)

    def head(self, left: float, top: float, letter: str, text: str) -> None:
        """Write the letter of a panel and what it is."""
        self.text(left, top, letter, fontsize=9, fontweight="bold")
        self.text(left + 0.16, top, text, fontsize=8.5)

    def scale(
        self, left: float, top: float, size: tuple[float, float], colours: Any
    ) -> None:
        """Draw a colour bar, lying where it is wider than high."""
        width, height = size
        lying = width > height
        axes = self.axes(left, top, width, height)
        bar = self.figure.colorbar(
            colours, cax=axes, orientation="horizontal" if lying else "vertical"
        )
        bar.outline.set_visible(False)
        bar.ax.tick_params(labelsize=6.5, size=2, pad=1.5)
        bar.locator = MaxNLocator(3 if lying else 4)
        bar.update_ticks()


def n_fitting(width: float, tile_width: float) -> int:
    """How many tiles fit into a width; one at least."""
    return max(1, int(width / tile_width + 1e-6))


# --- mean image and noise ---------------------------------------------------------


class Images:
    """The mean image with the mask's outline and, beside it, the noise map.

    Parameters
    ----------
    mean : ndarray, shape (x, y, z)
    mask : ndarray of bool, shape (x, y, z)
    tsnr : ndarray, shape (x, y, z), optional
        Temporal signal-to-noise ratio; without it the mean image takes all the width.
    planes : Planes
    shrink : float
        Of the pictures.
    """

    def __init__(
        self,
        mean: np.ndarray,
        mask: np.ndarray,
        tsnr: np.ndarray | None,
        planes: Planes,
        shrink: float,
    ) -> None:
        self._mean, self._mask, self._tsnr = mean, mask, tsnr
        self._planes = planes
        self.n_panels = 1 if tsnr is None else 2
        self._width = FULL if tsnr is None else (FULL - 0.45 - GAP) / 2
        n_rows = 2 if planes.n_planes > 4 and tsnr is not None else 1
        across = min(planes.n_planes, 8 if tsnr is None else 4)
        ratio = planes.width_to_height
        tile = shrink * min(self._width / across / ratio, 2.1 / n_rows)
        self._positions = planes.spread(n_rows * n_fitting(self._width, tile * ratio))
        self._n_columns = -(-len(self._positions) // n_rows)
        n_rows = -(-len(self._positions) // self._n_columns)
        self._size = (self._n_columns * tile * ratio, n_rows * tile)
        self.height = 0.34 + self._size[1]

    def draw(self, page: Page, top: float) -> None:
        """Draw them, the first as panel A."""
        mean, mask = self._mean, self._mask
        page.head(0, top, "A", "mean image, outline of the mask")
        axes = page.axes(0, top + 0.2, *self._size)
        brightest = np.quantile(mean[mask], 0.995)
        self._draw(axes, mean, cmap="gray", vmin=0, vmax=brightest)
        outline = self._planes.cut(mask.astype(float), self._positions, self._n_columns)
        if min(outline.shape) > 1:
            axes.contour(np.nan_to_num(outline), [0.5], colors=ORANGE, linewidths=0.5)
        if self._tsnr is not None:
            self._draw_noise(page, top, self._tsnr)

    def _draw_noise(self, page: Page, top: float, tsnr: np.ndarray) -> None:
        left, inside = self._width + GAP, tsnr[self._mask]
        page.head(left, top, "B", f"temporal SNR, median {np.median(inside):.0f}")
        axes = page.axes(left, top + 0.2, *self._size)
        shown = np.where(self._mask, tsnr, np.nan)
        best = np.quantile(inside, 0.98)
        image = self._draw(axes, shown, cmap="viridis", vmin=0, vmax=best)
        width, height = self._size
        page.scale(left + width + 0.06, top + 0.2, (0.08, min(height, 1.2)), image)

    def _draw(self, axes: Axes, volume: np.ndarray, **levels: Any) -> AxesImage:
        return self._planes.draw(
            axes, volume, self._positions, self._n_columns, **levels
        )


# --- along the run ----------------------------------------------------------------


class Traces:
    """Motion, change and every voxel along the run, above the events.

    Parameters
    ----------
    frames : DataFrame
        One row a volume: ``global_signal``, ``dvars_relative``, ``dvars_outlier``,
        ``non_steady``, and ``framewise_displacement`` where motion is known.
    carpet : ndarray, shape (n_rows, n_times)
        See `boldformer.data.quality.carpet`; without the non-steady volumes.
    events : DataFrame
        ``onset``, ``duration`` (s from the first row of `frames`), ``trial_type``.
    t_r : float
        Repetition time, seconds.
    shrink : float
        Of the carpet.
    """

    def __init__(
        self,
        frames: pd.DataFrame,
        carpet: np.ndarray,
        events: pd.DataFrame,
        t_r: float,
        shrink: float,
    ) -> None:
        self._frames, self._carpet, self._events = frames, carpet, events
        self._t_r, self._duration_s = t_r, len(frames) * t_r
        self._early_s = t_r * int(frames["non_steady"].sum())
        self._carpet_height = shrink * 1.7
        names = sorted(set(events["trial_type"]))
        self._names = names if len(names) <= _MOST_NAMES else []
        self._strip = 0.1 * len(self._names)
        self.height = 1.76 + self._carpet_height + self._strip

    def draw(
        self, page: Page, top: float, letter: str, colours: Mapping[str, str]
    ) -> None:
        """Draw them; `colours` are those of the events, by type."""
        page.head(0, top, letter, "along the run")
        top += 0.22
        axes = self._axes(page, top, _TRACE)
        if "framewise_displacement" in self._frames:
            self._draw_motion(axes)
        else:
            self._draw_trace(axes, "global_signal", BLUE)
            axes.set_ylabel("global\nsignal", fontsize=7)
        top += _TRACE + 0.06
        axes = self._axes(page, top, _TRACE)
        self._draw_trace(axes, "dvars_relative", INK)
        self._mark(axes, self._frames["dvars_outlier"])
        axes.set_ylabel("DVARS\n/ median", fontsize=7)
        top += _TRACE + 0.06
        axes = self._axes(page, top, self._carpet_height)
        self._draw_carpet(page, axes, top)
        if self._names:
            top += self._carpet_height + 0.06
            axes = self._axes(page, top, self._strip)
            self._draw_events(axes, colours)
        axes.tick_params(labelbottom=True)
        axes.set_xlabel("time, s", fontsize=7.5, labelpad=1)

    def _axes(self, page: Page, top: float, height: float) -> Axes:
        axes = page.axes(_LEFT, top, FULL - _LEFT - _RIGHT, height)
        axes.set_xlim(0, self._duration_s)
        axes.tick_params(labelsize=6.5, pad=1.5, size=2, labelbottom=False)
        axes.yaxis.set_major_locator(MaxNLocator(3))
        axes.yaxis.set_label_coords(-0.06, 0.5)
        if self._early_s:
            axes.axvspan(0, self._early_s, color=MUTED, alpha=0.35, linewidth=0)
        return axes

    def _draw_trace(self, axes: Axes, column: str, colour: str) -> None:
        values = self._frames[column]
        time = (np.arange(len(values)) + 0.5) * self._t_r
        axes.plot(time, values, color=colour, linewidth=0.8)

    def _draw_motion(self, axes: Axes) -> None:
        moved = self._frames["framewise_displacement"]
        axes.axhline(FD_LIMIT_MM, color=MUTED, linewidth=0.7, linestyle=(0, (4, 3)))
        self._draw_trace(axes, "framewise_displacement", BLUE)
        self._mark(axes, moved > FD_LIMIT_MM)
        axes.set_ylim(0, max(1.15 * moved.max(), 1.25 * FD_LIMIT_MM))
        axes.set_ylabel("FD, mm", fontsize=7)

    def _mark(self, axes: Axes, outlier: pd.Series) -> None:
        time = (np.flatnonzero(outlier) + 0.5) * self._t_r
        axes.plot(
            time,
            np.full(len(time), 1.04),
            "v",
            color=VERMILION,
            markersize=3,
            transform=axes.get_xaxis_transform(),
            clip_on=False,
        )

    def _draw_carpet(self, page: Page, axes: Axes, top: float) -> None:
        limit = float(np.quantile(np.abs(self._carpet), 0.97)) or 1.0
        image = axes.imshow(
            self._carpet,
            cmap="gray",
            vmin=-limit,
            vmax=limit,
            aspect="auto",
            extent=(self._early_s, self._duration_s, len(self._carpet), 0),
            interpolation="nearest",
        )
        axes.set(xlim=(0, self._duration_s), yticks=[])
        axes.set_ylabel("voxels, by correlation\nwith the global signal", fontsize=7)
        page.scale(FULL - _RIGHT + 0.08, top + 0.14, (0.08, 0.7), image)
        page.text(FULL - _RIGHT + 0.08, top, "z", fontsize=6.5)

    def _draw_events(self, axes: Axes, colours: Mapping[str, str]) -> None:
        shortest = self._duration_s / 500
        for row, name in enumerate(self._names):
            own = self._events[self._events["trial_type"] == name]
            lengths = own["duration"].clip(lower=shortest)
            bars = list(zip(own["onset"], lengths, strict=True))
            axes.broken_barh(bars, (row + 0.1, 0.8), facecolors=colours[name])
        n = len(self._names)
        axes.set(ylim=(n, 0), yticks=np.arange(n) + 0.5)
        axes.set_yticklabels(shorten_all(self._names, 18), fontsize=6.5)
        axes.tick_params(axis="y", size=0)
