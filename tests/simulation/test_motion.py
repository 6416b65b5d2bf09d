"""Head movement."""

import dataclasses

import numpy as np
import pytest

from boldformer.simulation import CohortSpec
from boldformer.simulation.motion import (
    RESIDUAL,
    draw_motion,
    framewise_displacement_mm,
    motion_images,
)


def test_framewise_displacement_adds_arcs_to_shifts():
    motion = np.zeros((3, 6))
    motion[1:, 0] = 0.5
    motion[2, 5] = -0.01
    found = framewise_displacement_mm(motion)
    assert np.isnan(found[0])
    np.testing.assert_allclose(found[1:], [0.5, 0.5])


def test_movement_begins_at_zero_and_is_realistic():
    spec, still = CohortSpec(), np.zeros(232, dtype=np.float32)
    means = []
    for seed in range(20):
        motion = draw_motion(np.random.default_rng(seed), spec, still, still)
        assert motion.shape == (232, 6)
        assert (motion[0] == 0).all()
        means.append(np.nanmean(framewise_displacement_mm(motion)))
    assert 0.05 < np.mean(means) < 0.3


def test_task_moves_the_head_alike_in_every_condition():
    spec, still = CohortSpec(), np.zeros(232, dtype=np.float32)
    task = np.zeros(232, dtype=np.float32)
    task[50:58] = task[150:158] = 1.0
    moved = draw_motion(np.random.default_rng(0), spec, still, task)
    moved -= draw_motion(np.random.default_rng(0), spec, still, still)
    assert np.abs(moved[50:58]).min() > 0
    np.testing.assert_allclose(moved[50:58], moved[150:158])


@pytest.mark.parametrize(("column", "axis"), [(0, 0), (1, 1), (2, 2)])
def test_a_shift_shows_as_the_gradient_along_it(template, column, axis):
    ramp = template.coordinates_mm[axis]
    images = motion_images(ramp, template)
    np.testing.assert_allclose(images[column], RESIDUAL, rtol=1e-4)
    np.testing.assert_allclose(np.delete(images[:3], column, axis=0), 0.0, atol=1e-6)


@pytest.mark.parametrize(("column", "axes"), [(3, (1, 2)), (4, (2, 0)), (5, (0, 1))])
def test_a_turn_shows_as_a_small_rotation_does(template, column, axes):
    first, second = (template.coordinates_mm[axis] for axis in axes)
    angle = 1e-3

    def image(u, v):
        return (u * u + 3 * u * v).astype(np.float64)

    turned = image(
        first * np.cos(angle) - second * np.sin(angle),
        first * np.sin(angle) + second * np.cos(angle),
    )
    # Differences at the faces of the grid are one-sided and only first order.
    core = np.zeros(template.shape, dtype=bool)
    core[1:-1, 1:-1, 1:-1] = True
    inner = dataclasses.replace(template, head=core)
    expected = RESIDUAL * (turned - image(first, second))[core] / angle
    made = motion_images(image(first, second).astype(np.float32), inner)[column]
    assert np.corrcoef(made, expected)[0, 1] > 0.999
    assert np.polyfit(expected, made, 1)[0] == pytest.approx(1.0, abs=0.02)
