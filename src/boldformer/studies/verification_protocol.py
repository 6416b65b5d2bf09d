"""Who was tested when, what was fitted to whom, and whether that is what was asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from boldformer.config import PreprocessingConfig, to_dict
from boldformer.data.audit import sharing
from boldformer.data.audit.findings import VERDICTS, AuditCheck
from boldformer.data.audit.fit_log import EVERY_FOLD, FitLog
from boldformer.data.audit.split_audit import Audit
from boldformer.data.events import REST, SEPARATOR, class_order
from boldformer.data.prepare import configured_pipeline
from boldformer.data.splits import configured_splits
from boldformer.preprocessing.pipeline import Pipeline
from boldformer.studies.run_columns import MODES
from boldformer.studies.run_outputs import RUN_FILE
from boldformer.studies.verification_reading import Recorded

# Which check of the audit looks at what was fitted, by its purpose.
_CHECK_OF = {"fit": "fitting", "stop": "stopping", "select": "selection"}


def splits(run: Recorded) -> Iterator[str]:
    """Hash the folds, and compare them with the fold each window was tested in."""
    found, table = run.splits, run.predictions
    if found.hash != run.record["split_hash"]:
        yield "splits.tsv holds another split than the recorded one"
    tested = [
        (window, fold.index, repeat)
        for repeat, part in enumerate(found.parts)
        for fold in part.folds
        for window in fold.test.tolist()
    ]
    predicted = table[["window", "fold", "repeat"]].to_numpy().tolist()
    if not {tuple(row) for row in predicted} <= set(tested):
        yield "predictions.tsv names folds that did not test its windows"
    elif len(predicted) != len(tested):
        yield "predictions.tsv lacks windows that were tested"
    again = {
        "unit": found.unit,
        "n_folds": len(found.folds),
        "n_repeats": found.repeats,
    }
    said = {key: run.metrics["protocol"][key] for key in again}
    where = run.difference(again, said, "protocol")
    if where:
        yield f"{where} does not follow from splits.tsv"


def folds_asked(run: Recorded) -> Iterator[str]:
    """Divide the windows again as ``run.toml`` asks."""
    evaluation, said = run.settings.evaluation, run.metrics["protocol"]
    if evaluation.split or not run.every_window_is_tested:
        return
    made = configured_splits(run.windows, evaluation)
    again = {
        "unit": made.unit,
        "scheme": made.scheme if run.same_version("boldformer") else said["scheme"],
        "n_folds": len(made.folds),
        "n_repeats": made.repeats,
    }
    where = run.difference(again, {key: said[key] for key in again}, "protocol")
    if where:
        yield f"{where} is not what {RUN_FILE} asks for"
    drawn_alike = run.same_version("numpy", "scikit-learn")
    if drawn_alike and made.hash != run.splits.hash:
        yield f"splits.tsv holds other folds than {RUN_FILE} asks for"


def protocol(run: Recorded) -> Iterator[str]:
    """Look for windows outside training that something was fitted to, unsaid."""
    checks = {check["name"]: check for check in run.metrics["audit"]["checks"]}
    uses = list(FitLog.read(run.out / "protocol.tsv"))
    for fold in run.splits.folds:
        for use in uses:
            said = checks[_CHECK_OF[use.purpose]]["verdict"]
            serves = use.fold in (fold.index, EVERY_FOLD)
            if serves and said == "clean" and len(np.setdiff1d(use.rows, fold.train)):
                yield f"protocol.tsv: the {use.what} saw windows outside training"


def audit(run: Recorded) -> Iterator[str]:
    """Ask the questions of the audit again that the tables can answer."""
    said = run.metrics["audit"]
    checks = [
        AuditCheck(**{**check, "windows": tuple(check["windows"])})
        for check in said["checks"]
    ]
    if Audit(tuple(checks)).verdict != said["verdict"]:
        yield "audit.verdict is not the worst of its checks"
    leaky = said["verdict"] == "leak"
    if run.metrics["protocol"]["leaky"] != leaky:
        yield "protocol.leaky does not follow from audit.verdict"
    if leaky and not run.settings.evaluation.allow_leakage:
        yield f"{RUN_FILE} does not allow the leak that the audit found"
    recorded = {check.name: check.verdict for check in checks}
    for check in _asked_again(run):
        named = recorded.get(check.name, "clean")
        milder = VERDICTS.index(check.verdict) > VERDICTS.index(named)
        if milder and check.verdict in ("warning", "leak"):
            yield f"audit: {check.name} is {named}, the tables say {check.verdict}"


def _asked_again(run: Recorded) -> list[AuditCheck]:
    """Answer what takes no frames; nothing where windows are missing from tables."""
    table, found = run.windows, run.splits
    if not run.every_window_is_tested:
        return []
    return [
        sharing.check_subjects(table, found),
        sharing.check_families(table, found),
        sharing.check_sessions(table, found),
        sharing.check_runs(table, found),
        *sharing.check_fits(table, found, FitLog.read(run.out / "protocol.tsv")),
    ]


def settings(run: Recorded) -> Iterator[str]:
    """Hold what was asked for against what ``metrics.json`` says was done."""
    asked, metrics = run.settings, run.metrics
    model, window = metrics["model"], metrics["window"]
    parameters = asked.model.parameters
    pairs = {
        "model.name": (asked.model.name, model["name"]),
        "decoder": (asked.model.name, metrics["decoder"]),
        "model.config": (
            parameters,
            {k: v for k, v in model["config"].items() if k in parameters},
        ),
        "records.seed": (
            {"evaluation": asked.evaluation.seed, "training": asked.training.seed},
            metrics["records"]["seed"],
        ),
        "protocol.seed": (asked.evaluation.seed, metrics["protocol"]["seed"]),
        "window": (_window_asked(run), {k: window[k] for k in to_dict(asked.window)}),
    }
    for name, (wanted, said) in pairs.items():
        where = run.difference(wanted, said, name)
        if where:
            yield f"{where} is not what {RUN_FILE} asks for"
    if not _labels_fit(list(asked.data.labels), metrics["labels"]):
        yield f"labels are not what {RUN_FILE} asks for"


def _window_asked(run: Recorded) -> dict[str, Any]:
    """Take the window of ``run.toml``, what it leaves to the data from the result."""
    asked, said = to_dict(run.settings.window), run.metrics["window"]
    left = {key for key in ("length_s", "step_s") if asked[key] <= 0}
    # Where events name the volumes themselves there is no delay.
    left |= {"delay_s"} if said["delay_s"] == 0 else set()
    return {key: said[key] if key in left else value for key, value in asked.items()}


def _labels_fit(asked: list[str], said: list[str]) -> bool:
    """Tell whether classes are those asked for, or sets of them, in their order."""
    if said not in (class_order(said, asked), sorted(said)):
        return False
    single = {part for label in asked for part in (label, *label.split(SEPARATOR))}
    parts = {part for label in said for part in label.split(SEPARATOR)} - {REST}
    return not asked or set(said) <= set(asked) or parts <= single


def preprocessing(run: Recorded) -> Iterator[str]:
    """Build the pipelines again that ``run.toml`` asks for."""
    asked, said = run.settings.preprocessing, run.metrics["preprocessing"]
    done = Pipeline(tuple(said["steps"]))
    if done.hash != said["hash"]:
        yield "preprocessing.hash is not that of preprocessing.steps"
    if said["mode"] != MODES[done.is_causal]:
        yield "preprocessing.mode is not that of preprocessing.steps"
    if not (grid_is_there(run) and run.same_version("boldformer")):
        return  # the steps of a recipe are a version's own
    if done.hash not in _hashes(asked):
        yield f"preprocessing.steps are not what {RUN_FILE} asks for"
    for cell in run.metrics["columns"]["cells"]:
        causal = cell["mode"] == MODES[True]
        form = asked if cell["mode"] == said["mode"] else replace(asked, causal=causal)
        if cell["scores"] and cell["pipeline_hash"] not in _hashes(form):
            yield f"the {cell['mode']} column is not prepared as {RUN_FILE} asks"


def grid_is_there(run: Recorded) -> bool:
    """Whether the image whose grid ``run.toml`` names, if it does, can be read."""
    named = run.settings.preprocessing.grid_like
    return not named or Path(named).is_file()


def _hashes(config: PreprocessingConfig) -> tuple[str, str]:
    """Hash a pipeline, and what is left of it for maps in no order."""
    pipeline = configured_pipeline(config)
    return pipeline.hash, pipeline.without_time().hash
