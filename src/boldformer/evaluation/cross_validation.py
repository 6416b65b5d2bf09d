"""Cross-validation that can be killed and goes on: one folder a finished fold."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from boldformer.data.audit.fit_log import FitLog
from boldformer.data.groups import held_out_groups
from boldformer.data.splits import Fold, Splits
from boldformer.evaluation.calibration import log_probabilities
from boldformer.evaluation.experiment import Experiment
from boldformer.evaluation.kept_fits import FoldOutcome, FoldRecord, kept
from boldformer.evaluation.predictions import weights_hash
from boldformer.models.base import DecoderModel
from boldformer.training.fit import FitResult
from boldformer.training.linear_decoder import fit_temperature

Fit = Callable[[], tuple[DecoderModel, FitResult]]


def cross_validate(
    experiment: Experiment, splits: Splits, folder: Path, *, progress: bool = True
) -> Iterator[FoldOutcome]:
    """Fit one model a fold and predict the windows it has not seen.

    Parameters
    ----------
    experiment : Experiment
        What is fitted to what.
    splits : Splits
        Folds over its windows.
    folder : Path
        Keeps finished folds, and the checkpoint of the one under way. A fold is taken
        from there if settings, data and split are the same.
    progress : bool
        Show progress bars.

    Yields
    ------
    FoldOutcome
        In the order of the folds.
    """
    for fold in splits.folds:
        place = folder / f"fold-{fold.index}"
        yield fit_fold(experiment, fold, place, progress=progress)


def fit_fold(
    experiment: Experiment,
    fold: Fold,
    place: Path,
    *,
    keep_model: bool = True,
    progress: bool = True,
) -> FoldOutcome:
    """Fit and test one fold, or read it from `place` (see `cross_validate`).

    Parameters
    ----------
    experiment : Experiment
        What is fitted to what.
    fold : Fold
        Its training and test windows.
    place : Path
        Keeps the finished fit.
    keep_model : bool
        Keep the fitted model, too.
    progress : bool
        Show a progress bar.
    """

    def fit(checkpoints: Path) -> FoldOutcome:
        def train() -> tuple[DecoderModel, FitResult]:
            return experiment.fit(fold.train, checkpoints, progress=progress)

        found = judge_fit(experiment, fold, train)
        return found if keep_model else replace(found, fitted=None)

    return kept(place, fold, experiment.key(fold), fit)


def judge_fit(experiment: Experiment, fold: Fold, fit: Fit) -> FoldOutcome:
    """Fit a model to a fold's training windows, and test it on both sides.

    Parameters
    ----------
    experiment : Experiment
        Whose windows these are.
    fold : Fold
        Which of them are trained on and tested.
    fit : callable
        Returns the fitted model and what its fit did.
    """
    started = time.perf_counter()
    fitted, result = fit()
    given = np.full((len(experiment.targets), experiment.n_outputs), np.nan)
    for rows in (fold.test, fold.train):
        given[rows] = experiment.predict_proba(fitted, rows)
    log = FitLog()
    log.extend(result.uses, fold=fold.index)
    held = fold.train[np.isin(fold.train, result.held_out)]
    temperature = None
    if len(held):
        temperature = _fit_temperature(given, experiment.targets, held, log, fold.index)
    record = FoldRecord(
        fold=fold.index,
        accuracy=_accuracy(given, experiment.targets, fold.test),
        training_accuracy=_accuracy(given, experiment.targets, fold.train),
        epochs=result.epochs,
        best_epoch=result.best_epoch,
        early_stopping=result.early_stopping,
        seconds=time.perf_counter() - started,
        temperature=temperature,
        linear_path=result.linear_path,
        model_hash=weights_hash(fitted),
    )
    tested = given[fold.test]
    return FoldOutcome(fold, record, tested, result.history, fitted, log)


def _accuracy(given: np.ndarray, targets: np.ndarray, rows: np.ndarray) -> float:
    return float((given[rows].argmax(axis=1) == targets[rows]).mean())


def _fit_temperature(
    given: np.ndarray, targets: np.ndarray, rows: np.ndarray, log: FitLog, fold: int
) -> float:
    """Fit a temperature to the predictions of some rows, and record which."""
    log.record("temperature", rows, fold=fold)
    return fit_temperature(log_probabilities(given[rows]), targets[rows])


def held_out_temperature(
    experiment: Experiment, fold: Fold, folder: Path, *, progress: bool = True
) -> tuple[float, FitLog] | None:
    """Fit a temperature for a fold whose training held no group out.

    The model is trained once more without some of the fold's training groups, and the
    temperature fitted to its predictions for those.

    Parameters
    ----------
    experiment : Experiment
        What is fitted to what.
    fold : Fold
        Its training windows are divided; its test windows have no part.
    folder : Path
        Keeps the finished fit.
    progress : bool
        Show progress bars.

    Returns
    -------
    temperature : float
    log : FitLog
        What it and the model behind it were fitted to.

    None is returned where no group can be held out without losing a class.
    """
    training, targets = experiment.training, experiment.targets
    held = held_out_groups(
        experiment.windows[fold.train].groups,
        training.validation_fraction,
        training.seed,
        labels=targets[fold.train],
        fewest=2,
    )
    if held is None:
        return None
    inner = Fold(fold.index, fold.train[~held], fold.train[held])
    place = folder / f"fold-{fold.index}"
    found = fit_fold(experiment, inner, place, progress=progress)
    given = np.full((len(targets), experiment.n_outputs), np.nan)
    given[inner.test] = found.probabilities
    ours, log = FitLog(), FitLog()
    ours.extend(found.log)
    temperature = _fit_temperature(given, targets, inner.test, ours, fold.index)
    log.extend(ours, prefix="calibration: ")
    return temperature, log
