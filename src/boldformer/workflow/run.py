"""The main job: read, prepare, split, audit, train, judge, explain, report."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from boldformer.config import DataConfig, RunConfig, TrainingConfig
from boldformer.data.atomic import atomic_path, write_json, write_tsv
from boldformer.data.audit import Audit, audit
from boldformer.data.sources import open_source
from boldformer.data.splits import Fold, Splits, make_folds, split_groups
from boldformer.decoder import Decoder
from boldformer.evaluation.baselines import BASELINES, OutOfFold, out_of_fold
from boldformer.evaluation.cross_validation import (
    FoldOutcome,
    cross_validate,
    fit_fold,
)
from boldformer.models import get_model
from boldformer.visualization import build_report
from boldformer.workflow import outputs
from boldformer.workflow.card import model_card
from boldformer.workflow.cohort import Cohort, read_cohort
from boldformer.workflow.metrics import assemble
from boldformer.workflow.results import Results

logger = logging.getLogger(__name__)

# What every score stands beside, in the order of the report.
REPORTED_BASELINES = ("linear_svm", "nuisance", "majority")

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
    results = _cross_validate(cohort, splits, settings, out, progress=progress)
    logger.info("Baselines")
    baselines = _baselines(cohort, splits)
    final = _final(cohort, splits, settings, out, progress=progress)
    metrics = assemble(
        cohort,
        splits,
        verdict,
        results,
        baselines,
        final.model,
        settings,
        total_seconds=time.perf_counter() - started,
    )
    _write(out, cohort, results, baselines, metrics)
    _save_decoder(out, cohort, final, settings.training, metrics)
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
    verdict = audit(cohort.windows.table, splits)
    logger.info("%s; audit: %s", splits.scheme.rstrip("."), verdict.verdict)
    verdict.raise_if_leaky(evaluation.allow_leakage)
    return splits, verdict


def _cross_validate(
    cohort: Cohort, splits: Splits, settings: RunConfig, out: Path, *, progress: bool
) -> Results:
    results = Results(cohort, splits)
    for outcome in cross_validate(
        cohort.windows,
        cohort.targets,
        splits,
        settings.model,
        settings.training,
        n_outputs=len(cohort.labels),
        folder=out / "work" / "folds",
        progress=progress,
    ):
        record = outcome.record
        logger.info(
            "Fold %d of %d: accuracy %.3f (training %.3f), %.0f s",
            record.fold + 1,
            len(splits.folds),
            record.accuracy,
            record.training_accuracy,
            record.seconds,
        )
        results.add(outcome)
    return results


def _baselines(cohort: Cohort, splits: Splits) -> dict[str, OutOfFold]:
    """Judge the humble decoders on the same folds."""
    windows = cohort.windows
    features = {
        "means": windows.means,
        "nuisance": lambda: windows.nuisance().to_numpy(),
        "none": lambda: np.zeros((len(windows), 1)),
    }
    groups = split_groups(windows.table, splits.unit)
    return {
        name: out_of_fold(
            BASELINES[name].make(),
            features[BASELINES[name].features](),
            cohort.targets,
            splits,
            groups,
            len(cohort.labels),
        )
        for name in REPORTED_BASELINES
    }


def _final(
    cohort: Cohort, splits: Splits, settings: RunConfig, out: Path, *, progress: bool
) -> FoldOutcome:
    """Fit the model that is shared to every window, by the recipe of the folds."""
    everything = np.arange(len(cohort.windows))
    return fit_fold(
        cohort.windows,
        cohort.targets,
        Fold(len(splits.folds), everything, everything),
        settings.model,
        settings.training,
        n_outputs=len(cohort.labels),
        place=out / "work" / "folds" / "final",
        progress=progress,
    )


def _write(
    out: Path,
    cohort: Cohort,
    results: Results,
    baselines: dict[str, OutOfFold],
    metrics: dict[str, Any],
) -> None:
    def predictions(probabilities: np.ndarray) -> pd.DataFrame:
        return outputs.predictions_table(
            cohort.windows, probabilities, results.fold_of, cohort.labels
        )

    outputs.describe(out, cohort.dataset.path, cohort.dataset.name)
    write_tsv(out / "predictions.tsv", predictions(results.probabilities))
    with atomic_path(out / "baselines") as folder:
        folder.mkdir()
        for name, found in baselines.items():
            write_tsv(
                folder / f"{name}_predictions.tsv", predictions(found.probabilities)
            )
    write_tsv(out / "history.tsv", results.history)
    set_aside = pd.DataFrame(cohort.set_aside, columns=["what", "reason"])
    write_tsv(out / "set_aside.tsv", set_aside)
    outputs.write_maps(out, cohort.windows, cohort.labels, results.maps)
    write_json(out / "metrics.json", metrics)


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
