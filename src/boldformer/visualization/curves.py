"""Curves over the decision threshold: ROC, precision and recall, confidence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from sklearn.calibration import calibration_curve
from sklearn.metrics import (
    auc,
    average_precision_score,
    precision_recall_curve,
    roc_curve,
)

from boldformer.visualization.drawing import Drawing, new_figure, unit_square
from boldformer.visualization.finished_run import FinishedRun
from boldformer.visualization.style import (
    BLUE,
    CLASS_COLOURS,
    FAINT,
    INK,
    MUTED,
    chance_line,
    shorten_all,
)

Curve = tuple[np.ndarray, np.ndarray, float]

_GRID = np.linspace(0, 1, 201)
# With fewer windows than this in a bin, a reliability diagram shows noise.
_MIN_PER_BIN = 20


def roc_of(truth: np.ndarray, score: np.ndarray) -> Curve:
    """Compute the ROC curve of one class against the rest.

    Parameters
    ----------
    truth : ndarray of bool, shape (n_windows,)
        Whether a window is of the class.
    score : ndarray, shape (n_windows,)
        Its probability.

    Returns
    -------
    x, y : ndarray
        False-positive rate, rising, and true-positive rate.
    area : float
        Area under the curve.
    """
    x, y, _ = roc_curve(truth, score)
    return x, y, float(auc(x, y))


def precision_recall_of(truth: np.ndarray, score: np.ndarray) -> Curve:
    """Compute recall (rising), precision and average precision (see `roc_of`)."""
    precision, recall, _ = precision_recall_curve(truth, score)
    return recall[::-1], precision[::-1], float(average_precision_score(truth, score))


def curves_of(
    results: FinishedRun, kind: Callable[[np.ndarray, np.ndarray], Curve]
) -> dict[str, Curve]:
    """One curve a class; classes without windows, or with all of them, have none."""
    members = {label: results.truth == k for k, label in enumerate(results.labels)}
    return {
        label: kind(is_class, results.probabilities[:, k])
        for k, (label, is_class) in enumerate(members.items())
        if 0 < is_class.sum() < len(is_class)
    }


def draw_roc(results: FinishedRun) -> Drawing | None:
    """Draw the receiver operating characteristic, per class and averaged."""
    curves = curves_of(results, roc_of)
    if not curves:
        return None
    figure, axes = new_figure()
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)))
    value = _score(results, "roc_auc")
    _draw_classes(axes, curves, value, start=(0.0, 0.0))
    _legend(axes, loc="lower right")
    unit_square(axes, "false-positive rate", "true-positive rate")
    return Drawing(
        "roc",
        figure,
        "Receiver operating characteristic",
        "Each class against all others, from the pooled held-out probabilities; the "
        "dark line is their unweighted average, the dashed line is guessing. The "
        "number is the area under the curve.",
        f"ROC curves; macro-averaged area {_text(value)}.",
    )


def draw_precision_recall(results: FinishedRun) -> Drawing | None:
    """Draw precision against recall, per class and averaged."""
    curves = curves_of(results, precision_recall_of)
    if not curves:
        return None
    figure, axes = new_figure()
    prevalence = float(np.mean([np.mean(results.truth == k) for k in _used(results)]))
    chance_line(axes, prevalence)
    value = _score(results, "prc_auc")
    _draw_classes(axes, curves, value)
    # Above the baseline where that lies low, else below it: never across.
    foot = prevalence + 0.02 if prevalence < 0.35 else 0.01
    _legend(axes, loc="lower left", bbox_to_anchor=(0.0, foot))
    unit_square(axes, "recall", "precision")
    return Drawing(
        "precision_recall",
        figure,
        "Precision and recall",
        "Each class against all others, from the pooled held-out probabilities; the "
        "dark line is their unweighted average. The dashed line is the mean "
        f"prevalence, {prevalence:.3f}: the precision of guessing.",
        f"Precision–recall curves; macro-averaged area {_text(value)}, baseline "
        f"{prevalence:.3f}.",
    )


def draw_reliability(results: FinishedRun) -> Drawing | None:
    """Draw how often the decoder is right against how sure it is."""
    confidence = results.probabilities.max(axis=1)
    correct = results.truth == results.guess
    n_bins = min(10, len(correct) // _MIN_PER_BIN)
    if n_bins < 3:
        return None
    right, sure = calibration_curve(
        correct, np.clip(confidence, 0, 1), n_bins=n_bins, strategy="quantile"
    )
    figure, axes = new_figure()
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)))
    axes.plot(sure, right, color=BLUE, marker="o", markersize=4.5, linewidth=1.2)
    unit_square(axes, "confidence (highest probability)", "accuracy")
    gap = confidence.mean() - correct.mean()
    manner = "about as sure as it is right"
    if abs(gap) > 0.02:
        manner = "over-confident" if gap > 0 else "under-confident"
    return Drawing(
        "reliability",
        figure,
        "Confidence against accuracy",
        f"Windows in {len(right)} groups of about equal size, by confidence. On the "
        "dashed line, confidence equals accuracy. Here mean confidence is "
        f"{confidence.mean():.3f} and accuracy {correct.mean():.3f}: the decoder is "
        f"{manner}.",
        f"Reliability diagram; mean confidence {confidence.mean():.3f}, accuracy "
        f"{correct.mean():.3f}.",
    )


def draw_coverage(results: FinishedRun) -> Drawing:
    """Draw the accuracy that is reached when the least sure windows are declined."""
    confidence = results.probabilities.max(axis=1)
    correct = (results.truth == results.guess)[np.argsort(-confidence, kind="stable")]
    answered = np.arange(1, len(correct) + 1)
    accuracy = np.cumsum(correct) / answered
    coverage = answered / len(correct)
    # The first few windows alone say nothing about accuracy.
    shown = answered >= min(10, len(correct))
    at = int(np.searchsorted(coverage, 0.8))
    figure, axes = new_figure()
    chance_line(axes, results.metrics["chance"])
    axes.plot(coverage[shown], accuracy[shown], color=BLUE)
    axes.plot(coverage[at], accuracy[at], "o", color=BLUE, markersize=5)
    unit_square(axes, "share of windows answered", "accuracy on those answered")
    return Drawing(
        "coverage",
        figure,
        "What declining buys",
        "Accuracy when the decoder answers only where it is surest. Declining the "
        f"least sure fifth (dot) takes accuracy from {accuracy[-1]:.3f} to "
        f"{accuracy[at]:.3f}. The dashed line is chance.",
        f"Accuracy against coverage: {accuracy[-1]:.3f} on all windows, "
        f"{accuracy[at]:.3f} on the surest four fifths.",
    )


def _draw_classes(
    axes: Axes,
    curves: dict[str, Curve],
    macro: float | None,
    start: tuple[float, float] | None = None,
) -> None:
    """Draw every class; in colour where there are few enough to tell apart."""
    few = len(curves) <= len(CLASS_COLOURS) - 1
    width = 1.2 if few else 0.7
    colours = CLASS_COLOURS if few else [FAINT] * len(curves)
    names = shorten_all(list(curves), 16)
    for colour, name, (x, y, area) in zip(
        colours, names, curves.values(), strict=False
    ):
        text = f"{name}  {area:.2f}" if few else None
        axes.plot(x, y, color=colour, linewidth=width, label=text)
    mean = np.mean([np.interp(_GRID, x, y) for x, y, _ in curves.values()], axis=0)
    x, y = _GRID, mean
    if start is not None:
        x, y = np.r_[start[0], x], np.r_[start[1], y]
    axes.plot(x, y, color=INK, linewidth=2.0, label=f"macro  {_text(macro, 2)}")
    if not few:
        axes.plot([], [], color=FAINT, linewidth=0.7, label=f"{len(curves)} classes")


def _legend(axes: Axes, **place: Any) -> None:
    axes.legend(borderaxespad=0.2, labelspacing=0.3, **place)


def _used(results: FinishedRun) -> np.ndarray:
    return np.unique(results.truth)


def _score(results: FinishedRun, metric: str) -> float | None:
    return results.metrics["scores"][results.decoder].get(metric, {}).get("value")


def _text(value: float | None, digits: int = 3) -> str:
    return "n/a" if value is None else f"{value:.{digits}f}"
