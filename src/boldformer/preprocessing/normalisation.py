"""Steps that set the level and the scale of each voxel over its run."""

from __future__ import annotations

import numpy as np

# A voxel whose SD is below this share of its mean level is constant for float32.
_CONSTANT = 1e-6


def centre(data: np.ndarray) -> np.ndarray:
    r"""Subtract each voxel's mean over its run: :math:`y_t - \bar y`.

    Uses no labels, but sees the whole run: a transductive step.

    Parameters
    ----------
    data : ndarray, shape (n_times, n_voxels)

    Returns
    -------
    ndarray, shape (n_times, n_voxels)
    """
    return data - data.mean(axis=0, dtype=np.float64).astype(data.dtype)


def zscore(data: np.ndarray) -> np.ndarray:
    r"""Standardise each voxel over its run: :math:`(y_t - \bar y) / s`.

    :math:`s` is the sample standard deviation (``ddof=1``, as nilearn's
    ``zscore_sample``). A constant voxel becomes zero.

    Parameters
    ----------
    data : ndarray, shape (n_times, n_voxels)

    Returns
    -------
    ndarray, shape (n_times, n_voxels)
    """
    level = np.abs(data).max(axis=0)
    centred = centre(data)
    n_times = max(data.shape[0] - 1, 1)
    squares = np.einsum("tv,tv->v", centred, centred, dtype=np.float64)
    spread = np.sqrt(squares / n_times)
    constant = spread <= _CONSTANT * level
    spread[constant] = 1.0
    centred /= spread.astype(data.dtype)
    centred[:, constant] = 0.0
    return centred
