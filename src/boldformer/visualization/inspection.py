"""One page on one run: its images, its noise, its motion and its responses."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator
from scipy.ndimage import convolve1d

from boldformer.preprocessing.spatial import bounding_box
from boldformer.visualization.drawing import FULL, Drawing
from boldformer.visualization.style import (
    BLUE,
    CLASS_COLOURS,
    INK,
    MUTED,
    ORANGE,
    VERMILION,
    shorten,
    shorten_all,
)

MAX_CONDITIONS = 12
FD_LIMIT_MM = 0.5
_OPAQUE = 4.0  # strength from which a response hides the anatomy
_PAGE_HEIGHT = 10.6  # A4 with margins, inches
_GAP = 0.12  # between neighbours, inches
_LEFT, _RIGHT = 1.0, 0.5  # margins of everything that shares the time axis
# Bright at both ends and dark in the middle, where it meets dark anatomy.
_SIGNED = LinearSegmentedColormap.from_list(
    "signed", ["#9be3ff", "#2f8fe0", "#1d2b45", "#3a2a22", "#e8731c", "#ffe28a"]
)


@dataclass(frozen=True, eq=False)
class Condition:
    """Response to the events of one type.

    Parameters
    ----------
    label : str
    n_events : int
        Events averaged.
    response : ndarray, shape (x, y, z)
        Mean over the response window.
    strength : ndarray, shape (x, y, z)
        Its size over its standard error, from the voxel's variation in time.
    course : DataFrame
        ``time_s`` after onset, ``mean``, ``sem``: in voxels chosen without the events
        shown.
    """

    label: str
    n_events: int
    response: np.ndarray
    strength: np.ndarray
    course: pd.DataFrame


@dataclass(frozen=True, eq=False)
class Inspection:
    """What the page shows.

    Parameters
    ----------
    name : str
        Of the run.
    details : str
        Line under the name.
    affine : ndarray, shape (4, 4)
        Voxel to world, millimetres.
    t_r : float
        Repetition time, seconds.
    unit : str
        Of responses.
    mean : ndarray, shape (x, y, z)
        Mean image.
    mask : ndarray of bool, shape (x, y, z)
        Voxels that are measured.
    tsnr : ndarray, shape (x, y, z), optional
        Temporal signal-to-noise ratio.
    frames : DataFrame
        One row a volume: ``global_signal``, ``dvars_relative``, ``dvars_outlier``,
        ``non_steady``, and ``framewise_displacement`` where motion is known.
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
    details: str
    affine: np.ndarray
    t_r: float
    unit: str
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
    def duration_s(self) -> float:
        """Length of the run."""
        return len(self.frames) * self.t_r

    @property
    def n_non_steady(self) -> int:
        """Volumes before the steady state."""
        return int(self.frames["non_steady"].sum())

    @property
    def has_motion(self) -> bool:
        """Whether the displacement of the head is known."""
        return "framewise_displacement" in self.frames


# --- planes -----------------------------------------------------------------------


