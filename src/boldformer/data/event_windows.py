"""Which frames of which run stand for which event: the table of windows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from boldformer.config import WindowConfig
from boldformer.data.events import is_exclusive
from boldformer.data.groups import family_of
from boldformer.data.recording import Dataset, Recording
from boldformer.data.store import PreparedRun
from boldformer.data.windows import SAME_T_R
from boldformer.errors import InputError
from boldformer.preprocessing.frame_alignment import frames_covering, frames_from

# Events shorter than this still evoke a response of about this length.
_MIN_LENGTH_S = 6.0

LEFT_OUT = ["recording", "onset", "duration", "label", "start_s", "reason"]


def used_window(
    dataset: Dataset, labels: Sequence[str], config: WindowConfig
) -> WindowConfig:
    """Fill in what a configuration leaves to the data.

    Length: the median event's, at least six seconds after a stimulus, since the
    response outlasts it; one frame for maps. Step: the longest repetition time. Delay:
    none where events name the volumes themselves.

    Parameters
    ----------
    dataset : Dataset
        Recordings with the events to decode.
    labels : sequence of str
        Classes.
    config : WindowConfig
        What was asked.

    Returns
    -------
    WindowConfig
        With a length and a step.
    """
    timings = {recording.timing for recording in dataset}
    step_s = config.step_s or max(recording.t_r for recording in dataset)
    length_s = config.length_s
    if length_s <= 0:
        events = pd.concat([recording.events for recording in dataset])
        durations = events.loc[events["trial_type"].isin(labels), "duration"]
        fewest_s = _MIN_LENGTH_S if timings == {"stimulus"} else step_s
        length_s = max(float(durations.median()), fewest_s)
    delay_s = config.delay_s if "stimulus" in timings else 0.0
    return WindowConfig(delay_s, length_s, config.stride_s, step_s)


def make_table(
    dataset: Dataset,
    runs: Mapping[str, PreparedRun],
    labels: Sequence[str],
    config: WindowConfig,
) -> tuple[pd.DataFrame, list[tuple[str, str]]]:
    """List the windows of every event; there must be one.

    Parameters
    ----------
    dataset, runs, labels, config
        See `list_windows`.

    Returns
    -------
    table : DataFrame
        See `list_windows`.
    set_aside : list of (str, str)
        Windows that leave their run or meet a gap, and events named twice, each with
        its reason.

    Raises
    ------
    InputError
        When no window is left, or the same frames have two labels.
    """
    table, left_out = list_windows(dataset, runs, labels, config)
    if table.empty:
        used = dataset.filter(lambda recording: recording.name in runs)
        raise no_window(left_out, used_window(used, labels, config))
    return table, named(left_out)


def list_windows(
    dataset: Dataset,
    runs: Mapping[str, PreparedRun],
    labels: Sequence[str],
    config: WindowConfig,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """List the windows of every event, and those that there cannot be.

    A window begins at ``onset + delay``, a further one every ``stride`` seconds while
    it ends before the event (so delayed) does. It has ``round(length / step)`` steps.
    In a run whose repetition time is the step these are its frames, the first of them
    acquired at or after the beginning; frames of other runs are averaged into steps
    (see `boldformer.preprocessing.frame_alignment.overlap_weights`). Windows of a
    run that have the same frames and label count once.

    Parameters
    ----------
    dataset : Dataset
        Its events.
    runs : mapping of str to PreparedRun
        Prepared runs by name; recordings without one are passed over.
    labels : sequence of str
        Classes.
    config : WindowConfig
        Delay, length, stride and step, all in seconds.

    Returns
    -------
    table : DataFrame
        One row a window: ``window``, ``recording``, ``subject``, ``session``, ``task``,
        ``run``, ``block``, ``onset``, ``duration``, ``label``; ``start_s``, ``step_s``
        and ``n_times`` of the window; ``first_frame`` and ``n_frames`` that it reads;
        ``t_r``, ``n_run_frames``, ``content_hash``, ``family``, ``site``,
        ``space``, ``timing``. Empty where there is none.
    left_out : DataFrame
        One row a window that leaves its run, meets a gap or repeats another one:
        ``recording``, ``onset``, ``duration``, ``label``, ``start_s``, ``reason``.

    Raises
    ------
    InputError
        When the same frames have two labels.
    """
    used = dataset.filter(lambda recording: recording.name in runs)
    config = used_window(used, labels, config)
    rows: list[dict[str, Any]] = []
    outside: list[dict[str, Any]] = []
    for recording in used:
        kept, lost = _run_windows(recording, runs[recording.name], labels, config)
        rows += kept
        outside += lost
    left_out = pd.DataFrame(outside, columns=LEFT_OUT)
    if not rows:
        return pd.DataFrame(), left_out
    table, twice = _counted_once(pd.DataFrame(rows))
    table.insert(0, "window", np.arange(len(table)))
    return table, stacked([left_out, twice])


def stacked(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Put tables of what was left out one below the other."""
    # Empty ones have no types, and would take them from the others' columns.
    some = [table for table in tables if len(table)]
    if not some:
        return pd.DataFrame(columns=LEFT_OUT)
    return pd.concat(some, ignore_index=True)


