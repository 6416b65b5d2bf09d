"""Names beside points, placed so that none lies on another, a point or a bar."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

from boldformer.visualization.style import INK, MUTED

_DISTANCES_PT = (7, 11, 16, 22, 30, 40, 52, 66, 84, 104, 130)
# Beside a point first: names read best there.
_DIRECTIONS_DEG = (0, 180, 90, 270, 35, 145, 325, 215, 65, 115, 245, 295)
_LEADER_FROM_PT = 16
_MARGIN_PX = 3.5
_POINTS_AN_INCH = 72


def label_points(
    axes: Axes,
    x: Sequence[float],
    y: Sequence[float],
    names: Sequence[str],
    obstacles: Sequence[Bbox] = (),
    fontsize: float = 7.5,
) -> list[Annotation]:
    """Write a name beside each point; far ones get a line to their point.

    Everything else must have been drawn, the limits of the axes included.

    Parameters
    ----------
    axes : Axes
        With the points.
    x, y : sequence of float
        Points, in data coordinates.
    names : sequence of str
        One a point.
    obstacles : sequence of Bbox
        What else names must not lie on, in data coordinates.
    fontsize : float
        In points.

    Returns
    -------
    list of Annotation
        Those placed; a name for which there is no room is left out.
    """
    figure = axes.figure.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()
    frame = axes.get_window_extent()
    to_pixels, pt = axes.transData, figure.dpi / _POINTS_AN_INCH
    centres = to_pixels.transform(np.column_stack([x, y]).astype(float))
    taken = [Bbox.from_bounds(cx - 4, cy - 4, 8, 8) for cx, cy in centres]
    taken += [Bbox(to_pixels.transform(box.get_points())) for box in obstacles]
    placed = []
    for at, centre, name in zip(zip(x, y, strict=True), centres, names, strict=True):
        note = axes.annotate(
            name,
            at,
            textcoords="offset points",
            xytext=(0, 0),
            fontsize=fontsize,
            color=INK,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": MUTED, "linewidth": 0.5},
        )
        note.set_in_layout(False)
        # Its own extent would take the line in.
        size = Text.get_window_extent(note)
        found = _free_place(centre, (size.width, size.height), pt, taken, frame)
        if found is None:
            note.remove()
            continue
        box, distance_pt = found
        note.set_position(((box.x0 - centre[0]) / pt, (box.y0 - centre[1]) / pt))
        note.set_verticalalignment("bottom")
        if distance_pt < _LEADER_FROM_PT and note.arrow_patch is not None:
            note.arrow_patch.set_visible(False)
        taken.append(box)
        placed.append(note)
    return placed


def _free_place(
    centre: np.ndarray,
    size: tuple[float, float],
    pt: float,
    taken: Sequence[Bbox],
    frame: Bbox,
) -> tuple[Bbox, float] | None:
    """Nearest place of a name where nothing is, in pixels, and how far it is."""
    for box, distance_pt in _places(centre, size, pt):
        inside = frame.x0 <= box.x0 and box.x1 <= frame.x1
        inside &= frame.y0 <= box.y0 and box.y1 <= frame.y1
        grown = box.padded(_MARGIN_PX)
        if inside and not any(grown.overlaps(other) for other in taken):
            return box, distance_pt
    return None


def _places(
    centre: np.ndarray, size: tuple[float, float], pt: float
) -> Iterator[tuple[Bbox, float]]:
    width, height = size
    for distance_pt in _DISTANCES_PT:
        for angle in np.deg2rad(_DIRECTIONS_DEG):
            along_x, along_y = np.round([np.cos(angle), np.sin(angle)], 6)
            x = centre[0] + distance_pt * pt * along_x + width * (along_x - 1) / 2
            y = centre[1] + distance_pt * pt * along_y + height * (along_y - 1) / 2
            yield Bbox.from_bounds(x, y, width, height), distance_pt