class Planes:
    """Cuts through volumes of one grid, shown as a radiologist's mirror image is not.

    Axial, left on the left; in a grid of one plane, that plane.

    Parameters
    ----------
    mask : ndarray of bool, shape (x, y, z)
        Its bounding box, with a margin, is what planes show.
    affine : ndarray, shape (4, 4)
        Voxel to world, millimetres.
    """

    def __init__(self, mask: np.ndarray, affine: np.ndarray) -> None:
        self.turn = nib.io_orientation(affine)
        turned = self._turned(mask)
        back = nib.orientations.inv_ornt_aff(self.turn, mask.shape)
        self.affine = affine @ back
        single = [axis for axis in range(3) if turned.shape[axis] == 1]
        self.axis = single[0] if single else 2
        self.box = bounding_box(turned, margin=1)
        across, up = (axis for axis in range(3) if axis != self.axis)
        size = np.linalg.norm(self.affine[:3, :3], axis=0)
        self.aspect = float(size[up] / size[across])
        self.mask = turned[self.box]
        shape = self.mask.shape
        self.width_to_height = shape[across] / (shape[up] * self.aspect)
        self.n_planes = shape[self.axis]

    def cut(
        self, volume: np.ndarray, positions: Sequence[int], n_columns: int
    ) -> np.ndarray:
        """Lay planes of a volume side by side: ndarray (rows, columns) of pixels."""
        boxed = self._turned(volume)[self.box]
        tiles = [np.take(boxed, at, axis=self.axis).T[::-1] for at in positions]
        tiles += [np.full(tiles[0].shape, np.nan)] * (-len(tiles) % n_columns)
        rows = [tiles[i : i + n_columns] for i in range(0, len(tiles), n_columns)]
        return np.block(rows)

    def spread(self, n_planes: int) -> list[int]:
        """Positions of planes spread evenly over those that hold much of the mask."""
        others = tuple(axis for axis in range(3) if axis != self.axis)
        area = self.mask.sum(axis=others)
        full = np.flatnonzero(area >= 0.25 * area.max())
        picked = np.linspace(full[0], full[-1], min(n_planes, len(full)))
        return np.unique(picked.round().astype(int)).tolist()

    def strongest(self, strength: np.ndarray, n_planes: int) -> list[int]:
        """Positions of the planes with most of a map's strongest hundredth."""
        boxed = np.where(self.mask, self._turned(strength)[self.box], 0)
        others = tuple(axis for axis in range(3) if axis != self.axis)
        strong = boxed > np.quantile(boxed[self.mask], 0.99)
        count = (strong & self.mask).sum(axis=others).astype(float)
        count = convolve1d(count, [0.5, 1.0, 0.5], mode="constant")
        apart = max(1, self.n_planes // (4 * n_planes))
        picked: list[int] = []
        for at in np.argsort(-count, kind="stable"):
            if all(abs(at - other) >= apart for other in picked):
                picked.append(int(at))
        return sorted(picked[:n_planes])

    def name(self, position: int) -> str:
        """World coordinate of a plane's centre, such as ``z 12``."""
        voxel = np.array([(part.start + part.stop - 1) / 2 for part in self.box])
        voxel[self.axis] = self.box[self.axis].start + position
        at = (self.affine[:3, :3] @ voxel + self.affine[:3, 3])[self.axis]
        return f"{'xyz'[self.axis]} {at:.0f}".replace("-0", "0").replace("-", "−")

    def _turned(self, volume: np.ndarray) -> np.ndarray:
        return nib.apply_orientation(volume, self.turn)


def _draw_planes(
    axes: Axes,
    planes: Planes,
    volume: np.ndarray,
    positions: Sequence[int],
    n_columns: int,
    **colours: Any,
) -> AxesImage:
    picture = planes.cut(volume, positions, n_columns)
    image = axes.imshow(
        picture, aspect=planes.aspect, interpolation="nearest", **colours
    )
    axes.set(xticks=[], yticks=[], facecolor="black")
    axes.spines[:].set_visible(False)
    axes.set_anchor("W")
    return image


def _name_planes(
    axes: Axes, planes: Planes, positions: Sequence[int], n_columns: int
) -> None:
    n_rows = -(-len(positions) // n_columns)
    for i, at in enumerate(positions):
        row, column = divmod(i, n_columns)
        axes.text(
            (column + 0.03) / n_columns,
            1 - (row + 0.98) / n_rows,
            planes.name(at),
            transform=axes.transAxes,
            color="white",
            fontsize=6,
            va="bottom",
        )


# --- the page ---------------------------------------------------------------------


class _Page:
    """A figure whose axes are placed in inches from its top left corner."""

    def __init__(self, height: float) -> None:
        self.height = height
        self.figure = Figure(figsize=(FULL, height))

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        bottom = 1 - (top + height) / self.height
        place = (left / FULL, bottom, width / FULL, height / self.height)
        return self.figure.add_axes(place)

    def text(self, left: float, top: float, text: str, **style: Any) -> None:
        where = (left / FULL, 1 - top / self.height)
        self.figure.text(*where, text, va="top", **style)

    def head(self, left: float, top: float, letter: str, text: str) -> None:
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


def draw_inspection(inspection: Inspection) -> Drawing:
    """Draw the page of one run, two columns wide and at most as high as A4.

    Parameters
    ----------
    inspection : Inspection
    """
    planes = Planes(inspection.mask, inspection.affine)
    caption = _caption(inspection)
    lines = textwrap.wrap(caption, 152)
    top = 0.46
    around = top + 0.128 * len(lines)
    # Pictures and curves shrink, words do not, until the page is one.
    for shrink in (1.0, 0.9, 0.8, 0.7, 0.6):
        images = _Images(inspection, planes, shrink)
        cards = _Cards(inspection, planes, shrink)
        traces = _Traces(inspection, shrink)
        height = around + images.height + cards.height + traces.height
        if height <= _PAGE_HEIGHT:
            break
    page = _Page(height)
    page.text(0, 0.02, shorten(inspection.name, 70), fontsize=11, fontweight="bold")
    page.text(0, 0.24, inspection.details, fontsize=7.5, color=MUTED)
    images.draw(page, top)
    top += images.height
    cards.draw(page, top)
    top += cards.height
    traces.draw(page, top, letter="ABCDE"[images.n_panels + bool(cards.height)])
    top += traces.height
    page.text(0, top, "\n".join(lines), fontsize=6.8, color=INK, linespacing=1.3)
    return Drawing(
        "inspection",
        page.figure,
        f"Inspection of {inspection.name}",
        caption,
        f"Mean image, noise, motion and carpet plot of {inspection.name}.",
        image="png",
    )


# --- mean image and noise ---------------------------------------------------------


class _Images:
    """The mean image with the mask's outline and, beside it, the noise map."""

    def __init__(self, inspection: Inspection, planes: Planes, shrink: float) -> None:
        self.inspection, self.planes = inspection, planes
        self.n_panels = 1 if inspection.tsnr is None else 2
        self.width = FULL if self.n_panels == 1 else (FULL - 0.45 - _GAP) / 2
        n_rows = 2 if planes.n_planes > 4 and self.n_panels == 2 else 1
        across = min(planes.n_planes, 4 if self.n_panels == 2 else 8)
        ratio = planes.width_to_height
        tile = shrink * min(self.width / across / ratio, 2.1 / n_rows)
        self.positions = planes.spread(n_rows * _fitting(self.width, tile * ratio))
        self.n_columns = -(-len(self.positions) // n_rows)
        n_rows = -(-len(self.positions) // self.n_columns)
        self.image_height = n_rows * tile
        self.image_width = self.n_columns * tile * ratio
        self.height = 0.2 + self.image_height + 0.14

    def draw(self, page: _Page, top: float) -> None:
        mean, mask = self.inspection.mean, self.inspection.mask
        page.head(0, top, "A", "mean image, outline of the mask")
        axes = page.axes(0, top + 0.2, self.image_width, self.image_height)
        levels = {"cmap": "gray", "vmin": 0, "vmax": np.quantile(mean[mask], 0.995)}
        self._draw(axes, mean, **levels)
        outline = self.planes.cut(mask.astype(float), self.positions, self.n_columns)
        if min(outline.shape) > 1:
            axes.contour(np.nan_to_num(outline), [0.5], colors=ORANGE, linewidths=0.5)
        tsnr = self.inspection.tsnr
        if tsnr is None:
            return
        left = self.width + _GAP
        median = np.median(tsnr[mask])
        page.head(left, top, "B", f"temporal SNR, median {median:.0f}")
        axes = page.axes(left, top + 0.2, self.image_width, self.image_height)
        levels = {"cmap": "viridis", "vmin": 0, "vmax": np.quantile(tsnr[mask], 0.98)}
        shown = np.where(mask, tsnr, np.nan)
        image = self._draw(axes, shown, **levels)
        size = (0.08, min(self.image_height, 1.2))
        page.scale(left + self.image_width + 0.06, top + 0.2, size, image)

    def _draw(self, axes: Axes, volume: np.ndarray, **levels: Any) -> ScalarMappable:
        image = _draw_planes(
            axes, self.planes, volume, self.positions, self.n_columns, **levels
        )
        _name_planes(axes, self.planes, self.positions, self.n_columns)
        return image


# --- responses --------------------------------------------------------------------


class _Cards:
    """For each condition the planes where it is strongest, and its time course."""

    def __init__(self, inspection: Inspection, planes: Planes, shrink: float) -> None:
        self.inspection, self.planes = inspection, planes
        self.conditions = inspection.conditions[:MAX_CONDITIONS]
        n = len(self.conditions)
        self.n_columns = n if n <= 4 else -(-n // 2)
        if not n:
            self.height = 0.0
            return
        self.width = (FULL - 0.42 - _GAP * (self.n_columns - 1)) / self.n_columns
        per_card = {1: 6, 2: 4, 3: 3, 4: 2}.get(self.n_columns, 1)
        tile = self.width / min(per_card, planes.n_planes) / planes.width_to_height
        self.image_height = shrink * min(tile, 1.15)
        tile_width = self.image_height * planes.width_to_height
        self.n_planes = min(_fitting(self.width, tile_width), planes.n_planes)
        self.curve_height = shrink * 0.85
        self.card_height = 0.17 + self.image_height + 0.06 + self.curve_height + 0.24
        self.height = 0.28 + self.card_height * (-(-n // self.n_columns)) + 0.14

    def draw(self, page: _Page, top: float) -> None:
        if not self.conditions:
            return
        shown = self.inspection
        letter = "C" if shown.tsnr is not None else "B"
        first, last = shown.window_s
        text = f"response {first:g} to {last:.3g} s after onset, {shown.unit}"
        page.head(0, top, letter, text)
        limit = _common_limit(self.conditions, shown.mask)
        colours = ScalarMappable(Normalize(-limit, limit), _SIGNED)
        page.scale(FULL - 1.5, top + 0.02, (1.5, 0.07), colours)
        low, high = _course_limits(self.conditions)
        for i, condition in enumerate(self.conditions):
            row, column = divmod(i, self.n_columns)
            left = 0.42 + column * (self.width + _GAP)
            at = top + 0.28 + row * self.card_height
            self._draw_map(page, left, at, condition, colours)
            axes = self._draw_course(page, left, at, condition)
            axes.set_ylim(low, high)
            axes.tick_params(labelleft=column == 0)
            if column == 0:
                axes.set_ylabel(shown.unit, fontsize=7)
            if i + self.n_columns >= len(self.conditions):
                axes.set_xlabel("s after onset", fontsize=7, labelpad=1)

    def _draw_map(
        self,
        page: _Page,
        left: float,
        top: float,
        condition: Condition,
        colours: ScalarMappable,
    ) -> None:
        colour = _colour_of(condition.label, self.inspection)
        name = shorten(condition.label, int(12 * self.width))
        page.text(
            left,
            top,
            f"{name}, n = {condition.n_events}",
            fontsize=7.5,
            color=colour,
            fontweight="bold",
        )
        axes = page.axes(left, top + 0.17, self.width, self.image_height)
        positions = self.planes.strongest(condition.strength, self.n_planes)
        mean, mask = self.inspection.mean, self.inspection.mask
        n = len(positions)
        levels = {
            "cmap": "gray",
            "vmin": 0,
            "vmax": 1.4 * np.quantile(mean[mask], 0.99),
        }
        _draw_planes(axes, self.planes, mean, positions, n, **levels)
        pixels = colours.to_rgba(self.planes.cut(condition.response, positions, n))
        opacity = self.planes.cut(condition.strength * mask, positions, n)
        pixels[..., 3] = np.clip(np.nan_to_num(opacity) / _OPAQUE, 0, 1) ** 2
        axes.imshow(pixels, aspect=self.planes.aspect, interpolation="nearest")
        _name_planes(axes, self.planes, positions, n)

    def _draw_course(
        self, page: _Page, left: float, top: float, condition: Condition
    ) -> Axes:
        below = top + 0.23 + self.image_height
        axes = page.axes(left, below, self.width, self.curve_height)
        course, colour = condition.course, _colour_of(condition.label, self.inspection)
        events = self.inspection.events
        lasts = events.loc[events["trial_type"] == condition.label, "duration"].median()
        axes.axvspan(0, max(lasts, 0.3), color=MUTED, alpha=0.18, linewidth=0)
        axes.axhline(0, color=MUTED, linewidth=0.6)
        time, mean = course["time_s"], course["mean"]
        low, high = mean - course["sem"], mean + course["sem"]
        axes.fill_between(time, low, high, color=colour, alpha=0.25, linewidth=0)
        axes.plot(time, mean, color=colour, linewidth=1.3)
        axes.set_xlim(time.iloc[0], time.iloc[-1])
        axes.tick_params(labelsize=6.5, pad=1.5, size=2)
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        return axes


def _fitting(width: float, tile_width: float) -> int:
    """How many tiles fit into a width; one at least."""
    return max(1, int(width / tile_width + 1e-6))


def _colour_of(label: str, inspection: Inspection) -> str:
    """Colour of a condition; one for all where there are too many to tell apart."""
    names = list(dict.fromkeys(sorted(inspection.events["trial_type"])))
    return CLASS_COLOURS[names.index(label)] if len(names) <= 6 else BLUE


def _common_limit(conditions: Sequence[Condition], mask: np.ndarray) -> float:
    """Value at the end of the colour scale that all conditions share."""
    strong = [
        np.abs(c.response[mask & (c.strength > 0.5 * _OPAQUE)]) for c in conditions
    ]
    values = np.concatenate(strong)
    return float(np.quantile(values, 0.9)) if values.size else 1.0


def _course_limits(conditions: Sequence[Condition]) -> tuple[float, float]:
    spread = pd.concat(
        [
            c.course["mean"] + s * c.course["sem"].fillna(0)
            for c in conditions
            for s in (-1, 1)
        ]
    )
    margin = 0.05 * (spread.max() - spread.min() or 1.0)
    return float(spread.min() - margin), float(spread.max() + margin)


# --- along the run ----------------------------------------------------------------


class _Traces:
    """Motion, change and every voxel along the run, above the events."""

    def __init__(self, inspection: Inspection, shrink: float) -> None:
        self.inspection = inspection
        self.carpet_height = shrink * 1.7
        names = sorted(set(inspection.events["trial_type"]))
        self.names = names if len(names) <= MAX_CONDITIONS else []
        self.strip = 0.1 * len(self.names)
        self.height = 0.22 + 2 * 0.52 + self.carpet_height + 0.06 + self.strip + 0.44
        self.width = FULL - _LEFT - _RIGHT

    def draw(self, page: _Page, top: float, letter: str) -> None:
        shown = self.inspection
        page.head(0, top, letter, "along the run")
        top += 0.22
        first = self._axes(page, top, 0.46)
        self._draw_motion(first) if shown.has_motion else self._draw_signal(first)
        top += 0.52
        second = self._axes(page, top, 0.46)
        self._draw_trace(second, shown.frames["dvars_relative"], INK)
        self._mark(second, shown.frames["dvars_outlier"])
        second.set_ylabel("DVARS\n/ median", fontsize=7)
        top += 0.52
        axes = self._axes(page, top, self.carpet_height)
        self._draw_carpet(page, axes, top)
        top += self.carpet_height + 0.06
        if self.names:
            axes.tick_params(labelbottom=False)
            axes = self._draw_events(page, top)
        axes.tick_params(labelbottom=True)
        axes.set_xlabel("time, s", fontsize=7.5, labelpad=1)

    def _axes(self, page: _Page, top: float, height: float) -> Axes:
        axes = page.axes(_LEFT, top, self.width, height)
        axes.set_xlim(0, self.inspection.duration_s)
        axes.tick_params(labelsize=6.5, pad=1.5, size=2, labelbottom=False)
        axes.yaxis.set_major_locator(MaxNLocator(3))
        axes.yaxis.set_label_coords(-0.06, 0.5)
        early_s = self.inspection.n_non_steady * self.inspection.t_r
        if early_s:
            axes.axvspan(0, early_s, color=MUTED, alpha=0.35, linewidth=0)
        return axes

    def _draw_trace(self, axes: Axes, values: pd.Series, colour: str) -> None:
        time = (np.arange(len(values)) + 0.5) * self.inspection.t_r
        axes.plot(time, values, color=colour, linewidth=0.8)

    def _draw_motion(self, axes: Axes) -> None:
        moved = self.inspection.frames["framewise_displacement"]
        axes.axhline(FD_LIMIT_MM, color=MUTED, linewidth=0.7, linestyle=(0, (4, 3)))
        self._draw_trace(axes, moved, BLUE)
        self._mark(axes, moved > FD_LIMIT_MM)
        axes.set_ylim(0, max(1.15 * moved.max(), 1.25 * FD_LIMIT_MM))
        axes.set_ylabel("FD, mm", fontsize=7)

    def _draw_signal(self, axes: Axes) -> None:
        self._draw_trace(axes, self.inspection.frames["global_signal"], BLUE)
        axes.set_ylabel("global\nsignal", fontsize=7)

    def _mark(self, axes: Axes, outlier: pd.Series) -> None:
        time = (np.flatnonzero(outlier) + 0.5) * self.inspection.t_r
        axes.plot(
            time,
            np.full(len(time), 1.04),
            "v",
            color=VERMILION,
            markersize=3,
            transform=axes.get_xaxis_transform(),
            clip_on=False,
        )

    def _draw_carpet(self, page: _Page, axes: Axes, top: float) -> None:
        shown = self.inspection
        rows = len(shown.carpet)
        start_s = shown.n_non_steady * shown.t_r
        limit = float(np.quantile(np.abs(shown.carpet), 0.97)) or 1.0
        image = axes.imshow(
            shown.carpet,
            cmap="gray",
            vmin=-limit,
            vmax=limit,
            aspect="auto",
            extent=(start_s, shown.duration_s, rows, 0),
            interpolation="nearest",
        )
        axes.set(xlim=(0, shown.duration_s), yticks=[])
        axes.set_ylabel("voxels, by correlation\nwith the global signal", fontsize=7)
        page.scale(FULL - _RIGHT + 0.08, top + 0.14, (0.08, 0.7), image)
        page.text(FULL - _RIGHT + 0.08, top, "z", fontsize=6.5)

    def _draw_events(self, page: _Page, top: float) -> Axes:
        axes = self._axes(page, top, self.strip)
        events = self.inspection.events
        for row, name in enumerate(self.names):
            own = events[events["trial_type"] == name]
            shortest = self.inspection.duration_s / 500
            bars = list(
                zip(own["onset"], own["duration"].clip(lower=shortest), strict=True)
            )
            colour = _colour_of(name, self.inspection)
            axes.broken_barh(bars, (row + 0.1, 0.8), facecolors=colour)
        axes.set(ylim=(len(self.names), 0), yticks=np.arange(len(self.names)) + 0.5)
        axes.set_yticklabels(shorten_all(self.names, 18), fontsize=6.5)
        axes.tick_params(axis="y", size=0)
        return axes


# --- words ------------------------------------------------------------------------


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
            f"time gives it without autocorrelation (opaque from {_OPAQUE:g}). Curves: "
            "mean and standard error over events, in the hundredth of voxels that "
            "responds most in the other half of the events: no event chose "
            "the voxels it is shown in; grey: the stimulus."
        )
    if shown.has_motion:
        parts.append(f"FD: framewise displacement; dashed: {FD_LIMIT_MM:g} mm.")
    parts.append(
        "Triangles: volumes that move more than that, or whose DVARS is significant "
        "and practically relevant (Afyouni and Nichols 2018)."
        if shown.has_motion
        else "Triangles: volumes whose DVARS is significant and practically relevant "
        "(Afyouni and Nichols 2018)."
    )
    parts.append("Carpet: z-scores after linear detrending.")
    if shown.n_non_steady:
        parts.append(
            f"Grey band: the first {shown.n_non_steady} volumes, before the steady "
            "state, left out of all measures."
        )
    return " ".join([*parts, *shown.notes])
