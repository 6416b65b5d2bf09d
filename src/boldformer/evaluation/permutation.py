"""What a linear decoder scores when labels mean nothing: the null by permutation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.metrics import balanced_accuracy_score

from boldformer.data.groups import event_shuffler
from boldformer.data.splits import Fold, Splits
from boldformer.errors import InputError
from boldformer.training.linear_decoder import Rotation
from boldformer.training.solvers import one_against_rest, solve_squared_hinge

# Enough to share what does not depend on labels, few enough to hold.
_LABELLINGS_AT_ONCE = 25


@dataclass(frozen=True)
class PermutationTest:
    """A score beside the scores of shuffled labels.

    Parameters
    ----------
    score : float
        Balanced accuracy with the true labels, out of fold.
    null : ndarray, shape (n_permutations,)
        The same with labels shuffled among the events of each run.
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
    table: pd.DataFrame,
    splits: Splits,
    *,
    n_permutations: int = 200,
    C: float = 1.0,
    seed: int = 0,
) -> PermutationTest:
    """Test a linear support vector machine against labels shuffled among events.

    Inner products of each fold's windows are taken once, for all shuffles. The penalty
    is fixed, so that true and shuffled labels are treated alike.

    Parameters
    ----------
    gram : ndarray, shape (n_windows, n_windows)
        `boldformer.training.linear_decoder.gram_matrix` of all windows.
    y : ndarray of int, shape (n_windows,)
        Class of each window.
    table : DataFrame
        Window table: labels are exchanged between the events of a ``recording``.
    splits : Splits
        Folds; all windows they test count.
    n_permutations : int
        Shuffles; no p-value is below ``1 / (n_permutations + 1)``.
    C : float
        Of `boldformer.training.linear_decoder.LinearDecoder`.
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
    if (pd.Series(y).groupby(table["recording"].to_numpy()).nunique() == 1).all():
        raise InputError(
            "labels cannot be shuffled within runs",
            wanted="runs with more than one class",
            received="one class in every run",
        )
    shuffle = event_shuffler(table, np.random.default_rng(seed))
    labellings = np.stack([y, *(shuffle(y) for _ in range(n_permutations))])
    tested = np.concatenate([fold.test for fold in splits.folds])
    predicted = np.concatenate(
        [_predict(gram, fold, labellings, C) for fold in splits.folds], axis=1
    )
    scores = [
        balanced_accuracy_score(true[tested], given)
        for true, given in zip(labellings, predicted, strict=True)
    ]
    return PermutationTest(scores[0], np.array(scores[1:]))


def _predict(
    gram: np.ndarray, fold: Fold, labellings: np.ndarray, C: float
) -> np.ndarray:
    """Classes of a fold's test windows by each labelling, (n_labellings, n_test)."""
    rotation = Rotation.from_gram(gram[np.ix_(fold.train, fold.train)])
    trained = rotation.coordinates
    tested = rotation.project(gram[np.ix_(fold.test, fold.train)])
    inner, across = trained @ trained.T + 1.0, trained @ tested.T + 1.0
    predicted = []
    for start in range(0, len(labellings), _LABELLINGS_AT_ONCE):
        some = labellings[start : start + _LABELLINGS_AT_ONCE, fold.train]
        classes, signs, penalties = zip(*map(one_against_rest, some), strict=True)
        dual = solve_squared_hinge(
            inner, np.concatenate(signs), C * np.concatenate(penalties)
        )
        ends = np.cumsum([len(rows) for rows in signs])[:-1]
        for names, decisions in zip(
            classes, np.split(dual @ across, ends), strict=True
        ):
            # Two classes share one row, positive for the second.
            single = len(decisions) == 1
            best = decisions[0] > 0 if single else decisions.argmax(axis=0)
            predicted.append(names[best.astype(int)])
    return np.stack(predicted)
