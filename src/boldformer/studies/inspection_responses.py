"""What a run answers to its events: a map, a time course, and what limits them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from boldformer.data import responses
from boldformer.data.events import overlap
from boldformer.data.quality import by_blocks
from boldformer.errors import InputError
from boldformer.studies.inspection_files import LoadedRun
from boldformer.visualization.cards import Condition
from boldformer.visualization.drawing import listed

HIGH_PASS_HZ = 1 / 128
BASELINE_S = 4.0
_MIN_WINDOW_S = 6.0
_AFTERMATH_S = 8.0  # shown after the response window
_LONGEST_S = 60.0
_RECOVERY_S = 10.0  # after an event its response has not yet gone
_RESPONSIVE = 0.01  # share of voxels in which time courses are shown


def choose_events(events: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    """Keep the events of some types, all where none is named.

    Raises
    ------
    InputError
        For a type that no event has.
    """
    there = sorted(set(events["trial_type"]))
    for label in labels:
        if label not in there:
            raise InputError(
                f"no event is of the type {label!r}",
                wanted=f"one of {', '.join(there)}" if there else "a run with events",
            )
    return events[events["trial_type"].isin(labels)] if labels else events


def response_window(
    events: pd.DataFrame, delay_s: float, window_s: float
) -> tuple[float, float]:
    """First and last second of the response after onset.

    Where `window_s` is 0 it is the median duration of the events, at least six seconds.
    """
    if not window_s and len(events):
        window_s = max(float(events["duration"].median()), _MIN_WINDOW_S)
    return delay_s, delay_s + window_s


def measure_responses(
    run: LoadedRun, events: pd.DataFrame, window_s: tuple[float, float]
) -> tuple[list[Condition], list[str]]:
    """Average the responses to each type of event.

    Parameters
    ----------
    run : LoadedRun
        Its data are turned into percent signal change, in place.
    events : DataFrame
        Those to average.
    window_s : tuple of float
        From `response_window`.

    Returns
    -------
    conditions : list of Condition
        Types of which an event lies in the run with its baseline and response.
    notes : list of str
        What about these events limits what their averages mean.
    """
    if events.empty:
        return [], []
    noise = responses.to_percent(run.data, run.t_r, HIGH_PASS_HZ)
    noise[noise == 0] = np.inf
    last_s = max(min(window_s[1] + _AFTERMATH_S, _LONGEST_S), window_s[1])
    lags_s = responses.event_lags(run.t_r, BASELINE_S, last_s)
    start_s = float(run.frames["time_s"].iloc[run.n_non_steady])
    onsets = {
        str(label): own["onset"].to_numpy(float) - start_s
        for label, own in events.groupby("trial_type")
    }
    usable = {
        label: own[
            responses.usable_events(own, len(run.data), run.t_r, lags_s[0], window_s[1])
        ]
        for label, own in onsets.items()
    }
    averager = _Averager(run, noise, lags_s, window_s, onsets, usable)
    lasts = events.groupby("trial_type")["duration"].median()
    conditions = [
        averager.condition(label, float(lasts[label]))
        for label, own in usable.items()
        if len(own)
    ]
    return conditions, _notes(run.events, onsets, usable)


@dataclass(frozen=True, eq=False)
class _Averager:
    """Averages over events of one run in percent signal change.

    Parameters
    ----------
    run : LoadedRun
    noise : ndarray, shape (n_voxels,)
        Standard deviation over time.
    lags_s : ndarray, shape (n_lags,)
        Where responses are read.
    window_s : tuple of float
        The response window.
    onsets, usable : dict of str to ndarray
        All events of a type, and those that lie in the run with baseline and response;
        seconds from the first steady volume.
    """

    run: LoadedRun
    noise: np.ndarray
    lags_s: np.ndarray
    window_s: tuple[float, float]
    onsets: dict[str, np.ndarray]
    usable: dict[str, np.ndarray]

    def condition(self, label: str, duration_s: float) -> Condition:
        """Measure the response to one type of event."""
        run, own = self.run, self.usable[label]

        def maps(block: np.ndarray) -> np.ndarray:
            average = responses.average_events(block, own, run.t_r, self.lags_s)
            response = responses.window_mean(average, *self.window_s)
            return np.stack([response, responses.peak_response(average)])

        response, peak = by_blocks(maps, run.data)
        return Condition(
            label,
            len(own),
            duration_s,
            run.volume(response),
            run.volume(peak),
            run.volume(np.abs(response) / (self.noise * self._spread(len(own)))),
            self._course(label),
        )

    def _spread(self, n_events: int) -> float:
        """Give the standard error of a mean response, in SDs over time."""
        first_s, last_s = self.window_s
        inside = (self.lags_s >= first_s) & (self.lags_s <= last_s)
        n_frames, n_before = max(1, inside.sum()), (self.lags_s < 0).sum()
        return float(np.sqrt((1 / n_frames + 1 / n_before) / n_events))

    def _course(self, label: str) -> pd.DataFrame:
        """Mean over events with its standard error, in voxels that others chose."""
        signal, t_r = self.run.data, self.run.t_r
        courses: list[np.ndarray] = []
        for chosen_by, shown in self._halves(label):
            level = responses.windowed_mean(signal, chosen_by, t_r, *self.window_s)
            n_chosen = max(10, round(_RESPONSIVE * level.size))
            best = np.argsort(-level / self.noise, kind="stable")[:n_chosen]
            series = signal[:, best].mean(axis=1, keepdims=True)
            single = responses.locked_events(series, shown, t_r, self.lags_s)
            courses += [course[:, 0] for course in single]
        table = pd.DataFrame(np.stack(courses))
        measures = {
            "time_s": self.lags_s,
            "n_events": table.count(),
            "mean": table.mean(),
            "sd": table.std(ddof=1),
            "sem": table.sem(ddof=1),
        }
        return pd.DataFrame(measures)[table.count() > 0].reset_index(drop=True)

    def _halves(self, label: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Pair events that choose voxels with those that are shown in them.

        Events without a baseline, which cannot be shown, may still choose.
        """
        own = self.usable[label]
        spare = np.setdiff1d(self.onsets[label], own)
        if len(own) > 1:
            yield np.r_[own[::2], spare], own[1::2]
            yield np.r_[own[1::2], spare], own[::2]
        elif len(spare):
            yield spare, own
        else:
            others = [at for other, at in self.onsets.items() if other != label]
            yield np.concatenate([*others, own[:0]]), own


