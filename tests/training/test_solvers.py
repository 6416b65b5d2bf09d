"""The support vector machine by Newton's method is scikit-learn's, only sooner."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from boldformer.training.solvers import (
    MOST_ROWS_A_COLUMN,
    NewtonSVC,
    make_solver,
    one_against_rest,
    solve_squared_hinge,
)


def rows(n=50, p=60, k=3, seed=0):
    """Rows of unit size in classes of unequal frequency, which overlap."""
    rng = np.random.default_rng(seed)
    y = np.minimum(rng.geometric(0.5, n) - 1, k - 1)
    y[:k] = np.arange(k)
    X = rng.normal(size=(n, p)) + 0.4 * rng.normal(size=(k, p))[y]
    return X / np.sqrt(p), np.array(list("abcdefgh"))[y]


def library(C, **options):
    return LinearSVC(C=C, dual=False, tol=1e-10, max_iter=100_000, **options)


def assert_same(found, wanted, X):
    np.testing.assert_array_equal(found.classes_, wanted.classes_)
    assert found.coef_.shape == wanted.coef_.shape
    decisions = wanted.decision_function(X)
    np.testing.assert_allclose(
        found.decision_function(X), decisions, atol=1e-4 * np.abs(decisions).max()
    )


@pytest.mark.parametrize("k", [2, 3, 6])
@pytest.mark.parametrize("C", [0.1, 1.0, 100.0])
@pytest.mark.parametrize("class_weight", ["balanced", None, {"a": 4.0, "b": 0.5}])
@pytest.mark.parametrize("p", [30, 200])
def test_it_is_the_machine_of_the_library(k, C, class_weight, p):
    X, y = rows(k=k, p=p)
    found = NewtonSVC(C=C, dual=False, class_weight=class_weight).fit(X, y)
    wanted = library(C, class_weight=class_weight).fit(X, y)
    assert_same(found, wanted, rows(seed=1, p=p)[0])


@pytest.mark.parametrize("k", [2, 4])
def test_weights_of_rows_are_those_of_the_library(k):
    X, y = rows(k=k)
    weights = np.random.default_rng(3).choice([0.0, 0.3, 5.0], len(y))
    weights[:k] = 1.0
    options = {"C": 10.0, "class_weight": "balanced"}
    found = NewtonSVC(dual=False, **options).fit(X, y, weights)
    wanted = library(**options).fit(X, y, weights)
    assert_same(found, wanted, rows(seed=1)[0])


def test_many_rows_of_few_columns_are_left_to_the_library():
    X, y = rows(n=200, p=200 // MOST_ROWS_A_COLUMN - 1)
    found = NewtonSVC(C=1.0, dual=False).fit(X, y)
    np.testing.assert_array_equal(
        found.coef_, LinearSVC(C=1.0, dual=False).fit(X, y).coef_
    )


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.float64, (12, 5), elements=st.floats(-2, 2, width=16)),
    arrays(np.int64, (2, 12), elements=st.sampled_from([-1, 1])),
    arrays(np.float64, (2, 12), elements=st.sampled_from([0.0, 0.1, 1.0, 300.0])),
)
def test_coefficients_meet_the_condition_of_the_minimum(X, signs, penalties):
    """Equal rows, rows on opposite sides of themselves, and rows of no weight too."""
    penalties[:, 0] = 1.0
    inner = X @ X.T + 1
    dual = solve_squared_hinge(inner, signs.astype(float), penalties)
    short = np.maximum(0.0, 1 - signs * (dual @ inner))
    # The gradient with respect to the weights bounds their distance to the minimum.
    slack = dual - 2 * penalties * signs * short
    gradient = np.einsum("pi,ij,pj->p", slack, inner, slack)
    assert np.sqrt(np.maximum(gradient, 0)).max() < 1e-6


def test_problems_can_be_solved_together_or_alone():
    X, y = rows(k=4)
    inner = X @ X.T + 1
    _, signs, penalties = one_against_rest(y)
    together = solve_squared_hinge(inner, signs, penalties)
    for problem in range(4):
        one = slice(problem, problem + 1)
        alone = solve_squared_hinge(inner, signs[one], penalties[one])
        np.testing.assert_allclose(together[one], alone, atol=1e-9)


def test_each_loss_has_its_solver():
    assert isinstance(make_solver("svm", 1.0), NewtonSVC)
    assert isinstance(make_solver("logistic", 1.0), LogisticRegression)
