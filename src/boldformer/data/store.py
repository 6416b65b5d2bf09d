"""The store of prepared runs: brain voxels only, eight bits each, read by memory map.

A store is a folder with one sub-folder a run::

    <store>/<run name>/
        run.json     entities, grid, timing, pipeline, source file, checks
        data.npy     int8 (n_times, n_voxels); value = offset + scale * stored
                     (float16 where a causal pipeline ends without a z-score)
        voxels.npy   int64 (n_voxels,) flat C-order index into the grid
        mean.npy     float32 (n_voxels,) mean intensity, a background for maps
        levels.npy   float32 (2, n_voxels) offset and scale, where they vary
        frames.tsv   one row a volume: time, global signal, motion

A run's folder appears only when it is complete, so a killed preparation resumes.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from boldformer.data.atomic import atomic_path, write_json, write_tsv
from boldformer.errors import DatasetError, InputError

FORMAT = "boldformer-run"
_FILES = (
    "run.json",
    "frames.tsv",
    "data.npy",
    "voxels.npy",
    "mean.npy",
    "levels.npy",
)
VERSION = 2

# z-scores are kept in steps of 1/16 up to ±7.9, an RMS error of 1.8 % of the SD.
ZSCORE_SCALE = 1 / 16
_LIMIT = 127


@dataclass(frozen=True)
class Grid:
    """Where voxels lie.

    Parameters
    ----------
    shape : tuple of int
        ``(x, y, z)``.
    affine : tuple of tuple of float
        Voxel to world, millimetres, 4 by 4.
    space : str
        Name of the space, empty for a scanner's own.
    """

    shape: tuple[int, int, int]
    affine: tuple[tuple[float, ...], ...]
    space: str = ""

    @classmethod
    def from_arrays(
        cls, shape: Sequence[int], affine: np.ndarray, space: str = ""
    ) -> Grid:
        """Build a grid from a shape and a 4 by 4 array."""
        x, y, z = (int(n) for n in shape)
        rows = tuple(tuple(float(v) for v in row) for row in affine)
        return cls((x, y, z), rows, space)

    @property
    def matrix(self) -> np.ndarray:
        """The affine as an array."""
        return np.array(self.affine)

    @property
    def voxel_size_mm(self) -> tuple[float, ...]:
        """Edge lengths of a voxel."""
        return tuple(np.linalg.norm(self.matrix[:3, :3], axis=0).round(4).tolist())

    def agrees_with(self, other: Grid) -> bool:
        """Tell whether two grids are the same to a thousandth of a millimetre."""
        return self.shape == other.shape and bool(
            np.allclose(self.matrix, other.matrix, atol=1e-3)
        )


def quantise(
    data: np.ndarray, *, zscored: bool
) -> tuple[np.ndarray, np.ndarray | None]:
    """Round prepared data to eight bits.

    Parameters
    ----------
    data : ndarray of float, shape (n_times, n_voxels)
    zscored : bool
        Whether one scale, `ZSCORE_SCALE`, fits all voxels; otherwise each voxel gets
        its own offset and scale.

    Returns
    -------
    stored : ndarray of int8, shape (n_times, n_voxels)
    levels : ndarray of float32, shape (2, n_voxels), or None
        Offset and scale of each voxel; None for z-scores.
    """
    if zscored:
        scaled = np.rint(data * (1 / ZSCORE_SCALE))
        return np.clip(scaled, -_LIMIT, _LIMIT).astype(np.int8), None
    offset = data.mean(axis=0, dtype=np.float64)
    scale = np.abs(data - offset).max(axis=0) / _LIMIT
    scale[scale == 0] = 1.0
    stored = np.rint((data - offset) / scale).astype(np.int8)
    return stored, np.stack([offset, scale]).astype(np.float32)


def from_first(data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Round prepared data to sixteen bits, relative to the first volume.

    A voxel's levels come from its first volume, so no later one changes what is stored
    of those before it.

    Parameters
    ----------
    data : ndarray of float, shape (n_times, n_voxels)

    Returns
    -------
    stored : ndarray of float16, shape (n_times, n_voxels)
    levels : ndarray of float32, shape (2, n_voxels)
        Offset and scale of each voxel.
    """
    offset = data[0].astype(np.float32)
    level = np.abs(offset)
    scale = np.maximum(level, np.median(level))
    scale[scale == 0] = 1.0
    most = float(np.finfo(np.float16).max)
    stored = np.clip((data - offset) / scale, -most, most).astype(np.float16)
    return stored, np.stack([offset, scale])