# --- what to say about them -------------------------------------------------------


def _notes(
    events: pd.DataFrame, onsets: dict[str, np.ndarray], usable: dict[str, np.ndarray]
) -> list[str]:
    notes = []
    n_events, n_used = (sum(map(len, of.values())) for of in (onsets, usable))
    if n_used < n_events:
        notes.append(
            f"{n_events - n_used} of {n_events} events are left out: their baseline or "
            "response window lies outside the run."
        )
    single = [label for label, own in usable.items() if len(own) == 1]
    single = [label for label in single if len(onsets[label]) == 1]
    if single:
        notes.append(
            f"{listed(single) if len(single) < 4 else f'{len(single)} conditions'}: a "
            "single event, hence no standard error, in voxels that the events of the "
            "other conditions chose."
        )
    if overlap(events, sorted(set(events["trial_type"]))):
        notes.append(
            "Events overlap in time: an average holds the response to what else was "
            "on, and its baseline that to what had just ended."
        )
    close = _share_in_recovery(events)
    if close > 0.1:
        notes.append(
            f"The baselines of {close:.0%} of the events lie within {_RECOVERY_S:g} s "
            "of another event's end, so the response to that is in them."
        )
    return notes


def _share_in_recovery(events: pd.DataFrame) -> float:
    """Share of events that begin while the response to another still lasts."""
    onset = events["onset"].to_numpy(float)
    end = onset + events["duration"].to_numpy(float)
    since = onset[:, None] - BASELINE_S - end[None]
    before = onset[None] < onset[:, None]
    return float(((since < _RECOVERY_S) & before).any(axis=1).mean())
