"""People and runs put together."""

import dataclasses

import numpy as np
import pytest

from boldformer.simulation import CohortSpec
from boldformer.simulation.design import block_responses
from boldformer.simulation.simulated_recording import (
    draw_person,
    draw_run,
    random_source,
)

SPEC = CohortSpec(n_volumes=120, voxel_size_mm=8.0, conditions=("left_leg", "hand"))


@pytest.fixture(scope="module")
def person(template):
    return draw_person(SPEC, template, 1)


@pytest.fixture(scope="module")
def run(template, person):
    return draw_run(SPEC, template, person, 1, 1)


def test_sources_depend_on_seed_and_key_alone():
    def first(seed, *key):
        return random_source(CohortSpec(seed=seed), *key).random()

    keys = [(0, 1), (0, 2), (0, 1, 1), (0, 1, 2), (0, 11), (1, 1), (1, 1, 1)]
    assert len({first(*key) for key in keys}) == len(keys)
    assert first(0, 1, 2) == first(0, 1, 2)
    larger = CohortSpec(subjects=40, runs=5)
    assert random_source(larger, 3, 1).random() == first(0, 3, 1)


def test_a_run_repeats_exactly_and_differs_from_the_next(template, person, run):
    again = draw_run(SPEC, template, person, 1, 1)
    np.testing.assert_array_equal(again.data, run.data)
    following = draw_run(SPEC, template, person, 1, 2)
    assert not np.array_equal(following.data, run.data)
    assert list(following.events["onset"]) != list(run.events["onset"])


def test_intensities_and_their_stability_are_realistic(template, run):
    inside = run.data[:, template.brain[template.head]]
    assert np.isfinite(run.data).all()
    assert 600 < inside.mean() < 1500
    assert 40 < np.median(inside.mean(axis=0) / inside.std(axis=0)) < 80


def test_a_volume_is_nearly_all_anatomy(template, run):
    inside = run.data[:, template.brain[template.head]]
    fluctuation = inside.var(axis=0).mean()
    assert fluctuation / inside.var() < 0.03


def test_the_effect_is_the_planted_map_times_the_response(template, person, run):
    nothing = dataclasses.replace(SPEC, effect_size=0.0)
    silent = draw_person(nothing, template, 1)
    assert not silent.maps.any()
    quiet = draw_run(nothing, template, silent, 1, 1)
    added = run.data - quiet.data
    blocks = block_responses(run.events, person.hrf, SPEC)
    mine = (run.events["trial_type"] == "hand").to_numpy()
    course = blocks[:, mine].sum(axis=1)
    others = blocks[:, ~mine].sum(axis=1)
    design = np.stack([course, others], axis=1)
    found = np.linalg.lstsq(design, added, rcond=None)[0][0]
    baseline = person.anatomy.baseline[template.head]
    planted = person.maps[SPEC.conditions.index("hand")][template.head]
    strong = planted > 0.5 * planted.max()
    ratio = (100 * found / baseline)[strong] / planted[strong]
    assert np.corrcoef(100 * found / baseline, planted)[0, 1] > 0.98
    assert np.mean(ratio) == pytest.approx(1.0, abs=0.3)


def test_twice_the_effect_is_twice_the_map(template, person):
    double = dataclasses.replace(SPEC, effect_size=2.0)
    np.testing.assert_allclose(
        draw_person(double, template, 1).maps, 2 * person.maps, rtol=1e-6
    )
