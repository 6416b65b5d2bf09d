"""A figure with the words a reader, or a screen reader, needs beside it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from boldformer.visualization.style import VERMILION

HALF = 3.5
FULL = 7.2
"""Widths in inches: one column of a journal page, and two."""


@dataclass(frozen=True)
class Drawing:
    """One figure of the report.

    Parameters
    ----------
    name : str
        File name without a suffix.
    figure : Figure
        What was drawn.
    title, caption : str
        What it shows, and how to read it.
    alt : str
        What it shows, for those who cannot see it.
    image : {"svg", "png"}
        What the report embeds: lines as SVG, brains as PNG.
    on_black : bool
        Whether the picture brings its own black background.
    group : str
        What it is shown together with, for figures that come in sets.
    """

    name: str
    figure: Figure
    title: str
    caption: str
    alt: str
    image: str = "svg"
    on_black: bool = False
    group: str = ""

    @property
    def wide(self) -> bool:
        """Whether it needs the full width of a page."""
        return self.figure.get_figwidth() > HALF * 1.3


def new_figure(width: float = HALF, height: float = HALF) -> tuple[Figure, Axes]:
    """Make a figure of `width` by `height` inches with one pair of axes."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def mark_leaky(figure: Figure) -> None:
    """Write across the head of a figure that its numbers must not be trusted."""
    figure.text(
        0.5,
        1.02,
        "LEAKY: training and test data are not apart",
        ha="center",
        va="bottom",
        color=VERMILION,
        fontsize=8,
        fontweight="bold",
    )


def unit_square(axes: Axes, x: str, y: str) -> None:
    """Give axes from 0 to 1 both ways, square, with names."""
    ticks = [0, 0.25, 0.5, 0.75, 1]
    axes.set(xlim=(-0.015, 1.015), ylim=(-0.015, 1.015), xlabel=x, ylabel=y)
    axes.set(xticks=ticks, yticks=ticks, aspect="equal")


def listed(names: Iterable[str]) -> str:
    """Join names as a sentence does."""
    *head, last = list(names) or [""]
    return f"{', '.join(head)} and {last}" if head else last
