"""The linear decoder equals the solvers it stands on, and behaves as a classifier."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.svm import LinearSVC
from sklearn.utils.estimator_checks import parametrize_with_checks

from boldformer.errors import InputError
from boldformer.training.linear_decoder import (
    C_GRID,
    LinearDecoder,
    Rotation,
    fit_temperature,
    gram_matrix,
)


@parametrize_with_checks([LinearDecoder("svm"), LinearDecoder("logistic", C=1.0)])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def problem(n=60, p=500, k=4, effect=0.35, n_groups=6, seed=0):
    """Windows of several groups, each group with an offset of its own."""
    rng = np.random.default_rng(seed)
    y = np.tile(np.arange(k), n // k + 1)[:n]
    groups = np.arange(n) * n_groups // n
    means = effect * rng.normal(size=(k, p))
    offset = rng.normal(size=(n_groups, p))
    X = 40 + 7 * (means[y] + offset[groups] + rng.normal(size=(n, p)))
    return X, np.array(list("abcdefgh"))[y], groups


def direct(loss, C, X, y):
    """The library's solver on all features, scaled as the decoder scales them."""
    mean = X.mean(axis=0)
    scale = np.sqrt(np.mean(np.sum((X - mean) ** 2, axis=1)))
    if loss == "svm":
        solver = LinearSVC(C=C, dual=False, tol=1e-9, class_weight="balanced")
    else:
        solver = LogisticRegression(
            C=C, tol=1e-9, max_iter=9999, class_weight="balanced"
        )
    solver.fit((X - mean) / scale, y)
    coef = solver.coef_ / scale
    return coef, solver.intercept_ - coef @ mean


@pytest.mark.parametrize("loss", ["svm", "logistic"])
@pytest.mark.parametrize("k", [2, 4])
@pytest.mark.parametrize("p", [15, 500])
@pytest.mark.parametrize("C", [0.1, 10.0])
def test_weights_equal_those_of_the_direct_solver(loss, k, p, C):
    X, y, groups = problem(p=p, k=k)
    decoder = LinearDecoder(loss, C=C, tol=1e-9).fit(X, y, groups)
    coef, intercept = direct(loss, C, X, y)
    assert decoder.coef_.shape == coef.shape
    np.testing.assert_allclose(decoder.coef_, coef, atol=1e-4 * np.abs(coef).max())
    np.testing.assert_allclose(decoder.intercept_, intercept, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("k", [2, 4])
def test_fitting_from_inner_products_is_the_same(k):
    X, y, groups = problem(k=k)
    train, test = groups < 4, groups >= 4
    whole = LinearDecoder().fit(X[train], y[train], groups[train])
    gram = gram_matrix(X)
    decoder = LinearDecoder().fit_gram(
        gram[np.ix_(train, train)], y[train], groups[train]
    )
    decisions = decoder.decision_from_gram(gram[np.ix_(test, train)])
    assert decoder.C_ == whole.C_
    np.testing.assert_allclose(decisions, whole.decision_function(X[test]), atol=1e-6)
    np.testing.assert_allclose(
        decoder.probabilities(decisions), whole.predict_proba(X[test]), atol=1e-6
    )


def test_the_unit_of_the_features_does_not_matter():
    X, y, groups = problem()
    one = LinearDecoder().fit(X, y, groups)
    other = LinearDecoder().fit(1e4 * X - 3e5, y, groups)
    assert one.C_ == other.C_
    np.testing.assert_allclose(
        one.predict_proba(X), other.predict_proba(1e4 * X - 3e5), atol=1e-5
    )


@settings(max_examples=25, deadline=None)
@given(arrays(np.float64, (7, 20), elements=st.floats(-5, 5, width=16)))
def test_rotation_keeps_distances_and_projects_its_own_windows_onto_themselves(X):
    gram = gram_matrix(X)
    rotation = Rotation.from_gram(gram)
    centred = X - X.mean(axis=0)
    within = rotation.coordinates @ rotation.coordinates.T * rotation.scale**2
    np.testing.assert_allclose(within, centred @ centred.T, atol=1e-8)
    np.testing.assert_allclose(
        rotation.project(gram) @ rotation.coordinates.T,
        rotation.coordinates @ rotation.coordinates.T,
        atol=1e-6,
    )


def test_c_is_chosen_where_three_groups_allow_it():
    X, y, groups = problem(n=120, n_groups=12, effect=0.3)
    decoder = LinearDecoder().fit(X, y, groups)
    assert decoder.C_ in C_GRID
    two = groups < 2
    assert LinearDecoder().fit(X[two], y[two], groups[two]).C_ == 10.0
    assert LinearDecoder(C=3).fit(X, y, groups).C_ == 3.0


def test_one_group_leaves_the_defaults():
    X, y, _ = problem()
    decoder = LinearDecoder().fit(X, y, np.zeros(len(y)))
    assert (decoder.C_, decoder.temperature_) == (10.0, 1.0)


def test_probabilities_of_the_machine_are_calibrated_between_groups():
    """Held-out log-loss is better than without a temperature, and than guessing."""
    tempered, plain = [], []
    for seed in range(4):
        X, y, groups = problem(n=240, n_groups=12, effect=0.08, p=800, seed=seed)
        train, test = groups < 8, groups >= 8
        decoder = LinearDecoder().fit(X[train], y[train], groups[train])
        tempered.append(log_loss(y[test], decoder.predict_proba(X[test])))
        decoder.temperature_ = 1.0
        plain.append(log_loss(y[test], decoder.predict_proba(X[test])))
    assert np.mean(tempered) < np.mean(plain) - 0.03
    assert np.mean(tempered) < np.log(4)


def test_fitting_twice_gives_the_same():
    X, y, groups = problem()
    first = LinearDecoder().fit(X, y, groups)
    second = clone(first).fit(X, y, groups)
    np.testing.assert_array_equal(first.coef_, second.coef_)


def test_single_precision_is_enough_of_an_input():
    X, y, groups = problem()
    double = LinearDecoder().fit(X, y, groups)
    single = LinearDecoder().fit(X.astype(np.float32), y, groups)
    scale = np.abs(double.coef_).max()
    np.testing.assert_allclose(single.coef_, double.coef_, atol=1e-3 * scale)


@pytest.mark.parametrize("temperature", [0.2, 1.0, 5.0])
def test_temperature_is_found(temperature):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20_000, 3)) * 2
    noisy = logits / temperature + rng.gumbel(size=logits.shape)
    assert fit_temperature(logits, noisy.argmax(axis=1)) == pytest.approx(
        temperature, rel=0.05
    )


@pytest.mark.parametrize("options", [{"loss": "hinge"}, {"C": -1}, {"C": "best"}])
def test_unknown_settings_are_refused(options):
    X, y, groups = problem()
    with pytest.raises(InputError, match="unknown settings"):
        LinearDecoder(**options).fit(X, y, groups)


def test_class_weights_by_label():
    X, y, groups = problem(k=2, effect=0.05)
    heavy = LinearDecoder(C=1, class_weight={"a": 50.0}).fit(X, y, groups)
    even = LinearDecoder(C=1, class_weight=None).fit(X, y, groups)
    assert heavy.decision_function(X).mean() < even.decision_function(X).mean()
