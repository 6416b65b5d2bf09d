"""The ablation: every arm on the same windows, folds and seeds, then held together."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

from boldformer.config import RunConfig
from boldformer.data.audit.fit_log import FitLog
from boldformer.data.audit.split_audit import Audit
from boldformer.data.cohort import Cohort
from boldformer.data.prepare import configured_pipeline
from boldformer.data.splits import undivided_subjects
from boldformer.errors import InputError
from boldformer.evaluation.ablation_arms import ALL, choose_arms, repeated_splits
from boldformer.studies.ablation_fits import Entry, fit_all
from boldformer.studies.ablation_outputs import WRITTEN, write_ablation
from boldformer.studies.settings import check_settings
from boldformer.studies.study import Study, audit_fits, audit_split, same_windows
from boldformer.training.settings import check_model

__all__ = ["AblationSettings", "run_ablation"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class AblationSettings:
    """What is compared, and under which settings.

    Parameters
    ----------
    run : RunConfig
        What all arms share. Its model is not the one that is judged: parameters given
        for a model are those of every arm with this model.
    models : tuple of str
        Names out of `boldformer.evaluation.ablation_arms.MODEL_ARMS` or of the model
        registry, or "all". The hybrid is always among them.
    arms : tuple of str
        Names out of `boldformer.evaluation.ablation_arms.HYBRID_ARMS`, "all" or "none".
    """

    run: RunConfig = field(default_factory=RunConfig)
    models: tuple[str, ...] = (ALL,)
    arms: tuple[str, ...] = (ALL,)


def run_ablation(
    settings: AblationSettings,
    out: Path,
    *,
    n_jobs: int = 1,
    overwrite: bool = False,
    progress: bool = True,
) -> Path:
    """Fit every arm on every fold; write what `docs/ablation.md` lists.

    Returns ``ablation.tsv``. See `boldformer.studies.study.Study` for the parameters
    and errors; `n_jobs` processes prepare runs and fit arms.
    """
    study = Ablation(settings, out, n_jobs=n_jobs, progress=progress)
    return study.run(overwrite=overwrite)


class Ablation(Study[AblationSettings]):
    """Models, and the hybrid with one thing changed, on the same folds."""

    job = "an ablation"
    written = WRITTEN

    @property
    def inputs(self) -> tuple[str, str]:
        """See `Study`."""
        return self.settings.run.data.path, self.settings.run.data.derivatives

    def check(self) -> None:
        """See `Study`."""
        self._arms = choose_arms(self.settings.models, self.settings.arms)
        run = self.settings.run
        self._runs = {arm.name: arm.configured(run) for arm in self._arms}
        for name, settings in self._runs.items():
            try:
                check_model(settings.model)
            except InputError as error:
                raise InputError(
                    f"the arm {name!r} cannot be built", received=str(error)
                ) from None
            check_settings(settings)

    def read(self) -> None:
        """See `Study`."""
        run, cohorts = self.settings.run, self._cohorts()
        self._cohort = cohorts[self._arms[0].name]
        self._splits = repeated_splits(self._cohort.windows.table, run.evaluation)
        self._audit = audit_split(self._cohort, self._splits)
        self._audit.raise_if_leaky(run.evaluation.allow_leakage)
        self._entries: list[Entry] = []
        for arm in self._arms:
            first = self._entries[0] if self._entries else None
            cohort, own = cohorts[arm.name], self._runs[arm.name]
            self._entries.append(Entry.of(arm, cohort, own, first))

    def _cohorts(self) -> dict[str, Cohort]:
        """Read the windows of each arm; arms of one preprocessing share a store."""
        dataset = self.open(self.settings.run.data)
        read: dict[str, Cohort] = {}
        found: dict[str, Cohort] = {}
        for name, run in self._runs.items():
            key = configured_pipeline(run.preprocessing).hash[:12]
            if key not in read:
                logger.info("Preparing %d recordings for %s", len(dataset), name)
                read[key] = self.prepare(dataset, run, self.work / f"store-{key}")
            found[name] = read[key]
        table = next(iter(found.values())).windows.table
        alone = undivided_subjects(table, self.settings.run.evaluation)
        kept = {id(one): one.without(alone) for one in read.values()}
        found = {name: kept[id(cohort)] for name, cohort in found.items()}
        columns = ["block", "label", "first_frame", "n_frames"]
        same_windows(found, columns, "the arm (--arms)")
        return found

    def measure(self) -> Path:
        """See `Study`."""
        entries, splits = self._entries, self._splits
        n_arms, n_folds = len(entries), len(splits.folds)
        logger.info("%d arms on %d folds: %d fits", n_arms, n_folds, n_arms * n_folds)
        fits = fit_all(entries, splits, self.work / "fits", n_jobs=self.n_jobs)
        log, run = FitLog(), self.settings.run
        for fit in fits:
            if fit.outcome is not None:
                log.extend(fit.outcome.log, prefix=f"{fit.arm}: ")
        allowed = run.evaluation.allow_leakage
        fitted = audit_fits(self._cohort, splits, log, allowed)
        audit = Audit((*self._audit.checks, *fitted.checks))
        return write_ablation(self.out, run, audit, splits, entries, fits)
