"""Voxels are ranked, and inner folds made, from training windows and their groups."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_selection import f_classif

from boldformer.data import splits
from boldformer.training.screening import (
    INNER_FOLDS,
    grouped_folds,
    inner_folds,
    inner_parts,
    weakest_first,
)


def windows(n=40, p=30, k=2, n_groups=8, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, p)), np.arange(n) % k, np.arange(n) * n_groups // n


def test_features_are_ranked_by_their_f_statistic():
    X, codes, _ = windows()
    X[:, 7] += 2 * codes
    X[:, 3] = 5.0
    order = weakest_first(X, codes)
    varying = order[order != 3]
    assert (order[0], order[-1]) == (3, 7)
    with np.errstate(invalid="ignore"), pytest.warns(UserWarning, match="constant"):
        statistic = f_classif(X, codes)[0]
    assert (np.diff(statistic[varying]) >= 0).all()


def test_voxels_of_an_inner_fold_come_from_its_training_rows():
    """A feature that tells classes apart in the test rows alone is not kept."""
    X, codes, groups = windows()
    folds = inner_folds(codes, groups)
    train, test = folds[0]
    X[:, 5] = 0.0
    X[test, 5] = 100.0 * codes[test]
    (parts,) = inner_parts(X, codes, folds[:1], [4])
    kept = weakest_first(X[train], codes[train])[-4:]
    assert 5 not in kept
    assert np.ptp(parts[0][0][test]) < 10


def test_counts_share_their_folds():
    X, codes, groups = windows()
    folds = inner_folds(codes, groups)
    every = list(inner_parts(X, codes, folds, [30, 10, 4]))
    for count, parts in zip([30, 10, 4], every, strict=True):
        assert [part[0].shape for part in parts] == [(40, count)] * len(folds)
        (alone,) = inner_parts(X, codes, folds, [count])
        for one, other in zip(parts, alone, strict=True):
            np.testing.assert_array_equal(one[0], other[0])
            assert one[1] is other[1]


@given(st.integers(2, 12), st.integers(2, 4), st.integers(0, 99))
def test_inner_folds_test_every_window_once_and_keep_groups_apart(n_groups, k, seed):
    rng = np.random.default_rng(seed)
    codes, groups = rng.permutation(np.arange(60) % k), rng.integers(n_groups, size=60)
    folds = inner_folds(codes, groups)
    assert len(folds) <= min(INNER_FOLDS, n_groups)
    for train, test in folds:
        assert not set(groups[train]) & set(groups[test])
        assert set(codes[train]) == set(codes)
    if folds:
        tested = np.concatenate([test for _, test in folds])
        np.testing.assert_array_equal(np.sort(tested), np.arange(60))


def test_windows_without_groups_are_each_their_own():
    codes = np.arange(30) % 3
    folds = inner_folds(codes)
    assert len(folds) == INNER_FOLDS
    assert all((np.bincount(codes[test]) == 2).all() for _, test in folds)


def test_nothing_can_be_chosen_where_a_class_would_be_missing():
    codes = np.repeat([0, 1, 2], 10)
    assert inner_folds(codes, codes) == []
    assert inner_folds(codes, np.zeros(30)) == []
    assert inner_folds(np.array([0, 0, 0, 1]), np.arange(4)) == []


def test_folds_are_those_of_the_data_layer():
    _, codes, groups = windows(n_groups=8)
    names = groups.astype(str)
    table = pd.DataFrame({"subject": names, "recording": names, "label": codes})
    everything = splits.Fold(0, np.arange(len(codes)), np.arange(0))
    wanted = splits.inner_folds(table, everything, folds=3).folds
    found = grouped_folds(codes, groups, 3)
    for (train, test), fold in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(train, fold.train)
        np.testing.assert_array_equal(test, fold.test)
