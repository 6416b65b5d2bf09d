"""Steps that take out of each voxel what known regressors explain of it."""

from __future__ import annotations

import numpy as np

from boldformer.errors import InputError

# Singular values below this share of the largest count as zero.
_RANK_TOLERANCE = 1e-6


def regress_out(
    data: np.ndarray, regressors: np.ndarray, good: np.ndarray | None = None
) -> np.ndarray:
    r"""Remove the least-squares fit of regressors, keeping each voxel's mean.

    :math:`Y - Q Q^\top Y`, with :math:`Q` an orthonormal basis of the regressors after
    their own means are removed. Drifts and confounds go in together: taking them out
    one after the other would bring back what was taken out first.

    Parameters
    ----------
    data : ndarray, shape (n_times, n_voxels)
    regressors : ndarray, shape (n_times, n_regressors)
        Without a constant; collinear columns are allowed.
    good : ndarray of bool, shape (n_times,), optional
        Frames that count in the fit, all where None; it is removed from every frame.

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
    counted = np.ones(n_times, dtype=bool) if good is None else good
    basis = _orthonormal(regressors, counted)
    n_counted = int(counted.sum())
    if basis.shape[1] >= n_counted - 1:
        raise InputError(
            "more regressors than the run can carry",
            wanted=f"fewer than {n_counted - 1} independent regressors",
            received=f"{basis.shape[1]}",
            fix="regress out fewer confounds, or use a lower cut-off frequency",
        )
    fitting = (basis * counted[:, None]).astype(data.dtype)
    return data - basis.astype(data.dtype) @ (fitting.T @ data)


def _orthonormal(regressors: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Combine regressors so that they are orthonormal over the frames that count."""
    centred = regressors - regressors[counted].mean(axis=0)
    length = np.linalg.norm(centred[counted], axis=0)
    level = np.abs(regressors[counted]).max(axis=0, initial=0)
    varies = length > _RANK_TOLERANCE * np.maximum(level, np.finfo(float).tiny)
    if not varies.any():
        return np.zeros((regressors.shape[0], 0))
    scaled = centred[:, varies] / length[varies]
    left, strength, right = np.linalg.svd(scaled[counted], full_matrices=False)
    kept = strength > _RANK_TOLERANCE * strength[0]
    if counted.all():
        return left[:, kept]
    return scaled @ (right[kept].T / strength[kept])
