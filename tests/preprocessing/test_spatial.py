"""Cropping and padding keep every value at its place in the world."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nilearn.image import resample_img, smooth_img

from boldformer.errors import InputError
from boldformer.preprocessing.spatial import (
    bounding_box,
    centred_box,
    resample,
    resized_grid,
    smooth,
    smoothing_radius,
    take_box,
    voxel_sizes_mm,
)

shapes = st.tuples(*[st.integers(1, 9)] * 3)
AFFINE = np.array(
    [[-3.0, 0, 0, 90], [0, 2.0, 0.5, -126], [0, -0.5, 2.0, -72], [0, 0, 0, 1]]
)


def pad_or_crop(
    volumes: np.ndarray, affine: np.ndarray, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Take a box as the store does."""
    start, moved = centred_box(volumes.shape[-3:], affine, shape)
    return take_box(volumes, start, shape), moved


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


@pytest.mark.parametrize("fwhm_mm", [3.0, 6.0, 14.0])
@pytest.mark.parametrize("shape", [(12, 15, 9), (5, 4, 7), (40, 20, 1)])
def test_smoothing_equals_nilearns(shape: tuple[int, int, int], fwhm_mm: float) -> None:
    volume = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    affine = np.diag([2.0, 3.0, 3.5, 1.0])
    theirs = smooth_img(nib.Nifti1Image(volume, affine), fwhm_mm).get_fdata()
    ours = smooth(volume, voxel_sizes_mm(affine), fwhm_mm)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_smoothing_nothing_and_smoothing_what_is_not_finite() -> None:
    volume = np.random.default_rng(0).standard_normal((6, 6, 6)).astype(np.float32)
    np.testing.assert_array_equal(smooth(volume, (2, 2, 2), 0.0), volume)
    spoilt = volume.copy()
    spoilt[3, 3, 3] = np.nan
    volume[3, 3, 3] = 0.0
    np.testing.assert_array_equal(
        smooth(spoilt, (2, 2, 2), 4), smooth(volume, (2, 2, 2), 4)
    )


def test_what_lies_beyond_the_radius_does_not_smear_in() -> None:
    volume = np.zeros((41, 9, 9), dtype=np.float32)
    volume[20, 4, 4] = 1.0
    radius = smoothing_radius((2.0, 2.0, 2.0), 6.0)[0]
    line = smooth(volume, (2.0, 2.0, 2.0), 6.0)[:, 4, 4]
    assert not line[: 20 - radius].any()
    assert line[20 - radius] > 0


@pytest.mark.parametrize("voxel_size_mm", [1.5, 2.0, 4.3])
def test_resampling_equals_nilearns(voxel_size_mm: float) -> None:
    volume = np.random.default_rng(0).standard_normal((10, 12, 9)).astype(np.float32)
    shape, affine = resized_grid(volume.shape, AFFINE, voxel_size_mm)
    theirs = resample_img(
        nib.Nifti1Image(volume, AFFINE),
        target_affine=affine,
        target_shape=shape,
        interpolation="linear",
        force_resample=True,
        copy_header=True,
    ).get_fdata()
    ours = resample(volume, AFFINE, shape, affine)
    assert ours.shape == shape
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


@given(shapes, st.floats(0.8, 6.0))
def test_a_resized_grid_covers_the_field_of_view(
    old: tuple[int, int, int], voxel_size_mm: float
) -> None:
    shape, affine = resized_grid(old, AFFINE, voxel_size_mm)
    np.testing.assert_allclose(voxel_sizes_mm(affine), voxel_size_mm, rtol=1e-9)
    corner = AFFINE @ [-0.5, -0.5, -0.5, 1]
    np.testing.assert_allclose(affine @ [-0.5, -0.5, -0.5, 1], corner, atol=1e-9)
    reach = voxel_size_mm * np.array(shape) - voxel_sizes_mm(AFFINE) * old
    assert (reach > -0.01 * voxel_size_mm).all()
    assert (reach < voxel_size_mm).all()


def test_resampling_to_the_same_grid_changes_nothing() -> None:
    volume = np.random.default_rng(0).standard_normal((6, 5, 7)).astype(np.float32)
    same = resample(volume, AFFINE, volume.shape, AFFINE)
    np.testing.assert_allclose(same, volume, rtol=1e-5)
    mask = volume > 0
    np.testing.assert_array_equal(
        resample(mask.astype(np.uint8), AFFINE, mask.shape, AFFINE, nearest=True), mask
    )


@pytest.mark.parametrize("voxel_size_mm", [0.0, -2.0, 0.001])
def test_unusable_voxel_sizes_are_refused(voxel_size_mm: float) -> None:
    with pytest.raises(InputError, match=r"voxel"):
        resized_grid((90, 90, 90), AFFINE, voxel_size_mm)


@given(shapes, st.tuples(*[st.integers(-12, 12)] * 3), shapes)
def test_a_box_holds_the_grid_or_zeros(
    old: tuple[int, int, int], start: tuple[int, int, int], shape: tuple[int, int, int]
) -> None:
    volume = np.arange(1, np.prod(old) + 1).reshape(old)
    box = take_box(volume, start, shape)
    for index in np.ndindex(*shape):
        at = np.add(index, start)
        inside = ((at >= 0) & (at < old)).all()
        assert box[index] == (volume[tuple(at)] if inside else 0)
