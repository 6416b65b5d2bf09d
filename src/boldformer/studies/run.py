"""The main job: read, prepare, split, audit, train, judge, explain, report."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from boldformer import config
from boldformer.config import DataConfig, RunConfig
from boldformer.data.atomic import write_text
from boldformer.data.audit.fit_log import FitLog
from boldformer.data.audit.split_audit import Audit
from boldformer.data.cohort import Cohort
from boldformer.data.folders import WORK
from boldformer.data.prepare import configured_pipeline
from boldformer.data.splits import Fold
from boldformer.data.wording import time_left
from boldformer.decoder import Decoder
from boldformer.evaluation.baselines import Views, baseline_of
from boldformer.evaluation.cross_validation import (
    cross_validate,
    fit_fold,
    held_out_temperature,
)
from boldformer.evaluation.experiment import Experiment
from boldformer.evaluation.judge import MAIN_METRIC
from boldformer.evaluation.kept_fits import FoldOutcome
from boldformer.evaluation.learning_curve import CurvePoint
from boldformer.evaluation.metrics import classification_scores
from boldformer.evaluation.out_of_fold import judge_baselines
from boldformer.studies.model_card import model_card
from boldformer.studies.records import write_record
from boldformer.studies.run_columns import OtherColumn
from boldformer.studies.run_metrics import Evidence, assemble
from boldformer.studies.run_outputs import RUN_FILE, WRITTEN, write_results
from boldformer.studies.run_results import Results
from boldformer.studies.run_robustness import (
    Null,
    bootstrap_of,
    decoder_curve,
    decoder_null,
    linear_curve,
    linear_null,
)
from boldformer.studies.settings import check_settings
from boldformer.studies.study import Study, audit_fits, audit_split, split_cohort
from boldformer.training.linear_decoder import gram_matrix
from boldformer.visualization import build_report

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
    """Decode a dataset, write everything `docs/outputs.md` lists; return the report.

    See `boldformer.studies.study.Study` for the parameters, and its `run` for errors.
    """
    study = Decoding(
        settings, out, n_jobs=n_jobs, scheduler=scheduler, progress=progress
    )
    return study.run(overwrite=overwrite)


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


class Decoding(Study[RunConfig]):
    """One decoder, cross-validated, beside its baselines and controls."""

    job = "a run"
    # The store stays when results are replaced, since its runs check themselves.
    written = (*WRITTEN, f"{WORK}/folds")
    repeatable = True

    @property
    def inputs(self) -> tuple[str, str]:
        """See `Study`."""
        return self.settings.data.path, self.settings.data.derivatives

    @property
    def folds(self) -> Path:
        """Where finished fits are kept."""
        return self.work / "folds"

    def check(self) -> None:
        """See `Study`."""
        self._started = time.perf_counter()
        check_settings(self.settings)

    def read(self) -> None:
        """See `Study`."""
        settings = self.settings
        self.dataset = self.open(settings.data)
        cohort = self._prepared(settings, "store")
        self.cohort, self.splits = split_cohort(cohort, settings.evaluation)
        self.audit = audit_split(self.cohort, self.splits)
        self.audit.raise_if_leaky(settings.evaluation.allow_leakage)
        self.experiment = Experiment.of(self.cohort, settings)

    def _prepared(self, settings: RunConfig, store: str) -> Cohort:
        causal = configured_pipeline(settings.preprocessing).is_causal
        seen = "past volumes only (causal)" if causal else "whole runs (transductive)"
        n, name = len(self.dataset), self.dataset.name
        logger.info("Preparing %d recordings of %s: %s", n, name, seen)
        return self.prepare(self.dataset, settings, self.work / store)

    def measure(self) -> Path:
        """See `Study`."""
        write_text(self.out / RUN_FILE, config.to_toml(self.settings))
        self.splits.write(self.out / "splits.tsv", self.cohort.windows.table)
        evidence, final = self._judge()
        seconds = time.perf_counter() - self._started
        metrics = assemble(evidence, total_seconds=seconds)
        write_results(self.out, evidence, metrics)
        training = self.settings.training
        decoder = Decoder.from_model(final.model, self.cohort, training, final.history)
        leaky = metrics["protocol"]["leaky"]
        decoder.save(self.out / "model", model_card(metrics), leaky=leaky)
        write_record(self.out, metrics, self.cohort.windows)
        logger.info("Report")
        return build_report(self.out)

    def _judge(self) -> tuple[Evidence, FoldOutcome]:
        """Everything there is to say of a decoder, and the one that is shared."""
        name, log = self.settings.model.name, FitLog()
        results, views = self._cross_validate(), Views(self.cohort.windows)
        log.extend(results.log, prefix=f"{name}: ")
        baselines = judge_baselines(
            self.cohort, self.splits, views, log, baseline_of(self.settings.model)
        )
        other = OtherColumn.of(
            self.cohort,
            self.splits,
            self.settings,
            self._prepared,
            self.folds,
            progress=self.progress,
        )
        log.extend(other.log)
        log.write(self.out / "protocol.tsv")
        allowed = self.settings.evaluation.allow_leakage
        fits = audit_fits(self.cohort, self.splits, log, allowed)
        nulls, curves = self._robustness(results, gram_matrix(views.means))
        final = self._final()
        evidence = Evidence(
            cohort=self.cohort,
            splits=self.splits,
            audit=Audit((*self.audit.checks, *fits.checks)),
            results=results,
            baselines=baselines,
            other=other,
            nulls=nulls,
            curves=curves,
            model=final.model,
            settings=self.settings,
        )
        return evidence, final

    def _cross_validate(self) -> Results:
        results, n_folds = Results(self.cohort, self.splits), len(self.splits.folds)
        started = time.perf_counter()
        for outcome in cross_validate(
            self.experiment, self.splits, self.folds, progress=self.progress
        ):
            record = outcome.record
            logger.info(
                "Fold %d of %d: accuracy %.3f (training %.3f), %.0f s%s",
                record.fold + 1,
                n_folds,
                record.accuracy,
                record.training_accuracy,
                record.seconds,
                time_left(record.fold + 1, n_folds, time.perf_counter() - started),
            )
            parts = self.experiment.predict_parts(outcome.model, outcome.fold.test)
            temperature = self._temperature(outcome, results.log)
            results.add(outcome, parts, temperature)
        return results

    def _temperature(self, outcome: FoldOutcome, log: FitLog) -> float | None:
        """Temperature of a fold, from a further fit where its own held no group out."""
        asked = self.settings.evaluation.calibrate
        if outcome.record.temperature is not None or not asked:
            return outcome.record.temperature
        place = self.folds / "calibration"
        found = held_out_temperature(
            self.experiment, outcome.fold, place, progress=self.progress
        )
        if found is None:
            return None
        log.extend(found[1])
        return found[0]

    def _robustness(
        self, results: Results, gram: np.ndarray
    ) -> tuple[list[Null], dict[str, list[CurvePoint]]]:
        """Permutation tests and learning curves: the linear SVM's, and those asked."""
        logger.info("Permutation test and learning curve")
        cohort, splits, evaluation = self.cohort, self.splits, self.settings.evaluation
        first = slice(len(cohort.windows))  # learning curves take one repeat
        bootstrap = bootstrap_of(
            results.groups[first],
            results.events[first],
            results.tested[first],
            evaluation,
            splits.folds,
        )
        scores = classification_scores(
            results.targets[results.tested], results.probabilities[results.tested]
        )
        ours = decoder_null(
            self.experiment,
            splits,
            scores[MAIN_METRIC],
            evaluation.n_permutations,
            self.folds / "permutations",
            progress=self.progress,
        )
        linear = linear_null(cohort, splits, gram, evaluation.linear_permutations)
        curves = {"linear_svm": linear_curve(cohort, splits, gram, bootstrap)}
        if evaluation.learning_curve:
            curves[self.settings.model.name] = decoder_curve(
                self.experiment,
                splits,
                bootstrap,
                self.folds / "curve",
                progress=self.progress,
            )
        return [linear, ours], curves

    def _final(self) -> FoldOutcome:
        """Fit the model that is shared to every window, by the recipe of the folds."""
        everything = np.arange(len(self.cohort.windows))
        fold = Fold(len(self.splits.folds), everything, everything)
        place = self.folds / "final"
        return fit_fold(self.experiment, fold, place, progress=self.progress)
