"""Windows: which frames of which run stand for which label, read when needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from boldformer.config import WindowConfig
from boldformer.data.events import indicators, is_exclusive
from boldformer.data.groups import family_of, resampling_groups
from boldformer.data.recording import Dataset, Recording
from boldformer.data.store import ZSCORE_SCALE, Grid, PreparedRun
from boldformer.errors import InputError
from boldformer.preprocessing.alignment import (
    frames_covering,
    frames_from,
    overlap_weights,
)
from boldformer.preprocessing.spatial import bounding_box

# Events shorter than this still evoke a response of about this length.
_MIN_LENGTH_S = 6.0
# Repetition times that differ by less are the same, rounded differently.
_SAME_T_R = 1e-3


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
    """List the windows of every event.

    A window begins at ``onset + delay``, a further one every ``stride`` seconds while
    it ends before the event (so delayed) does. It has ``round(length / step)`` steps.
    In a run whose repetition time is the step these are its frames, the first of them
    acquired at or after the beginning; frames of other runs are averaged into steps
    (see `boldformer.preprocessing.alignment.overlap_weights`). Windows of a run that
    have the same frames and label count once.

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
        ``space``, ``timing``.
    set_aside : list of (str, str)
        Windows that leave their run or meet a gap, and events named twice.

    Raises
    ------
    InputError
        When no window is left, or the same frames have two labels.
    """
    used = dataset.filter(lambda recording: recording.name in runs)
    config = used_window(used, labels, config)
    rows: list[dict[str, Any]] = []
    set_aside: list[tuple[str, str]] = []
    for recording in used:
        kept, outside = _run_windows(recording, runs[recording.name], labels, config)
        rows += kept
        set_aside += outside
    if not rows:
        raise InputError(
            "no window lies inside its run",
            wanted="events with frames for "
            f"{config.delay_s:g}–{config.delay_s + config.length_s:g} s after onset",
            received=f"{set_aside[0][0]}: {set_aside[0][1]}"
            if set_aside
            else "no event of these labels",
        )
    table, twice = _counted_once(pd.DataFrame(rows))
    table.insert(0, "window", np.arange(len(table)))
    return table, set_aside + twice


def _counted_once(table: pd.DataFrame) -> tuple[pd.DataFrame, list[tuple[str, str]]]:
    """Leave out windows with the frames of an earlier one of the same label."""
    frames = ["recording", "first_frame", "n_frames"]
    again = table.duplicated(frames).to_numpy()
    if not again.any():
        return table, []
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
    twice = [
        (f"{row.recording}: {row.label} at {row.onset:g} s", reason)
        for row in table[again].itertuples()
    ]
    return table[~again].reset_index(drop=True), twice


def _run_windows(
    recording: Recording,
    run: PreparedRun,
    labels: Sequence[str],
    config: WindowConfig,
) -> tuple[list[dict[str, Any]], list[tuple[str, str]]]:
    rows: list[dict[str, Any]] = []
    outside: list[tuple[str, str]] = []
    events = recording.events
    for event in events[events["trial_type"].isin(labels)].itertuples():
        for start_s in _starts(recording, event, config):
            place = _place(recording, run, event, start_s, config)
            if isinstance(place, str):
                where = f"{recording.name}: {event.trial_type} at {event.onset:g} s"
                outside.append((where, place))
            else:
                rows.append(_row(recording, run, event) | place)
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
    if abs(run.t_r - config.step_s) <= _SAME_T_R:
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


def _union(runs: Mapping[str, PreparedRun], grid: Grid) -> np.ndarray:
    mask = np.zeros(grid.shape, dtype=bool)
    for run in runs.values():
        mask.ravel()[run.voxels] = True
    return mask


def _weights(run: PreparedRun, row: Any) -> np.ndarray | None:
    """Weights (n_times, n_frames) of a window's frames; None where each is a step."""
    if abs(run.t_r - row.step_s) <= _SAME_T_R:
        return None
    times_s = run.times_s[row.first_frame : row.first_frame + row.n_frames]
    return overlap_weights(times_s, run.t_r, row.start_s, row.step_s, row.n_times)


