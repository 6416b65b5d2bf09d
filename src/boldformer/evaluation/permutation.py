"""What a linear decoder scores when labels mean nothing: the null by permutation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.linalg import cho_factor, cho_solve
from sklearn.metrics import balanced_accuracy_score

from boldformer.data.groups import event_shuffler
from boldformer.data.splits import Fold, Splits
from boldformer.errors import InputError
from boldformer.training.rotation import Rotation


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
    """Test a linear ridge classifier against labels shuffled among events.

    It is solved once a fold, for all labellings: one labelling costs a product of
    matrices. The penalty is fixed, so that true and shuffled labels are treated alike.

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
        Inverse penalty: least squares with C = 1 weigh errors as the machine of
        `boldformer.training.linear_decoder.LinearDecoder` does.
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
    system = trained.T @ trained
    system.flat[:: len(system) + 1] += 0.5 / C
    # What a training window's target adds to each decision, the same for all labels.
    adds = tested @ cho_solve(cho_factor(system), trained.T)
    classes = np.unique(labellings)
    predicted = []
    for labels in labellings[:, fold.train]:
        mine = (labels[:, None] == classes).astype(float)
        share = mine.mean(axis=0)
        decisions = share + adds @ (mine - share)
        with np.errstate(divide="ignore", invalid="ignore"):
            # Rare classes count as much as others; absent ones are never predicted.
            relative = np.where(share > 0, decisions / share, -np.inf)
        predicted.append(classes[relative.argmax(axis=1)])
    return np.stack(predicted)
