"""Whatever is chosen on the way, noise stays noise."""

import numpy as np
import pandas as pd
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.metrics import balanced_accuracy_score, log_loss

from boldformer import Decoder
from boldformer.data.splits import make_folds
from boldformer.evaluation.baselines import BASELINES
from boldformer.evaluation.out_of_fold import out_of_fold

# Twenty of them train every fold: the fewest with which training stops early.
SUBJECTS, WINDOWS = 25, 4


def noise(seed, shape):
    rng = np.random.default_rng(seed)
    n = SUBJECTS * WINDOWS
    names = np.repeat(np.arange(SUBJECTS), WINDOWS).astype(str)
    y = np.concatenate([rng.permutation([0, 0, 1, 1]) for _ in range(SUBJECTS)])
    table = pd.DataFrame({"subject": names, "recording": names, "label": y.astype(str)})
    X = rng.normal(size=(n, *shape)).astype(np.float32)
    return X, y, names, make_folds(table.assign(session="", run="1"))


def test_early_stopping_on_noise_stays_at_chance(interval):
    scores = []
    for seed in range(4):
        X, y, names, splits = noise(seed, (1, 5, 5, 5))
        found = np.zeros(len(y), dtype=int)
        for fold in splits.folds:
            decoder = Decoder().fit(X[fold.train], y[fold.train], names[fold.train])
            assert "validation_accuracy" in decoder.history_
            found[fold.test] = decoder.predict(X[fold.test])
        scores.append(balanced_accuracy_score(y, found))
    low, high = interval(scores, within=0.2)
    assert low <= 0.5 <= high, scores


def test_penalty_screening_and_temperature_on_noise_stay_at_chance(interval):
    """More voxels than the largest screen, so that every choice is open."""
    choices = set()
    scores, losses = [], []
    for seed in range(8):
        X, y, names, splits = noise(seed, (2197,))
        model = BASELINES["linear_svm"].make()
        found = out_of_fold(model, X, y, splits, names, 2)
        scores.append(balanced_accuracy_score(y, found.probabilities.argmax(axis=1)))
        losses.append(log_loss(y, found.probabilities))
        model.fit(X, y, groups=names)
        choices.add((model.C_, model.n_voxels_))
    assert len(choices) > 2
    low, high = interval(scores, within=0.12)
    assert low <= 0.5 <= high, scores
    # No temperature makes noise better than a guess.
    assert np.mean(losses) > np.log(2) - 0.005


def test_voxels_chosen_with_the_test_windows_are_found_out():
    """So the test above can fail: chosen once for all folds, noise is decoded."""
    X, y, names, splits = noise(0, (2197,))
    chosen = SelectKBest(f_classif, k=500).fit_transform(X, y)
    found = out_of_fold(BASELINES["linear_svm"].make(), chosen, y, splits, names, 2)
    assert balanced_accuracy_score(y, found.probabilities.argmax(axis=1)) > 0.75
