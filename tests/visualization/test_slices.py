"""Slices lie where they should, and are named by their place in the world."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from boldformer.visualization.slices import Planes


@pytest.mark.parametrize("flip", [(1, 1, 1), (-1, 1, 1), (-1, -1, 1), (1, 1, -1)])
def test_planes_show_left_on_the_left_and_front_on_top(
    flip: tuple[int, int, int],
) -> None:
    affine = np.diag([*(3.0 * np.array(flip)), 1.0])
    volume = np.zeros((6, 6, 6))
    # One bright voxel to the left of, in front of and below the centre.
    left_front_low = [0 if s > 0 else 5 for s in flip]
    left_front_low[1] = 5 - left_front_low[1]
    volume[tuple(left_front_low)] = 1
    planes = Planes(np.ones((6, 6, 6), dtype=bool), affine)
    low = planes.cut(volume, [0], 1)
    assert low.shape == (6, 6)
    assert low[0, 0] == 1
    assert planes.cut(volume, [5], 1).max() == 0


def test_planes_are_named_by_their_place_in_the_world() -> None:
    affine = np.diag([2.0, 2.0, 4.0, 1.0])
    affine[2, 3] = -8
    planes = Planes(np.ones((4, 4, 6), dtype=bool), affine)
    assert [planes.name(k) for k in (0, 2, 5)] == ["z −8", "z 0", "z 12"]


def test_the_strongest_planes_are_found() -> None:
    mask = np.ones((20, 20, 30), dtype=bool)
    strength = np.zeros(mask.shape)
    strength[2:9, 2:9, 7] = 5
    strength[2:9, 2:8, 22] = 4
    planes = Planes(mask, np.eye(4))
    assert planes.strongest(strength, 2) == [7, 22]
    assert len(planes.strongest(strength, 4)) == 4


def test_pictures_are_laid_out_in_rows() -> None:
    volume = np.broadcast_to(np.arange(5.0), (3, 4, 5))
    planes = Planes(np.ones((3, 4, 5), dtype=bool), np.eye(4))
    picture = planes.cut(volume, [0, 1, 2, 3, 4], 3)
    assert picture.shape == (8, 9)
    np.testing.assert_array_equal(picture[0, ::3], [0, 1, 2])
    np.testing.assert_array_equal(picture[-1, ::3], [3, 4, np.nan])


@given(
    shape=st.tuples(*[st.integers(1, 12)] * 3),
    n_planes=st.integers(1, 8),
    seed=st.integers(0, 9),
)
def test_any_mask_has_planes_to_show(
    shape: tuple[int, int, int], n_planes: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random(shape) < 0.5
    mask.flat[0] = True
    planes = Planes(mask, np.eye(4))
    for positions in (
        planes.spread(n_planes),
        planes.strongest(rng.random(shape), n_planes),
    ):
        assert 1 <= len(positions) <= n_planes
        assert positions == sorted(set(positions))
        assert planes.cut(mask, positions, len(positions)).ndim == 2


def test_a_drawn_picture_names_each_plane() -> None:
    axes = Figure().add_subplot()
    planes = Planes(np.ones((5, 6, 7), dtype=bool), np.eye(4))
    planes.draw(axes, np.zeros((5, 6, 7)), [0, 3, 6], 2, cmap="gray")
    assert [text.get_text() for text in axes.texts] == ["z 0", "z 3", "z 6"]
    assert axes.images[0].get_array().shape == (12, 10)
