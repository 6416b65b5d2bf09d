"""Temperature scaling: probabilities before and after, judged the same way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import softmax

from boldformer.evaluation.metrics import accuracy_coverage, calibration_scores

DECLINED = (0.0, 0.1, 0.2, 0.3, 0.5)


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
