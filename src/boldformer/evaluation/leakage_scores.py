"""Scores of one recipe under several splits, over the same resamples of subjects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from boldformer.data.groups import resampling_groups
from boldformer.data.splits import Fold
from boldformer.evaluation.intervals import Estimate, GroupBootstrap
from boldformer.evaluation.leakage import block_names
from boldformer.evaluation.metrics import weighted_recall
from boldformer.training.linear import DEFAULT_C, Rotation, make_solver

_TOLERANCE = 1e-3


def linear_fold(
    gram: np.ndarray, labellings: np.ndarray, fold: Fold, n_classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Fit the linear SVM of one fold to several labellings of the same samples.

    The penalty is fixed: chosen by inner folds it would differ between schemes.

    Parameters
    ----------
    gram : ndarray, shape (n_samples, n_samples)
        `boldformer.training.linear.gram_matrix` of all samples.
    labellings : ndarray of int, shape (n_labellings, n_samples)
        Classes, true or shuffled.
    fold : Fold
        Training and test samples.
    n_classes : int
        Number of columns.

    Returns
    -------
    scores : ndarray, shape (n_labellings, n_test, n_classes)
        Signed distances; those of a class without training samples are the lowest.
    training_accuracy : ndarray, shape (n_labellings,)
        On the training samples.
    """
    rotation = Rotation.from_gram(gram[np.ix_(fold.train, fold.train)])
    tested = rotation.project(gram[np.ix_(fold.test, fold.train)])
    scores, accuracy = [], []
    for labels in labellings:
        solver = make_solver("svm", DEFAULT_C, tol=_TOLERANCE)
        solver.fit(rotation.coordinates, labels[fold.train])
        given = solver.decision_function(tested)
        if given.ndim == 1:
            given = np.stack([-given, given], axis=1)
        every = np.full((len(fold.test), n_classes), given.min() - 1.0)
        every[:, solver.classes_] = given
        scores.append(every)
        accuracy.append(solver.score(rotation.coordinates, labels[fold.train]))
    return np.stack(scores), np.array(accuracy)


@dataclass(frozen=True, eq=False)
class Scored:
    """Balanced accuracy, plain and resampled over subjects.

    Parameters
    ----------
    estimate : Estimate
        Value and interval.
    resampled : ndarray, shape (n_resamples,)
        For paired differences.
    """

    estimate: Estimate
    resampled: np.ndarray


class Judge:
    """Scores predictions for all samples under any scheme with the same resamples.

    Subjects are drawn under every scheme, so differences between schemes are paired.
    Under a leaky scheme the interval says how the score differs between these
    subjects, the leak being there; it says nothing of people who were not scanned.

    Parameters
    ----------
    table : DataFrame
        Samples.
    targets : ndarray of int, shape (n_samples,)
        Classes.
    n_resamples, level, seed
        See `GroupBootstrap`.

    Attributes
    ----------
    unit : {"family", "subject", "run"}
        What is resampled.
    """

    def __init__(
        self,
        table: pd.DataFrame,
        targets: np.ndarray,
        *,
        n_resamples: int = 1000,
        level: float = 0.95,
        seed: int = 0,
    ) -> None:
        self.targets = np.asarray(targets)
        self.unit, groups = resampling_groups(table)
        _, self._first, self._block = np.unique(
            block_names(table), return_index=True, return_inverse=True
        )
        self._of_samples, self._of_blocks = (
            GroupBootstrap(some, n_resamples, level, seed)
            for some in (groups, groups[self._first])
        )

    def score(self, scores: np.ndarray) -> Scored:
        """Score samples one by one; `scores` are (n_samples, n_classes)."""
        return _scored(self.targets, scores, self._of_samples)

    def score_blocks(self, scores: np.ndarray) -> Scored:
        """Score blocks by the mean of their samples' scores."""
        sums = np.zeros((len(self._first), scores.shape[1]))
        np.add.at(sums, self._block, scores)
        return _scored(self.targets[self._first], sums, self._of_blocks)

    def difference(self, a: Scored, b: Scored) -> Estimate:
        """How much higher `a` is than `b`, over the same resamples."""
        value = a.estimate.value - b.estimate.value
        return self._of_samples.around(value, a.resampled - b.resampled)


def balanced_accuracy(
    targets: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """Balanced accuracy under each row of weights, shape (n_resamples,).

    Parameters
    ----------
    targets : ndarray of int, shape (n,)
        Classes.
    scores : ndarray, shape (n, n_classes)
        The highest of a row is the class predicted.
    weights : ndarray, shape (n_resamples, n), optional
        Multiplicities; a single row of ones by default. Classes that a resample lacks
        are left out of its mean.
    """
    weights = np.ones((1, len(targets))) if weights is None else weights
    predicted = scores.argmax(axis=1)
    recall = weighted_recall(targets, predicted, scores.shape[1], weights)
    present = np.isfinite(recall)
    return np.where(present, recall, 0).sum(axis=1) / present.sum(axis=1)


def _scored(
    targets: np.ndarray, scores: np.ndarray, bootstrap: GroupBootstrap
) -> Scored:
    value = float(balanced_accuracy(targets, scores)[0])
    resampled = balanced_accuracy(targets, scores, bootstrap.weights)
    return Scored(bootstrap.around(value, resampled), resampled)
