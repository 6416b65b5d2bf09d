"""How the windows of a fitted decoder were prepared, and how new ones come to match."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from boldformer.config import WindowConfig, from_dict, to_dict
from boldformer.data.cohort import of_no_class, read_events
from boldformer.data.event_windows import no_window, stacked
from boldformer.data.events import SEPARATOR, single_labels, with_label_sets
from boldformer.data.recording import Dataset
from boldformer.data.store import Grid
from boldformer.data.windows import WindowSet
from boldformer.errors import InputError, MismatchError
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
        dataset, classes, store, **how
            See `read_events`.

        Raises
        ------
        MismatchError
            When the recordings lie on another grid.
        InputError
            When there is no window.
        """
        windows, left_out = self.read_events(dataset, classes, store, **how)
        if windows is None:
            raise no_window(left_out, self.window)
        return windows

    def read_events(
        self, dataset: Dataset, classes: list[str], store: Path, **how: Any
    ) -> tuple[WindowSet | None, pd.DataFrame]:
        """Prepare a dataset in the same way, and list its events.

        Parameters
        ----------
        dataset : Dataset
            Recordings with their events.
        classes : list of str
            Labels to look for. Where they are sets of labels, the recordings are cut
            into stretches of such sets, and each is an event.
        store, **how
            See `boldformer.data.cohort.read_cohort`.

        Returns
        -------
        windows : WindowSet or None
            None where there is none.
        left_out : DataFrame
            Events without one; see `boldformer.data.cohort.read_events`.

        Raises
        ------
        MismatchError
            When the recordings lie on another grid.
        """
        apart: list[pd.DataFrame] = []
        if any(SEPARATOR in name for name in classes):
            parts = single_labels(classes, set(dataset.event_types))
            apart = list(of_no_class(dataset, parts))
            dataset = with_label_sets(dataset, classes)
        windows, left_out = read_events(
            dataset, classes, self.window, self.pipeline, store, self.mask, **how
        )
        if windows is not None:
            self._check_grid(windows.grid)
        return windows, stacked([left_out, *apart])

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
            "shape": list(self.grid.shape),
            "t_r": self.t_r,
        }

    @classmethod
    def from_record(
        cls, record: dict[str, Any], grid: Grid, mask: np.ndarray
    ) -> Preparation:
        """Read what `to_record` wrote.

        Raises
        ------
        InputError
            When the steps are none, or others than those whose hash was written.
        """
        pipeline = _as_written(record["pipeline"], record.get("pipeline_hash"))
        window = from_dict(WindowConfig, record["window"])
        return cls(pipeline, window, grid, mask, record["t_r"])


def _as_written(steps: Any, written: Any) -> Pipeline:
    if not isinstance(steps, list) or not all(isinstance(s, dict) for s in steps):
        raise InputError(
            "the preprocessing of a saved decoder cannot be read",
            wanted="a list of steps",
            received=repr(steps)[:60],
        )
    try:
        pipeline = Pipeline(tuple(steps))
    except (TypeError, ValueError, KeyError, ArithmeticError, AttributeError) as error:
        raise InputError(
            "the preprocessing of a saved decoder cannot be used",
            received=str(error)[:160],
        ) from None
    if written is not None and pipeline.hash != written:
        raise InputError(
            "the preprocessing of a saved decoder is not the one it was fitted with",
            wanted=f"pipeline {written!r:.40}",
            received=f"pipeline {pipeline.hash!r}",
            fix="take the folder as it was saved",
        )
    return pipeline
