"""How the windows of a fitted decoder were prepared, and how new ones come to match."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from boldformer.config import WindowConfig, from_dict, to_dict
from boldformer.data.cohort import read_windows
from boldformer.data.events import SEPARATOR, with_label_sets
from boldformer.data.recording import Dataset
from boldformer.data.store import Grid
from boldformer.data.windows import WindowSet
from boldformer.errors import MismatchError
from boldformer.preprocessing.pipeline import Pipeline


@dataclass(frozen=True, eq=False)
class Preparation:
    """What windows must have in common with those that a decoder was fitted to.

    Parameters
    ----------
    pipeline : Pipeline
        Steps of preprocessing.
    window : WindowConfig
        Delay, length and step as used.
    grid : Grid
        Where recordings lie.
    mask : ndarray of bool, shape (x, y, z)
        Voxels of the grid that the model sees.
    t_r : float
        Seconds between the frames of a window.
    """

    pipeline: Pipeline
    window: WindowConfig
    grid: Grid
    mask: np.ndarray
    t_r: float

    @classmethod
    def of(cls, windows: WindowSet, window: WindowConfig) -> Preparation:
        """Tell how windows were prepared; `window` is what they were cut by."""
        pipeline = Pipeline(tuple(windows.pipeline))
        return cls(pipeline, window, windows.grid, windows.grid_mask, windows.t_r)

    def read(
        self, dataset: Dataset, classes: list[str], store: Path, **how: Any
    ) -> WindowSet:
        """Prepare a dataset in the same way, and list its windows.

        Parameters
        ----------
        dataset : Dataset
            Recordings with their events.
        classes : list of str
            Labels to look for.
        store, **how
            See `boldformer.data.cohort.read_cohort`.

        Raises
        ------
        MismatchError
            When the recordings lie on another grid.
        """
        if any(SEPARATOR in name for name in classes):
            dataset = with_label_sets(dataset, classes)
        windows, _ = read_windows(
            dataset, classes, self.window, self.pipeline, store, self.mask, **how
        )
        self._check_grid(windows.grid)
        return windows

    def fitting(self, windows: WindowSet) -> WindowSet:
        """See prepared windows through the decoder's own mask.

        Raises
        ------
        MismatchError
            When they were prepared otherwise, or lie on another grid.
        """
        if windows.pipeline_hash != self.pipeline.hash:
            raise MismatchError(
                "these windows were prepared otherwise than the decoder's",
                wanted=f"pipeline {self.pipeline.hash}",
                received=f"pipeline {windows.pipeline_hash}",
                fix="prepare them with the decoder's own settings",
            )
        self._check_grid(windows.grid)
        return WindowSet(windows.table, windows.runs, self.mask)

    def _check_grid(self, grid: Grid) -> None:
        if not grid.agrees_with(self.grid):
            raise MismatchError(
                "the recordings do not lie on the decoder's grid",
                wanted=f"shape {self.grid.shape} in {self.grid.space or 'its space'}",
                received=f"shape {grid.shape} in {grid.space or 'another space'}",
                fix="resample them to it",
            )

    def to_record(self) -> dict[str, Any]:
        """JSON-ready, but for grid and mask, which are written as an image."""
        return {
            "window": to_dict(self.window),
            "pipeline": [dict(step) for step in self.pipeline.steps],
            "pipeline_hash": self.pipeline.hash,
            "space": self.grid.space,
            "t_r": self.t_r,
        }

    @classmethod
    def from_record(
        cls, record: dict[str, Any], grid: Grid, mask: np.ndarray
    ) -> Preparation:
        """Read what `to_record` wrote."""
        pipeline = Pipeline(tuple(record["pipeline"]))
        window = from_dict(WindowConfig, record["window"])
        return cls(pipeline, window, grid, mask, record["t_r"])
