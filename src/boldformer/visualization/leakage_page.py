"""The leak, drawn and told: accuracy against how samples were split."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from boldformer.visualization.drawing import FULL, Drawing, listed
from boldformer.visualization.page import render_study
from boldformer.visualization.style import (
    CLASS_COLOURS,
    INK,
    VERMILION,
    chance_line,
    figure_style,
)

TRUE = "true"
_LEAKY = "LEAKY"
_NUDGE = 0.09
# Vermilion is kept for what leaks.
_COLOURS = tuple(colour for colour in CLASS_COLOURS if colour != VERMILION)


def draw_leakage(table: pd.DataFrame) -> Drawing:
    """Draw balanced accuracy under every scheme, with true and with shuffled labels.

    Parameters
    ----------
    table : DataFrame
        ``leakage.tsv``.

    Returns
    -------
    Drawing
        One line a model and preparation; what leaks is shaded and said to be LEAKY.
    """
    schemes = list(dict.fromkeys(table["scheme"]))
    leaky = set(table.loc[table["audit"] == _LEAKY, "scheme"])
    arms = list(dict.fromkeys(_arm_names(table)))
    control = table[table["labels"] != TRUE]
    parts = [("the labels of the experiment", table[table["labels"] == TRUE])]
    if len(control):
        parts.append(("labels shuffled among blocks", control))
    with figure_style():
        figure = Figure(figsize=(FULL, 3.6), layout="constrained")
        panels = figure.subplots(1, len(parts), sharey=True, squeeze=False)[0]
        for axes, (title, rows) in zip(panels, parts, strict=True):
            _shade(axes, schemes, leaky)
            for index, arm in enumerate(arms):
                own = rows[_arm_names(rows) == arm]
                nudge = _NUDGE * (index - (len(arms) - 1) / 2)
                _line(axes, own, schemes, arm, _COLOURS[index % len(_COLOURS)], nudge)
            chance_line(axes, float(table["chance"].iloc[0]))
            axes.set_title(title, pad=14)
            axes.set_xticks(range(len(schemes)), [f"{name}-wise" for name in schemes])
            axes.set(xlim=(-0.5, len(schemes) - 0.5), ylim=(0, 1.02))
        panels[0].set_ylabel("balanced accuracy of single volumes")
        handles, names = panels[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=4)
    return Drawing(
        "leakage",
        figure,
        "What the split is worth",
        "Balanced accuracy of single volumes, by what was kept together when they were "
        "split into training and test; everything else is the same. Shaded: LEAKY "
        "splits. Bars are intervals over people (left), the range over shuffles "
        "(right). Dashed: chance.",
        f"Balanced accuracy of {listed(arms)} under {listed(schemes)}-wise splits.",
    )


def _arm_names(table: pd.DataFrame) -> pd.Series:
    return table["model"] + ", " + table["preprocessing"]


def _shade(axes: Axes, schemes: list[str], leaky: set[str]) -> None:
    for at, name in enumerate(schemes):
        if name in leaky:
            axes.axvspan(at - 0.5, at + 0.5, color=VERMILION, alpha=0.08, linewidth=0)
        axes.text(
            at,
            1.02,
            _LEAKY if name in leaky else "no leak",
            transform=axes.get_xaxis_transform(),
            ha="center",
            va="bottom",
            color=VERMILION if name in leaky else INK,
            fontsize=7,
            fontweight="bold",
        )


def _line(
    axes: Axes,
    rows: pd.DataFrame,
    schemes: list[str],
    label: str,
    colour: str,
    nudge: float,
) -> None:
    if rows.empty:
        return
    rows = rows.assign(at=[schemes.index(name) for name in rows["scheme"]])
    rows = rows.sort_values("at")
    value = rows["balanced_accuracy"].to_numpy(dtype=float)
    ends = rows[["low", "high"]].to_numpy(dtype=float)
    # A single subject has no interval: no bar is drawn.
    bars = np.stack([value - ends[:, 0], ends[:, 1] - value])
    axes.errorbar(
        rows["at"] + nudge,
        value,
        yerr=np.clip(np.nan_to_num(bars), 0, None),
        color=colour,
        marker="o",
        markersize=4,
        linewidth=1.1,
        elinewidth=0.9,
        label=label,
    )


# --- the page ---------------------------------------------------------------------


def render_leakage(
    table: pd.DataFrame, record: dict[str, Any], drawing: Drawing, svg: str
) -> str:
    """Fill in a self-contained page: what was done, the figure, the table.

    Parameters
    ----------
    table : DataFrame
        ``leakage.tsv``.
    record : dict
        ``leakage.json``.
    drawing : Drawing
        Of `draw_leakage`.
    svg : str
        The figure as it was written.
    """
    rows, said = record["scores"], sentences(table)
    return render_study(
        "leakage.html.j2", drawing, svg, r=record, rows=rows, sentences=said
    )


def sentences(table: pd.DataFrame) -> list[str]:
    """Say what each model scores under the leakiest and under the honest split.

    Parameters
    ----------
    table : DataFrame
        ``leakage.tsv``.

    Returns
    -------
    list of str
        One a model and preparation; leaky numbers are called LEAKY.
    """
    said = []
    for arm in dict.fromkeys(_arm_names(table)):
        own = table[_arm_names(table) == arm]
        rows = own[own["labels"] == TRUE]
        first, last = rows.iloc[0], rows.iloc[-1]
        shown = (
            "above chance"
            if last["low"] > last["chance"]
            else ("not shown to be above chance")
        )
        text = (
            f"{arm}: {_marked(first)} {first['scheme']}-wise, "
            f"{_marked(last)} {last['scheme']}-wise, which is {shown}"
        )
        if pd.notna(first.get("gap")):
            text += (
                f"; the gap is {first['gap']:.3f} "
                f"({first['gap_low']:.3f} to {first['gap_high']:.3f})"
            )
        control = own[own["labels"] != TRUE]
        if len(control):
            text += f". With labels that mean nothing: {_marked(control.iloc[0])}"
            text += f" {control.iloc[0]['scheme']}-wise"
        said.append(f"{text}.")
    return said


def _marked(row: pd.Series) -> str:
    mark = f" ({_LEAKY})" if row["audit"] == _LEAKY else ""
    return f"{row['balanced_accuracy']:.3f}{mark}"
