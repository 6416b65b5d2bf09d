"""`metrics.json`: every number of a run, with what is needed to read it."""

from __future__ import annotations

import datetime
from typing import Any

from boldformer.config import RunConfig, to_dict
from boldformer.data.audit import Audit
from boldformer.data.groups import resampling_groups
from boldformer.data.splits import Splits
from boldformer.evaluation.baselines import OutOfFold
from boldformer.evaluation.summary import summarise
from boldformer.models import DecoderModel
from boldformer.training.devices import resolve_device
from boldformer.workflow.cohort import Cohort
from boldformer.workflow.results import Results
from boldformer.workflow.system import versions

SCHEMA_VERSION = "1.0"


def assemble(
    cohort: Cohort,
    splits: Splits,
    audit: Audit,
    results: Results,
    baselines: dict[str, OutOfFold],
    model: DecoderModel,
    settings: RunConfig,
    *,
    total_seconds: float,
) -> dict[str, Any]:
    """Gather a run's numbers as `docs/outputs.md` describes them.

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
    model : DecoderModel
        The one that is shared.
    settings : RunConfig
        What was asked for.
    total_seconds : float
        Time so far.
    """
    windows, decoder = cohort.windows, settings.model.name
    decoders = {decoder: results.out_of_fold(), **baselines}
    unit, groups = resampling_groups(windows.table)
    summary = summarise(
        cohort.targets,
        {name: found.probabilities for name, found in decoders.items()},
        {name: found.training_accuracy for name, found in decoders.items()},
        groups,
        cohort.labels,
        settings.evaluation,
        decoder=decoder,
        unit=unit,
    )
    counts = windows.table["label"].value_counts()
    return {
        "schema_version": SCHEMA_VERSION,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "dataset": _dataset(cohort),
        "labels": cohort.labels,
        "n_windows": len(windows),
        "windows_per_label": {label: int(counts[label]) for label in cohort.labels},
        "window": {**to_dict(cohort.window), "n_times": windows.shape[1]},
        "preprocessing": {
            "mode": "transductive",
            "hash": windows.pipeline_hash,
            "steps": windows.pipeline,
            "causal_twin_available": False,
        },
        "protocol": {
            "unit": splits.unit,
            "scheme": splits.scheme,
            "n_folds": len(splits.folds),
            "seed": splits.seed,
            "leaky": audit.verdict == "leak",
            "split_hash": splits.hash,
            "interval": summary["interval"],
        },
        "audit": audit.to_dict(),
        "chance": 1 / len(cohort.labels),
        "decoder": decoder,
        "model": {
            "name": decoder,
            "n_parameters": _n_parameters(model),
            "config": model.get_config(),
        },
        "scores": summary["scores"],
        "comparisons": summary["comparisons"],
        "verdict": summary["verdict"],
        "folds": results.records,
        "groups": summary["groups"],
        "set_aside": [{"what": w, "reason": r} for w, r in cohort.set_aside],
        "compute": {
            "device": str(resolve_device(settings.training.device)),
            "n_parameters": _n_parameters(model),
            "training_seconds": sum(record["seconds"] for record in results.records),
            "total_seconds": total_seconds,
        },
        "versions": versions(),
    }


def _dataset(cohort: Cohort) -> dict[str, Any]:
    table, grid = cohort.windows.table, cohort.windows.grid
    return {
        "name": cohort.dataset.name,
        "path": str(cohort.dataset.path),
        "n_subjects": int(table["subject"].nunique()),
        "n_runs": int(table["recording"].nunique()),
        "t_r": sorted({float(t_r) for t_r in table["t_r"]}),
        "space": grid.space,
        "volume_shape": list(grid.shape),
        "voxel_size_mm": list(grid.voxel_size_mm),
    }


def _n_parameters(model: DecoderModel) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
