"""What every study does: claim a folder, read, split and audit, fit, judge, write."""

from __future__ import annotations

import abc
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from boldformer.config import DataConfig, EvaluationConfig, RunConfig, to_dict
from boldformer.data.audit.fingerprints import find_copies
from boldformer.data.audit.fit_log import FitLog
from boldformer.data.audit.sharing import check_fits
from boldformer.data.audit.split_audit import Audit, audit
from boldformer.data.cohort import Cohort, read_cohort
from boldformer.data.folders import WORK, OutputFolder
from boldformer.data.places import check_place
from boldformer.data.recording import Dataset
from boldformer.data.sources.layouts import open_source
from boldformer.data.splits import Splits, configured_splits, undivided_subjects
from boldformer.errors import InputError

logger = logging.getLogger(__name__)
Settings = TypeVar("Settings")


class Study(abc.ABC, Generic[Settings]):
    """A job that fits and judges decoders, and owns the folder it writes to.

    A new study is a subclass that names what it writes and says what it reads
    (`read`) and how it measures (`measure`); `run` does the rest in the one order in
    which nothing of an earlier job is lost to a job that fails early.

    Parameters
    ----------
    settings
        How; a dataclass.
    out : Path
        Output folder; finished fits found there are used again.
    n_jobs : int
        Runs prepared at once.
    scheduler : str
        Address of a Dask scheduler that prepares the runs instead.
    progress : bool
        Show progress bars.

    Attributes
    ----------
    job : str
        What the folder is said to hold, such as "an ablation".
    written : tuple of str
        Files and folders that the study writes, besides ``work``.
    repeatable : bool
        See `boldformer.data.folders.OutputFolder`.
    """

    job: ClassVar[str]
    written: ClassVar[tuple[str, ...]]
    repeatable: ClassVar[bool] = False

    def __init__(
        self,
        settings: Settings,
        out: str | Path,
        *,
        n_jobs: int = 1,
        scheduler: str = "",
        progress: bool = True,
    ) -> None:
        self.settings, self.out = settings, Path(out)
        self.work = self.out / WORK
        self.progress = progress
        self.n_jobs, self._scheduler = n_jobs, scheduler
        self._told: set[tuple[str, str]] = set()

    # --- what a study says of itself ----------------------------------------------

    @property
    @abc.abstractmethod
    def inputs(self) -> Iterable[str | Path]:
        """Folders and files that are read; the output may not mix with them."""

    @abc.abstractmethod
    def read(self) -> None:
        """Read, split and audit: all that can refuse the job before it is begun."""

    @abc.abstractmethod
    def measure(self) -> Path:
        """Fit, judge and write; return the file that the command names."""

    def check(self) -> None:
        """Refuse settings that no data could meet."""

    @property
    def recorded(self) -> dict[str, Any]:
        """Settings that the folder remembers, ready for JSON."""
        return to_dict(self.settings)

    # --- what all of them do ------------------------------------------------------

    def run(self, *, overwrite: bool = False) -> Path:
        """Do it all; a job that was interrupted goes on.

        Parameters
        ----------
        overwrite : bool
            Replace what a job of other settings wrote.

        Raises
        ------
        InputError
            For settings or data that cannot be used.
        LeakageError
            When the audit finds a leak that was not allowed.
        OutputExistsError
            When the folder holds something else.
        """
        self.check()
        check_place(self.out, self.inputs)
        with OutputFolder(
            self.out,
            self.job,
            self.written,
            self.recorded,
            overwrite=overwrite,
            repeatable=self.repeatable,
        ) as folder:
            self.read()
            folder.begin()
            return self.measure()

    def open(self, config: DataConfig) -> Dataset:
        """Open a dataset, and see that the output does not lie in it."""
        dataset = open_source(config)
        check_place(self.out, dataset.folders)
        return dataset

    def prepare(self, dataset: Dataset, run: RunConfig, store: Path) -> Cohort:
        """Prepare a dataset and list its windows, as settings say."""
        cohort = read_cohort(
            dataset,
            run,
            store,
            told=self._told,
            n_jobs=self.n_jobs,
            scheduler=self._scheduler,
            progress=self.progress,
        )
        self._told.update(cohort.set_aside)
        return cohort


def split_cohort(cohort: Cohort, evaluation: EvaluationConfig) -> tuple[Cohort, Splits]:
    """Split a cohort as settings ask; who cannot be decoded alone is set aside."""
    alone = undivided_subjects(cohort.windows.table, evaluation)
    cohort = cohort.without(alone)
    return cohort, configured_splits(cohort.windows.table, evaluation)


def audit_split(cohort: Cohort, splits: Splits) -> Audit:
    """Audit a split of a cohort's windows, and say what was found."""
    scheme = splits.scheme.rstrip(".")
    return audit_splits(cohort, {scheme: splits})[scheme]


def audit_splits(cohort: Cohort, splits: Mapping[str, Splits]) -> dict[str, Audit]:
    """Audit several splits of the same windows, which are looked at once.

    Parameters
    ----------
    cohort : Cohort
        Its windows; copies are looked for among all of its prepared runs.
    splits : mapping of str to Splits
        Folds over them, by what the log calls them.
    """
    table, nuisance = cohort.windows.table, cohort.windows.nuisance()
    copies, found = find_copies(cohort.prepared), {}
    for name, one in splits.items():
        found[name] = audit(table, one, copies=copies, nuisance=nuisance)
        logger.info("%s; audit: %s", name, found[name].summary)
    return found


def audit_fits(
    cohort: Cohort, splits: Splits, log: FitLog, allow_leakage: bool
) -> Audit:
    """Hold what was fitted against the split, before any number is written.

    Raises
    ------
    LeakageError
        When something was fitted to test windows, and that was not allowed.
    """
    found = Audit(tuple(check_fits(cohort.windows.table, splits, log)))
    logger.info("Audit of what was fitted: %s", found.summary)
    found.raise_if_leaky(allow_leakage)
    return found


def same_windows(cohorts: dict[str, Cohort], columns: list[str], fix: str) -> None:
    """Refuse preparations that leave different windows: nothing would be paired.

    Raises
    ------
    InputError
        Naming the first that differs.
    """
    first = next(iter(cohorts.values())).windows
    for name, cohort in cohorts.items():
        windows = cohort.windows
        table, same_box = windows.table[columns], windows.box == first.box
        if not table.equals(first.table[columns]) or not same_box:
            raise InputError(
                f"{name!r} does not have the windows of the others",
                received=f"{len(table)} and {len(first)} windows",
                fix=f"leave out runs that only one of them can use, or {fix}",
            )
