"""How the arms of an ablation score, and how they compare on the same subjects."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from boldformer.config import EvaluationConfig
from boldformer.evaluation.ablation import HYBRID
from boldformer.evaluation.intervals import (
    Draws,
    Estimate,
    GroupBootstrap,
    contributions,
    holm,
    sign_flip_test,
)
from boldformer.evaluation.metrics import SCORES

COMPARED = ("accuracy", "balanced_accuracy")
MAIN_METRIC = "balanced_accuracy"


@dataclass(frozen=True)
class Comparison:
    """How much better one arm is than another, on the same subjects.

    Parameters
    ----------
    a, b : str
        Arms; the difference is that of `a` less that of `b`.
    metric : str
        Out of `COMPARED`.
    difference : Estimate
        With the interval of the paired difference.
    p_value, p_holm : float
        Of the sign-flip test over subjects, and corrected by Holm's method for all
        comparisons of this metric with `b`.
    """

    a: str
    b: str
    metric: str
    difference: Estimate
    p_value: float
    p_holm: float

    @property
    def is_clear(self) -> bool:
        """Whether there is an interval, and it excludes 0."""
        return self.difference.low > 0 or self.difference.high < 0


@dataclass(frozen=True)
class Judgement:
    """What an ablation found.

    Parameters
    ----------
    scores : dict of str to dict of str to Estimate
        By arm and by score.
    comparisons : list of Comparison
        Of every other arm with the hybrid, and with the best linear decoder.
    best_linear : str
        The linear arm with the highest balanced accuracy, chosen after the fact, in
        its favour; empty without any.
    n_units : int
        Subjects (families, runs) that were resampled.
    """

    scores: dict[str, dict[str, Estimate]]
    comparisons: list[Comparison]
    best_linear: str
    n_units: int

    def compared(self, a: str, b: str, metric: str = MAIN_METRIC) -> Comparison | None:
        """Return the comparison of two arms, None where there is none."""
        wanted = (a, b, metric)
        found = (c for c in self.comparisons if (c.a, c.b, c.metric) == wanted)
        return next(found, None)


def judge(
    y_true: np.ndarray,
    probabilities: Mapping[str, np.ndarray],
    groups: np.ndarray,
    linear: Collection[str],
    evaluation: EvaluationConfig,
    widening: float = 1.0,
) -> Judgement:
    """Score arms and compare them with the hybrid and the best linear decoder.

    Parameters
    ----------
    y_true : ndarray of int, shape (n_rows,)
        Class of each window, in each repeat.
    probabilities : dict of str to ndarray, shape (n_rows, n_classes)
        Of each arm; NaN in the same rows for all.
    groups : sequence, shape (n_rows,)
        What is resampled: all repeats of a subject together.
    linear : collection of str
        Arms that are linear decoders.
    evaluation : EvaluationConfig
        Resamples, level and seed.
    widening : float
        Of intervals and tests; see `boldformer.evaluation.intervals.reuse_widening`.
    """
    first = next(iter(probabilities.values()))
    tested = np.isfinite(first).all(axis=1)
    y, groups = np.asarray(y_true)[tested], np.asarray(groups)[tested]
    given = {name: values[tested] for name, values in probabilities.items()}
    bootstrap = GroupBootstrap(
        groups, evaluation.n_resamples, evaluation.level, evaluation.seed, widening
    )
    draws = {name: bootstrap.draw(y, values) for name, values in given.items()}
    ranked = sorted(linear, key=lambda name: -draws[name].values[MAIN_METRIC])
    predicted = {name: values.argmax(axis=1) for name, values in given.items()}
    comparisons = [
        one
        for other in dict.fromkeys([HYBRID, *ranked[:1]])
        for metric in COMPARED
        for one in _compare(
            bootstrap, draws, y, predicted, groups, other, metric, evaluation.seed
        )
    ]
    scores = {
        name: {score: bootstrap.estimate(drawn, score) for score in SCORES}
        for name, drawn in draws.items()
    }
    return Judgement(scores, comparisons, "".join(ranked[:1]), bootstrap.n_units)


def _compare(
    bootstrap: GroupBootstrap,
    draws: Mapping[str, Draws],
    y: np.ndarray,
    predicted: Mapping[str, np.ndarray],
    groups: np.ndarray,
    other: str,
    metric: str,
    seed: int,
) -> list[Comparison]:
    def parts(name: str) -> np.ndarray:
        if metric == MAIN_METRIC:
            return contributions(y, predicted[name])
        return (predicted[name] == y) / len(y)

    names = [name for name in draws if name != other]
    p_values = np.array(
        [
            sign_flip_test(parts(name) - parts(other), groups, seed, bootstrap.widening)
            for name in names
        ]
    )
    return [
        Comparison(
            name,
            other,
            metric,
            bootstrap.difference(draws[name], draws[other], metric),
            float(p_value),
            float(corrected),
        )
        for name, p_value, corrected in zip(
            names, p_values, holm(p_values), strict=True
        )
    ]
