"""What a finished run says on the last lines of its command."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boldformer.data.wording import count
from boldformer.evaluation.baselines import BASELINES, decoder_label
from boldformer.evaluation.judge import MAIN_METRIC


@dataclass(frozen=True)
class Outcome:
    """The gist of a run.

    Parameters
    ----------
    lines : tuple of str
        Score with its interval, best baseline, audit, and what was set aside.
    n_runs_set_aside : int
        Runs, files and subjects that could not be used; events are not counted.
    """

    lines: tuple[str, ...]
    n_runs_set_aside: int


def read_outcome(out: Path) -> Outcome:
    """Read the gist of a finished run from its ``metrics.json``."""
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    n_set_aside = metrics["n_set_aside"]
    lines = [_score(metrics), _best(metrics), f"Audit: {_audit(metrics)}."]
    if any(n_set_aside.values()):
        said = ", ".join(count(n, what) for what, n in n_set_aside.items() if n)
        lines.append(f"Set aside: {said}; see set_aside.tsv.")
    n_lost = n_set_aside["run"] + n_set_aside.get("subject", 0)
    return Outcome(tuple(filter(None, lines)), n_lost)


def _score(metrics: dict[str, Any]) -> str:
    name, interval = metrics["decoder"], metrics["protocol"]["interval"]
    told = _with_interval(metrics["scores"][name][MAIN_METRIC], interval["level"])
    leaky = " LEAKY" if metrics["protocol"]["leaky"] else ""
    units = count(interval["n_units"], interval["unit"])
    chance = f"chance {metrics['chance']:.3f}"
    return f"{name}: balanced accuracy{leaky} {told} over {units}; {chance}."


def _best(metrics: dict[str, Any]) -> str:
    values = {
        name: score[MAIN_METRIC]
        for name, score in metrics["scores"].items()
        if name in BASELINES
    }
    if not values:
        return ""
    best = max(values, key=lambda name: values[name]["value"])
    level = metrics["protocol"]["interval"]["level"]
    told = _with_interval(values[best], level)
    return f"Best baseline: {decoder_label(best)}, {told}."


def _with_interval(estimate: dict[str, Any], level: float) -> str:
    value = f"{estimate['value']:.3f}"
    if estimate["low"] is None:
        return f"{value} (no interval)"
    span = f"{estimate['low']:.3f}–{estimate['high']:.3f}"
    return f"{value} ({100 * level:g} % interval {span})"


def _audit(metrics: dict[str, Any]) -> str:
    unchecked = len(metrics["audit"]["not_checked"])
    more = f", {unchecked} of {len(metrics['audit']['checks'])} not checked"
    return metrics["audit"]["verdict"] + (more if unchecked else "")
