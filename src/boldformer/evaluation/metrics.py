"""Scores of predicted probabilities, for one sample or many reweighted ones at once.

Every score takes weights of shape (n_resamples, n_windows): how often each window
occurs in each resample. Ones give the plain score, and multiplicities give the scores
of bootstrap resamples without copying a row.

A class without a window in a (re)sample has no recall, F1 (unless it is predicted),
ROC or precision-recall area there; it is left out of that sample's mean over classes,
as scikit-learn leaves it out. A score with nothing left to average is NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from boldformer.errors import InputError

_CHUNK_VALUES = 2**21


def classification_scores(
    y_true: np.ndarray, probabilities: np.ndarray, y_pred: np.ndarray | None = None
) -> dict[str, float]:
    """Score predictions.

    Parameters
    ----------
    y_true : ndarray of int, shape (n_windows,)
        Column of each window's class.
    probabilities : ndarray, shape (n_windows, n_classes)
        Any scores that rank, for the areas; probabilities, for nothing else here.
    y_pred : ndarray of int, shape (n_windows,), optional
        Predicted columns; the most probable where unset.

    Returns
    -------
    dict of str to float
        ``accuracy``, ``balanced_accuracy``, ``macro_f1``, ``mcc``, and the areas
        ``roc_auc`` and ``prc_auc`` (average precision), one class against the rest,
        averaged over the classes that occur. Two classes are treated as any number.

    Raises
    ------
    InputError
        For arrays that do not fit together, classes that have no column, or values
        that are not finite.
    """
    weights = np.ones((1, len(y_true)))
    scores = weighted_scores(y_true, probabilities, weights, y_pred)
    return {name: float(values[0]) for name, values in scores.items()}


def weighted_scores(
    y_true: np.ndarray,
    probabilities: np.ndarray,
    weights: np.ndarray,
    y_pred: np.ndarray | None = None,
    names: Sequence[str] | None = None,
) -> dict[str, np.ndarray]:
    """`classification_scores` under each row of weights.

    Parameters
    ----------
    y_true, probabilities, y_pred
        As for `classification_scores`.
    weights : ndarray, shape (n_resamples, n_windows)
        Multiplicity of each window in each resample; single precision counts exactly.
    names : sequence of str
        Scores to take, out of `SCORES`; all of them by default.

    Returns
    -------
    dict of str to ndarray, shape (n_resamples,)
        By name.
    """
    y_true, probabilities = check_predictions(y_true, probabilities)
    y_pred = probabilities.argmax(axis=1) if y_pred is None else np.asarray(y_pred)
    n_classes = probabilities.shape[1]
    chosen = [SCORES[name] for name in (SCORES if names is None else names)]
    counts = _confusion(y_true, y_pred, n_classes, weights)
    areas = []
    if any(score.of_counts is None for score in chosen):
        areas = [
            _areas(y_true == k, probabilities[:, k], weights) for k in range(n_classes)
        ]
    found = {}
    for score in chosen:
        if score.of_counts is not None:
            found[score.key] = score.of_counts(counts)
        else:
            of_class = [roc_and_precision[score.area] for roc_and_precision in areas]
            found[score.key] = _mean_of_defined(np.stack(of_class, axis=1))
    return found


def weighted_recall(
    y_true: np.ndarray, y_pred: np.ndarray, n_classes: int, weights: np.ndarray
) -> np.ndarray:
    """Share of each class's windows that were recognised, (n_resamples, n_classes).

    NaN for a class without windows.
    """
    counts = _confusion(y_true, y_pred, n_classes, weights)
    return _divide(_hits(counts), counts.sum(axis=2))


def check_predictions(
    y_true: np.ndarray, probabilities: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Arrays that fit together, or an `InputError`; see `classification_scores`."""
    y_true = np.asarray(y_true)
    probabilities = np.asarray(probabilities, dtype=np.float64)
    fits = probabilities.ndim == 2 and y_true.shape == probabilities.shape[:1]
    if not fits or not len(y_true):
        raise InputError(
            "labels and probabilities do not fit together",
            wanted="labels (n_windows,) and probabilities (n_windows, n_classes)",
            received=f"{y_true.shape} and {probabilities.shape}",
        )
    n_classes = probabilities.shape[1]
    whole = np.issubdtype(y_true.dtype, np.integer)
    if not whole or y_true.min() < 0 or y_true.max() >= n_classes:
        raise InputError(
            "labels are not columns of the probabilities",
            wanted=f"whole numbers from 0 to {n_classes - 1}",
            received=f"{y_true.dtype}, {y_true.min()} to {y_true.max()}",
        )
    if not np.isfinite(probabilities).all():
        bad = int((~np.isfinite(probabilities)).any(axis=1).sum())
        raise InputError(
            "probabilities are not finite", received=f"NaN or infinity in {bad} windows"
        )
    return y_true, probabilities


def _confusion(
    y_true: np.ndarray, y_pred: np.ndarray, n_classes: int, weights: np.ndarray
) -> np.ndarray:
    """Weighted counts, shape (n_resamples, true class, predicted class)."""
    cells = np.eye(n_classes**2)[y_true * n_classes + y_pred]
    return (weights @ cells).reshape(-1, n_classes, n_classes)