class PreparedRun:
    """One run of a store, its voxels read only where they are asked for.

    Parameters
    ----------
    folder : Path
        The run's folder.

    Raises
    ------
    DatasetError
        When the folder is not one this version writes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.info: dict[str, Any] = _read_info(folder)
        self.name: str = self.info["name"]
        self.t_r: float = self.info["t_r"]
        self.start_s: float = self.info["start_s"]
        self.pipeline_hash: str = self.info["pipeline_hash"]
        grid = self.info["grid"]
        self.grid = Grid.from_arrays(
            grid["shape"], np.array(grid["affine"]), grid["space"]
        )

    @functools.cached_property
    def stored(self) -> np.ndarray:
        """Memory map of the stored values, int8 or float16 (n_times, n_voxels)."""
        return np.load(self.folder / "data.npy", mmap_mode="r", allow_pickle=False)

    @functools.cached_property
    def voxels(self) -> np.ndarray:
        """Flat C-order index of each voxel in the grid, (n_voxels,)."""
        return np.load(self.folder / "voxels.npy", allow_pickle=False)

    @functools.cached_property
    def levels(self) -> np.ndarray | None:
        """Offset and scale of each voxel, (2, n_voxels), where they vary."""
        file = self.folder / "levels.npy"
        return np.load(file, allow_pickle=False) if file.exists() else None

    @functools.cached_property
    def frames(self) -> pd.DataFrame:
        """One row a volume: time in seconds, global signal, motion where known."""
        return pd.read_csv(self.folder / "frames.tsv", sep="\t")

    @functools.cached_property
    def times_s(self) -> np.ndarray:
        """When each frame was acquired, seconds from the begin of the run."""
        return self.frames["time_s"].to_numpy(dtype=float)

    @property
    def has_gaps(self) -> bool:
        """Whether volumes are missing between the frames."""
        return bool((np.diff(self.times_s) > 1.5 * self.t_r).any())

    @property
    def n_times(self) -> int:
        """Volumes kept."""
        return self.stored.shape[0]

    def mean_volume(self) -> np.ndarray:
        """Mean intensity over the run, (x, y, z), zero outside the mask."""
        mean = np.load(self.folder / "mean.npy", allow_pickle=False)
        volume = np.zeros(self.grid.shape, dtype=np.float32)
        volume.ravel()[self.voxels] = mean
        return volume

    def window(self, first: int, n_frames: int) -> np.ndarray:
        """Read frames as they were prepared.

        Parameters
        ----------
        first, n_frames : int
            First frame, and how many.

        Returns
        -------
        ndarray of float32, shape (n_frames, n_voxels)
        """
        return self.dequantise(self.stored[first : first + n_frames].astype(np.float32))

    def window_mean(self, first: int, n_frames: int) -> np.ndarray:
        """Mean of some frames, float32 (n_voxels,); sums before it scales."""
        frames = self.stored[first : first + n_frames]
        return self.dequantise(frames.mean(axis=0, dtype=np.float32))

    def dequantise(self, values: np.ndarray) -> np.ndarray:
        """Turn float copies of stored values into prepared ones, in place."""
        if self.levels is None:
            values *= ZSCORE_SCALE
        else:
            values *= self.levels[1]
            values += self.levels[0]
        return values


def _read_info(folder: Path) -> dict[str, Any]:
    try:
        info = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DatasetError(
            f"{folder.name} is not a prepared run",
            received=str(error),
            fix="prepare it again",
        ) from None
    if info.get("format") != FORMAT or info.get("version") != VERSION:
        raise DatasetError(
            f"{folder.name} was prepared by another version",
            wanted=f"{FORMAT} {VERSION}",
            received=f"{info.get('format')} {info.get('version')}",
            fix="prepare it again",
        )
    return info


def write_run(
    folder: Path,
    info: Mapping[str, Any],
    stored: np.ndarray,
    levels: np.ndarray | None,
    voxels: np.ndarray,
    mean: np.ndarray,
    frames: pd.DataFrame,
) -> None:
    """Write one prepared run; its folder appears when everything is in it.

    Parameters
    ----------
    folder : Path
        Final place.
    info : mapping
        What ``run.json`` records besides the checks made here.
    stored : ndarray of int8 or float16, shape (n_times, n_voxels)
    levels : ndarray of float32, shape (2, n_voxels), optional
        Both from `quantise` or `from_first`.
    voxels : ndarray of int, shape (n_voxels,)
    mean : ndarray of float32, shape (n_voxels,)
    frames : DataFrame
        One row a volume.
    """
    digest = hashlib.sha256(stored.data)
    digest.update(voxels.data)
    with atomic_path(folder, ours=_FILES) as temporary:
        temporary.mkdir()
        np.save(temporary / "data.npy", stored, allow_pickle=False)
        np.save(temporary / "voxels.npy", voxels, allow_pickle=False)
        np.save(temporary / "mean.npy", mean.astype(np.float32), allow_pickle=False)
        if levels is not None:
            np.save(temporary / "levels.npy", levels, allow_pickle=False)
        write_tsv(temporary / "frames.tsv", frames)
        checks = {
            "content_hash": digest.hexdigest(),
            "n_clipped": _n_clipped(stored) if levels is None else 0,
        }
        record = {"format": FORMAT, "version": VERSION, **info, **checks}
        write_json(temporary / "run.json", record)


def _n_clipped(stored: np.ndarray) -> int:
    # Frame by frame, so that no copy of the run is made.
    return sum(int(np.count_nonzero(np.abs(frame) == _LIMIT)) for frame in stored)


def one_grid(runs: Sequence[PreparedRun]) -> tuple[list[PreparedRun], list[str]]:
    """Split runs into those on the most common grid and the names of the others.

    Raises
    ------
    InputError
        When no grid is shared by more than half of the runs.
    """
    groups: list[list[PreparedRun]] = []
    for run in runs:
        for group in groups:
            if group[0].grid.agrees_with(run.grid):
                group.append(run)
                break
        else:
            groups.append([run])
    largest = max(groups, key=len)
    if 2 * len(largest) <= len(runs) and len(groups) > 1:
        shapes = sorted({str(group[0].grid.shape) for group in groups})
        raise InputError(
            "the runs lie on different grids",
            wanted="one shape and affine, such as a standard space",
            received=f"{len(groups)} grids, with shapes {', '.join(shapes[:4])}",
            fix="use preprocessed recordings in a standard space (--space)",
        )
    others = [run.name for group in groups if group is not largest for run in group]
    return largest, others
