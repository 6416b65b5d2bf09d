"""Measures for looking at a run: noise, motion, response to events, carpet plot."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2

from boldformer.errors import InputError
from boldformer.preprocessing.confounds import regress_out
from boldformer.preprocessing.normalisation import NEGLIGIBLE, centre, zscore
from boldformer.preprocessing.temporal import polynomial_drifts

HEAD_RADIUS_MM = 50.0
_NORMAL_IQR = 1.349  # interquartile range of the standard normal distribution
_FAMILYWISE_LEVEL = 0.05
_RELEVANT_PERCENT = 5.0
_EDGE = 1e-6  # share of a frame by which a time may miss the frame it falls on


# --- noise and motion -------------------------------------------------------------


def temporal_snr(data: np.ndarray) -> np.ndarray:
    r"""Temporal signal-to-noise ratio of each voxel, :math:`\bar y / s`.

    :math:`s` is the standard deviation about a fitted line, with n − 2 degrees of
    freedom, so that a linear drift does not count as noise.

    Parameters
    ----------
    data : ndarray, shape (n_times, n_voxels)
        Image intensities, neither centred nor scaled.

    Returns
    -------
    ndarray of float32, shape (n_voxels,)
        0 for a voxel without noise, which is no measurement.

    Raises
    ------
    InputError
        With fewer than three volumes.

    References
    ----------
    Parrish TB et al. (2000). Impact of signal-to-noise on functional MRI. Magnetic
    Resonance in Medicine 44:925-932.
    Welvaert M, Rosseel Y (2013). On the definition of signal-to-noise ratio and
    contrast-to-noise ratio for fMRI data. PLoS ONE 8:e77089.
    """
    n_times = data.shape[0]
    if n_times < 3:
        raise InputError(
            "too short for a temporal signal-to-noise ratio",
            wanted="at least 3 volumes",
            received=f"{n_times}",
        )
    mean = data.mean(axis=0, dtype=np.float64)
    residual = centre(regress_out(data, polynomial_drifts(n_times, 1)))
    squares = np.einsum("tv,tv->v", residual, residual, dtype=np.float64)
    noise = np.sqrt(squares / (n_times - 2))
    real = noise > NEGLIGIBLE * np.abs(mean)
    return np.divide(mean, noise, out=np.zeros_like(mean), where=real).astype("f4")


def framewise_displacement(
    motion: np.ndarray, radius_mm: float = HEAD_RADIUS_MM
) -> np.ndarray:
    r"""How far the head moved since the volume before.

    :math:`\mathrm{FD}_t = \sum_{k=1}^{3} |\Delta d_{kt}| + r \sum_{k=1}^{3}
    |\Delta\alpha_{kt}|`: rotations count as arcs on a sphere.

    Parameters
    ----------
    motion : ndarray, shape (n_times, 6)
        Three translations in millimetres, then three rotations in radians.
    radius_mm : float
        Radius r of the sphere.

    Returns
    -------
    ndarray, shape (n_times,)
        Millimetres; NaN for the first volume, which has none before it.

    References
    ----------
    Power JD et al. (2012). Spurious but systematic correlations in functional
    connectivity MRI networks arise from subject motion. NeuroImage 59:2142-2154.
    """
    if motion.ndim != 2 or motion.shape[1] != 6:
        raise InputError(
            "unusable motion parameters",
            wanted="three translations and three rotations a volume",
            received=f"an array of shape {motion.shape}",
        )
    steps = np.abs(np.diff(motion, axis=0))
    moved = steps[:, :3].sum(axis=1) + radius_mm * steps[:, 3:].sum(axis=1)
    return np.concatenate([[np.nan], moved])


def dvars(data: np.ndarray) -> np.ndarray:
    r"""Root mean square over voxels of the change since the volume before.

    :math:`\mathrm{DVARS}_t = \sqrt{\frac{1}{V} \sum_v (y_{tv} - y_{t-1,v})^2}`.

    Parameters
    ----------
    data : ndarray, shape (n_times, n_voxels)

    Returns
    -------
    ndarray, shape (n_times,)
        In units of `data`; NaN for the first volume.

    References
    ----------
    Power et al. (2012), see `framewise_displacement`.
    """
    changes = np.full(data.shape[0], np.nan)
    for time in range(1, data.shape[0]):
        step = (data[time] - data[time - 1]).astype(np.float64)
        changes[time] = np.sqrt(step @ step / max(step.size, 1))
    return changes


@dataclass(frozen=True)
class DvarsTest:
    """DVARS held against what it would be without artefacts.

    Parameters
    ----------
    dvars : ndarray, shape (n_times,)
        In units of the data; NaN for the first volume, here and below.
    relative : ndarray, shape (n_times,)
        DVARS over its expectation under the null: 1 is an ordinary volume.
    p_value : ndarray, shape (n_times,)
        Of so large a DVARS under the null, uncorrected.
    excess_percent : ndarray, shape (n_times,)
        Variance added by the volume's change, in percent of the run's variance.
    outlier : ndarray of bool, shape (n_times,)
        Significant (family-wise 5 %, Bonferroni) and an excess above 5 %.
    """

    dvars: np.ndarray
    relative: np.ndarray
    p_value: np.ndarray
    excess_percent: np.ndarray
    outlier: np.ndarray


def dvars_test(data: np.ndarray) -> DvarsTest:
    r"""Test each volume's DVARS against the bulk of the run.

    Under the null :math:`\nu D_t^2/\mu_0 \sim \chi^2_\nu` with
    :math:`\nu = 2\mu_0^2/\sigma_0^2`; :math:`\mu_0` is the median of
    :math:`D_t^2 = \mathrm{DVARS}_t^2`, and :math:`\sigma_0` comes from the lower half
    of its interquartile range after a cube root, back by the delta method: artefacts,
    which only ever raise DVARS, move neither. The excess is
    :math:`100 (D_t^2 - \mu_0) / (4A)` with A the mean variance of the voxels.

    Parameters
    ----------
    data : ndarray, shape (n_times, n_voxels)
        Thousands of voxels: of few hundred, an ordinary volume may stand out.

    References
    ----------
    Afyouni S, Nichols TE (2018). Insight and inference for DVARS. NeuroImage
    172:291-312.
    """
    change = dvars(data)
    squares = change**2
    expected, spread = _null_of(squares[1:])
    centred = centre(data)
    variance = float(np.vdot(centred, centred)) / centred.size
    nothing = np.full_like(change, np.nan)
    if not (expected > 0 and spread > 0 and variance > 0):
        none = np.zeros(len(change), dtype=bool)
        return DvarsTest(change, nothing, nothing, nothing, none)
    freedom = 2 * expected**2 / spread**2
    p_value = chi2.sf(freedom * squares / expected, freedom)
    excess = 100 * (squares - expected) / (4 * variance)
    significant = p_value < _FAMILYWISE_LEVEL / (len(change) - 1)
    outlier = significant & (excess > _RELEVANT_PERCENT)
    return DvarsTest(change, change / np.sqrt(expected), p_value, excess, outlier)


def _null_of(squares: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of DVARS² without the volumes it is to find."""
    if squares.size == 0:
        return 0.0, 0.0
    lower, middle = np.quantile(np.cbrt(squares), [0.25, 0.5])
    of_root = 2 * (middle - lower) / _NORMAL_IQR
    return float(np.median(squares)), float(3 * middle**2 * of_root)


