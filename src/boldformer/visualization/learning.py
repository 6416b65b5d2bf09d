"""Learning curves: how training went, fold by fold."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from boldformer.visualization.drawing import Drawing, new_figure
from boldformer.visualization.finished_run import FinishedRun
from boldformer.visualization.style import BLUE, VERMILION, chance_line


def draw_loss(results: FinishedRun) -> Drawing | None:
    """Draw training and validation loss over epochs."""
    return _draw(results, "loss", "learning_loss")


def draw_accuracy(results: FinishedRun) -> Drawing | None:
    """Draw training and validation accuracy over epochs."""
    return _draw(results, "accuracy", "learning_accuracy")


def _draw(results: FinishedRun, quantity: str, name: str) -> Drawing | None:
    history = results.history
    if history.empty or f"train_{quantity}" not in history:
        return None
    figure, axes = new_figure(height=2.8)
    if quantity == "accuracy":
        chance_line(axes, results.metrics["chance"])
        axes.set_ylim(-0.02, 1.02)
    _draw_folds(axes, history, f"train_{quantity}", BLUE, "training")
    validated = _has(history, f"validation_{quantity}")
    if validated:
        _draw_folds(axes, history, f"validation_{quantity}", VERMILION, "validation")
        _mark_best(axes, results, quantity)
    axes.set(xlabel="epoch", ylabel=quantity)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="upper right" if quantity == "loss" else "lower right")
    n_folds = history["fold"].nunique()
    caption = f"Thin: the {n_folds} folds. Thick: their mean." if n_folds > 1 else ""
    if validated:
        caption += (
            " Validation is on training groups held out from training; dots mark the "
            "epoch whose weights a fold kept."
        )
    else:
        caption += " No early stopping, hence no validation: training ran to its end."
    caption += (
        " Training values are taken along the way, regularisation and all; the table "
        "has those of the finished models."
    )
    return Drawing(
        name,
        figure,
        f"Learning: {quantity}",
        caption.strip(),
        f"{quantity.capitalize()} over epochs in {n_folds} folds, training"
        + (" and validation." if validated else " only."),
    )


def _has(history: pd.DataFrame, column: str) -> bool:
    return column in history and bool(history[column].notna().any())


def _draw_folds(
    axes: Axes, history: pd.DataFrame, column: str, colour: str, label: str
) -> None:
    table = history.pivot_table(index="epoch", columns="fold", values=column)
    if table.shape[1] > 1:
        axes.plot(table.index, table.to_numpy(), color=colour, alpha=0.3, linewidth=0.8)
    # Folds stop at different epochs: the mean ends where the first fold does.
    mean = table.mean(axis=1, skipna=False)
    marker = "o" if mean.notna().sum() == 1 else None
    axes.plot(mean.index, mean, color=colour, linewidth=1.9, label=label, marker=marker)


def _mark_best(axes: Axes, results: FinishedRun, quantity: str) -> None:
    history = results.history.set_index(["fold", "epoch"])[f"validation_{quantity}"]
    best = [(f.get("fold"), f.get("best_epoch")) for f in results.metrics["folds"]]
    points = np.array([(key[1], history[key]) for key in best if key in history.index])
    if len(points):
        axes.plot(points[:, 0], points[:, 1], "o", color=VERMILION, markersize=3.6)
