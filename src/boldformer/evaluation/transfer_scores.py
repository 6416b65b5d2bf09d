"""Balanced accuracy of everything that is compared when a decoder changes site."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from boldformer.config import EvaluationConfig
from boldformer.data.groups import event_names, resampling_groups, split_groups
from boldformer.data.splits import make_folds
from boldformer.evaluation.baselines import BASELINES
from boldformer.evaluation.intervals import Estimate
from boldformer.evaluation.judge import MAIN_METRIC, Comparison, Judge, Scored
from boldformer.evaluation.out_of_fold import out_of_fold
from boldformer.evaluation.transfer_learners import (
    Episode,
    Learner,
    Shots,
    make_episodes,
    predict_alone,
)


@dataclass(frozen=True, eq=False)
class SettingScore:
    """Balanced accuracy of one setting on one test site.

    Parameters
    ----------
    setting : {"zero-shot", "few-shot", "within-subject", "within-site"}
        What the decoder learned from: training sites; those and shots; shots alone; the
        test site's other subjects.
    alignment, shots, model : str
        Names; `shots` is "0" where there are none.
    n_subjects : int
        Subjects that were scored.
    rows : ndarray of int, shape (n_predictions,)
        Windows of the test site, of which some occur several times.
    judge : Judge
        Of these rows.
    scored : Scored
        What they were given.
    """

    setting: str
    alignment: str
    shots: str
    model: str
    n_subjects: int
    rows: np.ndarray
    judge: Judge
    scored: Scored

    @property
    def estimate(self) -> Estimate:
        """Value and interval."""
        return self.judge.estimate(self.scored)

    def against(self, value: float) -> tuple[float, str]:
        """Hold this against chance; see `boldformer.evaluation.judge.Judge.against`."""
        return self.judge.against(self.scored, value)

    def minus(self, other: SettingScore) -> Comparison:
        """How much better this is than `other`, which scores the same rows."""
        pair = {"this": self.scored, "other": other.scored}
        return self.judge.compare(pair, [("this", "other")], [MAIN_METRIC])[0]


class SiteJudge:
    """Scores predictions on one test site, always with the same resamples.

    Parameters
    ----------
    table : DataFrame
        Window table of the test site.
    y : ndarray of int, shape (n_target,)
        Classes.
    n_classes : int
        How many there are.
    evaluation : EvaluationConfig
        Resamples, level and seed.
    """

    def __init__(
        self,
        table: pd.DataFrame,
        y: np.ndarray,
        n_classes: int,
        evaluation: EvaluationConfig,
    ) -> None:
        self.table, self.y, self.n_classes = table, y, n_classes
        self.unit, self.groups = resampling_groups(table)
        self._evaluation = evaluation

    def score(
        self,
        rows: np.ndarray,
        predicted: np.ndarray,
        setting: str,
        *,
        alignment: str = "none",
        shots: str = "0",
        model: str = "linear",
    ) -> SettingScore:
        """Score the predictions of some rows."""
        judge = Judge(
            self.y[rows],
            self.groups[rows],
            self._evaluation,
            scores=[MAIN_METRIC],
            events=event_names(self.table)[rows],
        )
        n_subjects = int(self.table["subject"].iloc[rows].nunique())
        scored = judge.score(np.eye(self.n_classes)[predicted])
        return SettingScore(
            setting, alignment, shots, model, n_subjects, rows, judge, scored
        )

    def same_rows(self, one: SettingScore, like: SettingScore) -> SettingScore:
        """Score predictions of every window again, on the rows that `like` scores."""
        return self.score(
            like.rows,
            one.scored.predicted[like.rows],
            one.setting,
            alignment=one.alignment,
            model=one.model,
        )


def score_transfer(
    judge: SiteJudge,
    learner: Learner,
    shots: Sequence[Shots],
    alignment: str,
    model: str,
) -> Iterator[SettingScore]:
    """Score a decoder of other sites without shots, then with each number of them."""
    every = np.arange(len(judge.y))
    yield judge.score(
        every, learner.zero_shot(), "zero-shot", alignment=alignment, model=model
    )
    yield from _episodic(
        judge, learner.few_shot, shots, "few-shot", alignment=alignment, model=model
    )


def score_alone(
    judge: SiteJudge, features: np.ndarray, shots: Sequence[Shots], alignment: str
) -> Iterator[SettingScore]:
    """Score decoders fitted to a subject's shots alone."""
    alone = functools.partial(predict_alone, features)
    return _episodic(judge, alone, shots, "within-subject", alignment=alignment)


def _episodic(
    judge: SiteJudge,
    predict: Callable[[Episode, np.ndarray], np.ndarray],
    shots: Sequence[Shots],
    setting: str,
    **names: str,
) -> Iterator[SettingScore]:
    for wanted in shots:
        episodes, _ = make_episodes(judge.table, wanted)
        if not episodes:
            continue
        predicted = [predict(e, judge.y[e.shots]) for e in episodes]
        rows = np.concatenate([episode.test for episode in episodes])
        yield judge.score(
            rows, np.concatenate(predicted), setting, shots=str(wanted), **names
        )


def score_within_site(
    judge: SiteJudge, features: np.ndarray, alignment: str
) -> SettingScore:
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
