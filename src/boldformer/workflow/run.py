"""The main job: read, prepare, split, audit, train, judge, explain, report."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import balanced_accuracy_score

from boldformer.config import DataConfig, RunConfig, TrainingConfig
from boldformer.data.atomic import atomic_path, write_json, write_tsv
from boldformer.data.audit import Audit, audit
from boldformer.data.fingerprints import find_copies
from boldformer.data.sources import open_source
from boldformer.data.splits import Fold, Splits, make_folds
from boldformer.decoder import Decoder
from boldformer.evaluation.cross_validation import (
    FoldOutcome,
    Plan,
    cross_validate,
    fit_fold,
    held_out_temperature,
)
from boldformer.evaluation.learning_curve import CurvePoint, curve_table
from boldformer.models import get_model
from boldformer.training.linear import gram_matrix
from boldformer.visualization import build_report
from boldformer.workflow import outputs
from boldformer.workflow.baselines import judge_baselines
from boldformer.workflow.card import model_card
from boldformer.workflow.cohort import Cohort, read_cohort
from boldformer.workflow.columns import other_column
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
    null_table,
)

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
    get_model(settings.model.name)
    outputs.check_free(out, settings, overwrite=overwrite)
    dataset = open_source(settings.data)
    logger.info("%s: %d recordings", dataset.name, len(dataset))
    outputs.claim(out, settings)
    cohort = read_cohort(
        dataset,
        settings,
        out / "work" / "store",
        n_jobs=n_jobs,
        scheduler=scheduler,
        progress=progress,
    )
    splits, verdict = _split(cohort, settings, out)
    job = _Job(cohort, splits, settings, out, progress)
    results = _cross_validate(job)
    means = cohort.windows.means()
    baselines = judge_baselines(cohort, splits, means)
    nulls, curves = _robustness(job, results, gram_matrix(means))
    logger.info("The other column")
    other = other_column(
        dataset,
        cohort,
        splits,
        settings,
        out,
        n_jobs=n_jobs,
        scheduler=scheduler,
        progress=progress,
    )
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
    metrics = assemble(evidence, total_seconds=time.perf_counter() - started)
    _write(out, evidence, metrics)
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


def _split(cohort: Cohort, settings: RunConfig, out: Path) -> tuple[Splits, Audit]:
    evaluation = settings.evaluation
    splits = make_folds(
        cohort.windows.table,
        unit=evaluation.unit,
        folds=evaluation.folds,
        seed=evaluation.seed,
    )
    splits.write(out / "splits.tsv")
    windows = cohort.windows
    verdict = audit(
        windows.table,
        splits,
        copies=find_copies(windows.runs),
        nuisance=windows.nuisance(),
    )
    logger.info("%s; audit: %s", splits.scheme.rstrip("."), verdict.verdict)
    verdict.raise_if_leaky(evaluation.allow_leakage)
    return splits, verdict


@dataclass(frozen=True, eq=False)
class _Job:
    """What every part of the judgement is about."""

    cohort: Cohort
    splits: Splits
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
        )

    @property
    def folds(self) -> Path:
        """Where finished fits are kept."""
        return self.out / "work" / "folds"


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
            temperature = held_out_temperature(
                job.plan, outcome.fold, place, progress=job.progress
            )
        results.add(outcome, temperature)
    return results


def _robustness(
    job: _Job, results: Results, gram: np.ndarray
) -> tuple[list[Null], dict[str, list[CurvePoint]]]:
    """Permutation tests and learning curves: the linear SVM's, and those asked for."""
    logger.info("Permutation test and learning curve")
    cohort, splits, evaluation = job.cohort, job.splits, job.settings.evaluation
    bootstrap = bootstrap_of(cohort, evaluation)
    tested = results.fold_of >= 0
    score = balanced_accuracy_score(
        cohort.targets[tested], results.probabilities[tested].argmax(axis=1)
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


def _write(out: Path, evidence: Evidence, metrics: dict[str, Any]) -> None:
    cohort, results = evidence.cohort, evidence.results
    outputs.describe(out, cohort.dataset.path, cohort.dataset.name)
    table = _predictions(evidence, results.probabilities)
    write_tsv(out / "predictions.tsv", table)
    _write_predictions(
        out / "baselines",
        evidence,
        {name: found.probabilities for name, found in evidence.baselines.items()},
    )
    other = evidence.other
    _write_predictions(
        out / "columns",
        evidence,
        {f"{name}_{other.mode}": p for name, p in other.probabilities.items()},
    )
    write_tsv(out / "history.tsv", results.history)
    set_aside = pd.DataFrame(cohort.set_aside, columns=["what", "reason"])
    write_tsv(out / "set_aside.tsv", set_aside)
    write_tsv(out / "permutations.tsv", null_table(evidence.nulls))
    write_tsv(out / "learning_curve.tsv", curve_table(evidence.curves))
    outputs.write_maps(out, cohort.windows, cohort.labels, results.maps)
    write_json(out / "metrics.json", metrics)


def _write_predictions(
    place: Path, evidence: Evidence, probabilities: dict[str, np.ndarray]
) -> None:
    with atomic_path(place) as folder:
        folder.mkdir()
        for name, given in probabilities.items():
            table = _predictions(evidence, given)
            write_tsv(folder / f"{name}_predictions.tsv", table)


def _predictions(evidence: Evidence, probabilities: np.ndarray) -> pd.DataFrame:
    cohort = evidence.cohort
    return outputs.predictions_table(
        cohort.windows, probabilities, evidence.results.fold_of, cohort.labels
    )


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
