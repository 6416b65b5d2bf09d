"""Filters along time: Butterworth, and a Gaussian."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.signal import butter, sosfilt, sosfilt_zi, sosfiltfilt
from scipy.sparse import csr_array

from boldformer.errors import InputError
from boldformer.preprocessing.gaussian import FWHM_PER_SIGMA, TRUNCATE

# Filters work in double precision; on this many voxels at a time that costs little.
_BLOCK = 4096


def butterworth_sections(
    t_r: float, high_pass_hz: float = 0.0, low_pass_hz: float = 0.0, order: int = 5
) -> np.ndarray:
    """Design a Butterworth filter as second-order sections.

    Parameters
    ----------
    t_r : float
        Repetition time, seconds.
    high_pass_hz : float
        Slower fluctuations are removed; 0 removes none.
    low_pass_hz : float
        Faster fluctuations are removed; 0 removes none.
    order : int
        Of the filter; with both cut-offs it is that of each side.

    Returns
    -------
    ndarray, shape (n_sections, 6)
        As `scipy.signal.butter` gives them.

    Raises
    ------
    InputError
        Without a cut-off, or with one that is out of range.
    """
    if order < 1:
        raise InputError(
            "unusable order of a filter", wanted="1 or more", received=str(order)
        )
    if high_pass_hz < 0 or low_pass_hz < 0 or not (high_pass_hz or low_pass_hz):
        raise InputError(
            "unusable cut-offs of a filter",
            wanted="high_pass_hz or low_pass_hz above 0",
            received=f"{high_pass_hz} and {low_pass_hz}",
        )
    if 0 < low_pass_hz <= high_pass_hz:
        raise InputError(
            "no frequency lies above high_pass_hz and below low_pass_hz",
            wanted="high_pass_hz < low_pass_hz",
            received=f"{high_pass_hz} and {low_pass_hz}",
        )
    nyquist_hz = 0.5 / t_r
    if max(high_pass_hz, low_pass_hz) >= nyquist_hz:
        raise InputError(
            "a cut-off frequency is too high for the repetition time",
            wanted=f"below {nyquist_hz:g} Hz",
            received=f"{max(high_pass_hz, low_pass_hz):g} Hz",
        )
    cut_offs = [cut_off for cut_off in (high_pass_hz, low_pass_hz) if cut_off]
    kind = "low" if not high_pass_hz else "bandpass" if low_pass_hz else "high"
    return butter(order, np.squeeze(cut_offs), btype=kind, output="sos", fs=1 / t_r)


def butterworth(
    data: np.ndarray,
    t_r: float,
    high_pass_hz: float = 0.0,
    low_pass_hz: float = 0.0,
    order: int = 5,
) -> np.ndarray:
    r"""Filter forwards and backwards, so that nothing is delayed.

    The gain is :math:`|H(f)|^2` of a Butterworth filter; equals
    ``nilearn.signal.butterworth``.

    Parameters
    ----------
    data : ndarray, shape (n_times, n_voxels)
        Evenly spaced frames.
    t_r, high_pass_hz, low_pass_hz, order
        See `butterworth_sections`.

    Returns
    -------
    ndarray, shape (n_times, n_voxels)

    Raises
    ------
    InputError
        For cut-offs out of range, or a run too short for the filter.

    References
    ----------
    Gustafsson F (1996). Determining the initial states in forward-backward filtering.
    IEEE Transactions on Signal Processing 44:988-992.
    """
    sections = butterworth_sections(t_r, high_pass_hz, low_pass_hz, order)
    n_poles = len(sections) + np.count_nonzero(sections[:, 5])
    n_padding = 3 * (n_poles + 1)  # as sosfiltfilt extends the ends
    if data.shape[0] <= n_padding:
        raise InputError(
            "the run is too short for this filter",
            wanted=f"more than {n_padding} volumes",
            received=f"{data.shape[0]}",
            fix="lower its order",
        )
    result = np.empty_like(data)
    for block in _blocks(data.shape[1]):
        double = data[:, block].astype(np.float64)
        result[:, block] = sosfiltfilt(sections, double, axis=0)
    return result


def causal_butterworth(
    data: np.ndarray,
    t_r: float,
    high_pass_hz: float = 0.0,
    low_pass_hz: float = 0.0,
    order: int = 5,
    positions: np.ndarray | None = None,
) -> np.ndarray:
    r"""Filter forwards only, from the steady state of the first volume.

    The gain is :math:`|H(f)|`, and what passes is delayed. A missing volume counts as a
    repeat of the one before.

    Parameters
    ----------
    data : ndarray, shape (n_times, n_voxels)
    t_r, high_pass_hz, low_pass_hz, order
        See `butterworth_sections`.
    positions : ndarray of int, shape (n_times,), optional
        Count of volumes scanned before each frame, from 0; without gaps where None.

    Returns
    -------
    ndarray, shape (n_times, n_voxels)

    Raises
    ------
    InputError
        For cut-offs out of range.
    """
    sections = butterworth_sections(t_r, high_pass_hz, low_pass_hz, order)
    steady = sosfilt_zi(sections)[:, :, None]
    if positions is None:
        positions = np.arange(data.shape[0])
    held = np.searchsorted(positions, np.arange(positions[-1] + 1), side="right") - 1
    result = np.empty_like(data)
    for block in _blocks(data.shape[1]):
        double = data[held, block].astype(np.float64)
        filtered, _ = sosfilt(sections, double, axis=0, zi=steady * double[0])
        result[:, block] = filtered[positions]
    return result


def smooth_time(data: np.ndarray, t_r: float, fwhm_s: float) -> np.ndarray:
    r"""Smooth with a Gaussian along time.

    :math:`w(\tau) \propto e^{-\tau^2/2\sigma^2}` with
    :math:`\sigma = \mathrm{FWHM}/\sqrt{8\ln 2}`, cut at :math:`4\sigma`; the first and
    the last volume stand for those beyond (``scipy.ndimage.gaussian_filter1d``).

    Parameters
    ----------
    data : ndarray, shape (n_times, n_voxels)
        Evenly spaced frames.
    t_r : float
        Repetition time, seconds.
    fwhm_s : float
        Full width at half maximum, seconds.

    Returns
    -------
    ndarray, shape (n_times, n_voxels)

    Raises
    ------
    InputError
        Unless the width is positive.
    """
    sd = gaussian_sd(fwhm_s) / t_r
    return gaussian_filter1d(data, sd, axis=0, mode="nearest", truncate=TRUNCATE)


def causal_smooth_time(
    data: np.ndarray, t_r: float, fwhm_s: float, positions: np.ndarray | None = None
) -> np.ndarray:
    r"""Smooth with the past half of a Gaussian along time.

    The weights of `smooth_time` for :math:`\tau \ge 0` only, made to sum to one over
    the volumes that exist.

    Parameters
    ----------
    data : ndarray, shape (n_times, n_voxels)
    t_r : float
        Repetition time, seconds.
    fwhm_s : float
        Full width at half maximum of the whole Gaussian, seconds.
    positions : ndarray of int, shape (n_times,), optional
        Count of volumes scanned before each frame, from 0; without gaps where None.

    Returns
    -------
    ndarray, shape (n_times, n_voxels)

    Raises
    ------
    InputError
        Unless the width is positive.
    """
    sd = gaussian_sd(fwhm_s)
    if positions is None:
        positions = np.arange(data.shape[0])
    weights = half_gaussian(t_r * (positions[:, None] - positions[None]), sd)
    weights /= weights.sum(axis=1, keepdims=True)
    return csr_array(weights.astype(data.dtype)) @ data


def half_gaussian(lag_s: np.ndarray, sd: float) -> np.ndarray:
    """Weigh volumes by how long ago they were: 1 now, 0 in the future.

    Parameters
    ----------
    lag_s : ndarray
        Seconds since each volume.
    sd : float
        Seconds.

    Returns
    -------
    ndarray
        Of the shape of `lag_s`; 0 beyond four standard deviations.
    """
    inside = (lag_s >= 0) & (lag_s <= TRUNCATE * sd)
    return np.where(inside, np.exp(-0.5 * (lag_s / sd) ** 2), 0.0)


def gaussian_sd(fwhm_s: float) -> float:
    """Turn the full width at half maximum of a Gaussian into its standard deviation.

    Raises
    ------
    InputError
        Unless the width is positive.
    """
    if not 0 < fwhm_s < np.inf:
        raise InputError(
            "unusable width of a Gaussian along time",
            wanted="fwhm_s above 0",
            received=str(fwhm_s),
        )
    return float(fwhm_s / FWHM_PER_SIGMA)


def _blocks(n_voxels: int) -> list[slice]:
    return [slice(at, at + _BLOCK) for at in range(0, n_voxels, _BLOCK)]
