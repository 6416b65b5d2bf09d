"""The one judge: scores with intervals, and paired comparisons, over the same units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from boldformer.config import EvaluationConfig
from boldformer.evaluation.intervals import (
    Draws,
    Estimate,
    GroupBootstrap,
    contributions,
    holm,
    sign_flip_test,
)

MAIN_METRIC = "balanced_accuracy"
COMPARED = ("accuracy", MAIN_METRIC)


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
    """

    a: str
    b: str
    metric: str
    difference: Estimate
    p_value: float
    p_holm: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        ends = self.difference.to_dict()
        named: dict[str, Any] = {"a": self.a, "b": self.b, "metric": self.metric}
        named |= {"difference": ends.pop("value"), **ends}
        return named | {"p_value": self.p_value, "p_holm": self.p_holm}


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
    ) -> None:
        self.y, self.groups = np.asarray(y), np.asarray(groups)
        self.seed, self.scores = evaluation.seed, scores
        self.bootstrap = GroupBootstrap(
            self.groups,
            evaluation.n_resamples,
            evaluation.level,
            evaluation.seed,
            widening,
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
        self, scored: Mapping[str, Scored], pairs: Sequence[tuple[str, str]]
    ) -> list[Comparison]:
        """Compare pairs of decoders by each metric, with Holm's correction for all.

        Parameters
        ----------
        scored : mapping of str to Scored
            By decoder.
        pairs : sequence of (str, str)
            Which is held against which.
        """
        return [one for m in COMPARED for one in self._compare(scored, pairs, m)]

    def _compare(
        self,
        scored: Mapping[str, Scored],
        pairs: Sequence[tuple[str, str]],
        metric: str,
    ) -> list[Comparison]:
        p_values = [
            sign_flip_test(
                self._parts(scored[a], metric) - self._parts(scored[b], metric),
                self.groups,
                self.seed,
                self.bootstrap.widening,
            )
            for a, b in pairs
        ]
        corrected = holm(np.array(p_values))
        return [
            Comparison(
                a, b, metric, self.difference(scored[a], scored[b], metric), p, float(q)
            )
            for (a, b), p, q in zip(pairs, p_values, corrected, strict=True)
        ]

    def _parts(self, scored: Scored, metric: str) -> np.ndarray:
        """Split a score into what each window adds, (n_windows,)."""
        if metric == MAIN_METRIC:
            return contributions(self.y, scored.predicted)
        return (scored.predicted == self.y) / len(self.y)
