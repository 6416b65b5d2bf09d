"""Steps that take out of each voxel what known regressors explain of it."""

from __future__ import annotations

import numpy as np

from boldformer.errors import InputError

# Singular values below this share of the largest count as zero.
_RANK_TOLERANCE = 1e-6


def regress_out(data: np.ndarray, regressors: np.ndarray) -> np.ndarray:
    r"""Remove the least-squares fit of regressors, keeping each voxel's mean.

    :math:`Y - Q Q^\top Y`, with :math:`Q` an orthonormal basis of the regressors after
    their own means are removed. Drifts and confounds go in together: taking them out
    one after the other would bring back what was taken out first.

    Parameters
    ----------
    data : ndarray, shape (n_times, n_voxels)
    regressors : ndarray, shape (n_times, n_regressors)
        Without a constant; collinear columns are allowed.

    Returns
    -------
    ndarray, shape (n_times, n_voxels)

    Raises
    ------
    InputError
        When lengths differ, regressors are not finite, or none of the data's degrees
        of freedom would be left.

    References
    ----------
    Lindquist MA et al. (2019). Modular preprocessing pipelines can reintroduce
    artifacts into fMRI data. Human Brain Mapping 40:2358-2376.
    """
    n_times = data.shape[0]
    if regressors.shape[0] != n_times:
        raise InputError(
            "regressors and data differ in length",
            wanted=f"{n_times} rows",
            received=f"{regressors.shape[0]}",
        )
    if not np.isfinite(regressors).all():
        raise InputError("regressors hold NaN or infinite values")
    basis = _orthonormal(regressors)
    if basis.shape[1] >= n_times - 1:
        raise InputError(
            "more regressors than the run can carry",
            wanted=f"fewer than {n_times - 1} independent regressors",
            received=f"{basis.shape[1]}",
            fix="regress out fewer confounds, or use a lower cut-off frequency",
        )
    basis = basis.astype(data.dtype)
    return data - basis @ (basis.T @ data)


def _orthonormal(regressors: np.ndarray) -> np.ndarray:
    centred = regressors - regressors.mean(axis=0)
    length = np.linalg.norm(centred, axis=0)
    level = np.abs(regressors).max(axis=0, initial=0)
    varies = length > _RANK_TOLERANCE * np.maximum(level, np.finfo(float).tiny)
    if not varies.any():
        return np.zeros((regressors.shape[0], 0))
    scaled = centred[:, varies] / length[varies]
    left, strength, _ = np.linalg.svd(scaled, full_matrices=False)
    return left[:, strength > _RANK_TOLERANCE * strength[0]]
