"""The main job: read, prepare, split, audit, train, judge, explain, report."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import balanced_accuracy_score

from boldformer.config import DataConfig, RunConfig, TrainingConfig
from boldformer.data.audit import Audit, audit
from boldformer.data.fingerprints import find_copies
from boldformer.data.folders import check_place
from boldformer.data.prepare import configured_pipeline
from boldformer.data.protocol import Protocol
from boldformer.data.recording import Dataset
from boldformer.data.sharing import check_protocol
from boldformer.data.sources import open_source
from boldformer.data.splits import Fold, Splits, configured_splits
from boldformer.decoder import Decoder
from boldformer.evaluation.cross_validation import (
    FoldOutcome,
    Plan,
    cross_validate,
    fit_fold,
    held_out_temperature,
)
from boldformer.evaluation.learning_curve import CurvePoint
from boldformer.training.linear import gram_matrix
from boldformer.visualization import build_report
from boldformer.workflow import outputs
from boldformer.workflow.baselines import judge_baselines
from boldformer.workflow.card import model_card
from boldformer.workflow.cohort import Cohort, read_cohort
from boldformer.workflow.columns import Read, other_column
from boldformer.workflow.metrics import Evidence, assemble
from boldformer.workflow.records import write_record
from boldformer.workflow.results import Results
from boldformer.workflow.robustness import (
    Null,
    bootstrap_of,
    decoder_curve,
    decoder_null,
    linear_curve,
    linear_null,
)
from boldformer.workflow.settings import check_settings

logger = logging.getLogger(__name__)

DEMO_LABELS = ("left_leg", "right_leg", "forearm", "upper_arm")
DEMO_SUBJECTS = 10
DEMO_FOLDS = 3


def run_decoding(
    settings: RunConfig,
    out: Path,
    *,
    n_jobs: int = 1,
    scheduler: str = "",
    overwrite: bool = False,
    progress: bool = True,
) -> Path:
    """Decode a dataset and write everything `docs/outputs.md` lists.

    Parameters
    ----------
    settings : RunConfig
        What to do.
    out : Path
        Output folder; a run of the same settings that was interrupted goes on there.
    n_jobs : int
        Runs prepared at once.
    scheduler : str
        Address of a Dask scheduler that prepares the runs instead.
    overwrite : bool
        Replace the results of other settings.
    progress : bool
        Show progress bars.

    Returns
    -------
    Path
        The report.

    Raises
    ------
    InputError
        When the data cannot be decoded as asked.
    LeakageError
        When the audit finds a leak that was not allowed.
    OutputExistsError
        When `out` holds something else.
    """
    started = time.perf_counter()
    check_settings(settings)
    check_place(out, (settings.data.path, settings.data.derivatives))
    with outputs.run_folder(out, settings, overwrite=overwrite) as folder:
        dataset = open_source(settings.data)
        check_place(out, dataset.folders)

        def read(settings: RunConfig, store: Path) -> Cohort:
            _say_what_is_prepared(dataset, settings)
            return read_cohort(
                dataset,
                settings,
                store,
                n_jobs=n_jobs,
                scheduler=scheduler,
                progress=progress,
            )

        cohort = read(settings, out / "work" / "store")
        splits, verdict = _split(cohort, settings)
        folder.begin()
        outputs.write_settings(out, settings)
        splits.write(out / "splits.tsv", cohort.windows.table)
        job = _Job(cohort, splits, verdict, settings, out, progress)
        evidence, final = _judge(job, read)
        metrics = assemble(evidence, total_seconds=time.perf_counter() - started)
        outputs.write_results(out, evidence, metrics)
        _save_decoder(out, cohort, final, settings.training, metrics)
        write_record(out, metrics, cohort.windows)
        logger.info("Report")
        return build_report(out)


def run_demo(
    out: Path, *, n_jobs: int = 1, overwrite: bool = False, progress: bool = True
) -> Path:
    """Simulate a small cohort and decode it; return the report."""
    from boldformer.simulation import CohortSpec, simulate_cohort

    out = Path(out)
    cohort = simulate_cohort(
        out / "cohort",
        CohortSpec(subjects=DEMO_SUBJECTS),
        n_jobs=n_jobs,
        progress=progress,
        overwrite=overwrite,
    )
    base = RunConfig(data=DataConfig(path=str(cohort.resolve()), labels=DEMO_LABELS))
    settings = replace(base, evaluation=replace(base.evaluation, folds=DEMO_FOLDS))
    return run_decoding(
        settings, out / "results", n_jobs=n_jobs, overwrite=overwrite, progress=progress
    )


def _say_what_is_prepared(dataset: Dataset, settings: RunConfig) -> None:
    causal = configured_pipeline(settings.preprocessing).is_causal
    seen = "past volumes only (causal)" if causal else "whole runs (transductive)"
    logger.info("Preparing %d recordings of %s: %s", len(dataset), dataset.name, seen)


def _split(cohort: Cohort, settings: RunConfig) -> tuple[Splits, Audit]:
    windows, evaluation = cohort.windows, settings.evaluation
    splits = configured_splits(windows.table, evaluation)
    verdict = audit(
        windows.table,
        splits,
        copies=find_copies(windows.runs),
        nuisance=windows.nuisance(),
    )
    logger.info("%s; audit: %s", splits.scheme.rstrip("."), verdict.summary)
    verdict.raise_if_leaky(evaluation.allow_leakage)
    return splits, verdict


@dataclass(frozen=True, eq=False)
class _Job:
    """What every part of the judgement is about."""

    cohort: Cohort
    splits: Splits
    audit: Audit
    settings: RunConfig
    out: Path
    progress: bool

    @property
    def plan(self) -> Plan:
        cohort, settings = self.cohort, self.settings
        return Plan(
            cohort.windows,
            cohort.targets,
            len(cohort.labels),
            settings.model,
            settings.training,
            tuple(cohort.labels),
        )

    @property
    def folds(self) -> Path:
        """Where finished fits are kept."""
        return self.out / "work" / "folds"


def _judge(job: _Job, read: Read) -> tuple[Evidence, FoldOutcome]:
    """Everything there is to say of a decoder, and the one that is shared."""
    cohort, splits, settings = job.cohort, job.splits, job.settings
    results, protocol, means = _cross_validate(job), Protocol(), cohort.windows.means()
    protocol.extend(results.protocol, prefix=f"{settings.model.name}: ")
    baselines = judge_baselines(cohort, splits, means, protocol)
    logger.info("The other column: the same folds, prepared the other way")
    other = other_column(read, cohort, splits, settings, job.out, progress=job.progress)
    protocol.extend(other.protocol)
    verdict = _audit_fits(job, protocol)
    nulls, curves = _robustness(job, results, gram_matrix(means))
    final = _final(job)
    evidence = Evidence(
        cohort=cohort,
        splits=splits,
        audit=verdict,
        results=results,
        baselines=baselines,
        other=other,
        nulls=nulls,
        curves=curves,
        model=final.model,
        settings=settings,
    )
    return evidence, final


def _audit_fits(job: _Job, protocol: Protocol) -> Audit:
    """Hold what was fitted against the split; numbers of a leak are not written."""
    protocol.write(job.out / "protocol.tsv")
    checks = check_protocol(job.cohort.windows.table, job.splits, protocol)
    verdict = Audit((*job.audit.checks, *checks))
    logger.info("Audit of what was fitted: %s", Audit(tuple(checks)).summary)
    verdict.raise_if_leaky(job.settings.evaluation.allow_leakage)
    return verdict


def _cross_validate(job: _Job) -> Results:
    results = Results(job.cohort, job.splits)
    outcomes = cross_validate(job.plan, job.splits, job.folds, progress=job.progress)
    for outcome in outcomes:
        record = outcome.record
        logger.info(
            "Fold %d of %d: accuracy %.3f (training %.3f), %.0f s",
            record.fold + 1,
            len(job.splits.folds),
            record.accuracy,
            record.training_accuracy,
            record.seconds,
        )
        temperature = record.temperature
        if temperature is None and job.settings.evaluation.calibrate:
            place = job.folds / "calibration"
            found = held_out_temperature(
                job.plan, outcome.fold, place, progress=job.progress
            )
            if found is not None:
                temperature, protocol = found
                results.protocol.extend(protocol)
        results.add(outcome, temperature)
    return results


def _robustness(
    job: _Job, results: Results, gram: np.ndarray
) -> tuple[list[Null], dict[str, list[CurvePoint]]]:
    """Permutation tests and learning curves: the linear SVM's, and those asked for."""
    logger.info("Permutation test and learning curve")
    cohort, splits, evaluation = job.cohort, job.splits, job.settings.evaluation
    first = slice(len(cohort.windows))  # learning curves take one repeat
    bootstrap = bootstrap_of(
        results.groups[first], results.tested[first], evaluation, splits.folds
    )
    score = balanced_accuracy_score(
        results.targets[results.tested],
        results.probabilities[results.tested].argmax(axis=1),
    )
    ours = decoder_null(
        job.plan,
        splits,
        score,
        evaluation.n_permutations,
        job.folds / "permutations",
        progress=job.progress,
    )
    nulls = [linear_null(cohort, splits, gram, evaluation.linear_permutations), ours]
    curves = {"linear_svm": linear_curve(cohort, splits, gram, bootstrap)}
    if evaluation.learning_curve:
        place = job.folds / "curve"
        curves[job.settings.model.name] = decoder_curve(
            job.plan, splits, bootstrap, place, progress=job.progress
        )
    return nulls, curves


def _final(job: _Job) -> FoldOutcome:
    """Fit the model that is shared to every window, by the recipe of the folds."""
    everything = np.arange(len(job.cohort.windows))
    fold = Fold(len(job.splits.folds), everything, everything)
    return fit_fold(job.plan, fold, job.folds / "final", progress=job.progress)


def _save_decoder(
    out: Path,
    cohort: Cohort,
    final: FoldOutcome,
    training: TrainingConfig,
    metrics: dict[str, Any],
) -> None:
    decoder = Decoder.from_model(
        final.model,
        metrics["decoder"],
        cohort.windows,
        cohort.labels,
        window=cohort.window,
        training=training,
        history=final.history,
    )
    decoder.save(out / "model", model_card(metrics))
