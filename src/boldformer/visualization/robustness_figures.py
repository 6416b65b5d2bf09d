"""Figures of what a score is worth: chance, fewer subjects, the past alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator

from boldformer.evaluation.baselines import decoder_label
from boldformer.visualization.drawing import HALF, Drawing, new_figure
from boldformer.visualization.finished_run import FinishedRun
from boldformer.visualization.style import BLUE, FAINT, MUTED, VERMILION, chance_line

_MODES = {"transductive": "whole run", "causal": "causal"}
_LOOKS = {"transductive": ("o", BLUE), "causal": ("D", VERMILION)}


def draw_null(results: FinishedRun) -> Drawing | None:
    """Draw the scores of shuffled labels beside those of the true ones."""
    tests = [test for test in results.metrics.get("permutation") or [] if _run(test)]
    if not tests or results.permutations.empty:
        return None
    figure, axes = new_figure(height=2.8)
    chance_line(axes, results.metrics["chance"], vertical=True)
    for test, colour in zip(tests, (MUTED, BLUE), strict=False):
        rows = results.permutations["decoder"] == test["decoder"]
        null = results.permutations.loc[rows, "balanced_accuracy"]
        label = f"{decoder_label(test['decoder'])}, shuffled"
        axes.hist(
            null, np.linspace(0, 1, 61).tolist(), color=colour, alpha=0.45, label=label
        )
        axes.axvline(test["score"], color=colour, linewidth=2.2, label="true labels")
    said = [
        f"{decoder_label(test['decoder'])} {test['score']:.3f} against "
        f"{test['null_mean']:.3f} on average over {test['n_permutations']} shuffles, "
        f"p = {test['p_value']:.2g}"
        for test in tests
    ]
    axes.set(xlim=(0, 1), xlabel="balanced accuracy", ylabel="shuffles")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2)
    return Drawing(
        "permutation",
        figure,
        "Against chance",
        "Bars: labels shuffled among the events of each run, fitted and tested on "
        "the same folds. Line: the true labels. "
        f"{_capital('; '.join(said))}. Dashed: chance.",
        f"Permutation test: {'; '.join(said)}.",
    )


def draw_curve(results: FinishedRun) -> Drawing | None:
    """Draw balanced accuracy against the number of training subjects."""
    curve = results.metrics.get("learning_curve") or {}
    drawn = {
        name: points
        for name, points in (curve.get("decoders") or {}).items()
        if len(points) > 1
    }
    if not drawn:
        return None
    figure, axes = new_figure(height=2.8)
    chance_line(axes, results.metrics["chance"])
    for name, points in drawn.items():
        colour = BLUE if name == results.decoder else VERMILION
        x = [point["n_groups"] for point in points]
        y = _column(points, "value")
        low, high = _column(points, "low"), _column(points, "high")
        axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.plot(x, y, "o-", color=colour, markersize=4, label=decoder_label(name))
    sizes = sorted({point["n_groups"] for points in drawn.values() for point in points})
    _whole_numbers(axes, sizes)
    unit = curve.get("unit", results.held_out)
    axes.set(ylim=(0, 1.02), xlabel=f"training {unit}s", ylabel="balanced accuracy")
    axes.legend(loc="lower right")
    first, last = next(iter(drawn.values()))[0], next(iter(drawn.values()))[-1]
    name = decoder_label(next(iter(drawn)))
    said = (
        f"{_capital(name)}: {first['value']:.3f} from {first['n_groups']}, "
        f"{last['value']:.3f} from {last['n_groups']}"
    )
    return Drawing(
        "learning_curve",
        figure,
        f"What more {unit}s would bring",
        f"Trained on fewer {unit}s, drawn at random, and tested on all held-out ones; "
        f"penalty fixed, so the last point may differ from the table. Band: interval. "
        f"{said}. Dashed: chance.",
        f"Learning curve over {unit}s. {said}.",
    )


def draw_columns(results: FinishedRun) -> Drawing | None:
    """Draw scores after whole-run and after causal preprocessing, pair by pair."""
    cells = (results.metrics.get("columns") or {}).get("cells") or []
    if not any(cell["scores"] for cell in cells):
        return None
    names = list(dict.fromkeys(cell["decoder"] for cell in cells))
    figure, axes = new_figure(HALF, 1.1 + 0.55 * len(names))
    chance_line(axes, results.metrics["chance"], vertical=True)
    for cell in cells:
        row = names.index(cell["decoder"])
        _draw_cell(axes, cell, row + (0.16 if cell["mode"] == "causal" else -0.16))
    for mode, (marker, colour) in _LOOKS.items():
        axes.plot([], [], marker, color=colour, label=_MODES[mode])
    for row in range(1, len(names)):
        axes.axhline(row - 0.5, color=FAINT, linewidth=0.6)
    axes.set(xlim=(0, 1), ylim=(len(names) - 0.5, -0.5), xlabel="balanced accuracy")
    axes.set_yticks(range(len(names)), [decoder_label(name) for name in names])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2)
    said = "; ".join(
        f"{decoder_label(cell['decoder'])}, {_MODES[cell['mode']]}: "
        + (
            f"{cell['scores']['balanced_accuracy']['value']:.3f}"
            if cell["scores"]
            else "not run"
        )
        for cell in cells
    )
    return Drawing(
        "columns",
        figure,
        "Whole run beside causal",
        "Balanced accuracy with its interval on the same folds, after cleaning that "
        "sees the whole run and after cleaning that sees past volumes only. Dashed: "
        "chance.",
        f"Balanced accuracy: {said}.",
    )


def _draw_cell(axes: Axes, cell: dict[str, Any], row: float) -> None:
    if cell["scores"] is None:
        text = f"{_MODES[cell['mode']]}: not run"
        axes.text(0.99, row, text, color=MUTED, va="center", ha="right", fontsize=7.5)
        return
    marker, colour = _LOOKS[cell["mode"]]
    score = cell["scores"]["balanced_accuracy"]
    if score["low"] is not None:
        span = (score["low"], score["high"])
        axes.hlines(row, *span, color=colour, linewidth=2.2, alpha=0.45)
    axes.plot(score["value"], row, marker, color=colour, markersize=5.5)


def _whole_numbers(axes: Axes, sizes: list[int]) -> None:
    """Mark just these sizes on a logarithmic axis."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(sizes))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter("{x:.0f}")


def _run(test: dict[str, Any]) -> bool:
    return bool(test.get("n_permutations"))


def _column(points: list[dict[str, Any]], key: str) -> np.ndarray:
    return np.array([np.nan if p[key] is None else p[key] for p in points], dtype=float)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
