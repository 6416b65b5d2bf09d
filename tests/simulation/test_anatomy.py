"""The template on a grid, and people drawn from it."""

import numpy as np
import pytest
from nilearn.datasets import load_mni152_template

from boldformer.simulation.anatomy import draw_anatomy, load_template


def test_the_default_grid_is_the_one_nilearn_gives_the_template():
    wanted = load_mni152_template(resolution=8)
    made = load_template(8.0)
    assert made.shape == wanted.shape
    np.testing.assert_allclose(made.affine, wanted.affine)


def test_the_brain_has_a_plausible_volume_and_lies_within_the_head(template):
    litres = template.brain.sum() * 8.0**3 / 1e6
    assert 1.5 < litres < 2.3
    assert not (template.brain & ~template.head).any()
    assert template.head.sum() > template.brain.sum()
    tissue = template.grey + template.white + template.fluid
    assert tissue[template.brain].mean() > 0.9


def test_a_given_shape_holds_the_same_brain_centred(template):
    padded = load_template(8.0, (32, 40, 36))
    assert padded.shape == (32, 40, 36)
    assert padded.brain.sum() == template.brain.sum()
    inside = np.argwhere(padded.brain)
    middle = (inside.min(axis=0) + inside.max(axis=0)) / 2
    assert np.abs(middle - (np.array(padded.shape) - 1) / 2).max() <= 1.0


def test_a_small_shape_crops_without_moving_a_voxel(template):
    cropped = load_template(8.0, (12, 14, 12))
    offset = (cropped.affine[:3, 3] - template.affine[:3, 3]) / 8.0
    first = np.rint(offset).astype(int)
    np.testing.assert_allclose(offset, first)
    window = tuple(
        slice(low, low + n) for low, n in zip(first, (12, 14, 12), strict=True)
    )
    np.testing.assert_allclose(cropped.grey, template.grey[window], atol=1e-5)


def test_coordinates_are_millimetres_of_the_affine(template):
    at = template.coordinates_mm[:, 3, 4, 5]
    np.testing.assert_allclose(at, (template.affine @ [3, 4, 5, 1])[:3])


def test_people_differ_and_keep_zero_outside_the_head(template):
    one, other = (draw_anatomy(np.random.default_rng(s), template) for s in (1, 2))
    for person in (one, other):
        assert (person.baseline[~template.head] == 0).all()
        assert (person.baseline[template.head] > 0).all()
    inside = template.brain
    alike = np.corrcoef(one.baseline[inside], other.baseline[inside])[0, 1]
    assert 0.1 < alike < 0.95


def test_displacements_are_a_few_millimetres(template):
    person = draw_anatomy(np.random.default_rng(0), template)
    assert np.sqrt((person.displacement_mm**2).mean()) == pytest.approx(2.2, abs=0.7)