# --- response to events -----------------------------------------------------------


@dataclass(frozen=True)
class EventAverage:
    """Mean response over events, and how far they differ.

    Parameters
    ----------
    lags_s : ndarray, shape (n_lags,)
        Time after onset, seconds.
    mean, sd : ndarray of float32, shape (n_lags, n_voxels)
        Over events (``ddof=1``); NaN where no event, or for the SD only one, reaches.
    n_events : ndarray of int, shape (n_lags,)
        Events that reach each lag.
    """

    lags_s: np.ndarray
    mean: np.ndarray
    sd: np.ndarray
    n_events: np.ndarray

    @property
    def sem(self) -> np.ndarray:
        """Standard error of the mean, (n_lags, n_voxels)."""
        return self.sd / np.sqrt(np.maximum(self.n_events, 1))[:, None]


def event_lags(t_r: float, baseline_s: float, last_s: float) -> np.ndarray:
    """Lags at which responses are read: whole repetition times around the onset.

    Parameters
    ----------
    t_r : float
        Repetition time, seconds.
    baseline_s : float
        Time before the onset that serves as baseline; at least one frame is.
    last_s : float
        Where the response ends.

    Returns
    -------
    ndarray, shape (n_lags,)
        Seconds; the negative ones are the baseline.
    """
    n_before = max(1, int(np.floor(baseline_s / t_r + _EDGE)))
    n_after = int(np.ceil(last_s / t_r - _EDGE))
    return t_r * np.arange(-n_before, n_after + 1)


