"""The ablation, drawn: what each arm scores, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from boldformer.visualization.drawing import FULL, Drawing
from boldformer.visualization.label_text import label_points
from boldformer.visualization.style import (
    BLUE,
    FAINT,
    GREEN,
    ORANGE,
    chance_line,
    figure_style,
)

HYBRID = "hybrid"
_SCORE = "balanced_accuracy"
_CHANGED, _NETWORK, _LINEAR = "hybrid, changed", "another network", "linear decoder"
# Shapes say the same as colours.
_LOOKS: dict[str, dict[str, Any]] = {
    HYBRID: {"marker": "o", "color": BLUE, "markersize": 7},
    _CHANGED: {"marker": "o", "color": BLUE, "markerfacecolor": "white"},
    _NETWORK: {"marker": "s", "color": GREEN},
    _LINEAR: {"marker": "D", "color": ORANGE},
}
_SAME_COST = 0.01


def kind_of(row: Mapping[str, Any] | pd.Series) -> str:
    """Say what an arm is: the hybrid, the hybrid changed, another network or linear."""
    if row["arm"] == HYBRID:
        return HYBRID
    if row["model"] == HYBRID:
        return _CHANGED
    return _LINEAR if row["model"] == "linear" else _NETWORK


def draw_ablation(
    table: pd.DataFrame, chance: float, interval: Mapping[str, Any]
) -> Drawing:
    """Draw balanced accuracy arm by arm, and against the multiply-adds of a window.

    Parameters
    ----------
    table : DataFrame
        ``ablation.tsv``; arms that failed are named, and have no point.
    chance : float
        Balanced accuracy of guessing.
    interval : mapping
        ``unit``, ``n_units`` and ``level`` of the intervals.

    Returns
    -------
    Drawing
        Models with intervals and names beside their points; arms of the hybrid that
        cost what it costs are named in the list only.
    """
    table = table.assign(kind=[kind_of(row) for _, row in table.iterrows()])
    with figure_style():
        height = max(3.4, 1.1 + 0.19 * len(table))
        figure = Figure(figsize=(FULL, height), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(1, 1.35))
        _list(left, table, chance)
        _scatter(right, table.dropna(subset=[_SCORE]), chance)
        handles, names = right.get_legend_handles_labels()
        shown = sorted(zip(names, handles, strict=True), key=_rank)
        figure.legend(
            [handle for _, handle in shown],
            [name for name, _ in shown],
            loc="outside lower center",
            ncols=4,
        )
        _name_points(right, table.dropna(subset=[_SCORE]), chance)
    best = table.loc[table[_SCORE].idxmax()]
    return Drawing(
        "ablation",
        figure,
        "What each arm scores, and what it costs",
        f"Balanced accuracy with its {100 * interval['level']:g} % interval over "
        f"{units_of(interval)}, the same for all. Right: "
        "against the multiply-adds of one window; arms of the hybrid that cost what it "
        "costs have no name there. Dashed: chance.",
        f"Balanced accuracy of {len(table)} arms, highest {best['arm']} with "
        f"{best[_SCORE]:.3f}; chance {chance:.3f}.",
    )


def _rank(named: tuple[str, Any]) -> int:
    return list(_LOOKS).index(named[0])


def units_of(interval: Mapping[str, Any]) -> str:
    """Count what intervals resample: ``30 subjects``."""
    count, unit = interval["n_units"], interval["unit"]
    if count == 1:
        return f"1 {unit}"
    return f"{count} {'families' if unit == 'family' else f'{unit}s'}"


def _list(axes: Axes, table: pd.DataFrame, chance: float) -> None:
    """One row an arm: models, then what was changed in the hybrid, best first."""
    changed = table["kind"] == _CHANGED
    blocks = [table[~changed], table[changed]]
    best_first: Any = {"by": _SCORE, "ascending": False, "kind": "stable"}
    rows = pd.concat([block.sort_values(**best_first) for block in blocks])
    at = np.arange(len(rows), dtype=float)
    at[len(blocks[0]) :] += 0.6
    chance_line(axes, chance, vertical=True)
    for place, (_, row) in zip(at, rows.iterrows(), strict=True):
        axes.errorbar(
            row[_SCORE],
            place,
            xerr=_bars(row),
            **_look(row["kind"]),
            linestyle="none",
        )
    names = [
        row["arm"] if np.isfinite(row[_SCORE]) else f"{row['arm']} (failed)"
        for _, row in rows.iterrows()
    ]
    axes.set_yticks(at, names)
    axes.set(ylim=(at[-1] + 0.6, -0.6), xlabel="balanced accuracy")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def _scatter(axes: Axes, rows: pd.DataFrame, chance: float) -> None:
    chance_line(axes, chance)
    shown: set[str] = set()
    # The hybrid last: it lies over its own arms.
    for _, row in rows.iloc[::-1].iterrows():
        kind = row["kind"]
        label = "_nolegend_" if kind in shown else kind
        shown.add(kind)
        bars = None if kind == _CHANGED else _bars(row)
        axes.errorbar(
            row["mac_per_window"],
            row[_SCORE],
            yerr=bars,
            **_look(kind),
            linestyle="none",
            label=label,
        )
    axes.set_xscale("log")
    axes.margins(x=0.16, y=0.1)
    axes.grid(axis="x", color=FAINT, linewidth=0.4)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_formatter(lambda value, _: _short(value))
    axes.set(xlabel="multiply-adds of a window", ylabel="balanced accuracy")


def _short(value: float) -> str:
    """Write a large number with the prefix of a unit: ``10 M``."""
    for size, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g} {prefix}"
    return f"{value:g}"


def _look(kind: str) -> dict[str, Any]:
    return {"markersize": 5, "elinewidth": 1.0, **_LOOKS[kind]}


def _bars(row: pd.Series) -> np.ndarray:
    """Lengths of the two arms of an interval, (2, 1); 0 where there is none."""
    value = row[_SCORE]
    ends = [value - row[f"{_SCORE}_low"], row[f"{_SCORE}_high"] - value]
    return np.clip(np.nan_to_num(np.array(ends, dtype=float)), 0, None)[:, None]


def _name_points(axes: Axes, rows: pd.DataFrame, chance: float) -> None:
    """Name the models, and what costs other than the hybrid does."""
    own = float(rows.loc[rows["arm"] == HYBRID, "mac_per_window"].iloc[0])
    same = (rows["mac_per_window"] / own - 1).abs() < _SAME_COST
    bare = (rows["kind"] == _CHANGED) & same
    # Names keep off bars, points without a name and the line of chance.
    spans = [_span(row) for _, row in rows[rows["kind"] != _CHANGED].iterrows()]
    spans += [_span(row, bar=False) for _, row in rows[bare].iterrows()]
    spans.append(Bbox([[axes.get_xlim()[0], chance], [axes.get_xlim()[1], chance]]))
    named = rows[~bare]
    label_points(
        axes,
        named["mac_per_window"].tolist(),
        named[_SCORE].tolist(),
        named["arm"].tolist(),
        spans,
    )


def _span(row: pd.Series, *, bar: bool = True) -> Bbox:
    """Return what a point, and its bar, takes up in data coordinates."""
    x, y = float(row["mac_per_window"]), float(row[_SCORE])
    below, above = _bars(row)[:, 0] if bar else (0.005, 0.005)
    return Bbox([[x * 0.97, y - below], [x * 1.03, y + above]])
