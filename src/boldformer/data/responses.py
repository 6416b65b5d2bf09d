"""Responses to events: averages over events, each relative to its own baseline."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from boldformer.data.quality import by_blocks
from boldformer.preprocessing.normalisation import percent_signal_change
from boldformer.preprocessing.regression import regress_out
from boldformer.preprocessing.temporal import cosine_drifts, polynomial_drifts

_EDGE = 1e-6  # share of a frame by which a time may miss the frame it falls on


def to_percent(data: np.ndarray, t_r: float, high_pass_hz: float) -> np.ndarray:
    r"""Turn intensities into percent signal change without slow drifts, in place.

    :math:`100\,(y_t - \bar y)/|\bar y|` after a line and the cosines below
    `high_pass_hz` are regressed out. In place, because a run may fill the memory.

    Parameters
    ----------
    data : ndarray of float, shape (n_times, n_voxels)
        Overwritten.
    t_r : float
        Repetition time, seconds.
    high_pass_hz : float
        Cut-off frequency.

    Returns
    -------
    ndarray, shape (n_voxels,)
        Standard deviation of each voxel over time, in percent.
    """
    n_times = len(data)
    drifts = np.hstack(
        [polynomial_drifts(n_times, 1), cosine_drifts(n_times, t_r, high_pass_hz)]
    )

    def convert(block: np.ndarray) -> np.ndarray:
        block[:] = percent_signal_change(regress_out(block, drifts))
        return block.std(axis=0)

    return by_blocks(convert, data)


@dataclass(frozen=True)
class EventAverage:
    """Mean response over events.

    Parameters
    ----------
    lags_s : ndarray, shape (n_lags,)
        Time after onset, seconds.
    mean : ndarray of float32, shape (n_lags, n_voxels)
        NaN where no event reaches.
    n_events : ndarray of int, shape (n_lags,)
        Events that reach each lag.
    """

    lags_s: np.ndarray
    mean: np.ndarray
    n_events: np.ndarray


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
    total = np.zeros((len(lags_s), data.shape[1]), np.float32)
    count = np.zeros(len(lags_s), dtype=np.int64)
    for response in locked_events(data, onsets_s, t_r, lags_s):
        reached = np.isfinite(response).all(axis=1)
        count[reached] += 1
        total[reached] += response[reached]
    total[count == 0] = np.nan
    mean = total / np.maximum(count, 1)[:, None].astype(np.float32)
    return EventAverage(np.asarray(lags_s), mean, count)


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
    return data.mean(axis=0, where=inside[:, None])


def peak_response(average: EventAverage) -> np.ndarray:
    """Largest mean response after the onset, up or down, of each voxel, (n_voxels,).

    A maximum over lags: noise alone makes it differ from zero. For a map whose
    expectation without a response is zero take `window_mean`.
    """
    after = average.mean[(average.lags_s >= 0) & (average.n_events > 0)]
    at = np.abs(after).argmax(axis=0)
    return np.take_along_axis(after, at[None], axis=0)[0]