def usable_events(
    onsets_s: np.ndarray, n_times: int, t_r: float, first_s: float, last_s: float
) -> np.ndarray:
    """Events of which the run holds all from `first_s` to `last_s` after the onset.

    Returns
    -------
    ndarray of bool, shape (n_events,)
    """
    onsets_s = np.asarray(onsets_s, dtype=np.float64)
    first, last = (onsets_s + first_s) / t_r, (onsets_s + last_s) / t_r
    return (first >= -_EDGE) & (last <= n_times - 1 + _EDGE)


def locked_events(
    data: np.ndarray, onsets_s: np.ndarray, t_r: float, lags_s: np.ndarray
) -> Iterator[np.ndarray]:
    r"""Yield the response to each event, relative to its own baseline.

    :math:`r(\tau) = y(o + \tau) - \overline{y(o + \tau')}_{\tau' < 0}`, with y
    interpolated linearly between frames, frame k standing for the time
    :math:`k\,T_R`.

    Parameters
    ----------
    data : ndarray, shape (n_times, n_voxels)
    onsets_s : ndarray, shape (n_events,)
        Seconds from the first frame of `data`.
    t_r : float
        Repetition time, seconds.
    lags_s : ndarray, shape (n_lags,)
        From `event_lags`.

    Yields
    ------
    ndarray of float32, shape (n_lags, n_voxels)
        NaN where the lag lies outside the run.
    """
    last = data.shape[0] - 1
    for onset_s in np.asarray(onsets_s, dtype=np.float64):
        position = (onset_s + lags_s) / t_r
        inside = (position >= -_EDGE) & (position <= last + _EDGE)
        position = position.clip(0, last)
        before = np.floor(position).astype(int)
        after = np.minimum(before + 1, last)
        weight = (position - before).astype(np.float32)[:, None]
        response = (1 - weight) * data[before] + weight * data[after]
        response -= response[lags_s < 0].mean(axis=0)
        response[~inside] = np.nan
        yield response.astype(np.float32, copy=False)


def average_events(
    data: np.ndarray, onsets_s: np.ndarray, t_r: float, lags_s: np.ndarray
) -> EventAverage:
    """Average the responses to several events, each relative to its own baseline.

    A plain average over events, not a deconvolution: where responses overlap in time,
    each holds part of its neighbours'. One event is in memory at a time.

    Parameters
    ----------
    data, onsets_s, t_r, lags_s
        As in `locked_events`.
    """
    shape = (len(lags_s), data.shape[1])
    mean, squares = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    count = np.zeros(len(lags_s), dtype=np.int64)
    for response in locked_events(data, onsets_s, t_r, lags_s):
        there = np.isfinite(response).all(axis=1)
        count[there] += 1
        off = response[there] - mean[there]
        mean[there] += off / count[there, None]
        squares[there] += off * (response[there] - mean[there])
    mean[count == 0] = np.nan
    sd = np.sqrt(squares / np.maximum(count - 1, 1)[:, None])
    sd[count < 2] = np.nan
    return EventAverage(np.asarray(lags_s), mean, sd, count)


