"""Scores of a transfer: scikit-learn's, over subjects, compared on the same windows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score

from boldformer.config import EvaluationConfig
from boldformer.evaluation.transfer_learners import Episode, Shots
from boldformer.evaluation.transfer_scores import (
    SiteJudge,
    score_alone,
    score_transfer,
    score_within_site,
)


@pytest.fixture
def table() -> pd.DataFrame:
    rows = [
        (subject, f"sub-{subject}_run-{run}", f"{subject}{run}@{block}", block % 2)
        for subject in "abcd"
        for run in range(2)
        for block in range(8)
    ]
    table = pd.DataFrame(rows, columns=["subject", "recording", "block", "label"])
    return table.assign(session="", run=table["recording"].str[-1], window=table.index)


@pytest.fixture
def judge(table: pd.DataFrame) -> SiteJudge:
    evaluation = EvaluationConfig(n_resamples=200)
    return SiteJudge(table, table["label"].to_numpy(), 2, evaluation)


class Coin:
    def __init__(self, n: int) -> None:
        self.guess = np.random.default_rng(0).integers(0, 2, n)

    def zero_shot(self) -> np.ndarray:
        return self.guess

    def few_shot(self, episode: Episode, y: np.ndarray) -> np.ndarray:
        return np.zeros(len(episode.test), dtype=int)


def test_the_score_is_balanced_accuracy_with_an_interval(judge: SiteJudge) -> None:
    predicted = np.random.default_rng(1).integers(0, 2, len(judge.y))
    scored = judge.score(np.arange(len(judge.y)), predicted, "zero-shot")
    wanted = balanced_accuracy_score(judge.y, predicted)
    assert scored.estimate.value == pytest.approx(wanted)
    assert scored.estimate.low <= wanted <= scored.estimate.high
    assert scored.n_subjects == 4
    assert judge.unit == "subject"


def test_a_score_does_not_differ_from_itself(judge: SiteJudge) -> None:
    scored = judge.score(np.arange(len(judge.y)), judge.y, "zero-shot")
    gap = scored.minus(scored)
    assert (gap.difference.value, gap.p_value, gap.reading) == (0, 1, "too few units")


def test_transfer_gives_a_row_without_and_one_with_each_number_of_shots(
    judge: SiteJudge,
) -> None:
    learner = Coin(len(judge.y))
    rows = list(score_transfer(judge, learner, [Shots(1), Shots(99)], "none", "coin"))
    assert [(r.setting, r.shots) for r in rows] == [
        ("zero-shot", "0"),
        ("few-shot", "1"),
    ]
    same = judge.same_rows(rows[0], rows[1])
    np.testing.assert_array_equal(same.scored.predicted, learner.guess[rows[1].rows])


def test_references_find_a_signal(judge: SiteJudge) -> None:
    rng = np.random.default_rng(0)
    features = judge.y[:, None] * 2.0 + 0.3 * rng.standard_normal((len(judge.y), 20))
    (alone,) = score_alone(judge, features, [Shots(1)], "none")
    assert alone.setting == "within-subject"
    assert alone.estimate.value > 0.9
    assert score_within_site(judge, features, "none").estimate.value > 0.9
