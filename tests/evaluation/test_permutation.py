"""The permutation test finds effects, holds its level, and shuffles within runs."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from sklearn.metrics import balanced_accuracy_score

from boldformer.data.groups import shuffle_within
from boldformer.data.splits import Fold, Splits
from boldformer.errors import InputError
from boldformer.evaluation.permutation import permutation_test
from boldformer.training.rotation import gram_matrix


def runs_of(effect, seed=0, n_runs=4, p=120, k=3):
    rng = np.random.default_rng(seed)
    y = np.concatenate([rng.permutation(np.arange(9) % k) for _ in range(n_runs)])
    runs = np.repeat(np.arange(n_runs), 9)
    X = rng.normal(size=(len(y), p)) + effect * rng.normal(size=(k, p))[y]
    folds = [
        Fold(k, np.flatnonzero(runs != k), np.flatnonzero(runs == k))
        for k in range(n_runs)
    ]
    return X, y, runs, Splits(tuple(folds), "run", "leave one run out")


def table_of(runs, events=None):
    """Window table; each window is an event of its own unless told."""
    events = np.arange(len(runs)) if events is None else events
    return pd.DataFrame({"recording": runs, "block": events})


@pytest.mark.parametrize("k", [2, 3])
def test_an_effect_is_found(k):
    X, y, runs, splits = runs_of(0.6, k=k)
    test = permutation_test(
        gram_matrix(X), y, table_of(runs), splits, n_permutations=39
    )
    assert test.score > 0.8
    assert test.p_value == pytest.approx(1 / 40)
    assert test.null.mean() == pytest.approx(1 / k, abs=0.06)


def test_without_an_effect_p_values_are_even():
    p_values = []
    for seed in range(25):
        X, y, runs, splits = runs_of(0.0, seed)
        test = permutation_test(
            gram_matrix(X), y, table_of(runs), splits, n_permutations=11, seed=seed
        )
        p_values.append(test.p_value)
    # A standard deviation of 0.29 / √25 around the mean of even p-values, 13 / 24.
    assert np.mean(p_values) == pytest.approx(13 / 24, abs=0.17)
    assert np.mean(np.array(p_values) <= 0.1) < 0.3


def decoded(X, y, splits):
    """The same by scikit-learn's ridge on scaled rows, relative to a class's share."""
    predicted = np.empty_like(y)
    for fold in splits.folds:
        centred = X[fold.train] - X[fold.train].mean(axis=0)
        scale = np.sqrt((centred**2).sum(axis=1).mean())
        one_hot = np.eye(y.max() + 1)[y[fold.train]]
        ridge = Ridge(alpha=0.5).fit(X[fold.train] / scale, one_hot)
        given = ridge.predict(X[fold.test] / scale) / one_hot.mean(axis=0)
        predicted[fold.test] = given.argmax(axis=1)
    return balanced_accuracy_score(y, predicted)


@pytest.mark.parametrize("k", [2, 3])
def test_the_scores_are_those_of_the_decoder(k):
    """Of the true labels and, more shuffles than are solved at once, of the others."""
    X, y, runs, splits = runs_of(0.3, k=k)
    test = permutation_test(
        gram_matrix(X), y, table_of(runs), splits, n_permutations=30
    )
    codes, rng = np.unique(runs, return_inverse=True)[1], np.random.default_rng(0)
    shuffled = [y[shuffle_within(codes, rng)] for _ in range(30)]
    assert test.score == pytest.approx(decoded(X, y, splits))
    assert test.null[0] == pytest.approx(decoded(X, shuffled[0], splits))
    assert test.null[-1] == pytest.approx(decoded(X, shuffled[-1], splits))


def test_windows_of_an_event_are_exchanged_together():
    """Without any effect one p-value in ten is below 0.1, four windows an event or not.

    Shuffled one by one, windows that share their noise gave one in five below 0.05.
    """
    p_values = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        y, runs = np.tile(np.repeat([0, 1], 4), 4), np.repeat(np.arange(4), 8)
        of_event = np.repeat(np.arange(8), 4)
        labels = np.concatenate([rng.permutation([0, 1]) for _ in range(4)])
        y = labels[of_event]
        X = rng.normal(size=(8, 60))[of_event] + 0.3 * rng.normal(size=(32, 60))
        folds = [
            Fold(k, np.flatnonzero(runs != k), np.flatnonzero(runs == k))
            for k in range(4)
        ]
        test = permutation_test(
            gram_matrix(X),
            y,
            table_of(runs, of_event),
            Splits(tuple(folds), "run", "leave one run out"),
            n_permutations=39,
            seed=seed,
        )
        p_values.append(test.p_value)
    assert np.mean(np.array(p_values) <= 0.1) < 0.2
    assert np.mean(p_values) > 0.45


def test_runs_of_one_class_cannot_be_shuffled():
    X, _, runs, splits = runs_of(0.0)
    with pytest.raises(InputError, match="shuffled within runs"):
        permutation_test(gram_matrix(X), runs % 3, table_of(runs), splits)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=40), st.integers(0, 99))
def test_shuffles_stay_within_their_group(groups, seed):
    groups = np.array(groups)
    order = shuffle_within(groups, np.random.default_rng(seed))
    assert sorted(order) == list(range(len(groups)))
    assert (groups[order] == groups).all()
