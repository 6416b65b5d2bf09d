"""Figures of scores: confusions, decoders beside each other, classes, groups."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from sklearn.metrics import confusion_matrix

from boldformer.data.wording import plural
from boldformer.evaluation.baselines import decoder_label
from boldformer.evaluation.metrics import score_label
from boldformer.visualization.drawing import FULL, HALF, Drawing, new_figure
from boldformer.visualization.finished_run import FinishedRun
from boldformer.visualization.style import (
    BLUE,
    FAINT,
    HEAT,
    INK,
    MUTED,
    VERMILION,
    chance_line,
    shorten,
    shorten_all,
)

# From nothing to full colour: cells take the page's own white or black as zero.
_HEAT = LinearSegmentedColormap.from_list("heat", [(*to_rgba(HEAT)[:3], 0), HEAT])
_COUNTS_UP_TO = 12
# Open, so that it can be seen around a dot in the same place.
_HOLLOW: dict[str, Any] = {
    "mfc": "none",
    "mec": VERMILION,
    "mew": 1.1,
    "markersize": 6,
}


def draw_decoders(results: FinishedRun) -> Drawing:
    """Draw the decoder and its baselines on one scale, with intervals and chance."""
    scores = results.metrics["scores"]
    names = [results.decoder, *results.baselines]
    metric = results.headline
    figure, axes = new_figure(HALF * 1.1, 0.75 + 0.4 * len(names))
    chance = results.metrics["chance"]
    chance_line(axes, chance, vertical=True)
    axes.text(chance, -0.65, "chance", color=MUTED, fontsize=7.5, ha="center")
    for row, name in enumerate(names):
        estimate = scores[name].get(metric) or {}
        colour = BLUE if name == results.decoder else MUTED
        _interval(axes, estimate, row, colour)
        if estimate.get("value") is not None:
            axes.text(1.06, row, f"{estimate['value']:.3f}", va="center", color=colour)
    axes.set(xlim=(0, 1), ylim=(len(names) - 0.5, -0.6), xlabel=score_label(metric))
    axes.set_yticks(range(len(names)), [shorten(decoder_label(n), 22) for n in names])
    axes.get_yticklabels()[0].set_fontweight("bold")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    said = "; ".join(
        f"{decoder_label(n)} {_value(scores[n].get(metric))}" for n in names
    )
    return Drawing(
        "decoders",
        figure,
        "Beside the baselines",
        f"{score_label(metric).capitalize()} with its interval, on the same held-out "
        "windows. Dashed: chance.",
        f"{score_label(metric).capitalize()}: {said}; chance {chance:.3f}.",
    )


def draw_confusion(results: FinishedRun) -> Drawing:
    """Draw which class is taken for which: shares of each row, with counts."""
    n_classes = len(results.labels)
    counts = confusion_matrix(results.truth, results.guess, labels=range(n_classes))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = float(np.clip(1.5 + 0.42 * n_classes, HALF, FULL))
    figure, axes = new_figure(size, size * 0.94)
    axes.pcolormesh(shares, cmap=_HEAT, vmin=0, vmax=1, edgecolors=FAINT, linewidth=0.4)
    _write_cells(axes, counts, shares)
    names = shorten_all(results.labels, 16)
    centres = np.arange(n_classes) + 0.5
    axes.set_yticks(centres, names)
    axes.set_xticks(centres, names)
    if max(map(len, names)) > 3 * size / n_classes:
        turn = 45 if n_classes <= _COUNTS_UP_TO else 90
        middle = "top" if turn == 45 else "center"
        for text in axes.get_xticklabels():
            text.set(ha="right", va=middle, rotation=turn, rotation_mode="anchor")
    axes.set(xlabel="predicted", ylabel="true", aspect="equal")
    axes.invert_yaxis()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return Drawing(
        "confusion",
        figure,
        "Confusions",
        "Rows are the true class and add up to one"
        + (
            "; each cell gives the share and the number of windows."
            if n_classes <= _COUNTS_UP_TO
            else "; each cell gives the percentage, where it is 5 or more."
        ),
        f"Confusion matrix of {n_classes} classes; diagonal: "
        + ", ".join(
            f"{n} {shares[k, k]:.2f}" for k, n in enumerate(results.labels[:12])
        )
        + (", and so on." if n_classes > 12 else "."),
    )


def draw_recall(results: FinishedRun) -> Drawing:
    """Draw how much of each class is found, beside the linear SVM."""
    scores = results.metrics["scores"]
    figure, axes = new_figure(HALF, 0.75 + 0.27 * max(3, len(results.labels)))
    chance_line(axes, results.metrics["chance"], vertical=True)
    svm = scores.get("linear_svm", {}).get("recall") or {}
    beside = results.decoder != "linear_svm" and bool(svm)
    for row, label in enumerate(results.labels):
        _interval(axes, scores[results.decoder]["recall"].get(label) or {}, row, BLUE)
        value = (svm.get(label) or {}).get("value") if beside else None
        if value is not None:
            axes.plot(value, row, "D", **_HOLLOW)
    axes.set_yticks(range(len(results.labels)), shorten_all(results.labels))
    axes.set(xlim=(-0.01, 1.01), ylim=(len(results.labels) - 0.4, -0.6))
    axes.set_xlabel("recall")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    return Drawing(
        "recall",
        figure,
        "How much of each class is found",
        "Dots: recall of the decoder with its interval."
        + (" Diamonds: the linear SVM." if beside else "")
        + " Dashed: chance.",
        "Recall per class; the table beside it has the numbers.",
    )


def draw_groups(results: FinishedRun) -> Drawing | None:
    """Draw the accuracy of every subject (or run), paired with the linear SVM's."""
    groups = results.metrics.get("groups") or []
    if not groups:
        return None
    ours = np.array([_or_nan(g["accuracy"].get(results.decoder)) for g in groups])
    order = np.argsort(-ours, kind="stable")
    ours = ours[order]
    svm = np.array([_or_nan(groups[k]["accuracy"].get("linear_svm")) for k in order])
    beside = results.decoder != "linear_svm" and np.isfinite(svm).any()
    width = float(np.clip(1.1 + 0.14 * len(groups), HALF, FULL))
    figure, axes = new_figure(width, 2.7)
    chance_line(axes, results.metrics["chance"])
    at = np.arange(len(groups))
    axes.plot(at, ours, "o", color=BLUE, markersize=4.5, label=results.decoder)
    if beside:
        axes.vlines(at, ours, svm, color=FAINT, linewidth=1.2, zorder=1)
        axes.plot(at, svm, "D", **_HOLLOW, label="linear SVM")
    axes.set(ylim=(-0.03, 1.03), xlim=(-0.7, len(groups) - 0.3), ylabel="accuracy")
    _group_ticks(axes, [str(groups[k]["group"]) for k in order])
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2)
    low, high = np.nanmin(ours), np.nanmax(ours)
    n_above = int(np.sum(ours > results.metrics["chance"]))
    unit = results.unit
    return Drawing(
        "groups",
        figure,
        f"Every {unit}",
        f"Accuracy in each {unit}{_while_held_out(results)}, best first. {n_above} of "
        f"{len(groups)} lie above chance (dashed).",
        f"Accuracy per {unit}, from {low:.3f} to {high:.3f}; {n_above} of "
        f"{len(groups)} above chance.",
    )


