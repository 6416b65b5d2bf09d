"""How sure a score is: resampling whole subjects, and pairing decoders on them.

Windows of one person are alike, so people (runs, within one person) are drawn, never
windows. With few units no interval can be trusted: resampling six or fewer cannot show
how different the seventh would be, and with two or three an interval is hardly more
than the range of the units.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from boldformer.data.splits import Fold
from boldformer.errors import InputError
from boldformer.evaluation.metrics import SCORES, weighted_recall, weighted_scores

UNRELIABLE_BELOW = 7
_EXACT_UP_TO = 13
_MOST_FLIPS = 9999


@dataclass(frozen=True)
class Estimate:
    """A value and its interval.

    Parameters
    ----------
    value : float
        From all windows, each predicted out of fold; NaN where it is not defined.
    low, high : float
        Ends of the interval; NaN where none exists.
    """

    value: float
    low: float = np.nan
    high: float = np.nan

    def to_dict(self) -> dict[str, float | None]:
        """JSON-ready: ``value``, ``low`` and ``high``, with None for NaN."""
        named = {"value": self.value, "low": self.low, "high": self.high}
        return {k: float(v) if np.isfinite(v) else None for k, v in named.items()}


@dataclass(frozen=True)
class Draws:
    """Scores of one decoder, plain and in every resample.

    Parameters
    ----------
    values : dict of str to float
        By score; recall is called ``recall_0``, ``recall_1`` … by class.
    resampled : dict of str to ndarray, shape (n_resamples,)
        The same keys.
    """

    values: dict[str, float]
    resampled: dict[str, np.ndarray]


class GroupBootstrap:
    """Resamples of groups, the same for every decoder, so that differences are paired.

    Parameters
    ----------
    groups : sequence, shape (n_windows,)
        Subject (or family, or run) of each window.
    n_resamples : int
        How many.
    level : float
        Coverage wanted, between 0 and 1.
    seed : int
        Of the draws.
    widening : float
        Factor on the distance of both ends from the value; see `reuse_widening`.

    Attributes
    ----------
    n_units : int
        Number of groups.
    weights : ndarray of float32, shape (n_resamples, n_windows)
        How often each window occurs in each resample.

    Notes
    -----
    The interval lies between percentiles of the resampled scores. Plain percentiles
    are too narrow for few units, by the factor ``sqrt(n / (n - 1))`` and for want of
    Student's t; they are moved outwards accordingly (Hesterberg, 2015). In simulations
    of balanced accuracy with subjects of differing skill, 95 % intervals held the truth
    in 95 % of cases with 20 subjects, 93 % with 10, 90 % with 7, 88 % with 5 and 75 %
    with 3 (plain percentiles: 93, 90, 84, 81 and 73 %). With fewer than seven units
    the interval is unreliable.

    References
    ----------
    Hesterberg (2015). What teachers should know about the bootstrap. The American
    Statistician 69(4), 371-386.
    """

    def __init__(
        self,
        groups: np.ndarray,
        n_resamples: int = 1000,
        level: float = 0.95,
        seed: int = 0,
        widening: float = 1.0,
    ) -> None:
        if not 0 < level < 1 or n_resamples < 0:
            raise InputError(
                "no such interval",
                wanted="a level between 0 and 1 and 0 or more resamples",
                received=f"level={level}, n_resamples={n_resamples}",
            )
        names, membership = np.unique(np.asarray(groups), return_inverse=True)
        self.n_units = len(names)
        self.level, self.widening = level, widening
        draws = np.random.default_rng(seed).multinomial(
            self.n_units, np.full(self.n_units, 1 / self.n_units), size=n_resamples
        )
        self.weights = draws[:, membership].astype(np.float32)

    def only(self, rows: np.ndarray) -> GroupBootstrap:
        """Return the same resamples of some of the windows.

        Parameters
        ----------
        rows : ndarray of bool, shape (n_windows,)
            Windows to keep; every group is still counted as a unit.
        """
        part = copy.copy(self)
        part.weights = self.weights[:, rows]
        return part

    def draw(
        self,
        y_true: np.ndarray,
        probabilities: np.ndarray,
        y_pred: np.ndarray | None = None,
        names: Sequence[str] | None = None,
    ) -> Draws:
        """Score one decoder in every resample.

        Parameters
        ----------
        y_true, probabilities, y_pred
            As for `boldformer.evaluation.metrics.classification_scores`.
        names : sequence of str
            Scores to take; all of them by default.

        Returns
        -------
        Draws
            The scores, and the recall of each class.
        """
        n_classes = np.shape(probabilities)[1]
        if y_pred is None:
            y_pred = np.argmax(probabilities, axis=1)
        found = []
        for weights in (np.ones((1, len(y_true))), self.weights):
            scores = weighted_scores(y_true, probabilities, weights, y_pred, names)
            recall = weighted_recall(y_true, y_pred, n_classes, weights)
            named = {f"recall_{k}": recall[:, k] for k in range(n_classes)}
            found.append(scores | named)
        plain, resampled = found
        return Draws({name: float(v[0]) for name, v in plain.items()}, resampled)

    def around(self, value: float, resampled: np.ndarray) -> Estimate:
        """Put an interval of coverage `level` around a value.

        Parameters
        ----------
        value : float
            Plain score, or difference of two.
        resampled : ndarray, shape (n_resamples,)
            The same in every resample; those in which it is not defined (NaN) are left
            out.

        Returns
        -------
        Estimate
            Without ends for a single unit or no defined resample.
        """
        defined = resampled[np.isfinite(resampled)]
        if self.n_units < 2 or not len(defined):
            return Estimate(value)
        n = self.n_units
        widened = np.sqrt(n / (n - 1)) * stats.t.ppf((1 - self.level) / 2, n - 1)
        tail = stats.norm.cdf(widened)
        ends = np.quantile(defined, [tail, 1 - tail])
        low, high = value + self.widening * (ends - value)
        return Estimate(value, float(low), float(high))

    def estimate(self, draws: Draws, name: str) -> Estimate:
        """Value of one score and its interval, which ends where the score does."""
        found = self.around(draws.values[name], draws.resampled[name])
        least = SCORES[name].least if name in SCORES else 0.0
        low, high = np.clip([found.low, found.high], least, 1.0)
        return Estimate(found.value, float(low), float(high))

    def difference(self, a: Draws, b: Draws, name: str) -> Estimate:
        """How much better `a` scores than `b`, over the same resamples."""
        gap = a.resampled[name] - b.resampled[name]
        return self.around(a.values[name] - b.values[name], gap)


def reuse_widening(folds: Sequence[Fold]) -> float:
    """How much wider intervals of cross-validated scores must be.

    Resampling takes the trained decoders as they are. In cross-validation the people
    tested in one fold train the decoders of all others, so folds err together, and a
    score varies more from study to study than its resamples do. The variance of a score
    is taken to be ``1 + K n_test / n_train`` times that of its resamples, in K folds:
    factor ``sqrt(2 + n_test / n_train)`` on the interval, 1.5 for five folds.

    Parameters
    ----------
    folds : sequence of Fold
        How windows were divided.

    Returns
    -------
    float
        1 where no window is both trained on and tested.

    Notes
    -----
    In 120 simulated studies of 24 subjects plain 95 % intervals of a linear decoder
    held the accuracy of its folds' decoders on new people in 87 %, widened ones in 98 %
    (``benchmarks/README.md``); with more noise or windows, in 80 to 92 and 97 to 100 %.
    The correction errs on the side of caution. No unbiased one exists (Bengio &
    Grandvalet, 2004).

    References
    ----------
    Nadeau, C. & Bengio, Y. (2003). Inference for the generalization error. Machine
    Learning 52, 239-281.
    Bates, S., Hastie, T. & Tibshirani, R. (2023). Cross-validation: what does it
    estimate and how well does it do it? JASA 119, 1434-1445.
    """
    tested = np.concatenate([fold.test for fold in folds])
    trained = np.concatenate([fold.train for fold in folds])
    if not len(np.intersect1d(tested, trained)):
        return 1.0
    ratio = np.mean([len(fold.test) / len(fold.train) for fold in folds])
    return float(np.sqrt(2 + ratio))


def sign_flip_test(
    differences: np.ndarray, groups: np.ndarray, seed: int = 0, widening: float = 1.0
) -> float:
    """Probability of so large a difference were two decoders interchangeable.

    Parameters
    ----------
    differences : ndarray, shape (n_windows,)
        What each window adds to the difference of two scores; see `contributions`.
    groups : sequence, shape (n_windows,)
        Units; under the null the two decoders may be swapped in any of them.
    seed : int
        Of the swaps, for more than 13 units; up to there all are gone through.
    widening : float
        Factor on the standard error of the difference, by whose Student's t swaps are
        compared; see `reuse_widening`. Without it, two equally good decoders differed
        at 0.05 in 10 % of simulated studies, and in 3 % with it.

    Returns
    -------
    float
        Two-sided p-value. With `n` units none is below ``2 / 2**n``: five or fewer
        cannot reach 0.05.
    """
    membership = np.unique(np.asarray(groups), return_inverse=True)[1]
    sums = np.bincount(membership, differences)
    n = len(sums)
    if n <= _EXACT_UP_TO:
        signs = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
    else:
        drawn = np.random.default_rng(seed).integers(0, 2, size=(_MOST_FLIPS, n))
        signs = np.vstack([np.ones((1, n), dtype=int), 1 - 2 * drawn])
    # Squares of Student's t, up to a factor: the order of the flips is that of their
    # sums, and a t can be divided by a factor on its standard error.
    squares, total = (signs @ sums) ** 2, sums.sum() ** 2
    most = n * (sums @ sums)
    if most == 0:
        return 1.0
    with np.errstate(divide="ignore"):
        flipped = squares / np.maximum(most - squares, 1e-12 * most)
        found = total / max(most - total, 1e-12 * most)
    return float(np.mean(flipped >= found / widening**2 * (1 - 1e-9)))


def contributions(y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    """Split balanced accuracy into what each window adds, shape (n_windows,)."""
    counts = np.bincount(y_true)
    return (y_true == y_pred) / (counts[y_true] * np.count_nonzero(counts))


def holm(p_values: np.ndarray) -> np.ndarray:
    """Correct p-values for their number by Holm's step-down method.

    Parameters
    ----------
    p_values : ndarray, shape (n_tests,)
        Uncorrected.

    Returns
    -------
    ndarray, shape (n_tests,)
        In the same order; the chance of any false rejection is at most the threshold.

    References
    ----------
    Holm (1979). A simple sequentially rejective multiple test procedure. Scandinavian
    Journal of Statistics 6(2), 65-70.
    """
    p_values = np.asarray(p_values, dtype=float)
    order = np.argsort(p_values, kind="stable")
    stepped = p_values[order] * np.arange(len(order), 0, -1)
    corrected = np.empty_like(stepped)
    corrected[order] = np.minimum(1, np.maximum.accumulate(stepped))
    return corrected
