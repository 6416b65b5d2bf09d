"""Scores of classes and of single labels are scikit-learn's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from boldformer.evaluation.classes import class_scores, multilabel_scores

SETS = ["auditory", "auditory+visual", "rest", "visual"]
# Columns auditory and visual.
MEMBERS = np.array([[1, 0], [1, 1], [0, 0], [0, 1]], dtype=bool)


def predictions(seed, n=60, n_classes=4, skill=1.0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, n_classes, n)
    logits = rng.normal(size=(n, n_classes))
    logits[np.arange(n), y] += skill
    odds = np.exp(logits)
    return y, odds / odds.sum(axis=1, keepdims=True)


@given(st.integers(0, 10_000))
def test_classes_score_as_scikit_learn_has_it(seed):
    y, p = predictions(seed)
    given_ = p.argmax(axis=1)
    found = class_scores(y, p, list("abcd"))
    for k, name in enumerate("abcd"):
        truth, guess = y == k, given_ == k
        scores = found[name]
        assert scores["n_windows"] == truth.sum()
        assert scores["accuracy"] == pytest.approx(sk.accuracy_score(truth, guess))
        assert scores["recall"] == pytest.approx(sk.recall_score(truth, guess))
        if guess.any():
            precision = sk.precision_score(truth, guess)
            assert scores["precision"] == pytest.approx(precision)
        assert scores["f1"] == pytest.approx(sk.f1_score(truth, guess))
        assert scores["roc_auc"] == pytest.approx(sk.roc_auc_score(truth, p[:, k]))
        area = sk.average_precision_score(truth, p[:, k])
        assert scores["prc_auc"] == pytest.approx(area)
    recalls = [scores["recall"] for scores in found.values()]
    assert np.mean(recalls) == pytest.approx(sk.balanced_accuracy_score(y, given_))


def test_what_is_not_defined_is_said_to_be_so():
    y, p = predictions(0, n_classes=3)
    keep = y != 2
    p[:, 2] = 0
    found = class_scores(y[keep], p[keep], list("abc"))["c"]
    assert found["n_windows"] == 0
    assert found["recall"] is found["precision"] is found["roc_auc"] is None


@given(st.integers(0, 10_000))
def test_single_labels_score_as_scikit_learn_has_it(seed):
    y, p = predictions(seed)
    truth, guess = MEMBERS[y], MEMBERS[p.argmax(axis=1)]
    found = multilabel_scores(y, p, SETS)
    assert found["subset_accuracy"] == pytest.approx(sk.accuracy_score(truth, guess))
    assert found["hamming_loss"] == pytest.approx(sk.hamming_loss(truth, guess))
    assert list(found["labels"]) == ["auditory", "visual"]
    for k, (name, columns) in enumerate({"auditory": (0, 1), "visual": (1, 3)}.items()):
        scores, chance = found["labels"][name], p[:, columns].sum(axis=1)
        assert scores["share"] == pytest.approx(truth[:, k].mean())
        right = sk.accuracy_score(truth[:, k], guess[:, k])
        assert scores["accuracy"] == pytest.approx(right)
        assert scores["f1"] == pytest.approx(sk.f1_score(truth[:, k], guess[:, k]))
        area = sk.roc_auc_score(truth[:, k], chance)
        assert scores["roc_auc"] == pytest.approx(area)


def test_plain_classes_have_no_single_labels():
    y, p = predictions(1)
    assert multilabel_scores(y, p, list("abcd")) is None
