"""The one look of every figure, and how figures are written to disk."""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from boldformer.data.atomic import atomic_path

INK = "#1d2329"
MUTED = "#6b727a"
FAINT = "#c9cdd2"
BLUE = "#0072b2"
VERMILION = "#d55e00"
GREEN = "#009e73"
PURPLE = "#cc79a7"
ORANGE = "#e69f00"
SKY = "#56b4e9"
HEAT = "#0a6aa6"

CLASS_COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, INK)
"""Okabe and Ito's palette without its yellow, which vanishes on white paper."""

# Counterparts on a dark page. HEAT is left out: cells keep their own contrast.
_DARK = {
    INK: "#e6e4df",
    MUTED: "#a3a8ae",
    FAINT: "#474d54",
    BLUE: "#5fb0e5",
    VERMILION: "#f0894a",
    GREEN: "#35c79d",
}

_FONTS = (
    "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, "
    "'Liberation Sans', 'DejaVu Sans', sans-serif"
)

_RC: Any = {
    "axes.edgecolor": MUTED,
    "axes.grid": False,
    "axes.labelcolor": INK,
    "axes.labelsize": 9,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 9,
    "figure.dpi": 100,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "legend.handlelength": 1.4,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
    "text.color": INK,
    # Class names are free text: a dollar sign in one is no formula.
    "text.parse_math": False,
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
    "ytick.labelsize": 8,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "svg.fonttype": "none",
    "svg.hashsalt": "boldformer",
}


@contextlib.contextmanager
def figure_style() -> Iterator[None]:
    """Draw and save in BoldFormer's style; the caller's settings come back after."""
    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()
        mpl.rcParams.update(_RC)
        # The PNG shows a box where the bundled font lacks a script; the SVG, which
        # carries text as text, does not.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def save_figure(figure: Figure, stem: str | Path) -> tuple[Path, Path]:
    """Write a figure as ``<stem>.svg`` and ``<stem>.png``, each atomically.

    The same figure gives the same bytes: ids are salted with a constant and no date is
    written. Text stays text in the SVG, so it can be edited and searched.

    Parameters
    ----------
    figure : Figure
        What to write.
    stem : path
        Folder and file name without a suffix.

    Returns
    -------
    tuple of Path
        The SVG (transparent) and the PNG (white, 200 dots an inch).
    """
    stem = Path(stem)
    svg, png = (stem.parent / f"{stem.name}.{kind}" for kind in ("svg", "png"))
    with figure_style():
        with atomic_path(svg) as temporary:
            figure.savefig(
                temporary, metadata={"Date": None}, bbox_inches="tight", pad_inches=0.04
            )
            temporary.write_text(_with_fonts(temporary.read_text("utf-8")), "utf-8")
        with atomic_path(png) as temporary:
            figure.savefig(
                temporary,
                dpi=200,
                facecolor="white"
                if to_rgba(figure.get_facecolor())[3] == 0
                else "auto",
                metadata={"Software": None},
                bbox_inches="tight",
                pad_inches=0.04,
            )
    return svg, png


def _with_fonts(svg: str) -> str:
    return re.sub(r"'DejaVu Sans'(?:, [^;\"]*)?(?=[;\"])", _FONTS, svg)


def adapt_to_page(svg: str) -> str:
    """Let an SVG follow the reader's light or dark setting, as the page around does.

    Parameters
    ----------
    svg : str
        Text of an SVG drawn in this style.

    Returns
    -------
    str
        The same drawing with a style sheet that maps its inks to their counterparts
        on a dark page.
    """
    rules = "".join(
        f'[style*="{kind}: {light}"]{{{kind}:{dark}!important}}'
        for light, dark in _DARK.items()
        for kind in ("fill", "stroke")
    )
    sheet = f"<style>@media (prefers-color-scheme:dark){{{rules}}}</style>"
    return svg.replace("<defs>", f"{sheet}<defs>", 1)


def shorten(name: str, width: int = 18) -> str:
    """Cut a long name in its middle, where names of conditions differ least."""
    name = "".join(c if c.isprintable() else " " for c in name)
    name = " ".join(name.split())
    if len(name) <= width:
        return name
    head = (width - 1) * 2 // 3
    return f"{name[:head]}…{name[len(name) - (width - 1 - head) :]}"


def shorten_all(names: Sequence[str], width: int = 18) -> list[str]:
    """Cut long names, but never so far that two different ones look the same."""
    longest = max(map(len, names), default=0)
    for tried in range(width, longest + 1):
        short = [shorten(name, tried) for name in names]
        if len(set(short)) == len(set(names)):
            return short
    return list(names)


def chance_line(axes: Axes, chance: float, *, vertical: bool = False) -> None:
    """Draw the dashed line every score is held against."""
    draw = axes.axvline if vertical else axes.axhline
    draw(chance, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)), zorder=0)
