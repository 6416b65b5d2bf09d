"""Windows: which frames of which run stand for which label, read when needed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from boldformer.config import WindowConfig
from boldformer.data.groups import resampling_groups
from boldformer.data.recording import Dataset, Recording
from boldformer.data.store import Grid, PreparedRun
from boldformer.errors import InputError
from boldformer.preprocessing.spatial import bounding_box

# Events shorter than this still evoke a response of about this length.
_MIN_LENGTH_S = 6.0


def choose_labels(dataset: Dataset, labels: Sequence[str]) -> list[str]:
    """Class names to decode, in the order given, or all event types found.

    Raises
    ------
    InputError
        For a label no event has, a label named twice, or fewer than two classes.
    """
    found = dataset.event_types
    chosen = list(labels) or found
    unknown = [label for label in chosen if label not in found]
    if unknown:
        raise InputError(
            f"unknown label {unknown[0]!r}", wanted=f"one of {', '.join(found)}"
        )
    if len(set(chosen)) < max(2, len(chosen)):
        raise InputError(
            "decoding needs at least two classes",
            wanted="two or more different labels",
            received=", ".join(chosen) or "none",
        )
    return chosen


def window_length(
    dataset: Dataset, labels: Sequence[str], config: WindowConfig
) -> float:
    """Length of a window in seconds: the configured one, else the median event's.

    Events shorter than six seconds count as six: the response outlasts them.
    """
    if config.length_s > 0:
        return config.length_s
    durations = pd.concat(
        [r.events.loc[r.events["trial_type"].isin(labels), "duration"] for r in dataset]
    )
    return max(float(durations.median()), _MIN_LENGTH_S)


def make_table(
    dataset: Dataset,
    runs: Mapping[str, PreparedRun],
    labels: Sequence[str],
    config: WindowConfig,
) -> tuple[pd.DataFrame, list[tuple[str, str]]]:
    """List one window an event.

    A window holds ``round(length / t_r)`` frames; its first is the first frame acquired
    at or after ``onset + delay_s``.

    Parameters
    ----------
    dataset : Dataset
        Its events.
    runs : mapping of str to PreparedRun
        Prepared runs by name; recordings without one are passed over.
    labels : sequence of str
        Classes.
    config : WindowConfig
        Delay and length.

    Returns
    -------
    table : DataFrame
        One row a window: ``window``, ``recording``, ``subject``, ``session``, ``task``,
        ``run``, ``block``, ``onset``, ``duration``, ``label``, ``first_frame``,
        ``n_frames``, ``t_r``, ``n_run_frames``, ``content_hash``, ``family``, ``site``.
    set_aside : list of (str, str)
        Events whose window leaves the run.

    Raises
    ------
    InputError
        When recordings differ in repetition time, or no window is left.
    """
    used = [recording for recording in dataset if recording.name in runs]
    length_s = window_length(dataset, labels, config)
    n_frames = _n_frames(used, length_s)
    rows: list[dict[str, Any]] = []
    set_aside: list[tuple[str, str]] = []
    for recording in used:
        kept, outside = _run_windows(
            recording, runs[recording.name], labels, config.delay_s, n_frames
        )
        rows += kept
        set_aside += outside
    if not rows:
        raise InputError(
            "no window lies inside its run",
            wanted=f"events at least {config.delay_s + length_s:g} s before the end",
            received=set_aside[0][1] if set_aside else "no event of these labels",
        )
    table = pd.DataFrame(rows)
    table.insert(0, "window", np.arange(len(table)))
    return table, set_aside


def _n_frames(recordings: Sequence[Recording], length_s: float) -> int:
    times = sorted({round(recording.t_r, 4) for recording in recordings})
    if len(times) > 1:
        raise InputError(
            "the recordings have different repetition times",
            wanted="one repetition time",
            received=", ".join(f"{t:g} s" for t in times),
            fix="choose recordings with --task, --acquisition or --participant-label",
        )
    return max(1, round(length_s / times[0]))


def _run_windows(
    recording: Recording,
    run: PreparedRun,
    labels: Sequence[str],
    delay_s: float,
    n_frames: int,
) -> tuple[list[dict[str, Any]], list[tuple[str, str]]]:
    rows: list[dict[str, Any]] = []
    outside: list[tuple[str, str]] = []
    events = recording.events
    for event in events[events["trial_type"].isin(labels)].itertuples():
        start = (float(event.onset) + delay_s - run.start_s) / run.t_r
        first = math.ceil(start - 1e-6)
        if first < 0 or first + n_frames > run.n_times:
            ends = run.start_s + run.n_times * run.t_r
            outside.append(
                (
                    f"{recording.name}: {event.trial_type} at {event.onset:g} s",
                    f"its window leaves the run ({run.start_s:g}–{ends:g} s)",
                )
            )
            continue
        rows.append(
            {
                "recording": recording.name,
                "subject": recording.subject,
                "session": recording.session,
                "task": recording.task,
                "run": recording.run,
                "block": f"{recording.name}@{event.onset:g}",
                "onset": float(event.onset),
                "duration": float(event.duration),
                "label": event.trial_type,
                "first_frame": first,
                "n_frames": n_frames,
                "t_r": run.t_r,
                "n_run_frames": run.n_times,
                "content_hash": run.info["content_hash"],
                "family": recording.participant.get("family", ""),
                "site": recording.participant.get("site", ""),
            }
        )
    return rows, outside


def _union(runs: Mapping[str, PreparedRun], grid: Grid) -> np.ndarray:
    mask = np.zeros(grid.shape, dtype=bool)
    for run in runs.values():
        mask.ravel()[run.voxels] = True
    return mask


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
        return len(self), int(self.table["n_frames"].iloc[0]), x, y, z

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
        """Repetition time in seconds."""
        return float(self.table["t_r"].iloc[0])

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
        dense = np.zeros((len(rows), *self.shape[1:]), dtype=np.float32)
        flat = dense.reshape(len(rows), dense.shape[1], -1)
        for i, row in enumerate(rows.itertuples()):
            run = self.runs[row.recording]
            place, inside = self._place(run)
            frames = run.window(row.first_frame, row.n_frames)
            flat[i][:, place] = frames if inside is None else frames[:, inside]
        return dense

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
            mean = run.window_mean(row.first_frame, row.n_frames)
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
            its frames (global signal and DVARS relative to the run, motion).
        """
        return pd.DataFrame(
            [self._nuisance_row(row) for row in self.table.itertuples()]
        )

    def _nuisance_row(self, row: Any) -> dict[str, float]:
        run = self.runs[row.recording]
        measures = run.frames.drop(columns="time_s")
        for column in ("global_signal", "dvars"):
            measures[column] = measures[column] / measures[column].mean() - 1
        window = measures.iloc[row.first_frame : row.first_frame + row.n_frames]
        return {
            "position": float(row.first_frame),
            "relative_position": row.first_frame / row.n_run_frames,
            "run_length": float(row.n_run_frames),
            **window.mean().to_dict(),
        }

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
