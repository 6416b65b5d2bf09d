"""Temperature scaling: probabilities before and after, judged the same way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import softmax

from boldformer.errors import InputError
from boldformer.evaluation.metrics import check_predictions, last_of_ties

DECLINED = (0.0, 0.1, 0.2, 0.3, 0.5)

CALIBRATION_BINS = 15


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
    last = last_of_ties(confidence[order])
    answered = np.arange(1, len(order) + 1)
    accuracy = np.cumsum(right) / answered
    return answered[last] / len(order), accuracy[last]


def log_probabilities(probabilities: np.ndarray) -> np.ndarray:
    """Logits that give the probabilities back; none is minus infinity."""
    probabilities = np.asarray(probabilities, dtype=np.float64)
    return np.log(np.clip(probabilities, np.finfo(np.float64).tiny, None))


def temper(probabilities: np.ndarray, temperatures: float | np.ndarray) -> np.ndarray:
    """Divide logits by a temperature.

    Parameters
    ----------
    probabilities : ndarray, shape (n_windows, n_classes)
        Rows of NaN stay so.
    temperatures : float or ndarray of shape (n_windows,)
        Above one they flatten, below they sharpen; the order of classes is kept.

    Returns
    -------
    ndarray, shape (n_windows, n_classes)
        ``softmax(log(probabilities) / temperature)``.

    References
    ----------
    Guo, Pleiss, Sun & Weinberger (2017). On calibration of modern neural networks.
    ICML.
    """
    divisor = np.asarray(temperatures, dtype=np.float64).reshape(-1, 1)
    return softmax(log_probabilities(probabilities) / divisor, axis=1)


def calibration_report(
    y_true: np.ndarray,
    before: np.ndarray,
    after: np.ndarray | None,
    temperatures: Sequence[float],
) -> dict[str, Any]:
    """Brier score, log-loss and calibration error before and after scaling.

    Parameters
    ----------
    y_true : ndarray of int, shape (n_windows,)
        Column of each window's class; all were tested.
    before : ndarray, shape (n_windows, n_classes)
        Probabilities at a temperature of one.
    after : ndarray, shape (n_windows, n_classes), optional
        Probabilities at the temperature of each window's fold; None where none was
        fitted.
    temperatures : sequence of float
        Of the folds.

    Returns
    -------
    dict
        ``temperatures``, ``before`` and ``after`` (None without), JSON-ready.
    """
    return {
        "temperatures": [float(value) for value in temperatures],
        "before": calibration_scores(y_true, before),
        "after": None if after is None else calibration_scores(y_true, after),
    }


def abstention(y_true: np.ndarray, probabilities: np.ndarray) -> list[dict[str, float]]:
    """Accuracy when the least sure windows are declined.

    Windows that are equally sure are declined together or not at all.

    Parameters
    ----------
    y_true : ndarray of int, shape (n_windows,)
        Column of each window's class.
    probabilities : ndarray, shape (n_windows, n_classes)
        Their largest value is how sure a window is.

    Returns
    -------
    list of dict
        ``declined`` (the share asked for), ``coverage`` (answered, at least that much)
        and ``accuracy`` of the answers.
    """
    coverage, accuracy = accuracy_coverage(y_true, probabilities)
    at = [int(np.searchsorted(coverage, 1 - share - 1e-12)) for share in DECLINED]
    return [
        {
            "declined": share,
            "coverage": float(coverage[k]),
            "accuracy": float(accuracy[k]),
        }
        for share, k in zip(DECLINED, at, strict=True)
    ]
