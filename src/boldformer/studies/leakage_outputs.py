"""What a leakage study writes: a table, a record, splits, a figure and a page."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from boldformer.config import EvaluationConfig
from boldformer.data.atomic import write_json, write_text, write_tsv
from boldformer.data.audit.split_audit import Audit
from boldformer.data.cohort import Cohort
from boldformer.data.groups import event_names, resampling_groups
from boldformer.data.splits import Splits
from boldformer.evaluation.intervals import Estimate
from boldformer.evaluation.judge import MAIN_METRIC, Judge
from boldformer.evaluation.leakage_schemes import HONEST, SCHEMES
from boldformer.evaluation.metrics import classification_scores
from boldformer.studies.leakage_fits import SchemeScores
from boldformer.studies.records import (
    LEAKY,
    described_windows,
    ends,
    header,
    inputs_of,
    listed_set_aside,
    plain_rows,
    rounded,
)
from boldformer.visualization.leakage_page import draw_leakage, render_leakage
from boldformer.visualization.style import save_figure

WRITTEN = ("leakage.tsv", "leakage.json", "leakage.html", "splits", "figures")
# Volumes of one block are tested in different folds: there is no score of the block.
_NO_BLOCKS = "volume"


@dataclass(frozen=True, eq=False)
class Findings:
    """What a leakage study found.

    Parameters
    ----------
    evaluation : EvaluationConfig
        Resamples, level and seed.
    settings : dict
        Of the study, ready for JSON.
    cohorts : dict of str to Cohort
        Single volumes, by preparation.
    splits, audits : dict of str to Splits and Audit
        By scheme, with equally many training samples in every fold.
    labellings : ndarray of int, shape (1 + n_shuffles, n_volumes)
        True classes first, then those shuffled among the blocks of a run.
    scores : list of SchemeScores
        Of every model under every scheme.
    """

    evaluation: EvaluationConfig
    settings: dict[str, Any]
    cohorts: Mapping[str, Cohort]
    splits: Mapping[str, Splits]
    audits: Mapping[str, Audit]
    labellings: np.ndarray
    scores: Sequence[SchemeScores]

    @property
    def cohort(self) -> Cohort:
        """Volumes under the first preparation; those of others are the same ones."""
        return next(iter(self.cohorts.values()))

    @property
    def table(self) -> pd.DataFrame:
        """Rows of the volumes."""
        return self.cohort.windows.table


class VolumeJudge:
    """Scores volumes, and their blocks, over the same resamples under every scheme.

    Differences between schemes are paired. Under a leaky scheme the interval says how
    the score differs between these subjects, the leak being there; it says nothing of
    people who were not scanned.

    Parameters
    ----------
    table : DataFrame
        Rows of the volumes.
    targets : ndarray of int, shape (n_volumes,)
        Classes.
    evaluation : EvaluationConfig
        Resamples, level and seed.
    """

    def __init__(
        self, table: pd.DataFrame, targets: np.ndarray, evaluation: EvaluationConfig
    ) -> None:
        groups = resampling_groups(table)[1]
        events = event_names(table)
        _, self._first, self._block = np.unique(
            events, return_index=True, return_inverse=True
        )
        judges = functools.partial(Judge, evaluation=evaluation, scores=[MAIN_METRIC])
        self.volumes = judges(targets, groups, events=events)
        self._blocks = judges(targets[self._first], groups[self._first])

    def estimate_blocks(self, scores: np.ndarray) -> Estimate:
        """Score blocks by the mean of their volumes' scores, (n_volumes, n_classes)."""
        sums = np.zeros((len(self._first), scores.shape[1]))
        np.add.at(sums, self._block, scores)
        return self._blocks.estimate(self._blocks.score(sums))


