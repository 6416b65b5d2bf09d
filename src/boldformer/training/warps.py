"""Smooth changes of whole windows: turns, sizes, elastic warps, intensity fields."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

# Shape suffixes: B windows  T frames  C values of a voxel  X, Y, Z voxels

# Voxels between control points: a few centimetres at the usual voxel sizes, the scale
# on which brains differ after they were brought to one space.
CONTROL_SPACING = 8


def shift(x_BTXYZ: Tensor, shifts: Tensor) -> Tensor:
    """Move windows by whole voxels; what comes in at the border is zero.

    Parameters
    ----------
    x_BTXYZ : Tensor, shape (batch, n_times, x, y, z)
    shifts : Tensor of int, shape (batch, 3)
        Voxels towards higher indices along x, y and z.
    """
    if not shifts.any():
        return x_BTXYZ
    moved = torch.zeros_like(x_BTXYZ)
    for target, source, steps in zip(moved, x_BTXYZ, shifts.tolist(), strict=True):
        spans = [
            _overlap(step, size)
            for step, size in zip(steps, x_BTXYZ.shape[2:], strict=True)
        ]
        into = (slice(None), *(span[0] for span in spans))
        out_of = (slice(None), *(span[1] for span in spans))
        target[into] = source[out_of]
    return moved


def control_field(
    volume_shape: tuple[int, int, int], seeds: list[int], n_values: int
) -> Tensor:
    """Draw standard normal values at control points.

    Parameters
    ----------
    volume_shape : tuple of int
        ``(x, y, z)``.
    seeds : list of int
        One a window; a window's values depend on its own seed alone.
    n_values : int
        Values at a point.

    Returns
    -------
    Tensor, shape (n_windows, cx, cy, cz, n_values)
        On the CPU. Control points lie at the corners of the volume and at most
        `CONTROL_SPACING` voxels apart.
    """
    cx, cy, cz = (
        max(2, math.ceil((size - 1) / CONTROL_SPACING) + 1) for size in volume_shape
    )
    return torch.stack(
        [
            torch.randn(
                cx, cy, cz, n_values, generator=torch.Generator().manual_seed(seed)
            )
            for seed in seeds
        ]
    )


def spread(control_BXYZC: Tensor, volume_shape: tuple[int, int, int]) -> Tensor:
    """Interpolate linearly between control points, to (B, x, y, z, C).

    Axis by axis, as products with matrices: five times faster on a CPU than the
    library's interpolation over eight neighbours, with the same result.

    Parameters
    ----------
    control_BXYZC : Tensor, shape (B, cx, cy, cz, C)
        Values at control points, those at the ends in the corners of the volume.
        Halfway between them the variance of a random field is lower.
    volume_shape : tuple of int
        ``(x, y, z)``.
    """
    hats = [
        _hats(size, n_points).to(control_BXYZC)
        for size, n_points in zip(volume_shape, control_BXYZC.shape[1:4], strict=True)
    ]
    x_XP, y_YQ, z_ZR = hats
    part = torch.einsum("bpqrc,xp->bxqrc", control_BXYZC, x_XP)
    part = torch.einsum("bxqrc,yq->bxyrc", part, y_YQ)
    # One product for all values of a voxel, which come to lie side by side.
    n_values = part.shape[-1]
    both = torch.kron(z_ZR, torch.eye(n_values).to(z_ZR))
    return (part.flatten(3) @ both.T).unflatten(3, (len(z_ZR), n_values))


def _hats(size: int, n_points: int) -> Tensor:
    """Weight of each control point at each voxel of an axis, (size, n_points)."""
    places = torch.linspace(0, n_points - 1, size)
    away = (places[:, None] - torch.arange(n_points)).abs()
    return (1 - away).clamp(min=0)


def rotations(vectors_deg_B3: Tensor) -> Tensor:
    """Rotation matrices, (B, 3, 3), of rotation vectors in degrees, (B, 3).

    ``R = exp([v]×)``: a turn about the vector's axis by its length.
    """
    x, y, z = torch.deg2rad(vectors_deg_B3).unbind(1)
    zero = torch.zeros_like(x)
    skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=1)
    return torch.linalg.matrix_exp(skew.unflatten(1, (3, 3)))


def resample(
    x_BTXYZ: Tensor,
    rotations_B33: Tensor,
    zooms_B3: Tensor,
    shifts_B3: Tensor,
    displacements_BXYZ3: Tensor | None = None,
) -> Tensor:
    """Turn, scale, move and warp windows about the centre of the grid at once.

    A voxel p of the result is read, trilinearly, at
    ``c + diag(1 / zoom) Rᵀ (p - c - shift) + displacement(p)``, c being the centre.
    All frames of a window move together; what comes in at the border is zero.

    Parameters
    ----------
    x_BTXYZ : Tensor, shape (batch, n_times, x, y, z)
    rotations_B33 : Tensor, shape (batch, 3, 3)
        Turns in voxel coordinates: true rotations where voxels are cubes.
    zooms_B3 : Tensor, shape (batch, 3)
        Factors on the size along each axis.
    shifts_B3 : Tensor, shape (batch, 3)
        Voxels towards higher indices.
    displacements_BXYZ3 : Tensor, shape (batch, cx, cy, cz, 3), optional
        Voxels along each axis at control points, linear between them (see `spread`).

    Returns
    -------
    Tensor, shape (batch, n_times, x, y, z)

    References
    ----------
    Jaderberg, M. et al. (2015). Spatial transformer networks. NeurIPS.
    Simard, P. et al. (2003). Best practices for convolutional neural networks. ICDAR.
    """
    x, y, z = x_BTXYZ.shape[2:]
    device = x_BTXYZ.device
    if displacements_BXYZ3 is None:
        displacements_BXYZ3 = torch.zeros(1, 2, 2, 2, 3)
    n_points = displacements_BXYZ3.shape[1:4]
    size = torch.tensor((x, y, z), dtype=torch.float32, device=device)
    # What is linear between control points need not be computed at every voxel.
    axes = [
        torch.linspace(0, n - 1, points, device=device)
        for n, points in zip((x, y, z), n_points, strict=True)
    ]
    centre = (size - 1) / 2
    points_XYZ3 = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1) - centre
    moved = points_XYZ3 - shifts_B3.to(size)[:, None, None, None]
    # (Rᵀ v) as a row is v R.
    backwards_B33 = rotations_B33.to(size) / zooms_B3.to(size)[:, None, :]
    at_BXYZ3 = moved.flatten(1, 3) @ backwards_B33
    at_BXYZ3 = at_BXYZ3.unflatten(1, n_points) + centre
    at_BXYZ3 = at_BXYZ3 + displacements_BXYZ3.to(size)
    # Voxel i of n lies at (2 i + 1) / n - 1; the last axis is named first.
    grid_BXYZ3 = spread(((2 * at_BXYZ3 + 1) / size - 1).flip(-1), (x, y, z))
    return F.grid_sample(x_BTXYZ, grid_BXYZ3.to(x_BTXYZ.dtype), align_corners=False)


def _overlap(step: int, size: int) -> tuple[slice, slice]:
    """Slices to write to and read from when an axis of `size` moves by `step`."""
    step = max(-size, min(size, step))
    if step >= 0:
        return slice(step, size), slice(0, size - step)
    return slice(0, size + step), slice(-step, size)
