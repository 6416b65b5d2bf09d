"""Fits of an ablation: every arm on every fold, in parallel, each one kept."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from boldformer.config import RunConfig
from boldformer.data.cohort import Cohort
from boldformer.data.scheduling import Failure, run_each
from boldformer.data.splits import Fold, Splits
from boldformer.errors import BoldFormerError, InputError
from boldformer.evaluation.ablation_arms import Arm, repeat_of
from boldformer.evaluation.compute import count_macs
from boldformer.evaluation.cross_validation import fit_fold
from boldformer.evaluation.experiment import Experiment
from boldformer.evaluation.kept_fits import FoldOutcome
from boldformer.evaluation.predictions import as_written

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Entry:
    """An arm with its windows and settings.

    Parameters
    ----------
    arm : Arm
        What sets it apart.
    cohort : Cohort
        The shared events, prepared as the arm wants them.
    experiment : Experiment
        What is fitted to what; its seed is that of the first repeat.
    parameters : int
        Trainable numbers.
    mac_per_window : int
        Multiply-adds of the forward pass of one window.
    """

    arm: Arm
    cohort: Cohort
    experiment: Experiment
    parameters: int
    mac_per_window: int

    @classmethod
    def of(
        cls, arm: Arm, cohort: Cohort, run: RunConfig, first: Entry | None = None
    ) -> Entry:
        """Build the arm's model once, to count it and to see that it can be built.

        Parameters
        ----------
        arm, cohort, run
            The arm, its windows and its settings.
        first : Entry, optional
            That of the hybrid, which others may have to match in size.

        Raises
        ------
        InputError
            When it cannot.
        """
        windows, config = arm.windows(cohort.windows), run.model
        if first is not None:
            config = arm.sized(config, first.experiment.build(), windows.shape[1])
        experiment = replace(Experiment.of(cohort, run), windows=windows, model=config)
        try:
            model = experiment.build()
        except BoldFormerError as error:
            raise InputError(
                f"the arm {arm.name!r} cannot be built",
                received=str(error),
                fix="leave it out (--models, --arms)",
            ) from None
        n_parameters = sum(p.numel() for p in model.parameters())
        macs = count_macs(model, 1, windows.shape[1])
        return cls(arm, cohort, experiment, n_parameters, macs)


@dataclass(frozen=True, eq=False)
class Fit:
    """One arm on one fold, finished or failed.

    Parameters
    ----------
    arm : str
        Name of the arm.
    fold : Fold
        Which windows were trained on and tested.
    outcome : FoldOutcome or None
        Of the fit, without its model; None where it failed.
    failed : str
        Why there is nothing else.
    """

    arm: str
    fold: Fold
    outcome: FoldOutcome | None = None
    failed: str = ""


@dataclass(frozen=True, eq=False)
class _Task:
    entry: Entry
    fold: Fold
    repeat: int
    place: Path
    one_thread: bool


def fit_all(
    entries: Sequence[Entry], splits: Splits, folder: Path, *, n_jobs: int = 1
) -> list[Fit]:
    """Fit every arm on every fold; what an interrupted ablation finished is kept.

    All arms meet a fold before the next fold begins, so that the time left is soon
    known. Training in repeat r has the seed of the settings plus r. An arm that cannot
    be trained (its loss is no longer a number, say) does not stop the others.

    Parameters
    ----------
    entries : sequence of Entry
        Arms.
    splits : Splits
        Folds of all repeats.
    folder : Path
        Keeps finished fits, in a folder an arm.
    n_jobs : int
        Processes; each of several computes with one thread.

    Returns
    -------
    list of Fit
        In the order of completion.
    """
    repeats = repeat_of(splits)
    tasks = [
        _Task(
            entry,
            fold,
            repeats[fold.index],
            folder / entry.arm.name / f"fold-{fold.index}",
            n_jobs != 1,
        )
        for fold in splits.folds
        for entry in entries
    ]
    clock, found = _Clock(tasks, n_jobs), []
    for task, result in run_each(_fit, tasks, n_jobs=n_jobs):
        fit = result
        if isinstance(fit, Failure):
            fit = Fit(task.entry.arm.name, task.fold, failed=str(fit))
        clock.tick(task, fit)
        found.append(fit)
        told = _told(fit)
        where = f"{task.entry.arm.name}, fold {task.fold.index + 1}"
        logger.info(
            "%d of %d: %s: %s; %s", len(found), len(tasks), where, told, clock.left()
        )
    return found


def _fit(task: _Task) -> Fit:
    experiment, name = task.entry.experiment, task.entry.arm.name
    training = experiment.training
    seeded = replace(training, seed=training.seed + task.repeat)
    threads = _one_thread() if task.one_thread else contextlib.nullcontext()
    try:
        with threads:
            done = fit_fold(
                replace(experiment, training=seeded),
                task.fold,
                task.place,
                progress=False,
            )
    except BoldFormerError as error:
        return Fit(name, task.fold, failed=str(error))
    if not np.isfinite(done.probabilities).all():
        return Fit(name, task.fold, failed="training left weights that are no numbers")
    written = as_written(done.probabilities)
    return Fit(name, task.fold, replace(done, probabilities=written, fitted=None))


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)


def _told(fit: Fit) -> str:
    if fit.outcome is None:
        return f"failed: {fit.failed}"
    record = fit.outcome.record
    return (
        f"accuracy {record.accuracy:.3f} (training {record.training_accuracy:.3f}), "
        f"{record.seconds:.0f} s"
    )


class _Clock:
    """Tells the time left, from what fits of the same arm took."""

    def __init__(self, tasks: Sequence[_Task], n_jobs: int) -> None:
        self._n_jobs = n_jobs
        self._waiting = {id(task): task for task in tasks if not task.place.exists()}
        self._took: dict[str, list[float]] = {}

    def tick(self, task: _Task, fit: Fit) -> None:
        self._waiting.pop(id(task), None)
        if fit.outcome is not None:
            self._took.setdefault(fit.arm, []).append(fit.outcome.record.seconds)

    def left(self) -> str:
        means = {name: float(np.mean(took)) for name, took in self._took.items()}
        if not self._waiting:
            return "nothing left to fit"
        if not means:
            return "time left unknown"
        usual = float(np.mean(list(means.values())))
        names = [task.entry.arm.name for task in self._waiting.values()]
        left_s = sum(means.get(name, usual) for name in names) / self._n_jobs
        return f"about {_duration(left_s)} left"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"
