"""Rows of the report's tables that metrics.json does not hold as they are shown."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import confusion_matrix

from boldformer.evaluation.baselines import BASELINES
from boldformer.evaluation.metrics import SCORES
from boldformer.visualization.curves import curves_of, precision_recall_of, roc_of
from boldformer.visualization.finished_run import FinishedRun

METRICS = (*SCORES, "training_accuracy")


def metric_order(results: FinishedRun) -> list[str]:
    """Columns of the table of decoders: the headline's metric first."""
    return [results.headline, *(name for name in METRICS if name != results.headline)]


def class_rows(results: FinishedRun) -> list[dict[str, Any]]:
    """One row a class: how often it occurs, is found, and what it is taken for.

    Returns
    -------
    list of dict
        ``label``, ``n_windows``, ``recall`` (an estimate), ``precision``, ``f1``,
        ``accuracy`` (against all others), ``roc_auc``, ``prc_auc`` (None where
        undefined), ``mistaken_for`` (label or ""), and ``mistaken_share`` of its
        windows.
    """
    labels = results.labels
    counts = confusion_matrix(results.truth, results.guess, labels=range(len(labels)))
    recall = results.metrics["scores"][results.decoder].get("recall") or {}
    roc, precision_recall = (
        {label: area for label, (_, _, area) in curves_of(results, kind).items()}
        for kind in (roc_of, precision_recall_of)
    )
    rows, n_all = [], counts.sum()
    for k, label in enumerate(labels):
        n_windows, n_predicted = int(counts[k].sum()), int(counts[:, k].sum())
        errors = np.where(np.arange(len(labels)) == k, 0, counts[k])
        worst = int(errors.argmax())
        rows.append(
            {
                "label": label,
                "n_windows": n_windows,
                "recall": recall.get(label),
                "precision": _share(counts[k, k], n_predicted),
                "f1": _share(2 * counts[k, k], n_windows + n_predicted),
                "accuracy": 1 - (n_windows + n_predicted - 2 * counts[k, k]) / n_all,
                "roc_auc": roc.get(label),
                "prc_auc": precision_recall.get(label),
                "mistaken_for": labels[worst] if errors[worst] else "",
                "mistaken_share": _share(errors[worst], n_windows),
            }
        )
    return rows


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def column_rows(results: FinishedRun) -> list[dict[str, Any]]:
    """One row a decoder: its cell in each column, and the gap between them.

    Returns
    -------
    list of dict
        ``decoder``; ``transductive`` and ``causal``, cells of ``columns`` in
        ``metrics.json``; ``gap`` in balanced accuracy, None where a cell was not run.
    """
    columns = results.metrics.get("columns") or {"cells": [], "gaps": []}
    rows: dict[str, dict[str, Any]] = {}
    for cell in columns["cells"]:
        row = rows.setdefault(
            cell["decoder"], {"decoder": cell["decoder"], "gap": None}
        )
        row[cell["mode"]] = cell
    for gap in columns["gaps"]:
        if gap["metric"] == "balanced_accuracy":
            rows[gap["decoder"]]["gap"] = gap
    return list(rows.values())


def calibration_rows(results: FinishedRun) -> list[dict[str, Any]]:
    """One row a decoder that sees the brain's events: calibration before and after."""
    found = results.metrics.get("calibration") or {}
    seeing = [
        name
        for name in results.baselines
        if name not in BASELINES or BASELINES[name].sees_events
    ]
    names = (results.decoder, *seeing)
    return [{"decoder": name, **found[name]} for name in names if name in found]


def group_decoders(results: FinishedRun) -> list[str]:
    """Name the decoders that have an accuracy in each group, the run's own first."""
    known = {name for row in results.metrics["groups"] for name in row["accuracy"]}
    return [n for n in (results.decoder, *results.baselines) if n in known]
