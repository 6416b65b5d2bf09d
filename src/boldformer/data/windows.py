"""Windows of prepared runs, read from the store when they are needed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from boldformer.data.events import indicators
from boldformer.data.groups import resampling_groups
from boldformer.data.store import ZSCORE_SCALE, Grid, PreparedRun
from boldformer.preprocessing.frame_alignment import (
    overlap_weights,
)
from boldformer.preprocessing.spatial import bounding_box

# Repetition times that differ by less are the same, rounded differently.
SAME_T_R = 1e-3


def _union(runs: Mapping[str, PreparedRun], grid: Grid) -> np.ndarray:
    mask = np.zeros(grid.shape, dtype=bool)
    for run in runs.values():
        mask.ravel()[run.voxels] = True
    return mask


def _weights(run: PreparedRun, row: Any) -> np.ndarray | None:
    """Weights (n_times, n_frames) of a window's frames; None where each is a step."""
    if abs(run.t_r - row.step_s) <= SAME_T_R:
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
        As `boldformer.data.event_windows.make_table` returns it.
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

    @property
    def hash(self) -> str:
        """SHA-256 of which windows these are, and of how they were prepared."""
        digest = hashlib.sha256(self.pipeline_hash.encode())
        columns = ["content_hash", "first_frame", "n_frames", "t_r"]
        columns += ["start_s", "step_s", "n_times"]
        digest.update(self.table[columns].to_csv(index=False).encode())
        digest.update(np.packbits(self.grid_mask).tobytes())
        return digest.hexdigest()

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
