"""Planted activations."""

import numpy as np
import pytest
from nilearn.datasets import (
    fetch_coords_dosenbach_2010,
    fetch_coords_seitzman_2018,
    load_mni152_brain_mask,
)

from boldformer.simulation import CONDITIONS, load_foci
from boldformer.simulation.activation import (
    FOCI_COLUMNS,
    draw_block_heights,
    draw_maps,
    group_map,
)
from boldformer.simulation.anatomy import draw_anatomy, load_template

# The somatomotor seed of Yeo et al. (2011).
YEO_HAND = (-41.0, -20.0, 62.0)


def _published(source):
    if source.startswith("Yeo"):
        return np.array([YEO_HAND])
    if source.startswith("Dosenbach"):
        rois = fetch_coords_dosenbach_2010(ordered_regions=False).rois
    else:
        rois = fetch_coords_seitzman_2018(ordered_regions=False).rois
    return rois[["x", "y", "z"]].to_numpy(dtype=float)


def test_every_coordinate_is_in_the_publication_it_cites():
    for source, foci in load_foci().groupby("coordinate_source"):
        known = _published(source)
        for place in foci[FOCI_COLUMNS].to_numpy(dtype=float):
            assert np.abs(known - place).max(axis=1).min() < 0.01, (source, place)


def test_every_focus_lies_in_the_brain():
    mask = load_mni152_brain_mask(resolution=2)
    brain, to_voxels = np.asarray(mask.dataobj) > 0, np.linalg.inv(mask.affine)
    for place in load_foci()[FOCI_COLUMNS].to_numpy(dtype=float):
        voxel = np.rint(to_voxels @ [*place, 1.0])[:3].astype(int)
        assert brain[tuple(voxel)]


@pytest.mark.parametrize(
    ("condition", "cortical_side"),
    [
        ("left_leg", 1),
        ("right_leg", -1),
        ("forearm", -1),
        ("upper_arm", -1),
        ("hand", -1),
        ("tongue", 0),
    ],
)
def test_cortex_answers_opposite_the_side_that_moves(condition, cortical_side):
    template = load_template(4.0)
    x, _, z = template.coordinates_mm
    activation = group_map(template, condition)
    left = activation[(x < -1) & (z > 20)]
    right = activation[(x > 1) & (z > 20)]
    if cortical_side:
        assert (right.sum() - left.sum()) * cortical_side > 0
        assert x.ravel()[activation.argmax()] * cortical_side > 5
    else:
        assert left.max() == pytest.approx(right.max(), rel=0.1)


@pytest.mark.parametrize(("condition", "side"), [("left_leg", -1), ("hand", 1)])
def test_the_cerebellum_answers_on_the_side_that_moves(template, condition, side):
    x, y, z = template.coordinates_mm
    activation = group_map(template, condition)
    below = (z < -5) & (y < -30)
    right, left = activation[below & (x > 2)].sum(), activation[below & (x < -2)].sum()
    assert (right - left) * side > 0


def test_limb_pairs_look_more_alike_than_limbs_do(template):
    maps = {name: group_map(template, name)[template.brain] for name in CONDITIONS}

    def alike(one, other):
        return np.corrcoef(maps[one], maps[other])[0, 1]

    between = max(
        alike(leg, arm)
        for leg in ("left_leg", "right_leg")
        for arm in ("forearm", "upper_arm")
    )
    assert alike("left_leg", "right_leg") > between + 0.2
    assert alike("forearm", "upper_arm") > between + 0.2


def test_leaving_conditions_out_changes_nothing_in_the_others(template):
    anatomy = draw_anatomy(np.random.default_rng(0), template)
    everything = draw_maps(np.random.default_rng(5), template, anatomy, CONDITIONS)
    some = ("tongue", "left_leg")
    fewer = draw_maps(np.random.default_rng(5), template, anatomy, some)
    for name, own_map in zip(some, fewer, strict=True):
        np.testing.assert_array_equal(own_map, everything[CONDITIONS.index(name)])


def test_people_resemble_the_group_and_differ_in_place_and_strength(template):
    group = group_map(template, "hand")[template.brain]
    own, peaks = [], []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        anatomy = draw_anatomy(rng, template)
        (own_map,) = draw_maps(rng, template, anatomy, ("hand",))
        assert (own_map >= 0).all()
        own.append(np.corrcoef(own_map[template.brain], group)[0, 1])
        peaks.append(own_map.max())
    assert 0.4 < np.mean(own) < 0.95
    assert 0.1 < np.std(np.log(peaks)) < 0.8


def test_blocks_are_answered_unequally_about_one():
    heights = draw_block_heights(np.random.default_rng(0), ["hand"] * 4000, ("hand",))
    assert np.mean(heights) == pytest.approx(1.0, abs=0.25)
    assert np.std(np.log(heights)) == pytest.approx(0.15, abs=0.02)
