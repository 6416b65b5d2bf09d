"""Scores, comparisons and a plain verdict, as they go into ``metrics.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from boldformer.config import EvaluationConfig
from boldformer.data.wording import count
from boldformer.errors import InputError
from boldformer.evaluation.baselines import decoder_name
from boldformer.evaluation.intervals import UNRELIABLE_BELOW, Estimate
from boldformer.evaluation.judge import (
    BETTER,
    MAIN_METRIC,
    NO_INTERVAL,
    TOO_FEW,
    UNDECIDED,
    WORSE,
    Judge,
    Scored,
)
from boldformer.evaluation.metrics import SCORES

VERDICT_METRIC = MAIN_METRIC


def summarise(
    y_true: np.ndarray,
    probabilities: Mapping[str, np.ndarray],
    training_accuracy: Mapping[str, Sequence[float]],
    groups: np.ndarray,
    labels: Sequence[str],
    config: EvaluationConfig,
    *,
    decoder: str,
    unit: str = "subject",
    widening: float = 1.0,
    events: np.ndarray | None = None,
) -> dict[str, Any]:
    """Judge decoders by their out-of-fold predictions.

    Parameters
    ----------
    y_true : ndarray of int, shape (n_windows,)
        Column of each window's class.
    probabilities : dict of str to ndarray, shape (n_windows, n_classes)
        Out-of-fold probabilities of each decoder. Windows that no fold tested are NaN,
        in the same rows for all, and are left out.
    training_accuracy : dict of str to sequence of float
        Of each decoder in each fold; a decoder may be missing.
    groups : sequence, shape (n_windows,)
        What is resampled; see `boldformer.data.groups.resampling_groups`.
    labels : sequence of str
        Class names by column.
    config : EvaluationConfig
        Resamples, level and seed.
    decoder : str
        Key of the decoder that is judged; all others are what it is held against.
    unit : {"subject", "family", "run"}
        What the groups are.
    widening : float
        Of intervals and tests; see `boldformer.evaluation.intervals.reuse_widening`.
    events : sequence, shape (n_windows,), optional
        Event that each window is of.

    Returns
    -------
    dict
        ``scores``, ``comparisons``, ``verdict``, ``groups`` and ``interval`` (which is
        ``protocol.interval``), ready for JSON and as documented for ``metrics.json``.
        ``training_accuracy`` is the mean over folds and has no interval.

    Raises
    ------
    InputError
        For an unknown decoder, arrays that do not fit together, or decoders that
        predict different windows.
    """
    if decoder not in probabilities:
        raise InputError(
            f"no predictions of the decoder {decoder!r}",
            wanted=f"one of {', '.join(probabilities)}",
        )
    rows, tested = _tested(y_true, probabilities, groups)
    y, groups = np.asarray(y_true)[rows], np.asarray(groups)[rows]
    events = None if events is None else np.asarray(events)[rows]
    judge = Judge(y, groups, config, widening, events=events)
    scored = {name: judge.score(p) for name, p in tested.items()}
    scores = {
        name: _scores(judge, one, labels, training_accuracy.get(name))
        for name, one in scored.items()
    }
    pairs = [(decoder, other) for other in scored if other != decoder]
    comparisons = [one.to_dict() for one in judge.compare(scored, pairs)]
    predicted = {name: one.predicted for name, one in scored.items()}
    return {
        "scores": scores,
        "comparisons": comparisons,
        "verdict": _verdict(scored[decoder], scores, comparisons, decoder, judge, unit),
        "groups": _groups(y, predicted, groups),
        "interval": {
            "unit": unit,
            "n_units": judge.n_units,
            "level": config.level,
            "n_resamples": config.n_resamples,
            "widening": widening,
        },
    }


def _tested(
    y_true: np.ndarray, probabilities: Mapping[str, np.ndarray], groups: np.ndarray
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Which windows were tested, the same by all, and what each was given there."""
    shapes = {np.shape(p) for p in probabilities.values()}
    lengths = {len(y_true), len(groups), *(shape[0] for shape in shapes)}
    if len(shapes) > 1 or len(lengths) > 1:
        raise InputError(
            "labels, groups and probabilities do not fit together",
            wanted="the same windows and classes for all",
            received=f"{len(y_true)} labels, {len(groups)} groups and probabilities "
            + ", ".join(map(str, sorted(shapes))),
        )
    missing = {
        name: np.isnan(np.asarray(p)).all(axis=1) for name, p in probabilities.items()
    }
    first = next(iter(missing.values()))
    if any((rows != first).any() for rows in missing.values()) or first.all():
        raise InputError(
            "decoders were not tested on the same windows",
            received=", ".join(f"{k}: {np.sum(~m)}" for k, m in missing.items()),
        )
    kept = {name: np.asarray(p)[~first] for name, p in probabilities.items()}
    return ~first, kept


