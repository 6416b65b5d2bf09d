"""Cropping and padding keep every value at its place in the world."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boldformer.errors import InputError
from boldformer.preprocessing.spatial import bounding_box, pad_or_crop

shapes = st.tuples(*[st.integers(1, 9)] * 3)
AFFINE = np.array(
    [[-3.0, 0, 0, 90], [0, 2.0, 0.5, -126], [0, -0.5, 2.0, -72], [0, 0, 0, 1]]
)


@given(shapes, shapes)
def test_a_value_keeps_its_world_position(
    old: tuple[int, int, int], new: tuple[int, int, int]
) -> None:
    volume = np.arange(1, np.prod(old) + 1, dtype=float).reshape(old)
    moved, affine = pad_or_crop(volume, AFFINE, new)
    assert moved.shape == new
    for index in np.argwhere(moved):
        world = affine @ [*index, 1]
        back = np.linalg.solve(AFFINE, world)[:3].round().astype(int)
        assert volume[tuple(back)] == moved[tuple(index)]


@given(shapes, shapes)
def test_padding_then_cropping_returns_the_volume(
    old: tuple[int, int, int], extra: tuple[int, int, int]
) -> None:
    volume = np.random.default_rng(0).random((2, *old))
    larger = [n + m for n, m in zip(old, extra, strict=True)]
    padded, affine = pad_or_crop(volume, AFFINE, larger)
    back, affine = pad_or_crop(padded, affine, old)
    np.testing.assert_array_equal(back, volume)
    np.testing.assert_allclose(affine, AFFINE)


def test_an_unusable_shape_is_refused() -> None:
    with pytest.raises(InputError, match="three positive numbers"):
        pad_or_crop(np.zeros((3, 3, 3)), AFFINE, (3, 0, 3))


@given(st.integers(0, 2**31), st.integers(0, 3))
def test_the_box_holds_the_mask_and_no_empty_border(seed: int, margin: int) -> None:
    mask = np.random.default_rng(seed).random((6, 5, 4)) > 0.9
    mask[2, 3, 1] = True
    box = bounding_box(mask, margin)
    assert mask[box].sum() == mask.sum()
    tight = mask[bounding_box(mask)]
    for axis in range(3):
        assert np.take(tight, 0, axis).any()
        assert np.take(tight, -1, axis).any()


def test_an_empty_mask_has_no_box() -> None:
    with pytest.raises(InputError, match="empty"):
        bounding_box(np.zeros((2, 2, 2), dtype=bool))