def _window_mean(run: PreparedRun, row: Any) -> np.ndarray:
    weights = _weights(run, row)
    if weights is None:
        return run.window_mean(row.first_frame, row.n_frames)
    return weights.mean(axis=0) @ run.window(row.first_frame, row.n_frames)


def _measures(run: PreparedRun) -> pd.DataFrame:
    """Measures of each frame, on scales that demeaning an image does not change."""
    frames = run.frames.drop(columns="time_s")
    level, step = frames["global_signal"], frames["dvars"].mean()
    deviation, spread = level - level.mean(), level.std()
    # What changes less than this from frame to frame is rounding.
    known = spread > 1e-4 * step
    frames["global_signal"] = deviation / spread if known else 0.0
    frames["dvars"] = frames["dvars"] / step - 1 if step > 0 else 0.0
    return frames


def _nuisance_row(measures: Mapping[str, pd.DataFrame], row: Any) -> dict[str, float]:
    frames = measures[row.recording]
    window = frames.iloc[row.first_frame : row.first_frame + row.n_frames].mean()
    if row.timing == "map":
        return {"global_signal": float(window["global_signal"])}
    return {
        "position": float(row.first_frame),
        "relative_position": row.first_frame / row.n_run_frames,
        "run_length": float(row.n_run_frames),
        **window.to_dict(),
    }


