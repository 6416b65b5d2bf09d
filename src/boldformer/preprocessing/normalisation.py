"""Steps that set the level and the scale of each voxel over its run."""

from __future__ import annotations

import numpy as np

# A voxel whose SD (or mean) is below this share of its level is zero for float32.
NEGLIGIBLE = 1e-6


def centre(data: np.ndarray, good: np.ndarray | None = None) -> np.ndarray:
    r"""Subtract each voxel's mean over its run: :math:`y_t - \bar y`.

    Uses no labels, but sees the whole run: a transductive step.

    Parameters
    ----------
    data : ndarray, shape (n_times, n_voxels)
    good : ndarray of bool, shape (n_times,), optional
        Frames that count in the mean; all where None.

    Returns
    -------
    ndarray, shape (n_times, n_voxels)
    """
    return data - _mean(data, good).astype(data.dtype)


def zscore(data: np.ndarray, good: np.ndarray | None = None) -> np.ndarray:
    r"""Standardise each voxel over its run: :math:`(y_t - \bar y) / s`.

    :math:`s` is the sample standard deviation (``ddof=1``, as nilearn's
    ``zscore_sample``). A constant voxel becomes zero.

    Parameters
    ----------
    data : ndarray, shape (n_times, n_voxels)
    good : ndarray of bool, shape (n_times,), optional
        Frames that count in mean and standard deviation; all where None.

    Returns
    -------
    ndarray, shape (n_times, n_voxels)
    """
    level = np.abs(data).max(axis=0)
    centred = centre(data, good)
    counted = centred if good is None else centred[good]
    squares = np.einsum("tv,tv->v", counted, counted, dtype=np.float64)
    spread = np.sqrt(squares / max(counted.shape[0] - 1, 1))
    # Below the least normal number a spread is rounded to nothing, or nearly.
    least = np.finfo(data.dtype).tiny
    constant = spread <= np.maximum(NEGLIGIBLE * level, least)
    spread[constant] = 1.0
    centred /= spread.astype(data.dtype)
    centred[:, constant] = 0.0
    return centred


def percent_signal_change(
    data: np.ndarray, good: np.ndarray | None = None
) -> np.ndarray:
    r"""Express each voxel in percent of its mean: :math:`100\,(y_t-\bar y)/|\bar y|`.

    As nilearn's ``standardize='psc'``. A voxel whose mean is negligible (a millionth of
    its largest value) becomes zero.

    Parameters
    ----------
    data : ndarray, shape (n_times, n_voxels)
        Image intensities, not centred.
    good : ndarray of bool, shape (n_times,), optional
        Frames that count in the mean; all where None.

    Returns
    -------
    ndarray, shape (n_times, n_voxels)
    """
    mean = np.abs(_mean(data, good))
    no_mean = mean <= NEGLIGIBLE * np.abs(data).max(axis=0)
    mean[no_mean] = 1.0
    percent = centre(data, good)
    percent *= (100.0 / mean).astype(data.dtype)
    percent[:, no_mean] = 0.0
    return percent


def _mean(data: np.ndarray, good: np.ndarray | None) -> np.ndarray:
    where = np.True_ if good is None else good[:, None]
    return data.mean(axis=0, dtype=np.float64, where=where)
