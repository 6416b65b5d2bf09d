"""Labels shuffled within runs leave nothing to decode."""

import pytest

from boldformer.data.splits import Splits, make_folds

EFFECT = {"shared": 0.5, "runs": 1}
DECODERS = ("hybrid", "linear_svm", "logistic")


def test_shuffled_labels_score_at_chance(judge, interval):
    """The hybrid in three folds instead of five, for want of time."""
    scores: dict[str, list[float]] = {name: [] for name in DECODERS}
    for seed in range(5):
        planted = judge(seed, shuffled=True, **EFFECT)
        three = make_folds(planted.cohort.windows.table, folds=3)
        for name in DECODERS:
            splits = three if name == "hybrid" else planted.splits
            scores[name].append(planted.score(name, splits))
    for name in DECODERS:
        low, high = interval(scores[name], within=0.2)
        assert low <= 0.5 <= high, (name, scores[name])


def test_the_same_cohort_is_decoded_before_the_labels_are_shuffled(judge):
    planted = judge(0, **EFFECT)
    first = Splits(planted.splits.folds[:1], "subject", "the first fold")
    for name in DECODERS:
        assert planted.score(name, first) > 0.9, name


def test_with_every_default_shuffled_labels_score_at_chance(judge):
    """96 windows: the 99 % interval of a fair coin is 0.5 ± 0.13."""
    score = judge(20, shuffled=True, **EFFECT).score("hybrid")
    assert score == pytest.approx(0.5, abs=0.13)
