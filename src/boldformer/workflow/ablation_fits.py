"""Fits of an ablation: every arm on every fold, in parallel, each one kept."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from boldformer.config import RunConfig
from boldformer.data.protocol import Protocol
from boldformer.data.scheduling import Failure, run_each
from boldformer.data.splits import Fold, Splits
from boldformer.errors import BoldFormerError, InputError
from boldformer.evaluation.ablation import Arm, repeat_of
from boldformer.evaluation.cross_validation import FoldRecord, Plan, fit_fold
from boldformer.evaluation.ledger import count_macs
from boldformer.evaluation.predictions import as_written
from boldformer.models import DecoderModel, create
from boldformer.training.devices import local_seed
from boldformer.workflow.cohort import Cohort

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
    plan : Plan
        What is fitted to what; its seed is that of the first repeat.
    parameters : int
        Trainable numbers.
    mac_per_window : int
        Multiply-adds of the forward pass of one window.
    """

    arm: Arm
    cohort: Cohort
    plan: Plan
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
        windows = arm.windows(cohort.windows)
        config, n_outputs = run.model, len(cohort.labels)
        if first is not None:
            config = arm.sized(config, first.build(), windows.shape[1])
        plan = Plan(windows, cohort.targets, n_outputs, config, run.training)
        entry = cls(arm, cohort, plan, 0, 0)
        try:
            model = entry.build()
        except BoldFormerError as error:
            raise InputError(
                f"the arm {arm.name!r} cannot be built",
                received=str(error),
                fix="leave it out (--models, --arms)",
            ) from None
        return replace(
            entry,
            parameters=sum(p.numel() for p in model.parameters()),
            mac_per_window=count_macs(model, 1, windows.shape[1]),
        )

    def build(self) -> DecoderModel:
        """Build the arm's model, untrained."""
        _, n_times, x, y, z = self.plan.windows.shape
        with local_seed(self.plan.training.seed):
            return create(
                self.plan.model.name,
                n_outputs=self.plan.n_outputs,
                n_times=n_times,
                volume_shape=(x, y, z),
                **self.plan.model.parameters,
            )


@dataclass(frozen=True, eq=False)
class Fit:
    """One arm on one fold, finished or failed.

    Parameters
    ----------
    arm : str
        Name of the arm.
    fold : Fold
        Which windows were trained on and tested.
    record : FoldRecord or None
        What the fit did; None where it failed.
    probabilities : ndarray, shape (n_test, n_classes), or None
        Of the test windows.
    protocol : Protocol
        What was fitted to which windows.
    failed : str
        Why there is nothing else.
    """

    arm: str
    fold: Fold
    record: FoldRecord | None = None
    probabilities: np.ndarray | None = None
    protocol: Protocol = field(default_factory=Protocol)
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
        told = _outcome(fit)
        where = f"{task.entry.arm.name}, fold {task.fold.index + 1}"
        logger.info(
            "%d of %d: %s: %s; %s", len(found), len(tasks), where, told, clock.left()
        )
    return found


def _fit(task: _Task) -> Fit:
    training = task.entry.plan.training
    seeded = replace(training, seed=training.seed + task.repeat)
    plan = replace(task.entry.plan, training=seeded)
    threads = _one_thread() if task.one_thread else contextlib.nullcontext()
    name = task.entry.arm.name
    try:
        with threads:
            done = fit_fold(plan, task.fold, task.place, progress=False)
    except BoldFormerError as error:
        return Fit(name, task.fold, failed=str(error))
    if not np.isfinite(done.probabilities).all():
        return Fit(name, task.fold, failed="training left weights that are no numbers")
    return Fit(
        name, task.fold, done.record, as_written(done.probabilities), done.protocol
    )


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)


def _outcome(fit: Fit) -> str:
    if fit.record is None:
        return f"failed: {fit.failed}"
    record = fit.record
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
        if fit.record is not None:
            self._took.setdefault(fit.arm, []).append(fit.record.seconds)

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
