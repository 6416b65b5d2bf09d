"""The ablation: every arm on the same windows, folds and seeds, then held together."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from boldformer.config import RunConfig
from boldformer.data.audit import Audit, audit
from boldformer.data.fingerprints import find_copies
from boldformer.data.folders import WORK, OutputFolder, check_place
from boldformer.data.prepare import configured_pipeline
from boldformer.data.protocol import Protocol
from boldformer.data.recording import Dataset
from boldformer.data.sharing import check_protocol
from boldformer.data.sources import open_source
from boldformer.data.splits import Splits
from boldformer.errors import InputError
from boldformer.evaluation.ablation import ALL, Arm, choose_arms, repeated_splits
from boldformer.workflow.ablation_fits import Entry, Fit, fit_all
from boldformer.workflow.ablation_outputs import WRITTEN, Study, write_ablation
from boldformer.workflow.cohort import Cohort, read_cohort

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
        Names out of `boldformer.evaluation.ablation.MODEL_ARMS` or of the model
        registry, or "all". The hybrid is always among them.
    arms : tuple of str
        Names out of `boldformer.evaluation.ablation.HYBRID_ARMS`, "all" or "none".
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

    Parameters
    ----------
    settings : AblationSettings
        How.
    out : Path
        Output folder; finished fits found there are used again.
    n_jobs : int
        Processes that prepare runs and fit arms.
    overwrite : bool
        Replace results found in `out`; fits of the same settings are still used.
    progress : bool
        Show progress while runs are prepared. Finished fits are logged.

    Returns
    -------
    Path
        ``ablation.tsv``.

    Raises
    ------
    InputError
        For arms, settings or data that cannot be used.
    LeakageError
        When the audit finds a leak that was not allowed.
    OutputExistsError
        When `out` holds something else.
    BoldFormerError
        When the hybrid cannot be trained.
    """
    arms = choose_arms(settings.models, settings.arms)
    runs = {arm.name: arm.configured(settings.run) for arm in arms}
    check_place(out, (settings.run.data.path, settings.run.data.derivatives))
    given = asdict(settings)
    with OutputFolder(
        out, "an ablation", WRITTEN, given, overwrite=overwrite
    ) as folder:
        return _ablation(settings, arms, runs, folder, n_jobs, progress)


def _ablation(
    settings: AblationSettings,
    arms: Sequence[Arm],
    runs: Mapping[str, RunConfig],
    folder: OutputFolder,
    n_jobs: int,
    progress: bool,
) -> Path:
    dataset, out = open_source(settings.run.data), folder.path
    check_place(out, dataset.folders)
    work = out / WORK
    cohorts = _cohorts(dataset, runs, work, n_jobs, progress)
    cohort = cohorts[arms[0].name]
    splits, verdict = _split(cohort, settings.run)
    entries: list[Entry] = []
    for arm in arms:
        first = entries[0] if entries else None
        entries.append(Entry.of(arm, cohorts[arm.name], runs[arm.name], first))
    logger.info(
        "%d arms on %d folds: %d fits",
        len(entries),
        len(splits.folds),
        len(entries) * len(splits.folds),
    )
    folder.begin()
    fits = fit_all(entries, splits, work / "fits", n_jobs=n_jobs)
    verdict = _audit_fits(cohort, splits, verdict, fits, settings.run)
    study = Study(dataset.name, cohort, splits, verdict, settings.run)
    return write_ablation(out, study, entries, fits)


def _cohorts(
    dataset: Dataset,
    runs: Mapping[str, RunConfig],
    work: Path,
    n_jobs: int,
    progress: bool,
) -> dict[str, Cohort]:
    """Read the windows of each arm; arms of one preprocessing share a store."""
    read: dict[str, Cohort] = {}
    found: dict[str, Cohort] = {}
    for name, run in runs.items():
        key = configured_pipeline(run.preprocessing).hash[:12]
        if key not in read:
            logger.info("Preparing %d recordings for %s", len(dataset), name)
            store = work / f"store-{key}"
            read[key] = read_cohort(
                dataset, run, store, n_jobs=n_jobs, progress=progress
            )
        found[name] = read[key]
    _check_same_windows(found)
    return found


def _check_same_windows(cohorts: Mapping[str, Cohort]) -> None:
    """Refuse preparations that leave different windows: arms would not be paired."""
    columns = ["block", "label", "first_frame", "n_frames"]
    first = next(iter(cohorts.values())).windows
    for name, cohort in cohorts.items():
        table = cohort.windows.table[columns]
        if not table.equals(first.table[columns]) or cohort.windows.box != first.box:
            raise InputError(
                f"the arm {name!r} does not have the windows of the others",
                received=f"{len(table)} and {len(first)} windows",
                fix="leave out runs that only one of them can use, or the arm (--arms)",
            )


def _split(cohort: Cohort, run: RunConfig) -> tuple[Splits, Audit]:
    windows = cohort.windows
    splits = repeated_splits(windows.table, run.evaluation)
    verdict = audit(
        windows.table,
        splits,
        copies=find_copies(windows.runs),
        nuisance=windows.nuisance(),
    )
    logger.info("%s; audit: %s", splits.scheme.rstrip("."), verdict.summary)
    verdict.raise_if_leaky(run.evaluation.allow_leakage)
    return splits, verdict


def _audit_fits(
    cohort: Cohort,
    splits: Splits,
    verdict: Audit,
    fits: Sequence[Fit],
    run: RunConfig,
) -> Audit:
    """Hold what was fitted against the split, before any number is written."""
    protocol = Protocol()
    for fit in fits:
        protocol.extend(fit.protocol, prefix=f"{fit.arm}: ")
    checks = check_protocol(cohort.windows.table, splits, protocol)
    verdict = Audit((*verdict.checks, *checks))
    verdict.raise_if_leaky(run.evaluation.allow_leakage)
    return verdict
