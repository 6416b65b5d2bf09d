"""Steps on the grid: cropping, zero-padding, resampling and smoothing in space."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from scipy.ndimage import affine_transform

from boldformer.errors import InputError
from boldformer.preprocessing.gaussian import FWHM_PER_SIGMA, TRUNCATE


def take_box(
    volumes: np.ndarray, start: Sequence[int], shape: Sequence[int], fill: float = 0.0
) -> np.ndarray:
    """Copy a box of the last three axes, which may reach beyond the grid.

    Parameters
    ----------
    volumes : ndarray, shape (..., x, y, z)
    start : sequence of int
        First voxel of the box along each axis; may be negative.
    shape : sequence of int
        Voxels of the box along each axis.
    fill : float
        Value of voxels outside the grid.

    Returns
    -------
    ndarray, shape (..., *shape)
    """
    old = volumes.shape[-3:]
    inside_old = tuple(
        slice(min(max(s, 0), n), max(min(s + m, n), 0))
        for s, m, n in zip(start, shape, old, strict=True)
    )
    inside_new = tuple(
        slice(part.start - s, part.stop - s)
        for part, s in zip(inside_old, start, strict=True)
    )
    result = np.full((*volumes.shape[:-3], *shape), fill, dtype=volumes.dtype)
    if all(part.stop > part.start for part in inside_old):
        (x, y, z), (u, v, w) = inside_new, inside_old
        result[..., x, y, z] = volumes[..., u, v, w]
    return result


def centred_box(
    old_shape: Sequence[int], affine: np.ndarray, shape: Sequence[int]
) -> tuple[tuple[int, int, int], np.ndarray]:
    """First voxel and affine of a box of another shape about the centre of a grid.

    Along an axis of length n brought to length m, half of ``|n - m|``, rounded down, is
    cut from the start or put there; the affine keeps every value at its position in the
    world. Cropping undoes padding.

    Raises
    ------
    InputError
        When `shape` is not three positive numbers.
    """
    if len(shape) != 3 or min(shape) < 1:
        raise InputError(
            "unusable volume shape",
            wanted="three positive numbers",
            received=str(shape),
        )
    start = np.trunc((np.array(old_shape) - np.array(shape)) / 2).astype(int)
    x, y, z = start.tolist()
    return (x, y, z), moved_affine(affine, start)


def moved_affine(affine: np.ndarray, start: Sequence[int] | np.ndarray) -> np.ndarray:
    """Affine of a box that begins at voxel `start` of a grid, shape (4, 4)."""
    moved = np.array(affine, dtype=float)
    moved[:3, 3] = affine[:3, :3] @ np.asarray(start) + affine[:3, 3]
    return moved


def voxel_sizes_mm(affine: np.ndarray) -> np.ndarray:
    """Edge lengths of a voxel in millimetres, shape (3,)."""
    return np.linalg.norm(np.asarray(affine, dtype=float)[:3, :3], axis=0)


def resized_grid(
    shape: Sequence[int], affine: np.ndarray, voxel_size_mm: float
) -> tuple[tuple[int, int, int], np.ndarray]:
    """Grid of cubic voxels over the same field of view, with the same axes.

    The outer edges of the first voxels stay where they were; the last voxel along an
    axis may reach beyond the old edge by less than its own length.

    Parameters
    ----------
    shape : sequence of int
        ``(x, y, z)`` of the old grid.
    affine : ndarray, shape (4, 4)
        Voxel to world, millimetres.
    voxel_size_mm : float
        Edge length of the new voxels.

    Returns
    -------
    shape : tuple of int
    affine : ndarray, shape (4, 4)

    Raises
    ------
    InputError
        For a size that is not positive, or a grid of more than 512 voxels an axis.
    """
    if not voxel_size_mm > 0:
        raise InputError(
            "unusable voxel size",
            wanted="millimetres above 0",
            received=f"{voxel_size_mm:g}",
        )
    old_mm = voxel_sizes_mm(affine)
    count = np.maximum(1, np.ceil(np.array(shape) * old_mm / voxel_size_mm - 1e-3))
    if count.max() > 512:
        raise InputError(
            f"voxels of {voxel_size_mm:g} mm make too large a grid",
            wanted="at most 512 voxels an axis",
            received=f"{count.max():.0f}",
        )
    scale = voxel_size_mm / old_mm
    resized = np.array(affine, dtype=float)
    resized[:3, :3] = affine[:3, :3] * scale
    # Centres lie half a voxel inside the edge that stays.
    resized[:3, 3] = affine[:3, :3] @ ((scale - 1) / 2) + affine[:3, 3]
    x, y, z = count.astype(int).tolist()
    return (x, y, z), resized


def resample(
    volume: np.ndarray,
    affine: np.ndarray,
    target_shape: Sequence[int],
    target_affine: np.ndarray,
    *,
    nearest: bool = False,
) -> np.ndarray:
    r"""Read a volume at the voxel centres of another grid in the same space.

    :math:`v'(i') = v(A^{-1} A' i')` by trilinear interpolation; zero outside the field
    of view. It moves nothing between spaces: that takes a registration.

    Parameters
    ----------
    volume : ndarray, shape (x, y, z)
    affine : ndarray, shape (4, 4)
        Of the volume: voxel to world, millimetres.
    target_shape : sequence of int
        ``(x', y', z')``.
    target_affine : ndarray, shape (4, 4)
        Of the new grid.
    nearest : bool
        Take the nearest voxel instead, as masks and labels need.

    Returns
    -------
    ndarray of float32 (or the volume's own type for `nearest`), shape target_shape
    """
    to_source = np.linalg.inv(affine) @ target_affine
    return affine_transform(
        volume if nearest else np.asarray(volume, dtype=np.float32),
        to_source[:3, :3],
        to_source[:3, 3],
        output_shape=tuple(target_shape),
        order=0 if nearest else 1,
    )


def smooth(
    volume: np.ndarray, voxel_size_mm: Sequence[float] | np.ndarray, fwhm_mm: float
) -> np.ndarray:
    r"""Smooth a volume with a Gaussian of the given full width at half maximum.

    :math:`\sigma = \mathrm{FWHM} / \sqrt{8 \ln 2}`, cut off at :math:`4\sigma`,
    mirrored at the edges of the volume: what ``nilearn.image.smooth_img`` does. The
    three one-dimensional filters are matrix products, faster than convolutions at the
    size of a brain. Values that are not finite count as zero.

    Parameters
    ----------
    volume : ndarray, shape (x, y, z)
    voxel_size_mm : sequence of float
        Edge lengths of a voxel.
    fwhm_mm : float
        Full width at half maximum; 0 returns the volume.

    Returns
    -------
    ndarray of float32, shape (x, y, z)
    """
    values = np.ascontiguousarray(volume, dtype=np.float32)
    if not fwhm_mm:
        return values
    if not np.isfinite(values.sum(dtype=np.float64)):
        values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    x, y, z = values.shape
    along_x, along_y, along_z = (
        _gaussian_matrix(n, round(fwhm_mm / FWHM_PER_SIGMA / float(size), 9))
        for n, size in zip(values.shape, voxel_size_mm, strict=True)
    )
    values = (values.reshape(x * y, z) @ along_z.T).reshape(x, y * z)
    return np.matmul(along_y, (along_x @ values).reshape(x, y, z))


def smoothing_radius(
    voxel_size_mm: Sequence[float] | np.ndarray, fwhm_mm: float
) -> tuple[int, int, int]:
    """Voxels along each axis beyond which a value does not reach in `smooth`."""
    x, y, z = (
        int(TRUNCATE * fwhm_mm / FWHM_PER_SIGMA / float(size) + 0.5)
        for size in voxel_size_mm
    )
    return x, y, z


@functools.lru_cache(maxsize=32)
def _gaussian_matrix(n: int, sigma: float) -> np.ndarray:
    """Matrix that filters an axis of n voxels, mirrored at both ends, (n, n)."""
    radius = int(TRUNCATE * sigma + 0.5)
    offsets = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    weights /= weights.sum()
    at = (np.arange(n)[:, None] + offsets) % (2 * n)
    mirrored = np.where(at < n, at, 2 * n - 1 - at)
    matrix = np.zeros((n, n))
    np.add.at(matrix, (np.arange(n)[:, None], mirrored), weights)
    return matrix.astype(np.float32)


def bounding_box(mask: np.ndarray, margin: int = 0) -> tuple[slice, slice, slice]:
    """Smallest box that holds every true voxel of a mask.

    Parameters
    ----------
    mask : ndarray of bool, shape (x, y, z)
    margin : int
        Voxels added on every side, within the grid.

    Raises
    ------
    InputError
        When the mask is empty.
    """
    if not mask.any():
        raise InputError("the mask is empty", wanted="at least one voxel")
    box = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        inside = np.flatnonzero(mask.any(axis=others))
        first = max(int(inside[0]) - margin, 0)
        last = min(int(inside[-1]) + 1 + margin, mask.shape[axis])
        box.append(slice(first, last))
    return box[0], box[1], box[2]
