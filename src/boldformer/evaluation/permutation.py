"""What a linear decoder scores when labels mean nothing: the null by permutation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from sklearn.metrics import balanced_accuracy_score

from boldformer.data.groups import shuffle_within
from boldformer.data.splits import Fold, Splits
from boldformer.errors import InputError
from boldformer.training.linear import Rotation, make_solver


@dataclass(frozen=True)
class PermutationTest:
    """A score beside the scores of shuffled labels.

    Parameters
    ----------
    score : float
        Balanced accuracy with the true labels, out of fold.
    null : ndarray, shape (n_permutations,)
        The same with labels shuffled within runs.
    """

    score: float
    null: np.ndarray

    @property
    def p_value(self) -> float:
        """Share of scores as high, the true one counted among the shuffled."""
        as_high = np.sum(self.null >= self.score - 1e-12)
        return float((1 + as_high) / (1 + len(self.null)))


def permutation_test(
    gram: np.ndarray,
    y: np.ndarray,
    runs: np.ndarray,
    splits: Splits,
    *,
    n_permutations: int = 200,
    loss: Literal["svm", "logistic"] = "svm",
    C: float = 1.0,
    seed: int = 0,
) -> PermutationTest:
    """Test a linear decoder against labels shuffled within runs.

    Each fold's windows are rotated once, for all shuffles. The penalty is fixed, so
    that true and shuffled labels are treated alike.

    Parameters
    ----------
    gram : ndarray, shape (n_windows, n_windows)
        `boldformer.training.linear.gram_matrix` of all windows.
    y : ndarray of int, shape (n_windows,)
        Class of each window.
    runs : sequence, shape (n_windows,)
        Recording of each window.
    splits : Splits
        Folds; all windows they test count.
    n_permutations : int
        Shuffles; no p-value is below ``1 / (n_permutations + 1)``.
    loss, C
        Of `boldformer.training.linear.LinearDecoder`.
    seed : int
        Of the shuffles.

    Returns
    -------
    PermutationTest
        Score, null and p-value.

    Raises
    ------
    InputError
        When every run holds a single class: then shuffling within runs does nothing.
    """
    y = np.asarray(y)
    runs = np.unique(np.asarray(runs), return_inverse=True)[1]
    if all(len(np.unique(y[runs == run])) == 1 for run in range(runs.max() + 1)):
        raise InputError(
            "labels cannot be shuffled within runs",
            wanted="runs with more than one class",
            received="one class in every run",
        )
    rotated = [_Rotated.of(gram, fold) for fold in splits.folds]
    rng = np.random.default_rng(seed)
    score = _score(rotated, y, loss, C)
    shuffled = (y[shuffle_within(runs, rng)] for _ in range(n_permutations))
    return PermutationTest(
        score, np.array([_score(rotated, s, loss, C) for s in shuffled])
    )


@dataclass(frozen=True)
class _Rotated:
    """Both sides of a fold in the coordinates that its training windows span."""

    fold: Fold
    train: np.ndarray
    test: np.ndarray

    @classmethod
    def of(cls, gram: np.ndarray, fold: Fold) -> _Rotated:
        rotation = Rotation.from_gram(gram[np.ix_(fold.train, fold.train)])
        test = rotation.project(gram[np.ix_(fold.test, fold.train)])
        return cls(fold, rotation.coordinates, test)


def _score(
    rotated: list[_Rotated], y: np.ndarray, loss: Literal["svm", "logistic"], C: float
) -> float:
    solver = make_solver(loss, C, tol=1e-3)
    predicted = [
        solver.fit(sides.train, y[sides.fold.train]).predict(sides.test)
        for sides in rotated
    ]
    true = np.concatenate([y[sides.fold.test] for sides in rotated])
    return float(balanced_accuracy_score(true, np.concatenate(predicted)))