def _hits(counts: np.ndarray) -> np.ndarray:
    return np.einsum("rkk->rk", counts)


def _accuracy(counts: np.ndarray) -> np.ndarray:
    return _hits(counts).sum(axis=1) / counts.sum(axis=2).sum(axis=1)


def _balanced_accuracy(counts: np.ndarray) -> np.ndarray:
    return _mean_of_defined(_divide(_hits(counts), counts.sum(axis=2)))


def _macro_f1(counts: np.ndarray) -> np.ndarray:
    both = counts.sum(axis=2) + counts.sum(axis=1)
    return _mean_of_defined(_divide(2 * _hits(counts), both))


def _mcc(counts: np.ndarray) -> np.ndarray:
    """Gorodkin's correlation for any number of classes; 0 where a side is constant."""
    truth, predicted = counts.sum(axis=2), counts.sum(axis=1)
    total = truth.sum(axis=1)
    agreement = _hits(counts).sum(axis=1) * total - np.sum(truth * predicted, axis=1)
    spread = (total**2 - np.sum(predicted**2, axis=1)) * (
        total**2 - np.sum(truth**2, axis=1)
    )
    return np.nan_to_num(_divide(agreement, np.sqrt(np.maximum(spread, 0))))


def _areas(
    positive: np.ndarray, score: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Area under the ROC curve, and average precision, in each resample."""
    roc, precision = np.full((2, len(weights)), np.nan)
    if not positive.any():
        return roc, precision
    order = np.argsort(-score, kind="stable")
    found = np.flatnonzero(positive[order])
    # Curves move only where a positive is: thresholds are ties that hold one.
    last = last_of_ties(score[order])
    held = np.unique(np.searchsorted(last, found))
    ends, begins = last[held], np.append(-1, last)[held]
    n_found = np.searchsorted(found, ends, side="right") - 1
    step = max(1, _CHUNK_VALUES // len(score))
    for start in range(0, len(weights), step):
        rows = slice(start, start + step)
        sorted_ = weights[rows][:, order]
        seen = np.cumsum(sorted_, axis=1)
        hits = np.cumsum(sorted_[:, found], axis=1)[:, n_found]
        gained = np.diff(hits, axis=1, prepend=0)
        before = np.where(begins >= 0, seen[:, begins], 0)
        n_hits = hits[:, -1].astype(np.float64)
        n_misses = seen[:, -1] - n_hits
        seen = seen[:, ends]
        misses = seen - hits
        tied = seen - before - gained
        # A positive outranks the negatives that come after it, and half of its ties.
        outranked = n_misses[:, None] - misses + tied / 2
        pairs = np.einsum("rt,rt->r", gained, outranked)
        roc[rows] = _divide(pairs, n_hits * n_misses)
        share = np.divide(hits, seen, out=np.zeros(seen.shape), where=seen > 0)
        weighted = np.einsum("rt,rt->r", gained, share)
        precision[rows] = _divide(weighted, n_hits)
    return roc, precision


def last_of_ties(descending: np.ndarray) -> np.ndarray:
    """Positions of the last of each stretch of equal values, (n_distinct,)."""
    return np.flatnonzero(np.append(np.diff(descending) != 0, True))


def _divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.divide(a, b, out=np.full(np.shape(a), np.nan), where=b > 0)


def _mean_of_defined(values: np.ndarray) -> np.ndarray:
    defined = np.isfinite(values)
    return _divide(np.where(defined, values, 0).sum(axis=1), defined.sum(axis=1))


@dataclass(frozen=True)
class Score:
    """A score: how it is computed, and what it is called wherever it is shown.

    Parameters
    ----------
    key : str
        In tables and JSON.
    label : str
        For readers.
    of_counts : callable, optional
        From weighted counts (n_resamples, true class, predicted class) to values
        (n_resamples,); an area under a curve has none.
    area : {0, 1}
        Which of the curves' areas it is: of the ROC or the precision-recall curve.
    least : float
        No value is below it; none is above 1.
    """

    key: str
    label: str
    of_counts: Callable[[np.ndarray], np.ndarray] | None = None
    area: int = 0
    least: float = 0.0


SCORES: dict[str, Score] = {
    score.key: score
    for score in (
        Score("accuracy", "accuracy", _accuracy),
        Score("balanced_accuracy", "balanced accuracy", _balanced_accuracy),
        Score("macro_f1", "macro-F1", _macro_f1),
        Score("mcc", "MCC", _mcc, least=-1.0),
        Score("roc_auc", "ROC-AUC", area=0),
        Score("prc_auc", "PRC-AUC", area=1),
    )
}
"""What every decoder is scored by, in the order of tables."""

_OTHER_LABELS = {"brier": "Brier score", "log_loss": "log-loss", "f1": "F1"}
_OTHER_LABELS |= {"ece": "calibration error"}


def score_label(name: str) -> str:
    """Name that tables and figures give a score."""
    if name in SCORES:
        return SCORES[name].label
    return _OTHER_LABELS.get(name, name.replace("_", " "))
