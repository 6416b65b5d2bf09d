"""The accuracy-compute curve of a pruned decoder."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from boldformer.visualization.drawing import HALF, Drawing, mark_leaky
from boldformer.visualization.style import BLUE, MUTED, VERMILION, chance_line

TOLERATED = 0.01
"""Accuracy that fewer multiply-adds may cost, as the figure marks it."""

_LOOKS = {
    "unpruned": ("s", BLUE),
    "pruned": ("o", BLUE),
    "from scratch": ("D", VERMILION),
}


def draw_pruning(curve: pd.DataFrame, chance: float, *, leaky: bool = False) -> Drawing:
    """Draw accuracy, and its difference to the unpruned network, against compute.

    Parameters
    ----------
    curve : DataFrame
        One row a network: ``network`` (``unpruned``, ``pruned`` or ``from scratch``),
        ``mac_share``, and ``accuracy`` and ``difference``, each with its ``_low`` and
        ``_high``.
    chance : float
        One over the number of classes.
    leaky : bool
        Whether to say that training and test data are not apart.
    """
    figure = Figure(figsize=(HALF, 4.4), layout="constrained")
    above, below = figure.subplots(2, sharex=True, height_ratios=(3, 2))
    _draw(above, curve, "accuracy")
    chance_line(above, chance)
    above.set(ylabel="accuracy", ylim=(0, 1.02))
    above.legend(loc="lower left")
    _draw(below, curve[curve["network"] != "unpruned"], "difference")
    below.axhline(0, color=MUTED, linewidth=0.8)
    chance_line(below, -TOLERATED)
    below.set(xlabel="multiply-adds, share of the unpruned network's (%)")
    below.set(ylabel="difference")
    below.set_xlim(0, 104)
    if leaky:
        mark_leaky(figure)
    last = curve[curve["network"] == "pruned"].iloc[-1]
    said = (
        f"{100 * last['mac_share']:.0f} % of the multiply-adds: accuracy "
        f"{last['accuracy']:.3f}, {last['difference']:+.3f} to the unpruned network"
    )
    return Drawing(
        "pruning",
        figure,
        "Accuracy and compute",
        f"{said}. Bars: intervals over subjects (or runs), below of the paired "
        f"difference. Dashed: chance, and {100 * TOLERATED:.0f} point less.",
        f"Accuracy against multiply-adds of pruned networks; {said}.",
    )


def _draw(axes: Axes, curve: pd.DataFrame, quantity: str) -> None:
    along = curve[curve["network"] != "from scratch"]
    axes.plot(100 * along["mac_share"], along[quantity], color=BLUE, linewidth=1.2)
    for network, (marker, colour) in _LOOKS.items():
        rows = curve[curve["network"] == network]
        if rows.empty:
            continue
        value = rows[quantity].to_numpy(float)
        ends = rows[[f"{quantity}_low", f"{quantity}_high"]].to_numpy(float).T
        # Without an interval, as for a single unit, there is a point and no bar.
        reach = np.nan_to_num(np.abs(ends - value))
        axes.errorbar(
            100 * rows["mac_share"],
            value,
            yerr=reach,
            fmt=marker,
            color=colour,
            markersize=4.5,
            linewidth=1,
            label=network,
        )
