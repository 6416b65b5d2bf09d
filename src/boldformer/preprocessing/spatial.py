"""Steps on the grid: cropping, zero-padding and the box around a mask."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from boldformer.errors import InputError


def pad_or_crop(
    volumes: np.ndarray,
    affine: np.ndarray,
    shape: Sequence[int],
    fill: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Crop or zero-pad the last three axes about the centre of the grid.

    Along an axis of length n brought to length m, half of ``|n - m|``, rounded down, is
    cut from the start or put there; the returned affine keeps every value at its
    position in the world. Cropping undoes padding.

    Parameters
    ----------
    volumes : ndarray, shape (..., x, y, z)
        One volume or several.
    affine : ndarray, shape (4, 4)
        Voxel to world, millimetres.
    shape : sequence of int
        Wanted ``(x, y, z)``.
    fill : float
        Value of voxels outside the old grid.

    Returns
    -------
    volumes : ndarray, shape (..., *shape)
    affine : ndarray, shape (4, 4)
        Of the new grid.

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
    old = np.array(volumes.shape[-3:])
    new = np.array(shape)
    start = np.trunc((old - new) / 2).astype(int)
    inside_old = tuple(
        slice(max(s, 0), min(s + m, n)) for s, m, n in zip(start, new, old, strict=True)
    )
    inside_new = tuple(
        slice(part.start - s, part.stop - s)
        for part, s in zip(inside_old, start, strict=True)
    )
    result = np.full((*volumes.shape[:-3], *new), fill, dtype=volumes.dtype)
    (x, y, z), (u, v, w) = inside_new, inside_old
    result[..., x, y, z] = volumes[..., u, v, w]
    moved = np.array(affine, dtype=float)
    moved[:3, 3] = affine[:3, :3] @ start + affine[:3, 3]
    return result, moved


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
