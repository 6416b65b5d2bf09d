"""The one judge: scores with intervals, and paired comparisons, over the same units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from boldformer.config import EvaluationConfig
from boldformer.evaluation.intervals import Draws, Estimate, GroupBootstrap
from boldformer.evaluation.paired_tests import (
    contributions,
    holm,
    least_p_value,
    sign_flip_test,
)

MAIN_METRIC = "balanced_accuracy"
COMPARED = ("accuracy", MAIN_METRIC)
BETTER, WORSE, UNDECIDED, TOO_FEW = "better", "worse", "undecided", "too few units"
NO_INTERVAL = "no interval"


@dataclass(frozen=True, eq=False)
class Scored:
    """Predictions of all windows, scored plainly and in every resample.

    Parameters
    ----------
    predicted : ndarray of int, shape (n_windows,)
        Class that each window was given.
    draws : Draws
        Scores.
    """

    predicted: np.ndarray
    draws: Draws


@dataclass(frozen=True)
class Comparison:
    """How much better one decoder is than another, on the same units.

    Parameters
    ----------
    a, b : str
        Decoders; the difference is that of `a` less that of `b`.
    metric : str
        Out of `COMPARED`.
    difference : Estimate
        With the interval of the paired difference.
    p_value, p_holm : float
        Of the sign-flip test over units, and corrected by Holm's method for all that
        was compared together.
    reading : str
        By the one rule of `read`.
    """

    a: str
    b: str
    metric: str
    difference: Estimate
    p_value: float
    p_holm: float
    reading: str

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        ends = self.difference.to_dict()
        named: dict[str, Any] = {"a": self.a, "b": self.b, "metric": self.metric}
        named |= {"difference": ends.pop("value"), **ends}
        tested = {"p_value": self.p_value, "p_holm": self.p_holm}
        return named | tested | {"reading": self.reading}


def read(gap: Estimate, p_value: float, least_p: float, level: float) -> str:
    """Say what a difference shows: the one rule for every claim.

    Parameters
    ----------
    gap : Estimate
        Difference with its interval.
    p_value : float
        Corrected for all that was tested together.
    least_p : float
        None could be smaller with so many units and tests.
    level : float
        Of the interval; p-values are held against what it leaves.

    Returns
    -------
    {"better", "worse", "undecided", "too few units", "no interval"}
        The first two only where the interval excludes 0 **and** the corrected p-value
        is small enough; then where no p-value could be, and where no interval was asked
        for.
    """
    alpha = 1 - level
    if least_p > alpha:
        return TOO_FEW
    if not np.isfinite(gap.low):
        return NO_INTERVAL
    if p_value > alpha or gap.low <= 0 <= gap.high:
        return UNDECIDED
    return BETTER if gap.low > 0 else WORSE


def corrected(
    found: Sequence[Comparison], n_units: int, level: float
) -> list[Comparison]:
    """Correct comparisons that belong together, and read each of them again.

    Parameters
    ----------
    found : sequence of Comparison
        Their p-values are corrected for each other by Holm's method.
    n_units : int
        The fewest that any of them rests on.
    level : float
        See `read`.
    """
    adjusted = holm(np.array([one.p_value for one in found])).tolist()
    least = len(found) * least_p_value(n_units)
    return [
        replace(one, p_holm=q, reading=read(one.difference, q, least, level))
        for one, q in zip(found, adjusted, strict=True)
    ]


class Judge:
    """Scores any number of decoders over the same windows and resamples.

    Parameters
    ----------
    y : ndarray of int, shape (n_windows,)
        Class of each window.
    groups : sequence, shape (n_windows,)
        What is resampled; see `boldformer.data.groups.resampling_groups`.
    evaluation : EvaluationConfig
        Resamples, level and seed.
    widening : float
        Of intervals and tests; see `boldformer.evaluation.intervals.reuse_widening`.
    scores : sequence of str
        Scores that are taken, all by default; areas under curves cost the most.
    events : sequence, shape (n_windows,), optional
        See `boldformer.evaluation.intervals.GroupBootstrap`.

    Attributes
    ----------
    bootstrap : GroupBootstrap
        The resamples.
    """

    def __init__(
        self,
        y: np.ndarray,
        groups: np.ndarray,
        evaluation: EvaluationConfig,
        widening: float = 1.0,
        scores: Sequence[str] | None = None,
        events: np.ndarray | None = None,
    ) -> None:
        self.y, self.groups = np.asarray(y), np.asarray(groups)
        self.seed, self.scores = evaluation.seed, scores
        self.bootstrap = GroupBootstrap(
            self.groups,
            evaluation.n_resamples,
            evaluation.level,
            evaluation.seed,
            widening,
            events,
        )

    @property
    def n_units(self) -> int:
        """Number of units that are resampled."""
        return self.bootstrap.n_units

    def score(self, given: np.ndarray) -> Scored:
        """Score probabilities, or any values of which the largest is predicted.

        Parameters
        ----------
        given : ndarray, shape (n_windows, n_classes)
        """
        drawn = self.bootstrap.draw(self.y, given, names=self.scores)
        return Scored(np.asarray(given).argmax(axis=1), drawn)

    def estimate(self, scored: Scored, metric: str = MAIN_METRIC) -> Estimate:
        """Value of one score and its interval."""
        return self.bootstrap.estimate(scored.draws, metric)

    def difference(self, a: Scored, b: Scored, metric: str = MAIN_METRIC) -> Estimate:
        """How much better `a` scores than `b`, over the same resamples."""
        return self.bootstrap.difference(a.draws, b.draws, metric)

    def compare(
        self,
        scored: Mapping[str, Scored],
        pairs: Sequence[tuple[str, str]],
        metrics: Sequence[str] = COMPARED,
    ) -> list[Comparison]:
        """Compare pairs of decoders by each metric, with Holm's correction for all.

        Parameters
        ----------
        scored : mapping of str to Scored
            By decoder.
        pairs : sequence of (str, str)
            Which is held against which.
        metrics : sequence of str
            Out of `COMPARED`; each is corrected for all pairs.
        """
        return [one for m in metrics for one in self._compare(scored, pairs, m)]

    def against(self, scored: Scored, value: float) -> tuple[float, str]:
        """Hold balanced accuracy against a fixed value, such as chance.

        Returns
        -------
        p_value : float
            Of the sign-flip test.
        reading : str
            See `read`; a single question needs no correction.
        """
        found = self.estimate(scored)
        gap = Estimate(*(end - value for end in (found.value, found.low, found.high)))
        given = self._parts(scored, MAIN_METRIC) - value * contributions(self.y, self.y)
        p_value = self._test(given)
        least, level = least_p_value(self.n_units), self.bootstrap.level
        return p_value, read(gap, p_value, least, level)

    def _test(self, differences: np.ndarray) -> float:
        return sign_flip_test(
            differences, self.groups, self.seed, self.bootstrap.widening
        )

    def _compare(
        self,
        scored: Mapping[str, Scored],
        pairs: Sequence[tuple[str, str]],
        metric: str,
    ) -> list[Comparison]:
        parts = {name: self._parts(one, metric) for name, one in scored.items()}
        p_values = [self._test(parts[a] - parts[b]) for a, b in pairs]
        found = []
        for (a, b), p in zip(pairs, p_values, strict=True):
            gap = self.difference(scored[a], scored[b], metric)
            found.append(Comparison(a, b, metric, gap, p, p, UNDECIDED))
        return corrected(found, self.n_units, self.bootstrap.level)

    def _parts(self, scored: Scored, metric: str) -> np.ndarray:
        """Split a score into what each window adds, (n_windows,)."""
        if metric == MAIN_METRIC:
            return contributions(self.y, scored.predicted)
        return (scored.predicted == self.y) / len(self.y)
