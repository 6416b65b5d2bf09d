"""An effect of known size is found within its interval, under the defaults."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage, stats

from boldformer import Decoder
from boldformer.data.splits import make_folds
from boldformer.evaluation.intervals import GroupBootstrap, reuse_widening

SHAPE = (1, 6, 6, 6)
SUBJECTS, WINDOWS = 24, 8
# People differ in their noise: the standard deviation of its logarithm.
SPREAD = 0.3


@dataclass(frozen=True)
class Gaussians:
    """Classes with smooth, orthogonal means in white noise of everybody's own level.

    The best decision is the nearest mean, whatever the noise, so the Bayes accuracy is
    that of the nearest mean.
    """

    n_classes: int
    distance: float

    @property
    def means(self) -> np.ndarray:
        """(n_classes, n_voxels), each ``distance / sqrt(2)`` from the origin."""
        rng = np.random.default_rng(0)
        noise = rng.normal(size=(self.n_classes, *SHAPE[1:]))
        smooth = ndimage.gaussian_filter(noise, 1.5, axes=(1, 2, 3))
        basis, _ = np.linalg.qr(smooth.reshape(self.n_classes, -1).T)
        return self.distance / np.sqrt(2) * basis.T

    def draw(self, seed: int, subjects: int, windows: int = WINDOWS):
        """Windows (n, 1, x, y, z), their classes, and their subjects."""
        rng = np.random.default_rng(seed)
        y = np.arange(subjects * windows) % self.n_classes
        subject = np.repeat(np.arange(subjects), windows)
        level = np.exp(SPREAD * rng.normal(size=subjects))[subject, None]
        X = self.means[y] + level * rng.normal(size=(len(y), int(np.prod(SHAPE))))
        return X.reshape(-1, *SHAPE).astype(np.float32), y, subject

    def bayes(self) -> float:
        """Accuracy of the nearest mean, from 80 000 windows."""
        X, y, _ = self.draw(10**6, 10_000)
        nearest = (X.reshape(len(X), -1) @ self.means.T).argmax(axis=1)
        return float(np.mean(nearest == y))


def judge(model: str, effect: Gaussians, seed: int):
    """Cross-validated estimate, and what the fitted decoders are truly worth."""
    X, y, subject = effect.draw(seed, SUBJECTS)
    names = subject.astype(str)
    table = pd.DataFrame({"subject": names, "recording": names, "label": y.astype(str)})
    fresh_X, fresh_y, _ = effect.draw(seed + 10_000, 200)
    given, worth = np.zeros((len(y), effect.n_classes)), []
    folds = make_folds(table.assign(session="", run="1")).folds
    for fold in folds:
        decoder = Decoder(model).fit(X[fold.train], y[fold.train], names[fold.train])
        given[fold.test] = decoder.predict_proba(X[fold.test])
        worth.append(decoder.score(fresh_X, fresh_y))
    bootstrap = GroupBootstrap(names, widening=reuse_widening(folds, names))
    return bootstrap.estimate(bootstrap.draw(y, given), "accuracy"), np.mean(worth)


def test_the_bayes_accuracy_is_what_theory_says():
    """Two classes in noise of standard deviation s: the mean of Φ(distance / 2s)."""
    effect = Gaussians(2, 2.4)
    level = np.exp(SPREAD * stats.norm.ppf((np.arange(2000) + 0.5) / 2000))
    expected = stats.norm.cdf(effect.distance / (2 * level)).mean()
    assert effect.bayes() == pytest.approx(expected, abs=0.006)


@pytest.mark.parametrize("effect", [Gaussians(2, 2.4), Gaussians(4, 3.2)], ids=str)
def test_the_interval_holds_what_the_decoder_is_worth(effect):
    """Of 20 intervals of 95 %, 18 or more hold the truth, with probability 0.92."""
    held, bayes = 0, effect.bayes()
    for seed in range(20):
        found, worth = judge("linear", effect, seed)
        held += found.low <= worth <= found.high
        assert found.low > 1 / effect.n_classes
        assert found.low < bayes
        assert worth <= bayes + 0.01
    assert held >= 18


def test_the_default_decoder_finds_the_effect():
    effect = Gaussians(2, 2.4)
    for seed in range(2):
        found, worth = judge("hybrid", effect, seed)
        assert found.low <= worth <= found.high
        assert 0.5 < found.low < effect.bayes()
