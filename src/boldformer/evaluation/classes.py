"""Scores of single classes, and of single labels where classes are sets of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    f1_score,
    hamming_loss,
    precision_recall_fscore_support,
    roc_auc_score,
)

from boldformer.data.events import SEPARATOR, indicators
from boldformer.evaluation.metrics import check_predictions


def class_scores(
    y_true: np.ndarray, probabilities: np.ndarray, labels: Sequence[str]
) -> dict[str, dict[str, float | None]]:
    """Score each class against all others.

    Parameters
    ----------
    y_true : ndarray of int, shape (n_windows,)
        Column of each window's class.
    probabilities : ndarray, shape (n_windows, n_classes)
        The most probable class is the predicted one.
    labels : sequence of str
        Class names by column.

    Returns
    -------
    dict of str to dict
        By class: ``n_windows``, ``accuracy`` (of telling it from the others),
        ``recall``, ``precision``, ``f1``, ``roc_auc`` and ``prc_auc`` (average
        precision). None where a score is not defined. The mean recall is the balanced
        accuracy, the mean F1 the macro-F1.
    """
    y_true, probabilities = check_predictions(y_true, probabilities)
    y_pred = probabilities.argmax(axis=1)
    precision, recall, f1, counts = precision_recall_fscore_support(
        y_true, y_pred, labels=range(len(labels)), zero_division=np.nan
    )
    found = {}
    for k, label in enumerate(labels):
        truth = y_true == k
        roc, prc = _areas(truth, probabilities[:, k])
        found[label] = {
            "n_windows": int(counts[k]),
            "accuracy": float(np.mean(truth == (y_pred == k))),
            "recall": _defined(recall[k]),
            "precision": _defined(precision[k]),
            "f1": _defined(f1[k]),
            "roc_auc": roc,
            "prc_auc": prc,
        }
    return found


def multilabel_scores(
    y_true: np.ndarray, probabilities: np.ndarray, labels: Sequence[str]
) -> dict[str, Any] | None:
    """Score the single labels of classes that are sets of labels.

    A label's probability is that of all sets that hold it; it is predicted where the
    most probable set holds it.

    Parameters
    ----------
    y_true : ndarray of int, shape (n_windows,)
        Column of each window's set.
    probabilities : ndarray, shape (n_windows, n_sets)
        Rows that sum to one.
    labels : sequence of str
        Names of the sets, such as ``auditory+visual``, by column.

    Returns
    -------
    dict or None
        ``subset_accuracy``, ``hamming_loss`` and ``labels``: by single label ``share``
        (of windows that have it), ``accuracy``, ``f1`` and ``roc_auc``. None where no
        class holds more than one label.
    """
    if not any(SEPARATOR in label for label in labels):
        return None
    y_true, probabilities = check_predictions(y_true, probabilities)
    members = indicators(labels, labels)  # (n_sets, n_labels)
    truth = members.to_numpy()[y_true]
    given = members.to_numpy()[probabilities.argmax(axis=1)]
    chances = probabilities @ members.to_numpy(float)
    single = {
        name: {
            "share": float(truth[:, k].mean()),
            "accuracy": float(accuracy_score(truth[:, k], given[:, k])),
            "f1": float(f1_score(truth[:, k], given[:, k], zero_division=0)),
            "roc_auc": _areas(truth[:, k], chances[:, k])[0],
        }
        for k, name in enumerate(members)
    }
    return {
        "subset_accuracy": float(accuracy_score(truth, given)),
        "hamming_loss": float(hamming_loss(truth, given)),
        "labels": single,
    }


def _areas(truth: np.ndarray, score: np.ndarray) -> tuple[float | None, float | None]:
    """ROC area and average precision; None without both kinds of windows."""
    if truth.all() or not truth.any():
        return None, None
    return (
        float(roc_auc_score(truth, score)),
        float(average_precision_score(truth, score)),
    )


def _defined(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
