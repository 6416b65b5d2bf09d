"""Balanced accuracy of everything that is compared when a decoder changes site."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from boldformer.data.groups import resampling_groups, split_groups
from boldformer.data.splits import make_folds
from boldformer.evaluation.baselines import BASELINES, out_of_fold
from boldformer.evaluation.intervals import Estimate, GroupBootstrap
from boldformer.evaluation.metrics import weighted_recall
from boldformer.evaluation.transfer import (
    Episode,
    Learner,
    Shots,
    make_episodes,
    predict_alone,
)

SETTINGS = ("zero-shot", "few-shot", "within-subject", "within-site")


@dataclass(frozen=True, eq=False)
class Scored:
    """Balanced accuracy of one setting, plain and resampled over subjects.

    Parameters
    ----------
    setting : {"zero-shot", "few-shot", "within-subject", "within-site"}
        What the decoder learned from: training sites; those and shots; shots alone; the
        test site's other subjects.
    alignment, shots, model : str
        Names; `shots` is "0" where there are none.
    n_subjects : int
        Subjects that were scored.
    rows, predicted : ndarray of int, shape (n_predictions,)
        Windows of the test site, of which some occur several times, and the class each
        was given.
    estimate : Estimate
        Value and interval.
    resampled : ndarray, shape (n_resamples,)
        For paired differences.
    """

    setting: str
    alignment: str
    shots: str
    model: str
    n_subjects: int
    rows: np.ndarray
    predicted: np.ndarray
    estimate: Estimate
    resampled: np.ndarray


class Judge:
    """Scores predictions on one test site, always with the same resamples.

    Parameters
    ----------
    table : DataFrame
        Window table of the test site.
    y : ndarray of int, shape (n_target,)
        Classes.
    n_classes : int
        How many there are.
    n_resamples, level, seed
        See `GroupBootstrap`.
    """

    def __init__(
        self,
        table: pd.DataFrame,
        y: np.ndarray,
        n_classes: int,
        *,
        n_resamples: int = 1000,
        level: float = 0.95,
        seed: int = 0,
    ) -> None:
        self.table, self.y, self.n_classes = table, y, n_classes
        self.unit, self.groups = resampling_groups(table)
        self._resample = functools.partial(
            GroupBootstrap, n_resamples=n_resamples, level=level, seed=seed
        )

    def score(
        self,
        rows: np.ndarray,
        predicted: np.ndarray,
        setting: str,
        *,
        alignment: str = "none",
        shots: str = "0",
        model: str = "linear",
    ) -> Scored:
        """Score the predictions of some rows."""
        bootstrap = self._resample(self.groups[rows])
        value, resampled = (
            self._balanced_accuracy(rows, predicted, weights)
            for weights in (np.ones((1, len(rows))), bootstrap.weights)
        )
        return Scored(
            setting,
            alignment,
            shots,
            model,
            int(self.table["subject"].iloc[rows].nunique()),
            rows,
            predicted,
            bootstrap.around(float(value[0]), resampled),
            resampled,
        )

    def _balanced_accuracy(
        self, rows: np.ndarray, predicted: np.ndarray, weights: np.ndarray
    ) -> np.ndarray:
        recall = weighted_recall(self.y[rows], predicted, self.n_classes, weights)
        present = np.isfinite(recall)
        total = np.where(present, recall, 0.0).sum(axis=1)
        return total / np.maximum(present.sum(axis=1), 1)

    def difference(self, a: Scored, b: Scored) -> Estimate:
        """How much better `a` is than `b`, which scores the same rows."""
        bootstrap = self._resample(self.groups[a.rows])
        value = a.estimate.value - b.estimate.value
        return bootstrap.around(value, a.resampled - b.resampled)

    def same_rows(self, scored: Scored, like: Scored) -> Scored:
        """Score predictions of every window again, on the rows that `like` scores."""
        return self.score(
            like.rows,
            scored.predicted[like.rows],
            scored.setting,
            alignment=scored.alignment,
            model=scored.model,
        )


def score_transfer(
    judge: Judge, learner: Learner, shots: Sequence[Shots], alignment: str, model: str
) -> Iterator[Scored]:
    """Score a decoder of other sites without shots, then with each number of them."""
    every = np.arange(len(judge.y))
    yield judge.score(
        every, learner.zero_shot(), "zero-shot", alignment=alignment, model=model
    )
    yield from _episodic(
        judge, learner.few_shot, shots, "few-shot", alignment=alignment, model=model
    )


def score_alone(
    judge: Judge, features: np.ndarray, shots: Sequence[Shots], alignment: str
) -> Iterator[Scored]:
    """Score decoders fitted to a subject's shots alone."""
    alone = functools.partial(predict_alone, features)
    return _episodic(judge, alone, shots, "within-subject", alignment=alignment)


def _episodic(
    judge: Judge,
    predict: Callable[[Episode, np.ndarray], np.ndarray],
    shots: Sequence[Shots],
    setting: str,
    **names: str,
) -> Iterator[Scored]:
    for wanted in shots:
        episodes, _ = make_episodes(judge.table, wanted)
        if not episodes:
            continue
        predicted = [predict(e, judge.y[e.shots]) for e in episodes]
        rows = np.concatenate([episode.test for episode in episodes])
        yield judge.score(
            rows, np.concatenate(predicted), setting, shots=str(wanted), **names
        )


def score_within_site(judge: Judge, features: np.ndarray, alignment: str) -> Scored:
    """Score the linear decoder trained on the test site's other subjects.

    The reference that transfer is held against; other runs where there is one subject.
    """
    table = judge.table.assign(window=np.arange(len(judge.table)))
    splits = make_folds(table.reset_index(drop=True))
    found = out_of_fold(
        BASELINES["linear_svm"].make(),
        features,
        judge.y,
        splits,
        split_groups(table, splits.unit),
        judge.n_classes,
    )
    rows = np.flatnonzero(np.isfinite(found.probabilities).all(axis=1))
    predicted = found.probabilities[rows].argmax(axis=1)
    return judge.score(rows, predicted, "within-site", alignment=alignment)
