"""What follows from predictions alone: as a run computes it, and its verification."""

from __future__ import annotations

from typing import Any

import numpy as np

from boldformer.evaluation.calibration import abstention, calibration_report
from boldformer.evaluation.classes import class_scores, multilabel_scores
from boldformer.evaluation.metrics import classification_scores
from boldformer.evaluation.out_of_fold import OutOfFold


def detailed_scores(
    targets: np.ndarray, probabilities: np.ndarray, labels: list[str]
) -> dict[str, Any]:
    """Score a decoder class by class, label by label, and with abstention.

    Parameters
    ----------
    targets : ndarray of int, shape (n_rows,)
        Class of each prediction.
    probabilities : ndarray, shape (n_rows, n_classes)
        Out of fold.
    labels : list of str
        Class names.

    Returns
    -------
    dict
        ``per_class``, ``multilabel`` and ``abstention`` of ``metrics.json``.
    """
    return {
        "per_class": class_scores(targets, probabilities, labels),
        "multilabel": multilabel_scores(targets, probabilities, labels),
        "abstention": abstention(targets, probabilities),
    }


def repeat_scores(
    targets: np.ndarray, probabilities: dict[str, np.ndarray], repeat: np.ndarray
) -> list[dict[str, Any]]:
    """Score every repeat of a split on its own.

    Parameters
    ----------
    targets : ndarray of int, shape (n_rows,)
        Class of each prediction.
    probabilities : dict of str to ndarray, shape (n_rows, n_classes)
        By decoder.
    repeat : ndarray of int, shape (n_rows,)
        Which repeat it is from.

    Returns
    -------
    list of dict
        ``repeat``, ``n_windows`` and, by decoder, ``balanced_accuracy``.
    """
    found = []
    for number in np.unique(repeat):
        rows = repeat == number
        scores = {
            name: classification_scores(targets[rows], given[rows])["balanced_accuracy"]
            for name, given in probabilities.items()
        }
        counts = {"repeat": int(number), "n_windows": int(rows.sum())}
        found.append(counts | {"balanced_accuracy": scores})
    return found


def calibration_of(targets: np.ndarray, found: OutOfFold) -> dict[str, Any]:
    """Judge a decoder's probabilities before and after its temperatures.

    Parameters
    ----------
    targets : ndarray of int, shape (n_rows,)
        Class of each prediction.
    found : OutOfFold
        Rows of NaN were not tested.

    Returns
    -------
    dict
        As `boldformer.evaluation.calibration.calibration_report`.
    """
    tested = np.isfinite(found.probabilities).all(axis=1)
    before, after = found.probabilities, found.tempered
    if found.untempered is not None:
        before, after = found.untempered, found.probabilities
    return calibration_report(
        targets[tested],
        before[tested],
        None if after is None else after[tested],
        found.temperatures,
    )
