"""Scores of predicted probabilities, for one sample or many reweighted ones at once.

Every score takes weights of shape (n_resamples, n_windows): how often each window
occurs in each resample. Ones give the plain score, and multiplicities give the scores
of bootstrap resamples without copying a row.

A class without a window in a (re)sample has no recall, F1 (unless it is predicted),
ROC or precision-recall area there; it is left out of that sample's mean over classes,
as scikit-learn leaves it out. A score with nothing left to average is NaN.
"""

from __future__ import annotations

import numpy as np

from boldformer.errors import InputError

SCORES = (
    "accuracy",
    "balanced_accuracy",
    "macro_f1",
    "mcc",
    "roc_auc",
    "prc_auc",
)
CALIBRATION_BINS = 15
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


def class_recall(y_true: np.ndarray, y_pred: np.ndarray, n_classes: int) -> np.ndarray:
    """Share of each class's windows that were recognised, shape (n_classes,).

    NaN for a class without windows.
    """
    weights = np.ones((1, len(y_true)))
    return weighted_recall(y_true, y_pred, n_classes, weights)[0]


def weighted_scores(
    y_true: np.ndarray,
    probabilities: np.ndarray,
    weights: np.ndarray,
    y_pred: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """`classification_scores` under each row of weights.

    Parameters
    ----------
    y_true, probabilities, y_pred
        As for `classification_scores`.
    weights : ndarray, shape (n_resamples, n_windows)
        Multiplicity of each window in each resample; single precision counts exactly.

    Returns
    -------
    dict of str to ndarray, shape (n_resamples,)
        The same keys.
    """
    y_true, probabilities = check_predictions(y_true, probabilities)
    y_pred = probabilities.argmax(axis=1) if y_pred is None else np.asarray(y_pred)
    n_classes = probabilities.shape[1]
    scores = _scores_of_counts(_confusion(y_true, y_pred, n_classes, weights))
    areas = [
        _areas(y_true == k, probabilities[:, k], weights) for k in range(n_classes)
    ]
    for position, name in enumerate(("roc_auc", "prc_auc")):
        scores[name] = _mean_of_defined(np.stack([a[position] for a in areas], axis=1))
    return {name: scores[name] for name in SCORES}


def weighted_recall(
    y_true: np.ndarray, y_pred: np.ndarray, n_classes: int, weights: np.ndarray
) -> np.ndarray:
    """`class_recall` under each row of weights, shape (n_resamples, n_classes)."""
    counts = _confusion(y_true, y_pred, n_classes, weights)
    return _divide(np.einsum("rkk->rk", counts), counts.sum(axis=2))


def calibration_scores(
    y_true: np.ndarray, probabilities: np.ndarray
) -> dict[str, float]:
    """Judge probabilities as probabilities.

    Parameters
    ----------
    y_true : ndarray of int, shape (n_windows,)
        Column of each window's class.
    probabilities : ndarray, shape (n_windows, n_classes)
        Rows that sum to one.

    Returns
    -------
    dict of str to float
        ``brier`` (from 0 to 2, or to 1 for two classes, as in scikit-learn),
        ``log_loss`` (nats; probabilities are clipped at the smallest step above 0) and
        ``ece``, the gap between confidence and accuracy, averaged over the windows of
        15 equal bins of confidence.

    Raises
    ------
    InputError
        As `classification_scores`, and for rows that do not sum to one.

    References
    ----------
    Guo, Pleiss, Sun & Weinberger (2017). On calibration of modern neural networks.
    ICML.
    """
    y_true, probabilities = check_predictions(y_true, probabilities)
    sums = probabilities.sum(axis=1)
    if not np.allclose(sums, 1, atol=1e-3) or probabilities.min() < 0:
        raise InputError(
            "these are not probabilities",
            wanted="values of 0 or more that sum to 1 in each row",
            received=f"values from {probabilities.min():.3g}, "
            f"sums from {sums.min():.3g} to {sums.max():.3g}",
        )
    n_classes = probabilities.shape[1]
    errors = (probabilities - np.eye(n_classes)[y_true]) ** 2
    brier = errors.sum(axis=1).mean() / (2 if n_classes == 2 else 1)
    chosen = probabilities[np.arange(len(y_true)), y_true]
    floor = np.finfo(probabilities.dtype).eps
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == y_true
    bins = np.ceil(confidence * CALIBRATION_BINS).astype(int)
    gaps = np.bincount(bins, right - confidence, minlength=CALIBRATION_BINS + 1)
    return {
        "brier": float(brier),
        "log_loss": float(-np.log(np.clip(chosen, floor, 1)).mean()),
        "ece": float(np.abs(gaps).sum() / len(y_true)),
    }


def accuracy_coverage(
    y_true: np.ndarray, probabilities: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Accuracy when only the most confident predictions are given.

    Parameters
    ----------
    y_true : ndarray of int, shape (n_windows,)
        Column of each window's class.
    probabilities : ndarray, shape (n_windows, n_classes)
        Their largest value is the confidence; equally confident windows are answered
        together.

    Returns
    -------
    coverage : ndarray, shape (n_distinct_confidences,)
        Share of windows answered, ascending to 1.
    accuracy : ndarray, shape (n_distinct_confidences,)
        Of the answers.
    """
    y_true, probabilities = check_predictions(y_true, probabilities)
    confidence = probabilities.max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    right = (probabilities.argmax(axis=1) == y_true)[order]
    last = _last_of_ties(confidence[order])
    answered = np.arange(1, len(order) + 1)
    accuracy = np.cumsum(right) / answered
    return answered[last] / len(order), accuracy[last]


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


def _scores_of_counts(counts: np.ndarray) -> dict[str, np.ndarray]:
    hits = np.einsum("rkk->rk", counts)
    truth, predicted = counts.sum(axis=2), counts.sum(axis=1)
    total = truth.sum(axis=1)
    # Gorodkin's correlation for any number of classes; 0 where either side is constant.
    agreement = hits.sum(axis=1) * total - np.sum(truth * predicted, axis=1)
    spread = (total**2 - np.sum(predicted**2, axis=1)) * (
        total**2 - np.sum(truth**2, axis=1)
    )
    return {
        "accuracy": hits.sum(axis=1) / total,
        "balanced_accuracy": _mean_of_defined(_divide(hits, truth)),
        "macro_f1": _mean_of_defined(_divide(2 * hits, truth + predicted)),
        "mcc": np.nan_to_num(_divide(agreement, np.sqrt(np.maximum(spread, 0)))),
    }


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
    last = _last_of_ties(score[order])
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


def _last_of_ties(descending: np.ndarray) -> np.ndarray:
    return np.flatnonzero(np.append(np.diff(descending) != 0, True))


def _divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.divide(a, b, out=np.full(np.shape(a), np.nan), where=b > 0)


def _mean_of_defined(values: np.ndarray) -> np.ndarray:
    defined = np.isfinite(values)
    return _divide(np.where(defined, values, 0).sum(axis=1), defined.sum(axis=1))
