"""The causal twins: each step along time as an object fed one volume at a time.

Settings are those of the step's other forms. A volume is judged by those before it and
only then remembered; one that is marked bad is never remembered.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.signal import sosfilt, sosfilt_zi

from boldformer.errors import InputError
from boldformer.preprocessing.base import Frame
from boldformer.preprocessing.despike import check_cuts, squash
from boldformer.preprocessing.filtering import (
    butterworth_sections,
    gaussian_sd,
    half_gaussian,
)
from boldformer.preprocessing.moments import RunningMoments
from boldformer.preprocessing.normalisation import NEGLIGIBLE
from boldformer.preprocessing.recursive import RunningFit
from boldformer.preprocessing.scrubbing import check_threshold
from boldformer.preprocessing.temporal import power_drifts


class CausalCentre:
    r"""Subtract the mean of the volumes before: :math:`y_t - \bar y_{<t}`.

    The first volume gives zero.
    """

    def __init__(self, t_r: float) -> None:
        self._past = RunningMoments(t_r)

    def update(self, volume: np.ndarray, frame: Frame) -> np.ndarray:
        """Centre a volume, (n_voxels,), and remember it."""
        centred = volume - self._past.mean(volume)
        _remember(self._past, volume, frame)
        return centred.astype(volume.dtype)


class CausalPercentSignalChange:
    r"""Percent of the mean of the volumes before.

    :math:`100\,(y_t - \bar y_{<t})/|\bar y_{<t}|`; the first volume gives zero, and so
    does a voxel whose mean is negligible beside its value.
    """

    def __init__(self, t_r: float) -> None:
        self._past = RunningMoments(t_r)

    def update(self, volume: np.ndarray, frame: Frame) -> np.ndarray:
        """Scale a volume, (n_voxels,), and remember it."""
        mean = self._past.mean(volume)
        level = np.abs(mean)
        no_mean = level <= NEGLIGIBLE * np.abs(volume)
        percent = 100 * (volume - mean) / np.where(no_mean, 1.0, level)
        percent[no_mean] = 0.0
        _remember(self._past, volume, frame)
        return percent.astype(volume.dtype)


class CausalZscore:
    r"""Standardise by the volumes before: :math:`(y_t - \bar y_{<t})/s_{<t}`.

    Parameters
    ----------
    t_r : float
        Repetition time, seconds.
    memory_s : float
        Time constant of a fading memory, seconds; 0 forgets nothing.
    warm_up : int
        Volumes to see before the first result; until then it is zero.

    Notes
    -----
    A voxel that has been constant gives zero. See `RunningMoments`.
    """

    def __init__(self, t_r: float, memory_s: float = 0.0, warm_up: int = 5) -> None:
        self._past = RunningMoments(t_r, memory_s)
        self._warm_up = max(warm_up, 2)

    def update(self, volume: np.ndarray, frame: Frame) -> np.ndarray:
        """Standardise a volume, (n_voxels,), and remember it."""
        if self._past.n_seen < self._warm_up:
            score = np.zeros_like(volume)
        else:
            mean, spread = self._past.mean(volume), self._past.spread()
            constant = spread <= NEGLIGIBLE * np.abs(mean)
            spread[constant] = np.inf
            score = ((volume - mean) / spread).astype(volume.dtype)
        _remember(self._past, volume, frame)
        return score


class CausalDespike:
    r"""Squash what lies far from the level of the volumes before.

    The rule of `despike` about a fading mean and standard deviation (see
    `RunningMoments`). They are updated with the squashed volume, so a spike does not
    widen the gate for the next one.

    Parameters
    ----------
    t_r : float
        Repetition time, seconds.
    start, limit : float
        Where squashing starts, and what it never exceeds, in standard deviations.
    memory_s : float
        Time constant of the level, seconds.
    warm_up : int
        Volumes to see before the first that can be squashed.
    """

    def __init__(
        self,
        t_r: float,
        start: float = 2.5,
        limit: float = 4.0,
        memory_s: float = 60.0,
        warm_up: int = 10,
    ) -> None:
        check_cuts(start, limit)
        self._start, self._limit = start, limit
        self._past = RunningMoments(t_r, memory_s)
        self._warm_up = max(warm_up, 2)

    def update(self, volume: np.ndarray, frame: Frame) -> np.ndarray:
        """Squash a volume, (n_voxels,), and remember what is left of it."""
        result = volume
        if self._past.n_seen >= self._warm_up:
            mean, spread = self._past.mean(volume), self._past.spread()
            deviation = squash(volume - mean, spread, self._start, self._limit)
            result = (mean + deviation).astype(volume.dtype)
        _remember(self._past, result, frame)
        return result


class CausalScrub:
    """Put the last good volume in the place of bad ones (see `hold_frames`).

    Parameters
    ----------
    t_r : float
        Repetition time, seconds.
    fd_mm : float
        Framewise displacement by which frames were found bad, millimetres.
    """

    def __init__(self, t_r: float, fd_mm: float) -> None:
        check_threshold(fd_mm)
        self._last: np.ndarray | None = None

    def update(self, volume: np.ndarray, frame: Frame) -> np.ndarray:
        """Return a volume, (n_voxels,), or the last good one where it is bad."""
        if frame.bad:
            return volume if self._last is None else self._last.copy()
        self._last = np.array(volume)
        return volume


class CausalClean:
    """Remove what drifts and confounds predict from the volumes before.

    Recursive least squares; see `recursive_residuals` for formula and sources. A bad
    volume is judged with the confounds of the last good one.

    Parameters
    ----------
    t_r : float
        Repetition time, seconds.
    detrend_order : int
        Order of the polynomial; below 1 only a constant is removed.
    high_pass_hz : float
        Must be 0: cosines need the length of the run.
    confounds : sequence of str
        Groups of confounds; without any, those of the frames are ignored.
    confound_options : mapping, optional
        How the confounds were read.
    """

    def __init__(
        self,
        t_r: float,
        detrend_order: int = 1,
        high_pass_hz: float = 0.0,
        confounds: Sequence[str] = (),
        confound_options: Mapping[str, Any] | None = None,
    ) -> None:
        check_causal_clean(high_pass_hz)
        self._t_r, self._order = t_r, detrend_order
        self._uses_confounds = bool(confounds)
        self._position = -1
        self._fit: RunningFit | None = None
        self._held = np.zeros(0)
        self._first = self._products = np.zeros(0)

    def update(self, volume: np.ndarray, frame: Frame) -> np.ndarray:
        """Clean a volume, (n_voxels,), and remember it."""
        self._position += 1 + frame.n_missed
        regressors = self._regressors(frame)
        if self._fit is None:
            self._fit = RunningFit(regressors)
            self._first = volume.astype(np.float64)
            self._products = np.zeros((self._fit.n_coefficients, volume.size))
        x = self._fit.design(regressors)
        gain, scale = self._fit.weigh(x)
        relative = volume - self._first
        residual = scale * (relative - gain @ self._products)
        if not frame.bad:
            self._fit.add(x)
            self._products += np.outer(x, relative)
        return residual.astype(volume.dtype)

    def _regressors(self, frame: Frame) -> np.ndarray:
        drifts = power_drifts(np.array([self._position * self._t_r]), self._order)[0]
        if not self._uses_confounds or frame.confounds is None:
            return drifts
        if not (frame.bad and self._held.size):
            self._held = np.array(frame.confounds, dtype=np.float64)
        return np.concatenate([drifts, self._held])


class CausalFilter:
    """Butterworth filter with a memory; see `causal_butterworth`.

    Parameters
    ----------
    t_r : float
        Repetition time, seconds.
    high_pass_hz, low_pass_hz : float
        Slower and faster fluctuations are removed; 0 removes none.
    order : int
        Of the filter.
    """

    def __init__(
        self,
        t_r: float,
        high_pass_hz: float = 0.0,
        low_pass_hz: float = 0.0,
        order: int = 5,
    ) -> None:
        self._sections = butterworth_sections(t_r, high_pass_hz, low_pass_hz, order)
        self._state: np.ndarray | None = None
        self._last = np.zeros(0)

    def update(self, volume: np.ndarray, frame: Frame) -> np.ndarray:
        """Filter a volume, (n_voxels,); lost ones count as repeats of the last."""
        double = volume.astype(np.float64)
        if self._state is None:
            self._state = sosfilt_zi(self._sections)[:, None] * double[:, None]
            self._last = double
        for _ in range(frame.n_missed):
            self._filter(self._last)
        self._last = double
        return self._filter(double).astype(volume.dtype)

    def _filter(self, volume: np.ndarray) -> np.ndarray:
        filtered, self._state = sosfilt(
            self._sections, volume[:, None], axis=1, zi=self._state
        )
        return filtered[:, 0]


class CausalSmoothTime:
    """Weighted mean of the last volumes; see `causal_smooth_time`.

    Parameters
    ----------
    t_r : float
        Repetition time, seconds.
    fwhm_s : float
        Full width at half maximum of the whole Gaussian, seconds.
    """

    def __init__(self, t_r: float, fwhm_s: float) -> None:
        self._sd = gaussian_sd(fwhm_s)
        self._t_r = t_r
        self._position = -1
        self._recent: deque[tuple[int, np.ndarray]] = deque()

    def update(self, volume: np.ndarray, frame: Frame) -> np.ndarray:
        """Smooth a volume, (n_voxels,), with those before it."""
        self._position += 1 + frame.n_missed
        self._recent.append((self._position, np.array(volume)))
        scanned = np.array([position for position, _ in self._recent])
        weights = half_gaussian(self._t_r * (self._position - scanned), self._sd)
        while weights[0] == 0:
            self._recent.popleft()
            weights = weights[1:]
        total = np.zeros(volume.size)
        for weight, (_, past) in zip(weights, self._recent, strict=True):
            total += weight * past
        return (total / weights.sum()).astype(volume.dtype)


def check_causal_clean(high_pass_hz: float) -> None:
    """Refuse a cosine high-pass filter in a causal step.

    Raises
    ------
    InputError
        When there is one.
    """
    if high_pass_hz:
        raise InputError(
            "the cosine high-pass filter of 'clean' cannot be causal",
            wanted="high_pass_hz = 0",
            received=f"{high_pass_hz}",
            fix="put a step 'filter' with this high_pass_hz after it",
        )


def _remember(past: RunningMoments, volume: np.ndarray, frame: Frame) -> None:
    if not frame.bad:
        past.add(volume, frame.n_missed)