def _while_held_out(results: FinishedRun) -> str:
    if results.unit == results.held_out:
        return " when it was held out"
    return f", its {plural(results.held_out)} held out"


def _interval(axes: Axes, estimate: dict, row: float, colour: str) -> None:
    value, low, high = (estimate.get(key) for key in ("value", "low", "high"))
    if value is None:
        axes.text(0.02, row, "n/a", color=MUTED, va="center")
        return
    if low is not None and high is not None:
        axes.hlines(row, low, high, color=colour, linewidth=2.2, alpha=0.45)
    axes.plot(value, row, "o", color=colour, markersize=5.5)


def _write_cells(axes: Axes, counts: np.ndarray, shares: np.ndarray) -> None:
    n_classes = len(counts)
    roomy = n_classes <= _COUNTS_UP_TO
    for (row, column), share in np.ndenumerate(shares):
        if not roomy and share < 0.045:
            continue
        text = f"{share:.2f}\n{counts[row, column]}" if roomy else f"{100 * share:.0f}"
        axes.text(
            column + 0.5,
            row + 0.5,
            text,
            ha="center",
            va="center",
            color="#ffffff" if share > 0.55 else INK,
            fontsize=7.5 if n_classes <= 8 else 6,
            linespacing=1.35,
        )


def _group_ticks(axes: Axes, names: list[str]) -> None:
    names = _what_differs(names)
    many = len(names) > 6 or max(map(len, names)) > 10
    axes.set_xticks(range(len(names)), shorten_all(names, 22))
    if many:
        size = float(np.clip(330 / len(names), 5.5, 8))
        axes.tick_params(axis="x", rotation=90, labelsize=size)
    axes.tick_params(axis="x", length=0)


def _what_differs(names: list[str]) -> list[str]:
    """Leave out the entities that all names share, such as subject and task."""
    parts = [name.split("_") for name in names]
    if len(names) == 1 or len({len(part) for part in parts}) > 1:
        return names
    kept = [
        k for k, column in enumerate(zip(*parts, strict=True)) if len({*column}) > 1
    ]
    return ["_".join(part[k] for k in kept) for part in parts]


def _or_nan(value: float | None) -> float:
    return np.nan if value is None else value


def _value(estimate: dict | None) -> str:
    value = (estimate or {}).get("value")
    return "n/a" if value is None else f"{value:.3f}"
