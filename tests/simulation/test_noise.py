"""Noise and physiology."""

import numpy as np
import pytest

from boldformer.simulation import CohortSpec
from boldformer.simulation.anatomy import draw_anatomy
from boldformer.simulation.noise import draw_noise, draw_physiology


@pytest.fixture(scope="module")
def anatomy(template):
    return draw_anatomy(np.random.default_rng(0), template)


@pytest.fixture(scope="module")
def noise(template, anatomy):
    return draw_noise(np.random.default_rng(1), template, anatomy, CohortSpec())


def test_noise_is_about_a_percent_without_a_mean(template, noise):
    assert noise.shape == (232, template.head.sum())
    assert noise.dtype == np.float32
    inside = noise[:, template.brain[template.head]]
    assert np.median(inside.std(axis=0)) == pytest.approx(1.0, abs=0.2)
    assert np.abs(inside.mean(axis=0)).mean() < 0.2


def test_noise_is_autocorrelated_and_decays(noise):
    def lagged(steps):
        before, after = noise[:-steps], noise[steps:]
        return (before * after).mean() / (noise**2).mean()

    assert 0.2 < lagged(1) < 0.55
    assert lagged(8) < 0.6 * lagged(1)


def test_noise_is_smooth_in_space(template, noise):
    volumes = np.zeros((len(noise), *template.shape), dtype=np.float32)
    volumes[:, template.head] = noise
    both = template.brain[1:] & template.brain[:-1]
    here, there = volumes[:, :-1][:, both], volumes[:, 1:][:, both]
    assert (here * there).mean() / (here**2).mean() > 0.1


def test_physiology_is_strongest_where_it_belongs(template, anatomy):
    made = draw_physiology(np.random.default_rng(2), template, anatomy, CohortSpec())
    assert made.series.shape == (232, made.maps.shape[0])
    assert made.maps.shape[1:] == template.shape
    cardiac = made.maps[:2].mean(axis=0)
    fluid = template.brain & (anatomy.fluid > 0.4)
    white = template.brain & (anatomy.white > 0.8)
    assert cardiac[fluid].mean() > 2 * cardiac[white].mean()


def test_heart_beat_appears_at_its_folded_frequency(template, anatomy):
    # At a volume every 0.2 s nothing folds: about 66 beats a minute must show.
    spec = CohortSpec(t_r=0.2, n_volumes=2320)
    made = draw_physiology(np.random.default_rng(3), template, anatomy, spec)
    power = np.abs(np.fft.rfft(made.series[:, 0])) ** 2
    assert 0.7 < np.fft.rfftfreq(2320, 0.2)[power.argmax()] < 1.5
