"""What an ablation writes: a table, a record, its folds, a figure and a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from boldformer.config import RunConfig, to_dict
from boldformer.data.atomic import write_json, write_text, write_tsv
from boldformer.data.audit.split_audit import Audit
from boldformer.data.groups import event_names, resampling_groups
from boldformer.data.splits import Splits
from boldformer.errors import BoldFormerError
from boldformer.evaluation.ablation_arms import HYBRID, stack
from boldformer.evaluation.intervals import Estimate, reuse_widening
from boldformer.evaluation.judge import MAIN_METRIC, Comparison, Judge
from boldformer.evaluation.metrics import SCORES
from boldformer.studies.ablation_fits import Entry, Fit
from boldformer.studies.records import (
    LEAKY,
    described_windows,
    ends,
    header,
    inputs_of,
    listed_set_aside,
    rounded,
)
from boldformer.visualization.ablation_figure import draw_ablation
from boldformer.visualization.ablation_page import render_ablation, sentences
from boldformer.visualization.drawing import mark_leaky
from boldformer.visualization.style import save_figure

WRITTEN = (
    "ablation.tsv",
    "ablation.json",
    "ablation.html",
    "splits.tsv",
    "figures",
)


@dataclass(frozen=True, eq=False)
class Judged:
    """An arm, its fits and what they score.

    Parameters
    ----------
    entry : Entry
        The arm.
    fits : list of Fit
        On every fold.
    scores : dict of str to Estimate
        By score; empty for an arm that failed.
    """

    entry: Entry
    fits: list[Fit]
    scores: dict[str, Estimate]

    @property
    def failed(self) -> str:
        """Why it could not be trained; empty where it was."""
        return _failure(self.fits)


def _failure(fits: Sequence[Fit]) -> str:
    return next((fit.failed for fit in fits if fit.failed), "")


def write_ablation(
    out: Path,
    run: RunConfig,
    audit: Audit,
    splits: Splits,
    entries: Sequence[Entry],
    fits: Sequence[Fit],
) -> Path:
    """Judge the arms and write everything `docs/ablation.md` lists.

    Parameters
    ----------
    out : Path
        Output folder.
    run : RunConfig
        Settings that arms share.
    audit : Audit
        Of the split and of what was fitted.
    splits : Splits
        Folds of all repeats.
    entries : sequence of Entry
        Arms, the hybrid first.
    fits : sequence of Fit
        Of all arms.

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
    failed = _failure(by_arm[HYBRID])
    if failed:
        raise BoldFormerError(f"the hybrid cannot be trained: {failed}")
    judge, judged, comparisons, best_linear = _judge(run, splits, entries, by_arm)
    leaky = audit.verdict == "leak"
    table = pd.DataFrame([_row(one, comparisons, best_linear, leaky) for one in judged])
    record = _record(run, audit, splits, judge, judged, comparisons, best_linear)
    record["sentences"] = sentences(table, record)
    drawing = draw_ablation(table, record["chance"], record["interval"])
    if leaky:
        mark_leaky(drawing.figure)
    svg, _ = save_figure(drawing.figure, out / "figures" / drawing.name)
    page = render_ablation(table, record, drawing, svg.read_text(encoding="utf-8"))
    splits.write(out / "splits.tsv", entries[0].cohort.windows.table)
    write_text(out / "ablation.html", page)
    write_json(out / "ablation.json", record)
    write_tsv(out / "ablation.tsv", table)
    return out / "ablation.tsv"


def _judge(
    run: RunConfig,
    splits: Splits,
    entries: Sequence[Entry],
    by_arm: Mapping[str, list[Fit]],
) -> tuple[Judge, list[Judged], list[Comparison], str]:
    """Score arms; hold each against the hybrid and against the best linear decoder.

    That one is chosen after the fact, in its favour; its name is empty without any.
    """
    cohort = entries[0].cohort
    table, repeats = cohort.windows.table, splits.repeats
    groups = resampling_groups(table)[1]
    given = {}
    for entry in entries:
        fits = by_arm[entry.arm.name]
        if not _failure(fits):
            pairs = [(f.fold, f.outcome.probabilities) for f in fits if f.outcome]
            given[entry.arm.name] = stack(pairs, splits, len(cohort.windows))
    tested = np.isfinite(given[HYBRID]).all(axis=1)
    judge = Judge(
        np.tile(cohort.targets, repeats)[tested],
        np.tile(groups, repeats)[tested],
        run.evaluation,
        reuse_widening(splits.folds, groups),
        events=np.tile(event_names(table), repeats)[tested],
    )
    scored = {name: judge.score(values[tested]) for name, values in given.items()}
    linear = [e.arm.name for e in entries if e.arm.is_linear and e.arm.name in scored]
    ranked = sorted(linear, key=lambda n: -scored[n].draws.values[MAIN_METRIC])
    comparisons = [
        one
        for other in dict.fromkeys([HYBRID, *ranked[:1]])
        for one in judge.compare(scored, [(n, other) for n in scored if n != other])
    ]
    judged = []
    for entry in entries:
        one, scores = scored.get(entry.arm.name), {}
        if one is not None:
            scores = {score: judge.estimate(one, score) for score in SCORES}
        judged.append(Judged(entry, by_arm[entry.arm.name], scores))
    return judge, judged, comparisons, "".join(ranked[:1])


