"""What a leakage study writes: a table, a record, splits, a figure and a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from boldformer import __version__
from boldformer.data.atomic import write_json, write_text, write_tsv
from boldformer.evaluation.leakage import HONEST, SCHEMES
from boldformer.evaluation.leakage_scores import Judge, Scored, balanced_accuracy
from boldformer.visualization.leakage import draw_leakage, render_page
from boldformer.visualization.style import save_figure
from boldformer.workflow.cohort import Cohort
from boldformer.workflow.leakage_fits import Found, Study
from boldformer.workflow.records import inputs_of
from boldformer.workflow.system import versions

FORMAT = "boldformer-leakage"
WRITTEN = ("leakage.tsv", "leakage.json", "leakage.html", "splits", "figures")
LEAKY = "LEAKY"
# Volumes of one block are tested in different folds: there is no score of the block.
_NO_BLOCKS = "volume"


def write_leakage(
    out: Path,
    study: Study,
    found: Sequence[Found],
    settings: dict[str, Any],
    cohorts: Mapping[str, Cohort],
) -> Path:
    """Write everything `docs/leakage.md` lists; return ``leakage.tsv``."""
    evaluation = settings["run"]["evaluation"]
    judge = Judge(
        study.cohort.windows.table,
        study.cohort.targets,
        n_resamples=evaluation["n_resamples"],
        level=evaluation["level"],
        seed=evaluation["seed"],
    )
    table = pd.DataFrame(list(_rows(found, study, judge)))
    for name, splits in study.splits.items():
        splits.write(out / "splits" / f"{name}.tsv", study.cohort.windows.table)
    drawing = draw_leakage(table)
    svg, _ = save_figure(drawing.figure, out / "figures" / drawing.name)
    record = _record(table, study, judge, settings, cohorts)
    page = render_page(table, record, drawing, svg.read_text(encoding="utf-8"))
    write_text(out / "leakage.html", page)
    write_json(out / "leakage.json", record)
    write_tsv(out / "leakage.tsv", table)
    return out / "leakage.tsv"


def _rows(
    found: Sequence[Found], study: Study, judge: Judge
) -> Iterator[dict[str, Any]]:
    honest = {
        one.arm: judge.score(one.scores[0]) for one in found if one.scheme == HONEST
    }
    for one in found:
        scored = judge.score(one.scores[0])
        row = _facts(one, study) | {"labels": "true", "n_shuffles": 0}
        row["training_accuracy"] = _rounded(one.training_accuracy[0])
        row |= _estimate("", scored)
        if one.scheme != HONEST:
            gap = judge.difference(scored, honest[one.arm])
            row |= {"gap": _rounded(gap.value)}
            row |= {"gap_low": _rounded(gap.low), "gap_high": _rounded(gap.high)}
        if one.scheme != _NO_BLOCKS:
            row |= _estimate("block_", judge.score_blocks(one.scores[0]))
        yield row
        if len(one.scores) > 1:
            yield _control(one, study)


def _facts(one: Found, study: Study) -> dict[str, Any]:
    splits, verdict = study.splits[one.scheme], study.audits[one.scheme]
    return {
        "model": one.arm.model,
        "preprocessing": one.arm.preprocessing,
        "scheme": one.scheme,
        "audit": LEAKY if verdict.verdict == "leak" else "no leak",
        "shared": ", ".join(c.name for c in verdict.checks if c.verdict == "leak"),
        "n_folds": len(splits.folds),
        "n_train": len(splits.folds[0].train),
        "n_tested": sum(len(fold.test) for fold in splits.folds),
        "n_steps": one.n_steps or None,
        "chance": _rounded(1 / len(study.cohort.labels)),
        "seconds": round(one.seconds),
    }


def _control(one: Found, study: Study) -> dict[str, Any]:
    """Score shuffled labels: their mean, and the range over shuffles."""
    labellings = study.labellings[1 : len(one.scores)]
    pairs = zip(labellings, one.scores[1:], strict=True)
    values = [float(balanced_accuracy(labels, scores)[0]) for labels, scores in pairs]
    return _facts(one, study) | {
        "labels": "shuffled by block",
        "n_shuffles": len(values),
        "training_accuracy": _rounded(float(one.training_accuracy[1:].mean())),
        "balanced_accuracy": _rounded(float(np.mean(values))),
        "low": _rounded(min(values)),
        "high": _rounded(max(values)),
    }


def _estimate(prefix: str, scored: Scored) -> dict[str, float]:
    ends = scored.estimate
    names = ("balanced_accuracy", "low", "high")
    values = (ends.value, ends.low, ends.high)
    return {f"{prefix}{k}": _rounded(v) for k, v in zip(names, values, strict=True)}


def _rounded(value: float) -> float:
    return round(float(value), 4)


def _record(
    table: pd.DataFrame,
    study: Study,
    judge: Judge,
    settings: dict[str, Any],
    cohorts: Mapping[str, Cohort],
) -> dict[str, Any]:
    windows = study.cohort.windows
    return {
        "format": FORMAT,
        "version": __version__,
        "versions": versions(),
        "leaky": bool((table["audit"] == LEAKY).any()),
        "dataset": study.name,
        "classes": study.cohort.labels,
        "samples": {
            "n_volumes": len(windows),
            "n_blocks": int(windows.table["block"].nunique()),
            "n_runs": len(windows.runs),
            "n_subjects": int(windows.table["subject"].nunique()),
            "shape": list(windows.shape[2:]),
            "n_voxels": int(windows.mask.sum()),
            "voxel_size_mm": list(windows.grid.voxel_size_mm),
            "t_r": windows.t_r,
        },
        "interval": f"bootstrap over {judge.unit}s; of shuffled labels, the range",
        "schemes": {
            name: {
                "description": SCHEMES[name],
                "hash": splits.hash,
                "n_train": [len(fold.train) for fold in splits.folds],
                "n_test": [len(fold.test) for fold in splits.folds],
                "audit": study.audits[name].to_dict(),
            }
            for name, splits in study.splits.items()
        },
        "scores": _plain(table),
        "settings": settings,
        "pipelines": {k: c.windows.pipeline_hash for k, c in cohorts.items()},
        "inputs": {k: inputs_of(c.windows) for k, c in cohorts.items()},
        "set_aside": [{"what": w, "reason": r} for w, r in study.cohort.set_aside],
    }


def _plain(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {str(key): None if pd.isna(value) else value for key, value in row.items()}
        for row in table.astype(object).to_dict("records")
    ]
