"""Accuracy against shots, when a decoder is brought to another site."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from boldformer.visualization.drawing import FULL, HALF, Drawing, listed, mark_leaky
from boldformer.visualization.style import (
    CLASS_COLOURS,
    INK,
    MUTED,
    chance_line,
    figure_style,
    shorten,
)

_PER_ROW = 2
_NUDGE = 0.06


def draw_transfer(table: pd.DataFrame) -> Drawing:
    """Draw balanced accuracy against shots, a panel for each test data set.

    Parameters
    ----------
    table : DataFrame
        ``transfer.tsv``.

    Returns
    -------
    Drawing
        With one line an alignment, the subjects' shots alone, and the level that the
        test site's own other subjects give.
    """
    tests = list(dict.fromkeys(table["test"]))
    shots = list(dict.fromkeys(["0", *table["shots"].astype(str)]))
    n_columns = min(len(tests), _PER_ROW)
    n_rows = -(-len(tests) // n_columns)
    with figure_style():
        figure = Figure(
            figsize=(HALF * 1.3 if n_columns == 1 else FULL, 3.0 * n_rows),
            layout="constrained",
        )
        panels = figure.subplots(n_rows, n_columns, sharey=True, squeeze=False)
        for axes, test in zip(panels.flat, tests, strict=False):
            _panel(axes, table[table["test"] == test], shots)
            axes.set_title(f"tested on {shorten(test, 30)}")
        for axes in panels.flat[len(tests) :]:
            axes.set_visible(False)
        for row in panels:
            row[0].set_ylabel("balanced accuracy")
        handles, names = panels.flat[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=3)
        if (table["audit"] == "LEAKY").any():
            mark_leaky(figure)
    return Drawing(
        "transfer",
        figure,
        "A decoder at another site",
        "Balanced accuracy on each test data set, by blocks of each class (or runs) "
        "that are labelled of a test subject; 0 is zero-shot. Every subject is scored "
        "on runs that gave no shot. Bars are intervals over subjects; the dashed line "
        "is chance. Lines are ways of aligning features; those other than 'none' see "
        "the unlabelled test windows.",
        f"Accuracy against shots on {listed(tests)}.",
    )


def _panel(axes: Axes, table: pd.DataFrame, shots: Sequence[str]) -> None:
    transferred = table[table["setting"].isin(["zero-shot", "few-shot"])]
    alignments = list(dict.fromkeys(transferred["alignment"]))
    for index, name in enumerate(alignments):
        rows = transferred[transferred["alignment"] == name]
        nudge = _NUDGE * (index - (len(alignments) - 1) / 2)
        colour = CLASS_COLOURS[index % len(CLASS_COLOURS)]
        _line(axes, rows, shots, f"transfer, {name}", colour, "-", nudge)
    plain = table[table["alignment"] == "none"]
    alone = plain[plain["setting"] == "within-subject"]
    _line(axes, alone, shots, "shots alone", INK, ":", 0.0)
    for value in plain.loc[plain["setting"] == "within-site", "balanced_accuracy"]:
        label = "test site's other subjects"
        axes.axhline(value, color=MUTED, linewidth=1.2, label=label, zorder=0)
    chance_line(axes, float(table["chance"].iloc[0]))
    axes.set_xticks(range(len(shots)), [s.replace("run", " run") for s in shots])
    axes.set(xlim=(-0.4, len(shots) - 0.6), ylim=(0, 1.02))
    axes.set_xlabel("labelled blocks of each class")


def _line(
    axes: Axes,
    rows: pd.DataFrame,
    shots: Sequence[str],
    label: str,
    colour: str,
    style: str,
    nudge: float,
) -> None:
    if rows.empty:
        return
    rows = rows.assign(at=[shots.index(str(name)) for name in rows["shots"]])
    rows = rows.sort_values("at")
    value = rows["balanced_accuracy"].to_numpy(dtype=float)
    ends = rows[["low", "high"]].to_numpy(dtype=float)
    # A single subject has no interval: no bar is drawn.
    below, above = value - ends[:, 0], ends[:, 1] - value
    bars = np.clip(np.nan_to_num(np.stack([below, above])), 0, None)
    axes.errorbar(
        rows["at"] + nudge,
        value,
        yerr=bars,
        color=colour,
        linestyle=style,
        marker="o",
        markersize=4,
        linewidth=1.3,
        elinewidth=0.8,
        label=label,
    )
