"""Learning curves rise where there is more to learn, on the same test windows."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from boldformer.data.splits import Fold, Splits
from boldformer.evaluation.intervals import GroupBootstrap
from boldformer.evaluation.learning_curve import (
    curve_sizes,
    curve_table,
    learning_curve,
    linear_predict,
    smaller_fold,
)
from boldformer.training.linear_decoder import DEFAULT_C, LinearDecoder, gram_matrix


def cohort(n_subjects=12, effect=0.5, seed=0, p=200):
    rng = np.random.default_rng(seed)
    y = np.tile(np.arange(3), 4 * n_subjects)
    groups = np.repeat([f"{s:02d}" for s in range(n_subjects)], 12)
    X = rng.normal(size=(len(y), p)) + effect * rng.normal(size=(3, p))[y]
    X += rng.normal(size=(n_subjects, p))[np.repeat(np.arange(n_subjects), 12)]
    parts = np.array_split(np.unique(groups), 4)
    folds = [
        Fold(k, *(np.flatnonzero(np.isin(groups, part) == s) for s in (False, True)))
        for k, part in enumerate(parts)
    ]
    return X, y, groups, Splits(tuple(folds), "subject", "four folds")


def test_sizes_end_where_every_fold_can_follow():
    _, _, groups, splits = cohort()
    assert curve_sizes(splits, groups) == [1, 2, 4, 6, 9]
    assert curve_sizes(splits, groups, 2) == [1, 9]


def test_smaller_folds_are_nested_and_keep_their_test_side():
    _, y, groups, splits = cohort()
    fold = splits.folds[1]
    before: set = set()
    for size in (1, 3, 9):
        smaller = smaller_fold(fold, y, groups, size, seed=0)
        assert len(np.unique(groups[smaller.train])) == size
        np.testing.assert_array_equal(smaller.test, fold.test)
        assert before <= set(smaller.train)
        before = set(smaller.train)
    assert before == set(fold.train)
    only = np.where(groups == groups[fold.train[0]], y, 0)
    assert any(smaller_fold(fold, only, groups, 1, s) is None for s in range(9))


def test_the_curve_rises_and_ends_at_the_full_score():
    X, y, groups, splits = cohort(effect=0.25)
    bootstrap = GroupBootstrap(groups, 100)
    predict = linear_predict(gram_matrix(X), y)
    points = list(learning_curve(predict, y, splits, groups, bootstrap))
    assert [point.n_groups for point in points] == [1, 2, 4, 6, 9]
    assert points[-1].score.value > points[0].score.value + 0.1
    assert all(p.score.low <= p.score.value <= p.score.high for p in points)
    full = np.empty_like(y)
    for fold in splits.folds:
        decoder = LinearDecoder("svm", C=DEFAULT_C, n_voxels=None)
        full[fold.test] = decoder.fit(X[fold.train], y[fold.train]).predict(
            X[fold.test]
        )
    expected = balanced_accuracy_score(y, full)
    assert points[-1].score.value == pytest.approx(expected, abs=0.01)
    table = curve_table({"linear_svm": points})
    assert list(table["n_windows"]) == [12, 24, 48, 72, 108]


def test_without_an_effect_the_curve_is_flat_at_chance():
    X, y, groups, splits = cohort(effect=0.0)
    bootstrap = GroupBootstrap(groups, 50)
    predict = linear_predict(gram_matrix(X), y)
    for point in learning_curve(predict, y, splits, groups, bootstrap):
        assert point.score.value == pytest.approx(1 / 3, abs=0.12)


def test_sizes_that_lack_a_class_are_left_out():
    X, y, groups, splits = cohort(n_subjects=4)
    y = np.where(groups == "00", y, np.where(groups == "01", y, y % 2))
    bootstrap = GroupBootstrap(groups, 20)
    predict = linear_predict(gram_matrix(X), y)
    points = list(learning_curve(predict, y, splits, groups, bootstrap))
    assert points[-1].n_groups == 3
    assert curve_table({}).empty


def test_points_and_their_intervals_stay_within_the_range_of_scores():
    """Widened by 1.5, the interval of a nearly perfect point used to end at 1.036."""
    X, y, groups, splits = cohort(effect=3.0)
    bootstrap = GroupBootstrap(groups, 100, widening=1.5)
    predict = linear_predict(gram_matrix(X), y)
    for point in learning_curve(predict, y, splits, groups, bootstrap):
        assert 0 <= point.score.low < point.score.high <= 1
