"""A step that squashes spikes of single voxels and leaves the rest alone."""

from __future__ import annotations

import numpy as np

from boldformer.errors import InputError

# Standard deviations of a Gaussian in its median absolute deviation.
_SD_PER_MAD = 1.4826


def despike(
    data: np.ndarray,
    start: float = 2.5,
    limit: float = 4.0,
    good: np.ndarray | None = None,
) -> np.ndarray:
    r"""Squash what lies far from a voxel's median, smoothly and without a jump.

    With :math:`m` the median, :math:`\sigma = 1.4826\,\mathrm{MAD}` and
    :math:`s = (y - m)/\sigma`, a value with :math:`|s| > c_1` becomes
    :math:`m + \sigma\,\mathrm{sign}(s)\,
    [c_1 + (c_2 - c_1)\tanh\frac{|s| - c_1}{c_2 - c_1}]`: the rule of AFNI's
    ``3dDespike``, about a level where that fits a smooth curve. Other values stay as
    they are, and so does a voxel whose MAD is zero.

    Parameters
    ----------
    data : ndarray, shape (n_times, n_voxels)
    start : float
        :math:`c_1`, standard deviations from which values are squashed.
    limit : float
        :math:`c_2`, standard deviations that no value exceeds.
    good : ndarray of bool, shape (n_times,), optional
        Frames that count in the median and the MAD; all where None.

    Returns
    -------
    ndarray, shape (n_times, n_voxels)

    Raises
    ------
    InputError
        Unless ``0 < start < limit``.

    References
    ----------
    Cox RW (1996). AFNI: software for analysis and visualization of functional magnetic
    resonance neuroimages. Computers and Biomedical Research 29:162-173.
    """
    check_cuts(start, limit)
    counted = data if good is None else data[good]
    median = np.median(counted, axis=0)
    spread = _SD_PER_MAD * np.median(np.abs(counted - median), axis=0)
    return median + squash(data - median, spread, start, limit)


def squash(
    deviation: np.ndarray, spread: np.ndarray, start: float, limit: float
) -> np.ndarray:
    """Bound deviations from a level by `limit` times their spread (see `despike`).

    Parameters
    ----------
    deviation : ndarray, shape (..., n_voxels)
        Changed in place.
    spread : ndarray, shape (n_voxels,)
        Standard deviation; where it is zero nothing changes.
    start, limit : float
        Where squashing starts, and what it never exceeds, in standard deviations.

    Returns
    -------
    ndarray, shape (..., n_voxels)
        `deviation`.
    """
    far = (np.abs(deviation) > start * spread) & (spread > 0)
    scale = np.broadcast_to(spread, deviation.shape)[far]
    value = deviation[far]
    excess = (np.abs(value) / scale - start) / (limit - start)
    bounded = start + (limit - start) * np.tanh(excess)
    deviation[far] = np.sign(value) * scale * bounded
    return deviation


def check_cuts(start: float, limit: float) -> None:
    """Refuse cuts of `despike` that are out of range.

    Raises
    ------
    InputError
        Unless ``0 < start < limit``.
    """
    if not 0 < start < limit:
        raise InputError(
            "unusable cuts for despiking",
            wanted="0 < start < limit",
            received=f"start = {start}, limit = {limit}",
        )