def write_leakage(out: Path, findings: Findings) -> Path:
    """Write everything `docs/leakage.md` lists; return ``leakage.tsv``."""
    cohort, evaluation = findings.cohort, findings.evaluation
    judge = VolumeJudge(findings.table, cohort.targets, evaluation)
    table = pd.DataFrame(list(_rows(findings, judge)))
    for name, splits in findings.splits.items():
        splits.write(out / "splits" / f"{name}.tsv", findings.table)
    drawing = draw_leakage(table)
    svg, _ = save_figure(drawing.figure, out / "figures" / drawing.name)
    record = _record(table, findings)
    page = render_leakage(table, record, drawing, svg.read_text(encoding="utf-8"))
    write_text(out / "leakage.html", page)
    write_json(out / "leakage.json", record)
    write_tsv(out / "leakage.tsv", table)
    return out / "leakage.tsv"


def _rows(findings: Findings, judge: VolumeJudge) -> Iterator[dict[str, Any]]:
    scored = {
        (one.arm, one.scheme): judge.volumes.score(one.scores[0])
        for one in findings.scores
    }
    for one in findings.scores:
        row = _facts(one, findings) | {"labels": "true", "n_shuffles": 0}
        row["training_accuracy"] = rounded(one.training_accuracy[0])
        ours = scored[one.arm, one.scheme]
        row |= _estimate("", judge.volumes.estimate(ours))
        if one.scheme != HONEST:
            honest = scored[one.arm, HONEST]
            row |= ends("gap", judge.volumes.difference(ours, honest))
        if one.scheme != _NO_BLOCKS:
            row |= _estimate("block_", judge.estimate_blocks(one.scores[0]))
        yield row
        if len(one.scores) > 1:
            yield _control(one, findings)


def _facts(one: SchemeScores, findings: Findings) -> dict[str, Any]:
    splits, verdict = findings.splits[one.scheme], findings.audits[one.scheme]
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
        "chance": rounded(findings.cohort.chance),
        "seconds": round(one.seconds),
    }


def _control(one: SchemeScores, findings: Findings) -> dict[str, Any]:
    """Score shuffled labels: their mean, and the range over shuffles."""
    labellings = findings.labellings[1 : len(one.scores)]
    pairs = zip(labellings, one.scores[1:], strict=True)
    values = [classification_scores(*pair)[MAIN_METRIC] for pair in pairs]
    return _facts(one, findings) | {
        "labels": "shuffled by block",
        "n_shuffles": len(values),
        "training_accuracy": rounded(float(one.training_accuracy[1:].mean())),
        "balanced_accuracy": rounded(float(np.mean(values))),
        "low": rounded(min(values)),
        "high": rounded(max(values)),
    }


def _estimate(prefix: str, estimate: Estimate) -> dict[str, float]:
    values = (estimate.value, estimate.low, estimate.high)
    names = (MAIN_METRIC, "low", "high")
    return {f"{prefix}{k}": rounded(v) for k, v in zip(names, values, strict=True)}


def _record(table: pd.DataFrame, findings: Findings) -> dict[str, Any]:
    cohort, windows = findings.cohort, findings.cohort.windows
    unit = resampling_groups(windows.table)[0]
    leaky = bool((table["audit"] == LEAKY).any())
    return header(
        "leakage", leaky, dataset=cohort.dataset.name, classes=cohort.labels
    ) | {
        "samples": {
            "n_volumes": len(windows),
            "n_blocks": int(windows.table["block"].nunique()),
            "shape": list(windows.shape[2:]),
            **described_windows(windows),
        },
        "interval": f"bootstrap over {unit}s; of shuffled labels, the range",
        "schemes": {
            name: {
                "description": SCHEMES[name],
                "hash": splits.hash,
                "n_train": [len(fold.train) for fold in splits.folds],
                "n_test": [len(fold.test) for fold in splits.folds],
                "audit": findings.audits[name].to_dict(),
            }
            for name, splits in findings.splits.items()
        },
        "scores": plain_rows(table),
        "settings": findings.settings,
        "pipelines": {k: c.windows.pipeline_hash for k, c in findings.cohorts.items()},
        "inputs": {k: inputs_of(c.windows) for k, c in findings.cohorts.items()},
        "set_aside": listed_set_aside(cohort.set_aside),
    }
