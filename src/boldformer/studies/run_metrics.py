"""`metrics.json`: every number of a run, with what is needed to read it."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any

import numpy as np

from boldformer.config import RunConfig, to_dict
from boldformer.data.audit.split_audit import Audit
from boldformer.data.cohort import Cohort
from boldformer.data.groups import resampling_groups
from boldformer.data.prepare import confounds_used
from boldformer.data.splits import Splits
from boldformer.evaluation.learning_curve import CurvePoint
from boldformer.evaluation.out_of_fold import OutOfFold
from boldformer.evaluation.predictions import weights_hash
from boldformer.evaluation.summary import summarise
from boldformer.models import DecoderModel
from boldformer.studies.records import (
    input_hash,
    inputs_of,
    listed_set_aside,
    without_folders,
)
from boldformer.studies.run_columns import LINEAR, OtherColumn, columns_table, mode_of
from boldformer.studies.run_results import Results
from boldformer.studies.run_robustness import Null
from boldformer.studies.run_scores import (
    calibration_of,
    detailed_scores,
    repeat_scores,
)
from boldformer.studies.system import versions
from boldformer.training.devices import resolve_device

SCHEMA_VERSION = "2.0"


@dataclass(frozen=True, eq=False)
class Evidence:
    """All that a run found, before it is put into words and numbers.

    Parameters
    ----------
    cohort : Cohort
        What was decoded.
    splits, audit : Splits, Audit
        How it was split, and what the audit says.
    results : Results
        Of the decoder.
    baselines : dict of str to OutOfFold
        Of the humble decoders.
    other : OtherColumn
        The same after the other form of preprocessing.
    nulls : list of Null
        Permutation tests.
    curves : dict of str to list of CurvePoint
        Learning curves by decoder.
    model : DecoderModel
        The one that is shared.
    settings : RunConfig
        What was asked for.
    """

    cohort: Cohort
    splits: Splits
    audit: Audit
    results: Results
    baselines: dict[str, OutOfFold]
    other: OtherColumn
    nulls: list[Null]
    curves: dict[str, list[CurvePoint]]
    model: DecoderModel
    settings: RunConfig

    @property
    def decoder(self) -> str:
        """Name of the decoder that is judged."""
        return self.settings.model.name

    def decoders(self) -> dict[str, OutOfFold]:
        """Out-of-fold predictions by name, the decoder's own first, then its parts'."""
        ours, parts = self.results.out_of_fold(), self.results.parts()
        return {self.decoder: ours, **parts, **self.baselines}


def assemble(evidence: Evidence, *, total_seconds: float) -> dict[str, Any]:
    """Gather a run's numbers as `docs/outputs.md` describes them.

    Parameters
    ----------
    evidence : Evidence
        What the run found.
    total_seconds : float
        Time so far.
    """
    summary = _summary(evidence)
    decoders, targets = evidence.decoders(), evidence.results.targets
    found = {
        "schema_version": SCHEMA_VERSION,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **_data(evidence.cohort),
        "preprocessing": _preprocessing(evidence),
        "protocol": _protocol(evidence, summary.pop("interval")),
        "audit": evidence.audit.to_dict(),
        "chance": evidence.cohort.chance,
        "decoder": evidence.decoder,
        "model": {
            "name": evidence.decoder,
            "n_parameters": _n_parameters(evidence.model),
            "config": evidence.model.get_config(),
            "in_words": evidence.model.in_words(),
            "parts": list(evidence.results.parts()),
        },
        **summary,
        **_details(evidence, decoders[evidence.decoder]),
        "repeats": _repeats(evidence),
        "calibration": {
            name: calibration_of(targets, found) for name, found in decoders.items()
        },
        "permutation": [null.to_dict() for null in evidence.nulls],
        "learning_curve": _curves(evidence),
        "columns": _columns(evidence),
        "folds": evidence.results.records,
        "set_aside": listed_set_aside(evidence.cohort.set_aside),
        "n_set_aside": evidence.cohort.n_set_aside,
        "compute": _compute(evidence, total_seconds),
        "records": _records(evidence),
        "versions": versions(),
    }
    folders = [*evidence.cohort.dataset.folders, evidence.cohort.dataset.path]
    resolved = [folder.resolve() for folder in folders]
    # The longest first: a folder may lie in another.
    known = sorted({*folders, *resolved}, key=lambda folder: -len(str(folder)))
    found = without_folders(found, [f for f in known if len(f.parts) > 1])
    found["dataset"]["address"] = evidence.cohort.dataset.address
    return found


def _summary(evidence: Evidence) -> dict[str, Any]:
    unit, _ = resampling_groups(evidence.cohort.windows.table)
    decoders = evidence.decoders()
    return summarise(
        evidence.results.targets,
        {name: found.probabilities for name, found in decoders.items()},
        {name: found.training_accuracy for name, found in decoders.items()},
        evidence.results.groups,
        evidence.cohort.labels,
        evidence.settings.evaluation,
        decoder=evidence.decoder,
        unit=unit,
        widening=evidence.results.widening,
        events=evidence.results.events,
    )


def _data(cohort: Cohort) -> dict[str, Any]:
    windows = cohort.windows
    counts = windows.table["label"].value_counts()
    return {
        "dataset": _dataset(cohort),
        "labels": cohort.labels,
        "n_windows": len(windows),
        "windows_per_label": {label: int(counts[label]) for label in cohort.labels},
        "window": {
            **to_dict(cohort.window),
            "n_times": windows.shape[1],
            "of_maps": bool((windows.table["timing"] == "map").all()),
        },
    }


def _dataset(cohort: Cohort) -> dict[str, Any]:
    table, grid = cohort.windows.table, cohort.windows.grid
    return {
        "name": cohort.dataset.name,
        "layout": cohort.dataset.layout,
        "made_by": list(cohort.dataset.made_by),
        "address": cohort.dataset.address,
        "n_subjects": int(table["subject"].nunique()),
        "n_runs": int(table["recording"].nunique()),
        "t_r": sorted({float(t_r) for t_r in table["t_r"]}),
        "space": grid.space,
        "volume_shape": list(grid.shape),
        "voxel_size_mm": list(grid.voxel_size_mm),
        "notes": list(cohort.dataset.notes),
    }


def _preprocessing(evidence: Evidence) -> dict[str, Any]:
    windows, mode = evidence.cohort.windows, mode_of(evidence.cohort)
    return {
        "mode": mode,
        "hash": windows.pipeline_hash,
        "steps": windows.pipeline,
        "confounds": confounds_used(windows.runs.values()),
        "causal_twin_available": mode == "causal" or bool(evidence.other.probabilities),
    }


def _protocol(evidence: Evidence, interval: dict[str, Any]) -> dict[str, Any]:
    splits, asked = evidence.splits, evidence.settings.evaluation.unit
    return {
        "unit": splits.unit,
        "held_out": asked if asked == "stretch" else splits.unit,
        "scheme": splits.scheme,
        "n_folds": len(splits.folds),
        "n_repeats": splits.repeats,
        "seed": splits.seed,
        "leaky": evidence.audit.verdict == "leak",
        "split_hash": splits.hash,
        "interval": interval,
    }


def _details(evidence: Evidence, ours: OutOfFold) -> dict[str, Any]:
    tested = evidence.results.tested
    return detailed_scores(
        evidence.results.targets[tested],
        ours.probabilities[tested],
        evidence.cohort.labels,
    )


def _repeats(evidence: Evidence) -> list[dict[str, Any]]:
    results = evidence.results
    n_windows = len(evidence.cohort.windows)
    return repeat_scores(
        results.targets[results.tested],
        {n: d.probabilities[results.tested] for n, d in evidence.decoders().items()},
        np.arange(len(results.tested))[results.tested] // n_windows,
    )


def _curves(evidence: Evidence) -> dict[str, Any]:
    return {
        "unit": evidence.splits.unit,
        "metric": "balanced_accuracy",
        "decoders": {
            name: [
                {
                    "n_groups": point.n_groups,
                    "n_windows": point.n_windows,
                    **point.score.to_dict(),
                }
                for point in points
            ]
            for name, points in evidence.curves.items()
        },
    }


def _columns(evidence: Evidence) -> dict[str, Any]:
    decoders, results = evidence.decoders(), evidence.results
    return columns_table(
        {
            name: decoders[name].probabilities
            for name in (evidence.decoder, LINEAR)
            if name in decoders
        },
        evidence.other,
        results,
        evidence.settings.evaluation,
        mode_of(evidence.cohort),
        evidence.cohort.windows.pipeline_hash,
    )


def _compute(evidence: Evidence, total_seconds: float) -> dict[str, Any]:
    return {
        "device": str(resolve_device(evidence.settings.training.device)),
        "n_parameters": _n_parameters(evidence.model),
        "training_seconds": sum(r["seconds"] for r in evidence.results.records),
        "total_seconds": total_seconds,
    }


def _records(evidence: Evidence) -> dict[str, Any]:
    return {
        "split_hash": evidence.splits.hash,
        "pipeline_hash": evidence.cohort.windows.pipeline_hash,
        "model_hash": weights_hash(evidence.model),
        "input_hash": input_hash(inputs_of(evidence.cohort.windows)),
        "seed": {
            "evaluation": evidence.settings.evaluation.seed,
            "training": evidence.settings.training.seed,
        },
    }


def _n_parameters(model: DecoderModel) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
