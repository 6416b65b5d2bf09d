"""Baselines find what is there, and nothing where nothing is; no test row is fitted."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from boldformer.data.splits import Fold, Splits, make_folds
from boldformer.errors import InputError
from boldformer.evaluation.baselines import BASELINES
from boldformer.evaluation.calibration import temper
from boldformer.evaluation.out_of_fold import out_of_fold
from boldformer.training.linear_decoder import LinearDecoder

MEANS = [name for name, baseline in BASELINES.items() if baseline.features == "means"]


def cohort(seed=0, n_subjects=12, n_runs=2, n_classes=3, repeats=3, p=300, **signals):
    """Features made of a class effect, a subject effect, and noise; and their folds."""
    rng = np.random.default_rng(seed)
    design = np.repeat(np.arange(n_classes), repeats)
    n = n_subjects * n_runs * len(design)
    subject = np.repeat(np.arange(n_subjects), n_runs * len(design))
    y = np.concatenate([rng.permutation(design) for _ in range(n_subjects * n_runs)])
    X = rng.normal(size=(n, p))
    X += signals.get("identity", 0.0) * rng.normal(size=(n_subjects, p))[subject]
    X += signals.get("effect", 0.0) * rng.normal(size=(n_classes, p))[y]
    run = np.repeat(np.arange(n_subjects * n_runs), len(design)).astype(str)
    table = pd.DataFrame(
        {"subject": subject.astype(str), "session": "", "run": run, "recording": run}
    ).assign(label=y.astype(str))
    return X, y, subject.astype(str), make_folds(table, seed=seed)


def accuracy(name, X, y, groups, splits):
    found = out_of_fold(BASELINES[name].make(), X, y, splits, groups, y.max() + 1)
    return np.mean(found.probabilities.argmax(axis=1) == y)


@pytest.mark.parametrize("name", MEANS)
def test_linear_baselines_find_a_shared_effect(name):
    X, y, groups, splits = cohort(effect=0.3, identity=1.0)
    assert accuracy(name, X, y, groups, splits) > 0.8


@pytest.mark.parametrize("name", [*MEANS, "nuisance"])
def test_identity_alone_scores_at_chance(name):
    """Three times 144 windows: their mean has a standard deviation of 0.023."""
    scores = []
    for seed in range(3):
        X, y, groups, splits = cohort(seed, n_subjects=8, identity=2.0, p=60)
        scores.append(accuracy(name, X, y, groups, splits))
    assert np.mean(scores) == pytest.approx(1 / 3, abs=0.07)


@pytest.mark.parametrize("name", MEANS)
def test_shuffled_labels_score_at_chance(name):
    scores = []
    for seed in range(3):
        X, y, groups, splits = cohort(seed, n_subjects=8, effect=0.5, p=250)
        y = np.random.default_rng(seed).permutation(y)
        scores.append(accuracy(name, X, y, groups, splits))
    assert np.mean(scores) == pytest.approx(1 / 3, abs=0.07)


def test_identity_that_tells_the_class_scores_only_when_subjects_are_split():
    """Each subject prefers a class: a split at random reads identity, ours cannot."""
    X, y, groups, splits = cohort(identity=2.0, p=60)
    own = groups.astype(int) % 3
    prefers = np.random.default_rng(0).random(len(y)) < 0.8
    y = np.where(prefers, own, y)
    order = np.random.default_rng(0).permutation(len(y))
    leaky = Splits(
        tuple(
            Fold(k, np.sort(np.setdiff1d(order, order[k::3])), np.sort(order[k::3]))
            for k in range(3)
        ),
        "subject",
        "at random",
    )
    assert accuracy("logistic", X, y, groups, leaky) > 0.7
    assert accuracy("logistic", X, y, groups, splits) < 0.5


def test_nuisance_reads_motion_and_bears_missing_values():
    X, y, groups, splits = cohort(p=5)
    X[:, 0] += 2.0 * y
    X[::7, 1] = np.nan
    X[:, 2] = np.nan
    X[:, 3] = 4.0
    assert accuracy("nuisance", X, y, groups, splits) > 0.6


def test_the_majority_is_the_most_frequent_training_label():
    X, y, groups, splits = cohort()
    y = np.where(y == 1, 2, y)
    found = out_of_fold(BASELINES["majority"].make(), X, y, splits, groups, 3)
    assert (found.probabilities.argmax(axis=1) == 2).all()
    assert found.training_accuracy == pytest.approx([2 / 3] * len(splits.folds))
    assert (found.probabilities[:, 1] == 0).all()


@pytest.mark.parametrize("name", MEANS)
def test_inner_products_give_what_features_give(name):
    X, y, groups, splits = cohort(effect=0.15, identity=1.0, n_subjects=6)
    exact = BASELINES[name].make().set_params(tol=1e-8, C=1.0)
    through_gram = out_of_fold(exact, X, y, splits, groups, 3)
    for fold in splits.folds:
        model = clone(exact)
        model.fit(X[fold.train], y[fold.train], groups[fold.train])
        np.testing.assert_allclose(
            model.predict_proba(X[fold.test]),
            through_gram.probabilities[fold.test],
            atol=1e-5,
        )


@pytest.mark.parametrize("p", [20, 300])
def test_test_windows_have_no_part_in_the_fit(p):
    """Spoiling the test rows of a fold leaves its training accuracy as it was."""
    X, y, groups, splits = cohort(effect=0.2, p=p)
    one = Splits(splits.folds[:1], "subject", "one fold")
    spoiled = X.copy()
    spoiled[one.folds[0].test] = 1e3 * np.random.default_rng(1).normal(
        size=spoiled[one.folds[0].test].shape
    )
    for data in (X, spoiled):
        found = out_of_fold(LinearDecoder(), data, y, one, groups, 3)
        if data is X:
            first = found
    assert found.training_accuracy == first.training_accuracy
    untested = np.setdiff1d(np.arange(len(y)), one.folds[0].test)
    assert np.isnan(found.probabilities[untested]).all()


def test_windows_tested_twice_get_their_mean():
    X, y, groups, splits = cohort(p=10, effect=0.3)
    twice = Splits(splits.folds + splits.folds, "subject", "twice")
    once = out_of_fold(BASELINES["nuisance"].make(), X, y, splits, groups, 3)
    again = out_of_fold(BASELINES["nuisance"].make(), X, y, twice, groups, 3)
    np.testing.assert_allclose(once.probabilities, again.probabilities)


def test_rows_that_do_not_fit_are_refused():
    X, y, groups, splits = cohort()
    with pytest.raises(InputError, match="do not fit together"):
        out_of_fold(LinearDecoder(), X[:-1], y, splits, groups, 3)


@pytest.mark.parametrize("name", [*MEANS, "run_mean", "parcels", "nuisance"])
@pytest.mark.parametrize("p", [5, 300])
def test_windows_that_are_all_the_same_are_guessed(name, p):
    """One training run has one mean image, the same for each of its windows."""
    _, y, groups, splits = cohort(n_subjects=4)
    same = np.tile(np.random.default_rng(0).normal(size=p), (len(y), 1))
    found = out_of_fold(BASELINES[name].make(), same, y, splits, groups, 3)
    np.testing.assert_allclose(found.probabilities, 1 / 3, atol=1e-6)


def test_the_perceptron_finds_an_effect():
    X, y, groups, splits = cohort(effect=0.5, identity=0.5, n_subjects=6, p=40)
    assert accuracy("parcels", X, y, groups, splits) > 0.8


def test_temperatures_are_reported_with_what_they_changed():
    X, y, groups, splits = cohort(effect=0.2)
    found = out_of_fold(BASELINES["linear_svm"].make(), X, y, splits, groups, 3)
    assert len(found.temperatures) == len(splits.folds)
    for fold, temperature in zip(splits.folds, found.temperatures, strict=True):
        before, after = (p[fold.test] for p in (found.untempered, found.probabilities))
        np.testing.assert_allclose(temper(before, temperature), after, atol=1e-5)
    logistic = out_of_fold(BASELINES["logistic"].make(), X, y, splits, groups, 3)
    assert logistic.temperatures == ()
    assert logistic.untempered is None