def window_mean(average: EventAverage, first_s: float, last_s: float) -> np.ndarray:
    """Mean response from `first_s` to `last_s` after the onset, (n_voxels,).

    The lag nearest to `first_s` stands for a window that lies between two.
    """
    lags = average.lags_s
    inside = (lags >= first_s - _EDGE) & (lags <= last_s + _EDGE)
    if not inside.any():
        inside = np.arange(len(lags)) == np.abs(lags - first_s).argmin()
    return average.mean[inside].mean(axis=0)


def windowed_mean(
    data: np.ndarray, onsets_s: np.ndarray, t_r: float, first_s: float, last_s: float
) -> np.ndarray:
    """Mean over the frames acquired in a window after any of some events.

    Without a baseline, whose few frames would add their noise: what voxels are chosen
    by, not a response.

    Parameters
    ----------
    data : ndarray, shape (n_times, n_voxels)
    onsets_s : ndarray, shape (n_events,)
        Seconds from the first frame of `data`.
    t_r : float
        Repetition time, seconds.
    first_s, last_s : float
        The window, seconds after onset.

    Returns
    -------
    ndarray, shape (n_voxels,)
        Zero where no frame lies in a window.
    """
    since = t_r * np.arange(data.shape[0]) - np.asarray(onsets_s, float)[:, None]
    inside = ((since >= first_s - _EDGE) & (since <= last_s + _EDGE)).any(axis=0)
    if not inside.any():
        return np.zeros(data.shape[1], dtype=data.dtype)
    return data[inside].mean(axis=0)


def peak_response(average: EventAverage) -> np.ndarray:
    """Largest mean response after the onset, up or down, of each voxel, (n_voxels,).

    A maximum over lags: noise alone makes it differ from zero. For a map whose
    expectation without a response is zero take `window_mean`.
    """
    after = average.mean[(average.lags_s >= 0) & (average.n_events > 0)]
    at = np.abs(after).argmax(axis=0)
    return np.take_along_axis(after, at[None], axis=0)[0]


# --- carpet plot ------------------------------------------------------------------


def global_order(data: np.ndarray) -> np.ndarray:
    """Order voxels by their correlation with the mean over voxels, highest first.

    Parameters
    ----------
    data : ndarray, shape (n_times, n_voxels)

    Returns
    -------
    ndarray of int, shape (n_voxels,)
        Voxels that do not vary come last.

    References
    ----------
    Aquino KM et al. (2020). Identifying and removing widespread signal deflections
    from fMRI data: rethinking the global signal regression problem. NeuroImage
    212:116614.
    """
    signal = data.mean(axis=1, dtype=np.float64)
    signal = (signal - signal.mean()).astype(data.dtype)
    spread = data.std(axis=0)
    shared = signal @ data
    constant = spread <= NEGLIGIBLE * np.abs(data).max(axis=0, initial=0)
    ratio = np.full_like(shared, -np.inf)
    np.divide(shared, spread, out=ratio, where=~constant)
    return np.argsort(-ratio, kind="stable")


def carpet(data: np.ndarray, order: np.ndarray, n_rows: int = 400) -> np.ndarray:
    """Picture of a whole run: voxels down, time across, each voxel a z-score.

    Neighbours in `order` share a row, which is the mean of their z-scores. A linear
    trend is taken out of each voxel first.

    Parameters
    ----------
    data : ndarray, shape (n_times, n_voxels)
    order : ndarray of int, shape (n_voxels,)
        From `global_order`, or by tissue.
    n_rows : int
        Rows of the picture; fewer voxels give one row each.

    Returns
    -------
    ndarray of float32, shape (min(n_rows, n_voxels), n_times)

    References
    ----------
    Power JD (2017). A simple but useful way to assess fMRI scan qualities.
    NeuroImage 154:150-158.
    """
    drifts = polynomial_drifts(data.shape[0], 1)
    parts = np.array_split(order, max(1, min(n_rows, len(order))))
    rows = [zscore(regress_out(data[:, part], drifts)).mean(axis=1) for part in parts]
    return np.stack(rows).astype(np.float32)
