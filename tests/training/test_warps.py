"""Shifts, turns, sizes and smooth fields: where things go, and how strongly."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial.transform import Rotation

from boldformer.training.warps import (
    CONTROL_SPACING,
    control_field,
    resample,
    rotations,
    shift,
    spread,
)

STILL = (torch.eye(3)[None], torch.ones(1, 3), torch.zeros(1, 3))


def blob(shape, centre, sd=2.0):
    axes = torch.meshgrid(*(torch.arange(n) for n in shape), indexing="ij")
    distance = sum((a - c) ** 2 for a, c in zip(axes, centre, strict=True))
    return torch.exp(-distance / (2 * sd**2))[None, None]


def centre_of(x):
    return torch.tensor(ndimage.center_of_mass(x[0, 0].numpy()))


@settings(max_examples=30, deadline=None)
@given(st.tuples(*[st.integers(-9, 9)] * 3))
def test_shift_moves_every_frame_and_fills_with_zero(steps):
    x = torch.randn(1, 3, 6, 7, 8, generator=torch.Generator().manual_seed(0))
    moved = shift(x, torch.tensor([steps]))
    expected = torch.zeros_like(x)
    for index in torch.cartesian_prod(*(torch.arange(n) for n in x.shape[2:])):
        target = index + torch.tensor(steps)
        if (target >= 0).all() and (target < torch.tensor(x.shape[2:])).all():
            expected[:, :, *target] = x[:, :, *index]
    assert torch.equal(moved, expected)


@settings(max_examples=20, deadline=None)
@given(st.tuples(*[st.integers(-3, 3)] * 3))
def test_resampling_by_whole_voxels_is_a_shift(steps):
    x = torch.randn(1, 2, 6, 1, 8, generator=torch.Generator().manual_seed(1))
    steps = torch.tensor([steps])
    moved = resample(x, STILL[0], STILL[1], steps.float())
    torch.testing.assert_close(moved, shift(x, steps), rtol=0, atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.tuples(*[st.floats(-180, 180)] * 3))
def test_rotation_vectors_mean_what_they_mean_to_scipy(vector):
    expected = Rotation.from_rotvec(vector, degrees=True).as_matrix()
    turned = rotations(torch.tensor([vector], dtype=torch.float64))[0]
    np.testing.assert_allclose(turned.numpy(), expected, atol=1e-9)


def test_a_blob_goes_where_turn_size_and_shift_take_it():
    shape, start = (31, 33, 35), torch.tensor([20.0, 12.0, 18.0])
    turn = rotations(torch.tensor([[0.0, 20.0, 40.0]]))
    zoom, steps = torch.tensor([[1.2, 0.9, 1.0]]), torch.tensor([[2.0, 0.0, -3.0]])
    middle = (torch.tensor(shape) - 1) / 2
    expected = middle + turn[0] @ (zoom[0] * (start - middle)) + steps[0]
    moved = resample(blob(shape, start), turn, zoom, steps)
    torch.testing.assert_close(centre_of(moved).float(), expected, rtol=0, atol=0.05)


def test_a_displacement_says_where_a_voxel_is_read():
    shape = (31, 33, 35)
    displacement = torch.tensor([1.5, 0.0, -2.0]).expand(1, 4, 3, 5, 3)
    warped = resample(blob(shape, (15.0, 16.0, 17.0)), *STILL, displacement)
    torch.testing.assert_close(
        centre_of(warped), torch.tensor([13.5, 16.0, 19.0]).double(), atol=0.05, rtol=0
    )


def test_fields_are_standard_normal_at_control_points_and_smooth_between_them():
    size = 2 * CONTROL_SPACING + 1
    shape = (size, size, 1)
    fields = spread(control_field(shape, list(range(500)), 3), shape).movedim(-1, 1)
    assert fields.shape == (500, 3, size, size, 1)
    points = fields[..., ::CONTROL_SPACING, ::CONTROL_SPACING, :]
    assert points.mean().item() == pytest.approx(0.0, abs=0.05)
    assert points.std().item() == pytest.approx(1.0, rel=0.03)
    # Linear between control points: second differences vanish there.
    bend = fields.diff(n=2, dim=2)[:, :, : CONTROL_SPACING - 1]
    assert bend.abs().max() < 1e-5
    neighbours = torch.corrcoef(points.flatten(1).T).fill_diagonal_(0)
    assert neighbours.abs().max() < 0.25


def test_a_field_depends_on_its_own_seed_alone():
    together = control_field((9, 10, 11), [5, 6, 7], 2)
    assert torch.equal(control_field((9, 10, 11), [6], 2), together[1:2])
    assert not torch.equal(together[0], together[1])


@settings(max_examples=20, deadline=None)
@given(st.tuples(*[st.integers(1, 12)] * 3), st.tuples(*[st.integers(2, 4)] * 3))
def test_spreading_is_trilinear_interpolation(volume_shape, control_shape):
    control = torch.randn(2, *control_shape, 3)
    expected = torch.nn.functional.interpolate(
        control.movedim(-1, 1), volume_shape, mode="trilinear", align_corners=True
    )
    torch.testing.assert_close(
        spread(control, volume_shape), expected.movedim(1, -1), rtol=0, atol=1e-5
    )
