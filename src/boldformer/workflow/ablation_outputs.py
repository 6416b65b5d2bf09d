"""What an ablation writes: a table, a record, its folds, a figure and a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from boldformer import __version__
from boldformer.config import RunConfig, to_dict
from boldformer.data.atomic import write_json, write_text, write_tsv
from boldformer.data.audit import Audit
from boldformer.data.groups import resampling_groups
from boldformer.data.splits import Splits
from boldformer.errors import BoldFormerError
from boldformer.evaluation.ablation import HYBRID, stack
from boldformer.evaluation.ablation_scores import (
    MAIN_METRIC,
    Comparison,
    Judgement,
    judge,
)
from boldformer.evaluation.intervals import Estimate, reuse_widening
from boldformer.evaluation.metrics import SCORES
from boldformer.visualization.ablation import draw_ablation
from boldformer.visualization.ablation_page import render_page, sentences
from boldformer.visualization.drawing import mark_leaky
from boldformer.visualization.style import save_figure
from boldformer.workflow.ablation_fits import Entry, Fit
from boldformer.workflow.cohort import Cohort
from boldformer.workflow.records import inputs_of
from boldformer.workflow.system import versions

FORMAT = "boldformer-ablation"
WRITTEN = (
    "ablation.tsv",
    "ablation.json",
    "ablation.html",
    "splits.tsv",
    "figures",
)
LEAKY = "LEAKY"


@dataclass(frozen=True, eq=False)
class Study:
    """What every arm is fitted to.

    Parameters
    ----------
    name : str
        Of the dataset.
    cohort : Cohort
        Windows as the hybrid reads them.
    splits : Splits
        Folds of all repeats.
    audit : Audit
        Of the split and of what was fitted.
    run : RunConfig
        Settings that arms share.
    """

    name: str
    cohort: Cohort
    splits: Splits
    audit: Audit
    run: RunConfig

    @property
    def leaky(self) -> bool:
        """Whether the audit found a leak."""
        return self.audit.verdict == "leak"

    @property
    def chance(self) -> float:
        """Balanced accuracy of guessing."""
        return 1 / len(self.cohort.labels)


def write_ablation(
    out: Path, study: Study, entries: Sequence[Entry], fits: Sequence[Fit]
) -> Path:
    """Judge the arms and write everything `docs/ablation.md` lists.

    Returns
    -------
    Path
        ``ablation.tsv``.

    Raises
    ------
    BoldFormerError
        When the hybrid, which all are held against, could not be trained.
    """
    by_arm = {e.arm.name: [f for f in fits if f.arm == e.arm.name] for e in entries}
    failed = {
        name: next((fit.failed for fit in own if fit.failed), "")
        for name, own in by_arm.items()
    }
    if failed[HYBRID]:
        raise BoldFormerError(f"the hybrid cannot be trained: {failed[HYBRID]}")
    judged = _judge(study, entries, by_arm, failed)
    table = pd.DataFrame(
        [_row(study, e, by_arm[e.arm.name], judged, failed) for e in entries]
    )
    record = _record(study, entries, by_arm, judged, failed)
    record["sentences"] = sentences(table, record)
    drawing = draw_ablation(table, study.chance, record["interval"])
    if study.leaky:
        mark_leaky(drawing.figure)
    svg, _ = save_figure(drawing.figure, out / "figures" / drawing.name)
    page = render_page(table, record, drawing, svg.read_text(encoding="utf-8"))
    study.splits.write(out / "splits.tsv", study.cohort.windows.table)
    write_text(out / "ablation.html", page)
    write_json(out / "ablation.json", record)
    write_tsv(out / "ablation.tsv", table)
    return out / "ablation.tsv"


def _judge(
    study: Study,
    entries: Sequence[Entry],
    by_arm: Mapping[str, Sequence[Fit]],
    failed: Mapping[str, str],
) -> Judgement:
    windows, splits = study.cohort.windows, study.splits
    trained = [entry.arm for entry in entries if not failed[entry.arm.name]]
    given = {}
    for arm in trained:
        pairs = [
            (fit.fold, fit.probabilities)
            for fit in by_arm[arm.name]
            if fit.probabilities is not None
        ]
        given[arm.name] = stack(pairs, splits, len(windows))
    groups = resampling_groups(windows.table)[1]
    return judge(
        np.tile(study.cohort.targets, splits.repeats),
        given,
        np.tile(groups, splits.repeats),
        [arm.name for arm in trained if arm.is_linear],
        study.run.evaluation,
        reuse_widening(splits.folds),
    )


# --- the table --------------------------------------------------------------------


def _row(
    study: Study,
    entry: Entry,
    fits: Sequence[Fit],
    judged: Judgement,
    failed: Mapping[str, str],
) -> dict[str, Any]:
    arm, records = entry.arm, [fit.record for fit in fits if fit.record is not None]
    row: dict[str, Any] = {
        "arm": arm.name,
        "description": arm.description,
        "model": arm.model,
        "audit": LEAKY if study.leaky else "no leak",
        "failed": failed[arm.name] or None,
    }
    nothing = dict.fromkeys(SCORES, Estimate(np.nan))
    for score, estimate in judged.scores.get(arm.name, nothing).items():
        row |= _ends(score, estimate)
    on_training = [record.training_accuracy for record in records]
    row["training_accuracy"] = _rounded(float(np.mean(on_training or [np.nan])))
    row["parameters"] = entry.parameters
    row["mac_per_window"] = entry.mac_per_window
    row["seconds"] = round(sum(record.seconds for record in records), 1)
    row["n_fits"] = len(records)
    for name, other in (("hybrid", HYBRID), ("linear", judged.best_linear)):
        row |= _difference(f"minus_{name}", judged.compared(arm.name, other))
    return row


def _difference(name: str, found: Comparison | None) -> dict[str, Any]:
    keys = ("p", "p_holm")
    if found is None:
        return _ends(name, Estimate(np.nan)) | {f"{name}_{k}": np.nan for k in keys}
    p_values = (found.p_value, found.p_holm)
    told = {
        f"{name}_{k}": float(f"{p:.4g}") for k, p in zip(keys, p_values, strict=True)
    }
    return _ends(name, found.difference) | told


def _ends(name: str, estimate: Estimate) -> dict[str, float]:
    values = {"": estimate.value, "_low": estimate.low, "_high": estimate.high}
    return {f"{name}{end}": _rounded(value) for end, value in values.items()}


def _rounded(value: float) -> float:
    return round(float(value), 4)


# --- the record -------------------------------------------------------------------


def _record(
    study: Study,
    entries: Sequence[Entry],
    by_arm: Mapping[str, Sequence[Fit]],
    judged: Judgement,
    failed: Mapping[str, str],
) -> dict[str, Any]:
    windows, evaluation = study.cohort.windows, study.run.evaluation
    pipelines = {e.cohort.windows.pipeline_hash: e.cohort for e in entries}
    return {
        "format": FORMAT,
        "version": __version__,
        "versions": versions(),
        "leaky": study.leaky,
        "dataset": study.name,
        "classes": study.cohort.labels,
        "chance": study.chance,
        "metric": MAIN_METRIC,
        "best_linear": judged.best_linear or None,
        "samples": {
            "n_windows": len(windows),
            "n_runs": len(windows.runs),
            "n_subjects": int(windows.table["subject"].nunique()),
            "shape": list(windows.shape[1:]),
            "n_voxels": int(windows.mask.sum()),
            "voxel_size_mm": list(windows.grid.voxel_size_mm),
            "t_r": windows.t_r,
        },
        "interval": {
            "unit": resampling_groups(windows.table)[0],
            "n_units": judged.n_units,
            "level": evaluation.level,
            "n_resamples": evaluation.n_resamples,
        },
        "split": {
            "scheme": study.splits.scheme,
            "unit": study.splits.unit,
            "repeats": study.splits.repeats,
            "n_folds": len(study.splits.folds),
            "hash": study.splits.hash,
        },
        "audit": study.audit.to_dict(),
        "arms": [_arm(e, by_arm[e.arm.name], judged, failed) for e in entries],
        "comparisons": [_comparison(one) for one in judged.comparisons],
        "window": to_dict(study.cohort.window),
        "settings": to_dict(study.run),
        "inputs": {k: inputs_of(c.windows) for k, c in pipelines.items()},
        "set_aside": [{"what": w, "reason": r} for w, r in study.cohort.set_aside],
    }


def _arm(
    entry: Entry, fits: Sequence[Fit], judged: Judgement, failed: Mapping[str, str]
) -> dict[str, Any]:
    plan, arm = entry.plan, entry.arm
    ordered = sorted(fits, key=lambda fit: fit.fold.index)
    scores = judged.scores.get(arm.name, {})
    return {
        "name": arm.name,
        "description": arm.description,
        "model": to_dict(plan.model),
        "changed": {
            "training": arm.training,
            "preprocessing": to_dict(arm.preprocessing),
            "one_frame": arm.one_frame,
        },
        "pipeline_hash": plan.windows.pipeline_hash,
        "n_times": plan.windows.shape[1],
        "parameters": entry.parameters,
        "mac_per_window": entry.mac_per_window,
        "scores": {name: estimate.to_dict() for name, estimate in scores.items()},
        "failed": failed[arm.name] or None,
        "fits": [asdict(fit.record) for fit in ordered if fit.record is not None],
    }


def _comparison(one: Comparison) -> dict[str, Any]:
    ends = one.difference.to_dict()
    pair: dict[str, Any] = {"a": one.a, "b": one.b, "metric": one.metric}
    pair |= {"difference": ends.pop("value"), **ends}
    return pair | {"p_value": one.p_value, "p_holm": one.p_holm}