class WindowSet:
    """Windows of prepared runs, read from the store when they are asked for.

    Indexing with integers, a slice or a boolean mask gives a smaller `WindowSet`, so
    scikit-learn can split it. Voxels are those of any run's mask: a voxel that some
    runs lack is zero there and carries no information for them.

    Parameters
    ----------
    table : DataFrame
        As `make_table` returns it.
    runs : mapping of str to PreparedRun
        Prepared runs by name, all on one grid.
    mask : ndarray of bool, shape (x, y, z), optional
        Voxels of the grid that models see: those of the windows a model was fitted
        to. By default the voxels of any run's mask.
    """

    def __init__(
        self,
        table: pd.DataFrame,
        runs: Mapping[str, PreparedRun],
        mask: np.ndarray | None = None,
    ) -> None:
        self.table = table.reset_index(drop=True)
        self.runs = {name: runs[name] for name in dict.fromkeys(table["recording"])}
        first = next(iter(self.runs.values()))
        self.grid: Grid = first.grid
        self.pipeline: list[dict[str, Any]] = first.info["pipeline"]
        self.pipeline_hash = first.pipeline_hash
        self.grid_mask = _union(self.runs, self.grid) if mask is None else mask
        self.box = bounding_box(self.grid_mask)
        self.mask: np.ndarray = self.grid_mask[self.box]
        self._places: dict[str, tuple[np.ndarray, np.ndarray | None]] = {}

    def __len__(self) -> int:
        """Count the windows."""
        return len(self.table)

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """``(n_windows, n_times, x, y, z)``."""
        x, y, z = self.mask.shape
        return len(self), int(self.table["n_times"].iloc[0]), x, y, z

    @property
    def labels(self) -> np.ndarray:
        """Label of each window, (n_windows,)."""
        return self.table["label"].to_numpy(dtype=object)

    @property
    def groups(self) -> np.ndarray:
        """Subject (or family) of each window, its run where there is one subject."""
        return resampling_groups(self.table)[1]

    @property
    def t_r(self) -> float:
        """Time between the frames of a window, seconds."""
        return float(self.table["step_s"].iloc[0])

    def indicators(self) -> pd.DataFrame:
        """Which single labels each window has, bool (n_windows, n_labels)."""
        return indicators(self.table["label"], self.table["label"].unique())

    def __getitem__(self, key: Any) -> WindowSet:
        """Return the windows that `key` selects."""
        if isinstance(key, tuple):
            key = key[0]
        if isinstance(key, (int, np.integer)):
            key = [int(key)]
        rows = np.arange(len(self))[key]
        chosen = WindowSet.__new__(WindowSet)
        chosen.__dict__.update(self.__dict__)
        chosen.table = self.table.iloc[rows].reset_index(drop=True)
        return chosen

    def batch(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Read windows as dense volumes.

        Parameters
        ----------
        indices : sequence of int

        Returns
        -------
        ndarray of float32, shape (len(indices), n_times, x, y, z)
            Zero outside the brain.
        """
        rows = self.table.iloc[np.asarray(indices, dtype=int)]
        dense = np.empty((len(rows), *self.shape[1:]), dtype=np.float32)
        for i, row in enumerate(rows.itertuples()):
            self._read_into(dense[i].reshape(dense.shape[1], -1), row)
        return dense

    def _read_into(self, dense: np.ndarray, row: Any) -> None:
        """Read one window into an array (n_times, n_box_voxels)."""
        run = self.runs[row.recording]
        place, inside = self._place(run)
        weights = _weights(run, row)
        scale = np.float32(1)
        if weights is None and run.levels is None:
            values = run.stored[row.first_frame : row.first_frame + row.n_frames]
            scale = np.float32(ZSCORE_SCALE)
        else:
            values = run.window(row.first_frame, row.n_frames)
            values = values if weights is None else weights @ values
        # Frame by frame through one box that stays in the cache, in bytes where the
        # store has bytes: unmasking costs more than reading.
        box = np.zeros(dense.shape[1], dtype=values.dtype)
        for frame, value in zip(dense, values, strict=True):
            box[place] = value if inside is None else value[inside]
            np.multiply(box, scale, out=frame)

    def means(self, indices: Sequence[int] | np.ndarray | None = None) -> np.ndarray:
        """Window means in the brain voxels.

        Parameters
        ----------
        indices : sequence of int, optional
            All windows by default.

        Returns
        -------
        ndarray of float32, shape (len(indices), n_voxels)
        """
        rows = self.table if indices is None else self.table.iloc[np.asarray(indices)]
        flat = np.zeros(self.mask.size, dtype=np.float32)
        brain = np.flatnonzero(self.mask)
        result = np.empty((len(rows), brain.size), dtype=np.float32)
        for i, row in enumerate(rows.itertuples()):
            run = self.runs[row.recording]
            place, inside = self._place(run)
            mean = _window_mean(run, row)
            flat[:] = 0
            flat[place] = mean if inside is None else mean[inside]
            result[i] = flat[brain]
        return result

    def unmask(self, values: np.ndarray) -> np.ndarray:
        """Put values of brain voxels, (..., n_voxels), into the box, (..., x, y, z)."""
        dense = np.zeros((*values.shape[:-1], *self.mask.shape), dtype=values.dtype)
        dense[..., self.mask] = values
        return dense

    def nuisance(self) -> pd.DataFrame:
        """Describe each window without its voxels: motion, level and position.

        Returns
        -------
        DataFrame
            One row a window: position of the window in its run (volumes and share),
            length of the run, and the means over the window of what the store knows of
            its frames: global signal, in standard deviations of the run's; DVARS
            relative to the run's mean; motion. Of maps in no order only what does not
            depend on their order: the global signal.
        """
        measures = {name: _measures(run) for name, run in self.runs.items()}
        rows = [_nuisance_row(measures, row) for row in self.table.itertuples()]
        return pd.DataFrame(rows)

    def _place(self, run: PreparedRun) -> tuple[np.ndarray, np.ndarray | None]:
        """Where a run's voxels lie in the box, and which of them do (None: all)."""
        if run.name not in self._places:
            at = np.unravel_index(run.voxels, self.grid.shape)
            inside = np.ones(run.voxels.size, dtype=bool)
            for axis, part in zip(at, self.box, strict=True):
                inside &= (axis >= part.start) & (axis < part.stop)
            moved = [
                axis[inside] - part.start
                for axis, part in zip(at, self.box, strict=True)
            ]
            place = np.ravel_multi_index(moved, self.mask.shape)
            self._places[run.name] = (place, None if inside.all() else inside)
        return self._places[run.name]