def _scores(
    judge: Judge,
    scored: Scored,
    labels: Sequence[str],
    training_accuracy: Sequence[float] | None,
) -> dict[str, Any]:
    found: dict[str, Any] = {
        name: judge.estimate(scored, name).to_dict() for name in SCORES
    }
    on_training = np.mean(training_accuracy) if training_accuracy else np.nan
    found["training_accuracy"] = Estimate(float(on_training)).to_dict()
    found["recall"] = {
        label: judge.estimate(scored, f"recall_{k}").to_dict()
        for k, label in enumerate(labels)
    }
    return found


def _groups(
    y: np.ndarray, predicted: Mapping[str, np.ndarray], groups: np.ndarray
) -> list[dict[str, Any]]:
    found = []
    for group in np.unique(groups):
        rows = groups == group
        accuracy = {
            name: float(np.mean(given[rows] == y[rows]))
            for name, given in predicted.items()
        }
        found.append(
            {"group": str(group), "n_windows": int(rows.sum()), "accuracy": accuracy}
        )
    return found


def _verdict(
    scored: Scored,
    scores: Mapping[str, Any],
    comparisons: Sequence[Mapping[str, Any]],
    decoder: str,
    judge: Judge,
    unit: str,
) -> dict[str, Any]:
    """Put the one rule of `boldformer.evaluation.judge.read` into plain words."""
    estimate, n = scores[decoder][VERDICT_METRIC], judge.n_units
    chance = 1 / len(scores[decoder]["recall"])
    units = count(n, unit)
    p_chance, reading = judge.against(scored, chance)
    held = estimate["low"] is not None
    percent = f"{100 * judge.bootstrap.level:g} %"
    interval = f" ({percent} interval {_span(estimate)})" if held else ""
    said = _p_text(p_chance) if held else ""
    sentences = [
        f"The {decoder.replace('_', ' ')} reaches a balanced accuracy of "
        f"{estimate['value']:.2f}{interval} over {units}; chance is {chance:.2f}.",
        _claim(reading, "chance", said, units),
    ]
    rows = [row for row in comparisons if row["metric"] == VERDICT_METRIC]
    sentences += [_compared(row, units) for row in rows]
    if not held:
        alone = f"With {units} there is no interval"
        why = alone if n < 2 else "No interval was asked for"
        sentences.append(f"{why}: nothing is claimed.")
    elif n < UNRELIABLE_BELOW:
        sentences.append(f"With only {units} the intervals are unreliable.")
    on_training = scores[decoder]["training_accuracy"]["value"]
    if on_training is not None and on_training < 1.5 * chance:
        sentences.append(
            f"Its training accuracy is {on_training:.2f}: it has hardly learned even "
            "its training windows, so its score says little about the data."
        )
    beats = {row["b"]: row["reading"] == BETTER for row in rows}
    return {
        "beats_chance": reading == BETTER,
        "p_chance": p_chance,
        "beats_nuisance": beats.get("nuisance"),
        "beats_linear": beats.get("linear_svm"),
        "beats": beats,
        "sentences": sentences,
    }


def _compared(row: Mapping[str, Any], units: str) -> str:
    other = decoder_name(row["b"])
    held = row["low"] is not None
    interval = f", interval {_span(row)}" if held else ""
    p_value = f", {_p_text(row['p_holm'])} after Holm's correction" if held else ""
    gap = f"difference {_number(row['difference'])}{interval}{p_value}"
    return _claim(row["reading"], other, gap, units)


def _claim(reading: str, other: str, evidence: str, units: str) -> str:
    told = f" ({evidence})" if evidence else ""
    if reading == TOO_FEW:
        return f"Whether it beats {other} cannot be told from {units}{told}."
    if reading == NO_INTERVAL:
        return f"Whether it beats {other} is not told without intervals{told}."
    verbs = {BETTER: "beats", WORSE: "is worse than", UNDECIDED: "is not shown to beat"}
    return f"It {verbs[reading]} {other}{told}."


def _p_text(p_value: float) -> str:
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.2g}"


def _span(estimate: Mapping[str, Any]) -> str:
    low, high = _number(estimate["low"]), _number(estimate["high"])
    return f"{low} to {high}" if "−" in low + high else f"{low}–{high}"


def _number(value: float) -> str:
    # Adding zero turns a negative zero into zero.
    return f"{round(value, 2) + 0:.2f}".replace("-", "−")
