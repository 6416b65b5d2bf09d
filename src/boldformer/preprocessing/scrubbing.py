"""Steps on volumes spoilt by motion: which they are, and what stands in for them."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import CubicSpline

from boldformer.errors import InputError


def scrub_frames(framewise_displacement: np.ndarray, fd_mm: float) -> np.ndarray:
    """Find the volumes to scrub: those that moved more than `fd_mm`.

    Parameters
    ----------
    framewise_displacement : ndarray, shape (n_times,)
        Millimetres; NaN, as at the first volume, counts as no motion.
    fd_mm : float
        Threshold, millimetres.

    Returns
    -------
    ndarray of bool, shape (n_times,)

    Raises
    ------
    InputError
        Unless the threshold is positive.

    References
    ----------
    Power JD et al. (2012). Spurious but systematic correlations in functional
    connectivity MRI networks arise from subject motion. NeuroImage 59:2142-2154.
    """
    check_threshold(fd_mm)
    return np.nan_to_num(np.asarray(framewise_displacement, dtype=float)) > fd_mm


def check_threshold(fd_mm: float) -> None:
    """Refuse a threshold of framewise displacement that is not positive.

    Raises
    ------
    InputError
        Unless it is positive.
    """
    if not fd_mm > 0:
        raise InputError(
            "unusable threshold of framewise displacement",
            wanted="fd_mm above 0",
            received=str(fd_mm),
        )


def interpolate_frames(
    data: np.ndarray, bad: np.ndarray, positions: np.ndarray | None = None
) -> np.ndarray:
    """Replace bad frames by a cubic spline through the good ones.

    The "not-a-knot" spline of nilearn's ``signal.clean``. Before the first and after
    the last good frame nothing is extrapolated: the nearest good frame stands there.

    Parameters
    ----------
    data : ndarray, shape (n_times, n_series)
    bad : ndarray of bool, shape (n_times,)
        Frames to replace; what they hold is never looked at.
    positions : ndarray, shape (n_times,), optional
        When each frame was scanned, in any unit; evenly spaced where None.

    Returns
    -------
    ndarray, shape (n_times, n_series)

    Raises
    ------
    InputError
        When no frame is good.
    """
    good = ~np.asarray(bad, dtype=bool)
    if not good.any():
        raise InputError(
            "every volume is scrubbed", fix="raise the threshold scrub_fd_mm"
        )
    if good.all():
        return data.copy()
    times = np.arange(len(good)) if positions is None else np.asarray(positions)
    known = times[good]
    wanted = np.clip(times[~good], known[0], known[-1])
    # A spline is linear in its values: its weights serve every voxel.
    weights = np.eye(known.size)
    if known.size > 1:
        weights = CubicSpline(known, weights)(wanted)
    else:
        weights = np.ones((wanted.size, 1))
    result = data.copy()
    result[~good] = weights.astype(data.dtype) @ data[good]
    return result


def hold_frames(data: np.ndarray, bad: np.ndarray | None) -> np.ndarray:
    """Replace bad frames by the last good one before: the causal form.

    Parameters
    ----------
    data : ndarray, shape (n_times, n_series)
    bad : ndarray of bool, shape (n_times,), optional
        Frames to replace. Those before the first good one stay as they are.

    Returns
    -------
    ndarray, shape (n_times, n_series)
    """
    if bad is None:
        return data.copy()
    own = np.arange(data.shape[0])
    last_good = np.maximum.accumulate(np.where(bad, -1, own))
    return data[np.where(last_good < 0, own, last_good)]
