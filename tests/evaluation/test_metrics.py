"""Scores equal scikit-learn's, plain, weighted and with classes missing."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from boldformer.errors import InputError
from boldformer.evaluation.calibration import accuracy_coverage, calibration_scores
from boldformer.evaluation.metrics import (
    classification_scores,
    weighted_recall,
    weighted_scores,
)


def predictions(n=80, k=4, seed=0, ties=True):
    """Labels and probabilities that know something of them, with equal values."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, k, n)
    logits = rng.normal(size=(n, k)) + 1.2 * np.eye(k)[y]
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    # Powers of two stay exact, so that equal values are equal for both sides.
    return y, np.round(p * 16) / 16 + 1 / 64 if ties else p


def expected(y, p, weights=None):
    """scikit-learn's scores, over the classes that occur."""
    pred = p.argmax(axis=1)
    options = {"sample_weight": weights}
    kept = np.ones(len(y), bool) if weights is None else weights > 0
    occurring = [c for c in range(p.shape[1]) if (y[kept] == c).any()]
    roc = [reference.roc_auc_score(y == c, p[:, c], **options) for c in occurring]
    prc = [
        reference.average_precision_score(y == c, p[:, c], **options) for c in occurring
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        balanced = reference.balanced_accuracy_score(
            y[kept],
            pred[kept],
            sample_weight=None if weights is None else weights[kept],
        )
    return {
        "accuracy": reference.accuracy_score(y, pred, **options),
        "balanced_accuracy": balanced,
        "macro_f1": reference.f1_score(
            y[kept],
            pred[kept],
            average="macro",
            sample_weight=None if weights is None else weights[kept],
        ),
        "mcc": reference.matthews_corrcoef(y, pred, **options),
        "roc_auc": np.mean(roc),
        "prc_auc": np.mean(prc),
    }


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(20, 120),
    k=st.integers(2, 6),
    seed=st.integers(0, 10_000),
    ties=st.booleans(),
)
def test_scores_equal_scikit_learn(n, k, seed, ties):
    y, p = predictions(n, k, seed, ties)
    if len(np.unique(y)) < 2:
        return
    assert classification_scores(y, p) == pytest.approx(expected(y, p))
    np.testing.assert_allclose(
        weighted_recall(y, p.argmax(axis=1), k, np.ones((1, len(y))))[0, np.unique(y)],
        reference.recall_score(
            y, p.argmax(axis=1), average=None, labels=np.unique(y), zero_division=0
        ),
    )


@settings(max_examples=40, deadline=None)
@given(k=st.integers(2, 5), seed=st.integers(0, 10_000))
def test_weighted_scores_equal_scikit_learn(k, seed):
    y, p = predictions(60, k, seed)
    weights = np.random.default_rng(seed).integers(0, 3, size=(5, 60))
    scores = weighted_scores(y, p, weights)
    for row in range(5):
        ours = {name: values[row] for name, values in scores.items()}
        assert ours == pytest.approx(expected(y, p, weights[row]))


@pytest.mark.parametrize("seed", range(5))
def test_multiplicities_equal_repeated_rows(seed):
    y, p = predictions(50, 3, seed)
    rows = np.random.default_rng(seed).integers(0, 50, 50)
    weights = np.bincount(rows, minlength=50)[None]
    weighted = {name: v[0] for name, v in weighted_scores(y, p, weights).items()}
    assert weighted == pytest.approx(classification_scores(y[rows], p[rows]))


def test_two_classes_agree_with_the_binary_scores():
    y, p = predictions(70, 2, ties=False)
    ours = classification_scores(y, p)
    assert ours["roc_auc"] == pytest.approx(reference.roc_auc_score(y, p[:, 1]))


def test_a_missing_class_is_left_out():
    y, p = predictions(60, 4)
    weights = (y != 2).astype(float)[None]
    recall = weighted_recall(y, p.argmax(axis=1), 4, weights)[0]
    assert np.isnan(recall[2])
    assert np.isfinite(recall[[0, 1, 3]]).all()
    assert all(np.isfinite(v[0]) for v in weighted_scores(y, p, weights).values())


def test_one_class_alone_has_no_roc_area():
    y, p = predictions(60, 3)
    scores = weighted_scores(y, p, (y == 1).astype(float)[None])
    assert np.isnan(scores["roc_auc"][0])
    assert scores["prc_auc"][0] == 1.0
    assert scores["mcc"][0] == 0.0


def test_given_predictions_are_used():
    y, p = predictions(60, 3)
    assert classification_scores(y, p, y_pred=y)["accuracy"] == 1.0
    constant = classification_scores(y, p, y_pred=np.zeros_like(y))
    assert constant["balanced_accuracy"] == pytest.approx(1 / 3)
    assert constant["mcc"] == 0.0


@pytest.mark.parametrize("k", [2, 4])
def test_calibration_equals_scikit_learn(k):
    y, p = predictions(90, k, ties=False)
    ours = calibration_scores(y, p)
    assert ours["log_loss"] == pytest.approx(reference.log_loss(y, p))
    brier = (
        reference.brier_score_loss(y, p[:, 1])
        if k == 2
        else np.mean(np.sum((p - np.eye(k)[y]) ** 2, axis=1))
    )
    assert ours["brier"] == pytest.approx(brier)


def test_certain_and_wrong_is_finite():
    scores = calibration_scores(np.array([0, 1]), np.array([[0.0, 1.0], [0.0, 1.0]]))
    assert np.isfinite(scores["log_loss"])
    assert scores["ece"] == pytest.approx(0.5)
    assert scores["brier"] == pytest.approx(0.5)


def test_calibration_error_of_true_probabilities_is_small():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(3), size=20_000)
    y = (p.cumsum(axis=1) > rng.random((20_000, 1))).argmax(axis=1)
    assert calibration_scores(y, p)["ece"] < 0.02
    sharp = p**3 / np.sum(p**3, axis=1, keepdims=True)
    assert calibration_scores(y, sharp)["ece"] > 0.1


def test_accuracy_rises_as_coverage_falls_for_a_decoder_that_knows_its_doubts():
    y, p = predictions(400, 4, ties=False)
    coverage, accuracy = accuracy_coverage(y, p)
    assert coverage[-1] == 1
    assert accuracy[-1] == pytest.approx(np.mean(p.argmax(axis=1) == y))
    assert accuracy[np.searchsorted(coverage, 0.3)] > accuracy[-1]
    assert (np.diff(coverage) > 0).all()
    flat = np.full((4, 2), 0.5)
    assert accuracy_coverage(np.array([0, 1, 0, 1]), flat)[0].tolist() == [1.0]


@pytest.mark.parametrize(
    ("y", "p", "message"),
    [
        (np.array([0, 1]), np.ones((3, 2)), "do not fit"),
        (np.array([0, 1]), np.ones(2), "do not fit"),
        (np.array([], int), np.ones((0, 2)), "do not fit"),
        (np.array([0, 2]), np.ones((2, 2)), "not columns"),
        (np.array([0.0, 1.0]), np.ones((2, 2)), "not columns"),
        (np.array([0, 1]), np.array([[np.nan, 1], [0, 1]]), "not finite"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(y, p, message):
    with pytest.raises(InputError, match=message):
        classification_scores(y, p)


def test_scores_that_are_no_probabilities_cannot_be_judged_as_such():
    with pytest.raises(InputError, match="not probabilities"):
        calibration_scores(np.array([0, 1]), np.array([[3.0, 1.0], [0.0, 1.0]]))
