"""Temporal alignment: which frames a stretch of seconds covers, and how much."""

from __future__ import annotations

import numpy as np

# Share of a frame by which times may differ and still be the same.
_TOLERANCE = 1e-4


def frames_from(
    times_s: np.ndarray, t_r: float, start_s: float, n_frames: int
) -> int | None:
    """First of `n_frames` frames in a row, acquired at or after a time.

    Parameters
    ----------
    times_s : ndarray, shape (n_times,)
        When each frame was acquired; gaps are allowed.
    t_r : float
        Repetition time, seconds.
    start_s : float
        Beginning of the stretch.
    n_frames : int
        Its length.

    Returns
    -------
    int or None
        None where the frames leave the run or meet a gap.
    """
    first = int(np.searchsorted(times_s, start_s - _TOLERANCE * t_r))
    last = first + n_frames - 1
    if last >= len(times_s) or times_s[first] - start_s > (1 - _TOLERANCE) * t_r:
        return None
    return first if _in_a_row(times_s, t_r, first, last) else None


def frames_covering(
    times_s: np.ndarray, t_r: float, start_s: float, end_s: float
) -> tuple[int, int] | None:
    """First frame, and number of frames in a row, that cover a stretch of time.

    A frame stands for the time from its acquisition to the next.

    Parameters
    ----------
    times_s, t_r
        As in `frames_from`.
    start_s, end_s : float
        The stretch.

    Returns
    -------
    first, n_frames : int, or None
        None where part of the stretch lies outside the run or in a gap.
    """
    slack = _TOLERANCE * t_r
    first = int(np.searchsorted(times_s, start_s + slack, side="right")) - 1
    last = int(np.searchsorted(times_s, end_s - slack)) - 1
    if first < 0 or last < first or times_s[last] + t_r < end_s - slack:
        return None
    if not _in_a_row(times_s, t_r, first, last):
        return None
    return first, last - first + 1


def overlap_weights(
    times_s: np.ndarray, t_r: float, start_s: float, step_s: float, n_steps: int
) -> np.ndarray:
    r"""Weights that average frames into steps of another length.

    Step k covers :math:`[s + k\Delta, s + (k+1)\Delta)` and frame i covers
    :math:`[t_i, t_i + T_R)`; the weight is the length of what they share, over
    :math:`\Delta`. Equal steps give the identity; longer steps average, which also
    keeps out what they could not represent; no step sees a frame after its end.

    Parameters
    ----------
    times_s : ndarray, shape (n_frames,)
        Frames that cover all steps (see `frames_covering`).
    t_r : float
        Repetition time, seconds.
    start_s, step_s : float
        Begin of the first step, and their length, seconds.
    n_steps : int
        Number of steps.

    Returns
    -------
    ndarray of float32, shape (n_steps, n_frames)
        Rows sum to one.
    """
    starts = start_s + step_s * np.arange(n_steps)[:, None]
    shared = np.minimum(starts + step_s, times_s + t_r) - np.maximum(starts, times_s)
    weights = np.clip(shared, 0, None)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def _in_a_row(times_s: np.ndarray, t_r: float, first: int, last: int) -> bool:
    length = times_s[last] - times_s[first]
    return bool(abs(length - (last - first) * t_r) < 0.1 * t_r)