# --- the table --------------------------------------------------------------------


def _row(
    judged: Judged, comparisons: Sequence[Comparison], best_linear: str, leaky: bool
) -> dict[str, Any]:
    arm = judged.entry.arm
    records = [fit.outcome.record for fit in judged.fits if fit.outcome is not None]
    row: dict[str, Any] = {
        "arm": arm.name,
        "description": arm.description,
        "model": arm.model,
        "audit": LEAKY if leaky else "no leak",
        "failed": judged.failed or None,
    }
    for score in SCORES:
        row |= ends(score, judged.scores.get(score, Estimate(np.nan)))
    on_training = [record.training_accuracy for record in records]
    row["training_accuracy"] = rounded(float(np.mean(on_training or [np.nan])))
    row["parameters"] = judged.entry.parameters
    row["mac_per_window"] = judged.entry.mac_per_window
    row["seconds"] = round(sum(record.seconds for record in records), 1)
    row["n_fits"] = len(records)
    for name, other in (("hybrid", HYBRID), ("linear", best_linear)):
        wanted = (arm.name, other, MAIN_METRIC)
        found = [c for c in comparisons if (c.a, c.b, c.metric) == wanted]
        row |= _difference(f"minus_{name}", found)
    return row


def _difference(name: str, found: Sequence[Comparison]) -> dict[str, Any]:
    if not found:
        nothing = dict.fromkeys((f"{name}_p", f"{name}_p_holm"), np.nan)
        return ends(name, Estimate(np.nan)) | nothing | {f"{name}_reading": None}
    told = {"p": found[0].p_value, "p_holm": found[0].p_holm}
    p_values = {f"{name}_{key}": float(f"{p:.4g}") for key, p in told.items()}
    reading = {f"{name}_reading": found[0].reading}
    return ends(name, found[0].difference) | p_values | reading


# --- the record -------------------------------------------------------------------


def _record(
    run: RunConfig,
    audit: Audit,
    splits: Splits,
    judge: Judge,
    judged: Sequence[Judged],
    comparisons: Sequence[Comparison],
    best_linear: str,
) -> dict[str, Any]:
    cohort = judged[0].entry.cohort
    windows, evaluation = cohort.windows, run.evaluation
    cohorts = [one.entry.cohort for one in judged]
    pipelines = {one.windows.pipeline_hash: one for one in cohorts}
    return header(
        "ablation",
        audit.verdict == "leak",
        dataset=cohort.dataset.name,
        classes=cohort.labels,
        chance=cohort.chance,
    ) | {
        "metric": MAIN_METRIC,
        "best_linear": best_linear or None,
        "samples": {
            "n_windows": len(windows),
            "shape": list(windows.shape[1:]),
            **described_windows(windows),
        },
        "interval": {
            "unit": resampling_groups(windows.table)[0],
            "n_units": judge.n_units,
            "level": evaluation.level,
            "n_resamples": evaluation.n_resamples,
        },
        "split": {
            "scheme": splits.scheme,
            "unit": splits.unit,
            "repeats": splits.repeats,
            "n_folds": len(splits.folds),
            "hash": splits.hash,
        },
        "audit": audit.to_dict(),
        "arms": [_arm(one) for one in judged],
        "comparisons": [one.to_dict() for one in comparisons],
        "window": to_dict(cohort.window),
        "settings": to_dict(run),
        "inputs": {k: inputs_of(c.windows) for k, c in pipelines.items()},
        "set_aside": listed_set_aside(cohort.set_aside),
    }


def _arm(judged: Judged) -> dict[str, Any]:
    experiment, arm = judged.entry.experiment, judged.entry.arm
    ordered = sorted(judged.fits, key=lambda fit: fit.fold.index)
    return {
        "name": arm.name,
        "description": arm.description,
        "model": to_dict(experiment.model),
        "changed": {
            "training": arm.training,
            "preprocessing": to_dict(arm.preprocessing),
            "one_frame": arm.one_frame,
        },
        "pipeline_hash": judged.entry.cohort.windows.pipeline_hash,
        "n_times": experiment.windows.shape[1],
        "parameters": judged.entry.parameters,
        "mac_per_window": judged.entry.mac_per_window,
        "scores": {name: one.to_dict() for name, one in judged.scores.items()},
        "failed": judged.failed or None,
        "fits": [asdict(f.outcome.record) for f in ordered if f.outcome is not None],
    }
