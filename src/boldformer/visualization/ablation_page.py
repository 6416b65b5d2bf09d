"""The ablation, told: two sentences from its numbers, and a page of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from boldformer.visualization.ablation_figure import HYBRID, units_of
from boldformer.visualization.drawing import Drawing, listed
from boldformer.visualization.page import render_study

_SCORE = "balanced_accuracy"
_SAME_COST = 0.01
_FEW_UNITS = 7


def sentences(table: pd.DataFrame, record: dict[str, Any]) -> list[str]:
    """Say which arm is best and how surely, and what costs what.

    Parameters
    ----------
    table : DataFrame
        ``ablation.tsv``.
    record : dict
        ``ablation.json``: ``chance``, ``interval``, ``best_linear`` and ``leaky``.

    Returns
    -------
    list of str
        Two sentences, marked LEAKY where the split leaks.
    """
    rows = table.dropna(subset=[_SCORE]).sort_values(
        _SCORE, ascending=False, kind="stable"
    )
    mark = "LEAKY: " if record["leaky"] else ""
    failed = table.loc[table[_SCORE].isna(), "arm"]
    best = _best(rows, record)
    if len(failed):
        best += f"; {listed(failed)} could not be trained"
    return [f"{mark}{best}.", f"{mark}{_cost(rows)}."]


def _best(rows: pd.DataFrame, record: dict[str, Any]) -> str:
    best, interval = rows.iloc[0], record["interval"]
    ends = _interval(best[f"{_SCORE}_low"], best[f"{_SCORE}_high"])
    units = units_of(interval)
    which = (
        f"Of {len(rows)} arms {_called(best['arm'])} has the highest balanced accuracy,"
        if len(rows) > 1
        else "The hybrid alone has a balanced accuracy of"
    )
    told = (
        f"{which} {best[_SCORE]:.3f}{f' ({ends})' if ends else ''} over {units}, "
        f"chance being {record['chance']:.3f}"
    )
    others = rows[rows["arm"] != HYBRID]
    if len(others):
        told += f"; {_lead(best, others.iloc[0])}"
    ours = rows[rows["arm"] == HYBRID].iloc[0]
    linear = record["best_linear"]
    # Where the linear decoder is the other of the two, that has just been said.
    if linear and linear != others.iloc[0]["arm"]:
        told += f"; {_lead_of_hybrid(ours, linear)}"
    if interval["n_units"] < _FEW_UNITS:
        told += f"; with only {units} no interval is reliable"
    return told


def _lead(best: pd.Series, other: pd.Series) -> str:
    """Tell the paired difference of the best arm and the hybrid, or of its follower."""
    value, low, high = (other[f"minus_hybrid{end}"] for end in ("", "_low", "_high"))
    behind = "the hybrid"
    if best["arm"] == HYBRID:
        value, low, high, behind = -value, -high, -low, other["arm"]
    p_value = other["minus_hybrid_p_holm"]
    return f"it is ahead of {behind} by {_gap(value, low, high, p_value)}"


def _lead_of_hybrid(ours: pd.Series, linear: str) -> str:
    gap = [
        float(ours[f"minus_linear{end}"]) for end in ("", "_low", "_high", "_p_holm")
    ]
    return f"the hybrid less the best linear decoder, {linear}, is {_gap(*gap)}"


def _gap(value: float, low: float, high: float, p_value: float) -> str:
    told = _signed(value)
    if not np.isfinite(low):
        return f"{told}, of which no interval can be told"
    says = "excludes" if low > 0 or high < 0 else "does not exclude"
    p_text = "p < 0.001" if p_value < 0.001 else f"p = {p_value:.2g}"
    return (
        f"{told}, paired interval {_interval(low, high)}, which {says} 0 ({p_text} "
        "after Holm's correction)"
    )


def _cost(rows: pd.DataFrame) -> str:
    ours = rows[rows["arm"] == HYBRID].iloc[0]
    ratio = rows["mac_per_window"] / ours["mac_per_window"]
    others = rows[(ratio - 1).abs() >= _SAME_COST]
    told = (
        f"A window costs the hybrid {_amount(ours['mac_per_window'])} multiply-adds"
        f" (balanced accuracy {ours[_SCORE]:.3f}, "
        f"{ours['seconds'] / ours['n_fits']:.2g} s a fit)"
    )
    if len(others):
        costs = others.assign(ratio=ratio).sort_values("ratio")
        each = [
            f"{row['arm']} {_times(row['ratio'])} times as many ({row[_SCORE]:.3f})"
            for _, row in costs.iterrows()
        ]
        told += f"; {listed(each)}"
    return told


def _called(name: str) -> str:
    return "the hybrid" if name == HYBRID else name


def _interval(low: float, high: float) -> str:
    return f"{_signed(low)} to {_signed(high)}" if np.isfinite(low) else ""


def _signed(value: float) -> str:
    return f"{round(value, 3) + 0:.3f}".replace("-", "−")


def _times(ratio: float) -> str:
    return f"{ratio:,.0f}" if ratio >= 10 else f"{ratio:.2g}"


def _amount(value: float) -> str:
    for size, name in ((1e9, "billion"), (1e6, "million"), (1e3, "thousand")):
        if value >= size:
            return f"{value / size:.3g} {name}"
    return f"{value:.0f}"


# --- the page ---------------------------------------------------------------------


def render_ablation(
    table: pd.DataFrame, record: dict[str, Any], drawing: Drawing, svg: str
) -> str:
    """Fill in a self-contained page: two sentences, the figure, three tables.

    Parameters
    ----------
    table : DataFrame
        ``ablation.tsv``.
    record : dict
        ``ablation.json``.
    drawing : Drawing
        Of `boldformer.visualization.ablation_figure.draw_ablation`.
    svg : str
        The figure as it was written.
    """
    return render_study(
        "ablation.html.j2",
        drawing,
        svg,
        r=record,
        rows=[_plain(row) for row in table.astype(object).to_dict("records")],
        level=f"{100 * record['interval']['level']:g} %",
        units=units_of(record["interval"]),
        difference=_difference,
    )


def _plain(row: dict[Any, Any]) -> dict[str, Any]:
    return {str(key): None if pd.isna(v) else v for key, v in row.items()}


def _difference(row: dict[str, Any], name: str) -> Markup:
    """Write the two cells of a difference and its p-value."""
    if row[name] is None:
        return Markup('<td class="number">–</td><td class="number">–</td>')
    low, high, p_value = (row[f"{name}_{k}"] for k in ("low", "high", "p_holm"))
    ends = "" if low is None else _interval(low, high)
    p_text = "&lt; 0.001" if p_value < 0.001 else f"{p_value:.2g}"
    return Markup(
        f'<td class="number">{_signed(row[name])} <span class="interval">{ends}</span>'
        f'</td><td class="number">{p_text}</td>'
    )
