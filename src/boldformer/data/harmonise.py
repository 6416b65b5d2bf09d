"""One grid, one window and one table for data sets that were recorded apart."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from boldformer.config import WindowConfig
from boldformer.data.event_windows import used_window
from boldformer.data.groups import families_of
from boldformer.data.reading import open_run
from boldformer.data.recording import Dataset
from boldformer.data.store import Grid, PreparedRun
from boldformer.data.windows import WindowSet
from boldformer.errors import BadRunError, InputError
from boldformer.preprocessing.spatial import bounding_box, moved_affine

# HCP's six digits name a person wherever they occur; 01, 02 … count within a data set.
_FEWEST_CHARACTERS_OF_A_NAME = 5
_FEWEST_VOXELS = 10


def person(dataset: str, subject: str) -> str:
    """Name of a subject among several data sets.

    Labels of five or more characters, such as HCP's, are taken to name the same person
    everywhere; shorter ones count people within a data set, and are told apart by it.
    """
    if len(subject) >= _FEWEST_CHARACTERS_OF_A_NAME:
        return subject
    return f"{dataset}:{subject}"


def check_spaces(datasets: Mapping[str, Dataset], *, any_space: bool = False) -> None:
    """Refuse data sets whose voxels do not stand for the same places.

    Raises
    ------
    InputError
        For different spaces, or several data sets in their scanners' own, unless
        `any_space`; for activation maps beside recordings in time.
    """
    timings = {recording.timing == "map" for d in datasets.values() for recording in d}
    if len(timings) > 1:
        raise InputError(
            "activation maps and recordings in time cannot be mixed",
            wanted="one of the two in all data sets",
        )
    found = {key: {r.space for r in dataset} for key, dataset in datasets.items()}
    spaces = set().union(*found.values())
    if any_space or len(datasets) == 1 or (len(spaces) == 1 and "" not in spaces):
        return
    shown = (
        f"{key}: {', '.join(sorted(s or 'scanner' for s in names))}"
        for key, names in found.items()
    )
    raise InputError(
        "the data sets do not lie in the same space",
        wanted="one standard space, such as MNI152NLin2009cAsym",
        received="; ".join(shown),
        fix="normalise them alike (fMRIPrep --output-spaces), choose with --space, or "
        "take their coordinates as they are (--any-space)",
    )


def common_grid(datasets: Iterable[Dataset]) -> Grid | None:
    """Choose the grid that all recordings are brought to.

    The grid of the recording with the largest voxels, which is then not resampled,
    cropped to the field of view that all recordings share.

    Parameters
    ----------
    datasets : iterable of Dataset
        In one space.

    Returns
    -------
    Grid or None
        None where all recordings lie on one grid already.

    Raises
    ------
    InputError
        When no place is in all fields of view, or no recording can be opened.
    """
    grids: list[Grid] = []
    for dataset in datasets:
        for recording in dataset:
            try:
                run = open_run(recording)
            except BadRunError:
                continue  # preparation sets it aside with its reason
            grid = Grid.from_arrays(run.shape, run.affine, recording.space)
            if not any(grid.agrees_with(known) for known in grids):
                grids.append(grid)
    if not grids:
        raise InputError("no recording can be opened")
    if len(grids) == 1:
        return None
    coarsest = max(grids, key=lambda grid: abs(np.linalg.det(grid.matrix[:3, :3])))
    inside = np.ones(coarsest.shape, dtype=bool)
    for grid in grids:
        inside &= _centres_inside(coarsest, grid)
    if not inside.any():
        raise InputError(
            "the recordings have no field of view in common",
            received=f"{len(grids)} grids",
            fix="check that they lie in the same space",
        )
    box = bounding_box(inside)
    shape = [part.stop - part.start for part in box]
    affine = moved_affine(coarsest.matrix, [part.start for part in box])
    return Grid.from_arrays(shape, affine, coarsest.space)


def _centres_inside(grid: Grid, other: Grid) -> np.ndarray:
    """Tell which voxel centres of a grid lie in another's volume, bool (x, y, z)."""
    to_other = np.linalg.inv(other.matrix) @ grid.matrix
    at = np.indices(grid.shape).reshape(3, -1)
    found = to_other[:3, :3] @ at + to_other[:3, 3:]
    # A thousandth of a voxel: affines are rounded when they are written.
    reach = np.array(other.shape)[:, None] - 0.5 + 1e-3
    inside = ((found > -0.5 - 1e-3) & (found < reach)).all(axis=0)
    return inside.reshape(grid.shape)


def shared_window(
    datasets: Iterable[Dataset], classes: Sequence[str], config: WindowConfig
) -> WindowConfig:
    """Window that every data set can fill: the shortest length, the longest step.

    Parameters
    ----------
    datasets : iterable of Dataset
        Their events, named by the classes.
    classes : sequence of str
        Classes to decode.
    config : WindowConfig
        What was asked; length and step are filled in where they are 0.
    """
    used = [used_window(dataset, classes, config) for dataset in datasets]
    return replace(
        config,
        delay_s=max(window.delay_s for window in used),
        length_s=min(window.length_s for window in used),
        step_s=max(window.step_s for window in used),
    )


def name_in(key: str, name: str) -> str:
    """Name that a run of one of several data sets has among them."""
    return f"{key}/{name}"


def combine(parts: Sequence[tuple[str, WindowSet]]) -> WindowSet:
    """Put the windows of several data sets into one set.

    Subjects, recordings and families get their data set's name before them (see
    `person`), so that nothing is confused and the audit compares people. Voxels are
    those that every data set has in the mask of one of its runs.

    Parameters
    ----------
    parts : sequence of (str, WindowSet)
        Name of the data set, and its windows; all on one grid.

    Returns
    -------
    WindowSet
        With a column ``dataset`` in its table.

    Raises
    ------
    InputError
        When hardly a voxel is common.
    """
    runs: dict[str, PreparedRun] = {}
    masks: dict[str, np.ndarray] = {}
    tables = []
    for key, windows in parts:
        for run in windows.runs.values():
            renamed = copy.copy(run)
            renamed.name = name_in(key, run.name)
            runs[renamed.name] = renamed
        union = masks.get(key, np.zeros_like(windows.grid_mask))
        masks[key] = union | windows.grid_mask
        tables.append(_renamed(windows.table, key))
    mask = np.logical_and.reduce(list(masks.values()))
    if mask.sum() < _FEWEST_VOXELS:
        raise InputError(
            "the data sets have no brain in common",
            wanted=f"at least {_FEWEST_VOXELS} voxels in the masks of all",
            received=f"{int(mask.sum())}",
        )
    table = pd.concat(tables, ignore_index=True)
    table["window"] = np.arange(len(table))
    return WindowSet(table, runs, mask)


def _renamed(table: pd.DataFrame, key: str) -> pd.DataFrame:
    families = families_of(table)
    site = table["site"].astype("string").fillna("")
    return table.assign(
        dataset=key,
        recording=f"{key}/" + table["recording"],
        subject=[person(key, subject) for subject in table["subject"].astype(str)],
        family=np.where(families == "", "", f"{key}:" + families),
        site=np.where(site == "", key, f"{key}:" + site),
    )
