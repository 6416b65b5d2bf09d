"""A scanner is shared by everybody it records, and changes what it should."""

import dataclasses

import numpy as np
import pytest

from boldformer.simulation import CohortSpec
from boldformer.simulation.anatomy import MEAN_INTENSITY
from boldformer.simulation.noise import draw_noise
from boldformer.simulation.simulated_recording import draw_person, draw_run
from boldformer.simulation.site import draw_site

SPEC = CohortSpec(n_volumes=120, voxel_size_mm=8.0, conditions=("left_leg", "hand"))
AWAY = dataclasses.replace(SPEC, site_offset=0.3)


def recorded(spec, template, subject=1):
    person = draw_person(spec, template, subject)
    return person, draw_run(spec, template, person, subject, 1).data


def test_no_offset_changes_nothing(template):
    site = draw_site(np.random.default_rng(0), template, 0.0)
    assert (site.sensitivity == 1.0).all()
    assert site.gain == 1.0
    assert not site.background.any()


def test_fields_are_as_large_as_asked_and_smooth(template):
    rng = np.random.default_rng(0)
    sites = [draw_site(rng, template, 0.2) for _ in range(60)]
    logs = np.log([site.sensitivity for site in sites])
    assert logs.std() == pytest.approx(0.2, rel=0.2)
    assert np.std(np.log([site.gain for site in sites])) == pytest.approx(0.2, rel=0.3)
    added = np.array([site.background for site in sites]) / MEAN_INTENSITY
    assert np.sqrt((added**2).mean()) == pytest.approx(0.2, rel=0.2)
    assert (added >= 0).all()
    assert (logs[:, 1:] * logs[:, :-1]).mean() / (logs**2).mean() > 0.9


def test_all_recordings_of_a_cohort_share_the_site(template):
    one, other = (draw_person(AWAY, template, subject) for subject in (1, 2))
    np.testing.assert_array_equal(one.site.sensitivity, other.site.sensitivity)
    np.testing.assert_array_equal(one.site.background, other.site.background)
    elsewhere = draw_person(dataclasses.replace(AWAY, seed=1), template, 1)
    assert not np.array_equal(one.site.sensitivity, elsewhere.site.sensitivity)


def test_the_person_behind_the_site_is_the_same(template):
    home, away = (draw_person(spec, template, 1) for spec in (SPEC, AWAY))
    np.testing.assert_array_equal(home.maps, away.maps)
    factor = away.site.sensitivity * away.site.gain
    np.testing.assert_allclose(
        away.anatomy.baseline, home.anatomy.baseline * factor, rtol=1e-6
    )


def test_the_signal_follows_the_sensitivity_and_the_noise_does_not(template):
    """Without an effect the fine noise, measured from volume to volume, dominates."""
    silent = {"effect_size": 0.0}
    _, home = recorded(dataclasses.replace(SPEC, **silent), template)
    person, away = recorded(dataclasses.replace(AWAY, **silent), template)
    brain = template.brain[template.head]
    site = person.site
    level = (away - site.background[template.head]).mean(axis=0) / home.mean(axis=0)
    sensitivity = site.sensitivity[template.head] * site.gain
    np.testing.assert_allclose(level[brain], sensitivity[brain], rtol=0.01)
    spread = np.diff(away, axis=0).std(axis=0) / np.diff(home, axis=0).std(axis=0)
    assert np.median(spread[brain]) == pytest.approx(float(site.gain), rel=0.1)
    assert np.log(spread[brain]).std() < 0.5 * np.log(sensitivity[brain]).std()


def test_noise_is_scaled_and_nothing_else(template):
    anatomy = draw_person(SPEC, template, 1).anatomy
    plain, loud = (
        draw_noise(
            np.random.default_rng(0),
            template,
            anatomy,
            dataclasses.replace(SPEC, noise_scale=scale),
        )
        for scale in (1.0, 3.0)
    )
    np.testing.assert_allclose(loud, 3.0 * plain, rtol=1e-5)
    _, none = recorded(dataclasses.replace(SPEC, noise_scale=0.0), template)
    _, some = recorded(SPEC, template)
    assert np.diff(none, axis=0).std() < 0.7 * np.diff(some, axis=0).std()