def named(left_out: pd.DataFrame) -> list[tuple[str, str]]:
    """Name what was left out, each with its reason: ``sub-01: left at 6 s``."""
    return [
        (f"{row.recording}: {row.label} at {row.onset:g} s", row.reason)
        for row in left_out.itertuples()
    ]


def no_window(left_out: pd.DataFrame, config: WindowConfig) -> InputError:
    """Say that no window can be had, and why."""
    received = "no event of these labels"
    if len(left_out):
        received = ": ".join(named(left_out)[0])
    return InputError(
        "no window lies inside its run",
        wanted="events with frames for "
        f"{config.delay_s:g}–{config.delay_s + config.length_s:g} s after onset",
        received=received,
    )


def _counted_once(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Leave out windows with the frames of an earlier one of the same label."""
    frames = ["recording", "first_frame", "n_frames"]
    again = table.duplicated(frames).to_numpy()
    if not again.any():
        return table, pd.DataFrame()
    labels = table.groupby(frames, sort=False)["label"].transform("nunique")
    if (labels > 1).any():
        one = table[(labels > 1).to_numpy()].iloc[0]
        same = table[(table[frames] == one[frames]).all(axis=1)]
        other = same[same["label"] != one["label"]].iloc[0]
        raise InputError(
            f"events of two labels name the same frames in {int((labels > 1).sum())} "
            "windows",
            wanted="one label for a stretch of frames",
            received=f"{one['recording']}: {one['label']} at {one['onset']:g} s and "
            f"{other['label']} at {other['onset']:g} s",
            fix="choose one of the two with --labels or a label table",
        )
    reason = "its frames are those of an earlier event of the same label: counted once"
    twice = table[again].assign(reason=reason)[LEFT_OUT]
    return table[~again].reset_index(drop=True), twice


def _run_windows(
    recording: Recording,
    run: PreparedRun,
    labels: Sequence[str],
    config: WindowConfig,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []
    outside: list[dict[str, Any]] = []
    events = recording.events
    for event in events[events["trial_type"].isin(labels)].itertuples():
        for start_s in _starts(recording, event, config):
            row = _row(recording, run, event)
            place = _place(recording, run, event, start_s, config)
            if isinstance(place, str):
                lost = row | {"start_s": start_s, "reason": place}
                outside.append({column: lost[column] for column in LEFT_OUT})
            else:
                rows.append(row | place)
    return rows, outside


def _delay_s(recording: Recording, config: WindowConfig) -> float:
    return config.delay_s if recording.timing == "stimulus" else 0.0


def _starts(recording: Recording, event: Any, config: WindowConfig) -> Iterator[float]:
    """When the windows of an event begin, seconds from the begin of the run."""
    begin = float(event.onset) + _delay_s(recording, config)
    yield begin
    if config.stride_s <= 0:
        return
    last = begin + float(event.duration) - config.length_s + 1e-6
    start_s = begin + config.stride_s
    while start_s <= last:
        yield start_s
        start_s += config.stride_s


def _place(
    recording: Recording,
    run: PreparedRun,
    event: Any,
    start_s: float,
    config: WindowConfig,
) -> dict[str, Any] | str:
    """Frames of one window, or why there are none."""
    n_times = max(1, round(config.length_s / config.step_s))
    end_s = start_s + n_times * config.step_s
    until = float(event.onset) + _delay_s(recording, config) + float(event.duration)
    if is_exclusive(recording, event) and end_s > until + 0.5 * config.step_s:
        return f"it is shorter than a window ({n_times * config.step_s:g} s)"
    times_s = run.times_s
    if abs(run.t_r - config.step_s) <= SAME_T_R:
        first = frames_from(times_s, run.t_r, start_s, n_times)
        found = None if first is None else (first, n_times)
    else:
        found = frames_covering(times_s, run.t_r, start_s, end_s)
    if found is None:
        ends = times_s[-1] + run.t_r
        gaps = " or meets missing volumes" if run.has_gaps else ""
        return f"its window leaves the run ({times_s[0]:g}–{ends:g} s){gaps}"
    return {
        "start_s": start_s,
        "step_s": config.step_s,
        "n_times": n_times,
        "first_frame": found[0],
        "n_frames": found[1],
    }


def _row(recording: Recording, run: PreparedRun, event: Any) -> dict[str, Any]:
    return {
        "recording": recording.name,
        "subject": recording.subject,
        "session": recording.session,
        "task": recording.task,
        "run": recording.run,
        "block": f"{recording.name}@{event.onset:g}",
        "onset": float(event.onset),
        "duration": float(event.duration),
        "label": event.trial_type,
        "t_r": run.t_r,
        "n_run_frames": run.n_times,
        "content_hash": run.info["content_hash"],
        "family": family_of(recording.participant),
        "timing": recording.timing,
        "site": recording.participant.get("site", ""),
        "space": recording.space,
    }
