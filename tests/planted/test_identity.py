"""Who somebody is must not help to decode somebody else."""

import numpy as np

from boldformer.data.splits import Splits, make_folds

# A pattern for each label that every person has alone, and an image of their own.
ALONE = {"own": 1.0, "identity": 3.0}
LINEAR = ("linear_svm", "logistic")


def test_patterns_of_ones_own_do_not_carry_to_strangers(judge, interval):
    """The hybrid in three folds and five cohorts, for want of time."""
    scores: dict[str, list[float]] = {name: [] for name in ("hybrid", *LINEAR)}
    for seed in range(10):
        planted = judge(seed, **ALONE)
        three = make_folds(planted.cohort.windows.table, folds=3)
        for name in scores if seed < 5 else LINEAR:
            splits = three if name == "hybrid" else planted.splits
            scores[name].append(planted.score(name, splits))
    for name, found in scores.items():
        low, high = interval(found, within=0.25 if name == "hybrid" else 0.1)
        assert low <= 0.5 <= high, (name, found)


def test_the_same_patterns_are_decoded_when_windows_are_split(judge):
    """So the test above can fail: a leaky split finds what it must not."""
    hybrid = []
    for seed in range(3):
        planted = judge(seed, **ALONE)
        leaky = planted.at_random()
        for name in LINEAR:
            assert planted.score(name, leaky) > 0.8, (name, seed)
        first = Splits(leaky.folds[:1], "subject", "the first leaky fold")
        hybrid.append(planted.score("hybrid", first))
    assert np.mean(hybrid) > 0.65, hybrid


def test_patterns_of_ones_own_are_decoded_in_another_run_of_the_same_person(judge):
    planted = judge(0, runs=2, **ALONE)
    within = make_folds(planted.cohort.windows.table, unit="run")
    assert planted.score("linear_svm", within) > 0.8


def test_favourite_labels_do_not_raise_the_score(judge, interval):
    """Every person does one label three times as often as the other."""
    scores: dict[str, list[float]] = {name: [] for name in LINEAR}
    for seed in range(5):
        planted = judge(seed, proportions=True, **ALONE)
        for name in LINEAR:
            scores[name].append(planted.score(name))
    for name in LINEAR:
        low, _ = interval(scores[name], within=0.4)
        assert low <= 0.5, (name, scores[name])


def test_with_every_default_the_decoder_does_not_know_strangers(judge):
    """People all right or all wrong at random score 0.5 ± 0.14 (one SD) at most."""
    assert judge(20, **ALONE).score("hybrid") < 0.75
