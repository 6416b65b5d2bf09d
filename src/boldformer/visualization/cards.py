"""The response to each type of event, as a card: where it is strong, and its course."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.ticker import MaxNLocator

from boldformer.visualization.drawing import FULL
from boldformer.visualization.panels import GAP, Page, n_fitting
from boldformer.visualization.slices import Planes
from boldformer.visualization.style import MUTED, shorten

OPAQUE = 4.0
"""Strength from which a response hides the anatomy."""
UNIT = "% signal change"
_INDENT = 0.42  # for the numbers left of the first card
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
    duration_s : float
        How long such an event lasts.
    response : ndarray, shape (x, y, z)
        Mean over the response window, in percent of the signal.
    peak : ndarray, shape (x, y, z)
        Largest mean response, up or down.
    strength : ndarray, shape (x, y, z)
        Size of `response` over its standard error, from the voxel's variation in time.
    course : DataFrame
        ``time_s`` after onset, ``mean``, ``sem``: in voxels chosen without the events
        shown.
    """

    label: str
    n_events: int
    duration_s: float
    response: np.ndarray
    peak: np.ndarray
    strength: np.ndarray
    course: pd.DataFrame


class Cards:
    """For each condition the planes where it is strongest, and its time course.

    Parameters
    ----------
    conditions : sequence of Condition
        One at least.
    mean : ndarray, shape (x, y, z)
        Mean image, under the maps.
    mask : ndarray of bool, shape (x, y, z)
    planes : Planes
    shrink : float
        Of pictures and curves.
    """

    def __init__(
        self,
        conditions: Sequence[Condition],
        mean: np.ndarray,
        mask: np.ndarray,
        planes: Planes,
        shrink: float,
    ) -> None:
        self._conditions, self._planes = conditions, planes
        self._mean, self._mask = mean, mask
        n = len(conditions)
        self._n_columns = n if n <= 4 else -(-n // 2)
        self._width = (FULL - _INDENT + GAP) / self._n_columns - GAP
        per_card = {1: 6, 2: 4, 3: 3, 4: 2}.get(self._n_columns, 1)
        tile = self._width / min(per_card, planes.n_planes) / planes.width_to_height
        self._image_height = shrink * min(tile, 1.15)
        fitting = n_fitting(self._width, self._image_height * planes.width_to_height)
        self._n_planes = min(fitting, planes.n_planes)
        self._curve_height = shrink * 0.85
        self._card_height = 0.47 + self._image_height + self._curve_height
        self.height = 0.42 + self._card_height * (-(-n // self._n_columns))

    def draw(
        self,
        page: Page,
        top: float,
        letter: str,
        window_s: tuple[float, float],
        colours: Mapping[str, str],
    ) -> None:
        """Draw them.

        Parameters
        ----------
        page : Page
        top : float
            Inches from the top of the page.
        letter : str
            Of the panel.
        window_s : tuple of float
            First and last second of the response window after onset.
        colours : mapping
            Label → colour.
        """
        text = f"response {window_s[0]:g} to {window_s[1]:.3g} s after onset, {UNIT}"
        page.head(0, top, letter, text)
        limit = _common_limit(self._conditions, self._mask)
        signed = ScalarMappable(Normalize(-limit, limit), _SIGNED)
        page.scale(FULL - 1.5, top + 0.02, (1.5, 0.07), signed)
        limits = _course_limits(self._conditions)
        for i, condition in enumerate(self._conditions):
            row, column = divmod(i, self._n_columns)
            left = _INDENT + column * (self._width + GAP)
            at = top + 0.28 + row * self._card_height
            colour = colours[condition.label]
            self._draw_map(page, left, at, condition, colour, signed)
            axes = self._draw_course(page, left, at, condition, colour)
            axes.set_ylim(limits)
            axes.tick_params(labelleft=column == 0)
            axes.set_ylabel(UNIT if column == 0 else "", fontsize=7)
            is_lowest = i + self._n_columns >= len(self._conditions)
            axes.set_xlabel(
                "s after onset" if is_lowest else "", fontsize=7, labelpad=1
            )

    def _draw_map(
        self,
        page: Page,
        left: float,
        top: float,
        condition: Condition,
        colour: str,
        signed: ScalarMappable,
    ) -> None:
        name = shorten(condition.label, int(12 * self._width))
        style = {"fontsize": 7.5, "color": colour, "fontweight": "bold"}
        page.text(left, top, f"{name}, n = {condition.n_events}", **style)
        axes = page.axes(left, top + 0.17, self._width, self._image_height)
        planes, brightest = self._planes, np.quantile(self._mean[self._mask], 0.99)
        positions = planes.strongest(condition.strength, self._n_planes)
        n = len(positions)
        levels = {"cmap": "gray", "vmin": 0, "vmax": 1.4 * brightest}
        planes.draw(axes, self._mean, positions, n, **levels)
        pixels = signed.to_rgba(planes.cut(condition.response, positions, n))
        opacity = planes.cut(condition.strength * self._mask, positions, n)
        pixels[..., 3] = np.clip(np.nan_to_num(opacity) / OPAQUE, 0, 1) ** 2
        axes.imshow(pixels, aspect=planes.aspect, interpolation="nearest")

    def _draw_course(
        self, page: Page, left: float, top: float, condition: Condition, colour: str
    ) -> Axes:
        below = top + 0.23 + self._image_height
        axes = page.axes(left, below, self._width, self._curve_height)
        lasts, course = max(condition.duration_s, 0.3), condition.course
        axes.axvspan(0, lasts, color=MUTED, alpha=0.18, linewidth=0)
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


def _common_limit(conditions: Sequence[Condition], mask: np.ndarray) -> float:
    """Value at the end of the colour scale that all conditions share."""
    strong = [
        np.abs(c.response[mask & (c.strength > 0.5 * OPAQUE)]) for c in conditions
    ]
    values = np.concatenate(strong)
    return float(np.quantile(values, 0.9)) if values.size else 1.0


def _course_limits(conditions: Sequence[Condition]) -> tuple[float, float]:
    courses = pd.concat([condition.course for condition in conditions])
    spread = courses["sem"].fillna(0)
    low = float((courses["mean"] - spread).min())
    high = float((courses["mean"] + spread).max())
    margin = 0.05 * (high - low or 1.0)
    return low - margin, high + margin
