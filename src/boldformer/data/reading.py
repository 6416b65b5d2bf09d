"""The volumes of a run, one after the other, on the grid that a pipeline asks for."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from boldformer.data import images
from boldformer.data.recording import Recording
from boldformer.errors import BadRunError
from boldformer.preprocessing.pipeline import Pipeline
from boldformer.preprocessing.spatial import (
    bounding_box,
    centred_box,
    moved_affine,
    resample,
    resized_grid,
    smooth,
    smoothing_radius,
    take_box,
    voxel_sizes_mm,
)

# Read at once from a 4-D file: fewer calls, and still a small part of a run.
_VOLUMES_AT_ONCE = 8


@dataclass(frozen=True, eq=False)
class RunImages:
    """The images of a run, opened and not yet read.

    Parameters
    ----------
    name : str
        For error messages.
    shape : tuple of int
        ``(x, y, z)``.
    affine : ndarray, shape (4, 4)
        Voxel to world, millimetres.
    files : tuple of Path
        One 4-D image, or 3-D images in order.
    frames : tuple of int
        Frames of the 4-D image that count.
    """

    name: str
    shape: tuple[int, int, int]
    affine: np.ndarray
    files: tuple[Path, ...]
    frames: tuple[int, ...]

    @property
    def n_times(self) -> int:
        """Number of volumes."""
        return len(self.frames) if len(self.files) == 1 else len(self.files)

    def volumes(self, n_first: int | None = None) -> Iterator[np.ndarray]:
        """Read the volumes in order, a few at a time.

        Parameters
        ----------
        n_first : int, optional
            Stop after so many.

        Yields
        ------
        ndarray of real numbers, shape (x, y, z)

        Raises
        ------
        BadRunError
            When the voxels cannot be read, or volumes differ in their grid.
        """
        n_wanted = self.n_times if n_first is None else min(n_first, self.n_times)
        if len(self.files) > 1:
            for file in self.files[:n_wanted]:
                yield self._one_volume(file)
            return
        image = images.open_image(self.files[0], 4)
        read = functools.partial(images.read_frames, image, name=self.name)
        for chunk in _ahead(read, _spans(self.frames[:n_wanted])):
            yield from np.moveaxis(chunk, 3, 0)

    def _one_volume(self, file: Path) -> np.ndarray:
        image = images.open_image(file, 3)
        same = image.shape == self.shape
        if not same or not np.allclose(image.affine, self.affine, atol=1e-3):
            raise BadRunError(
                f"{file.name}: on another grid than the first volume of its run",
                wanted=f"shape {self.shape} and the same affine",
                received=f"shape {tuple(image.shape)}",
            )
        return images.read_voxels(image, file.name)


def open_run(recording: Recording) -> RunImages:
    """Open the images of a recording.

    Raises
    ------
    BadRunError
        When they are missing, damaged, or not what a run is made of.
    """
    if recording.volumes:
        image = images.open_image(recording.volumes[0], 3)
        files, frames = recording.volumes, tuple[int, ...]()
    else:
        image = images.open_image(recording.bold, 4)
        files = (recording.bold,)
        frames = recording.frames or tuple(range(image.shape[3]))
        if max(frames) >= image.shape[3]:
            raise BadRunError(
                f"{recording.bold.name}: fewer frames than the table says",
                wanted=f"at least {max(frames) + 1}",
                received=f"{image.shape[3]}",
            )
    x, y, z = image.shape[:3]
    return RunImages(recording.bold.name, (x, y, z), image.affine, files, frames)


def _ahead(
    read: Callable[[slice], np.ndarray], spans: Iterator[slice]
) -> Iterator[np.ndarray]:
    """Read each chunk while the one before is worked on: decompression is slow."""
    with ThreadPoolExecutor(1) as reader:
        waiting: deque[Future[np.ndarray]] = deque()
        for span in spans:
            waiting.append(reader.submit(read, span))
            if len(waiting) > 1:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _spans(frames: tuple[int, ...]) -> Iterator[slice]:
    """Cut frames into contiguous slices of a few."""
    start = 0
    for i in range(1, len(frames) + 1):
        full = i - start == _VOLUMES_AT_ONCE
        if i == len(frames) or full or frames[i] != frames[i - 1] + 1:
            yield slice(frames[start], frames[i - 1] + 1)
            start = i


@dataclass(frozen=True, eq=False)
class GridPlan:
    """How volumes of a run reach the grid of a pipeline, and how far they smear there.

    Parameters
    ----------
    source_affine
        Of the images.
    shape, affine
        Grid that the pipeline asks for.
    start : tuple of int, optional
        First voxel of that grid in the source grid, where one is a box of the other;
        None where voxels are resampled.
    fwhm_mm : float
        Smoothing on the new grid.
    """

    source_affine: np.ndarray
    shape: tuple[int, int, int]
    affine: np.ndarray
    start: tuple[int, int, int] | None
    fwhm_mm: float

    @classmethod
    def of(
        cls, pipeline: Pipeline, shape: tuple[int, int, int], affine: np.ndarray
    ) -> GridPlan:
        """Plan the spatial steps of a pipeline for images of one grid."""
        new_shape, new_affine = shape, affine
        start: tuple[int, int, int] | None = (0, 0, 0)
        resampling = pipeline.settings("resample")
        if resampling is not None:
            new_shape, new_affine = _target(resampling, shape, affine)
            start = None
        box = pipeline.settings("pad_or_crop")
        if box is not None:
            moved, new_affine = centred_box(new_shape, new_affine, box["shape"])
            new_shape = tuple(box["shape"])
            start = None if start is None else moved
        smoothing = pipeline.settings("smooth") or {"fwhm_mm": 0.0}
        return cls(affine, new_shape, new_affine, start, smoothing["fwhm_mm"])

    def place_mask(self, mask: np.ndarray) -> np.ndarray:
        """Bring a mask from the source grid to the new one, (x, y, z)."""
        if self.start is None:
            return resample(
                mask.astype(np.uint8),
                self.source_affine,
                self.shape,
                self.affine,
                nearest=True,
            ).astype(bool)
        return take_box(mask, self.start, self.shape, fill=False)


class MaskedReader:
    """Takes the voxels of a mask out of volumes; works only where the mask is.

    Parameters
    ----------
    plan : GridPlan
        What is done to each volume.
    mask : ndarray of bool, shape (x, y, z)
        Voxels to keep, on the plan's grid.
    """

    def __init__(self, plan: GridPlan, mask: np.ndarray) -> None:
        self.plan = plan
        self.voxel_size_mm = voxel_sizes_mm(plan.affine)
        # Beyond this margin nothing smears into the mask.
        margin = max(smoothing_radius(self.voxel_size_mm, plan.fwhm_mm))
        region = bounding_box(mask, margin)
        start = np.array([part.start for part in region])
        self.shape = tuple(part.stop - part.start for part in region)
        self.affine = moved_affine(plan.affine, start)
        # Where the region begins in the source, unless voxels are resampled.
        self.start = None if plan.start is None else (start + plan.start).tolist()
        self.index = np.flatnonzero(mask[region])
        # Whether a voxel of the result is made of several.
        self.mixes = self.start is None or plan.fwhm_mm > 0

    def __call__(self, volume: np.ndarray) -> np.ndarray:
        """Voxels of one source volume (x, y, z) in the mask, float32 (n_voxels,)."""
        plan = self.plan
        if self.start is None:
            values = resample(volume, plan.source_affine, self.shape, self.affine)
        else:
            values = take_box(volume, self.start, self.shape)
        return smooth(values, self.voxel_size_mm, plan.fwhm_mm).ravel()[self.index]


def _target(
    settings: Mapping[str, Any], shape: tuple[int, int, int], affine: np.ndarray
) -> tuple[tuple[int, int, int], np.ndarray]:
    if "voxel_size_mm" in settings:
        return resized_grid(shape, affine, settings["voxel_size_mm"])
    x, y, z = settings["shape"]
    return (x, y, z), np.array(settings["affine"], dtype=float)


def read_masked(
    run: RunImages, plan: GridPlan, mask: np.ndarray, n_first: int | None = None
) -> np.ndarray:
    """Read the voxels of a mask from all volumes of a run.

    What is not finite is found before anything is smoothed or resampled, so that it
    does not smear: such voxels count as zero for their neighbours and are NaN in the
    result.

    Parameters
    ----------
    run : RunImages
        Images of the run.
    plan : GridPlan
        What is done to each volume.
    mask : ndarray of bool, shape (x, y, z)
        On the plan's grid.
    n_first : int, optional
        Judge voxels by so many volumes, and let one that is not finite later keep its
        last value: no volume then changes what was read of those before it.

    Returns
    -------
    ndarray of float32, shape (n_times, n_voxels)
    """
    reader = MaskedReader(plan, mask)
    data = np.empty((run.n_times, reader.index.size), dtype=np.float32)
    bad = np.zeros(run.shape, dtype=bool)
    last = np.zeros(run.shape, dtype=np.float32)
    for time, volume in enumerate(run.volumes()):
        finite = _finite(volume)
        if n_first is None:
            bad |= ~finite
            volume = volume if finite.all() else np.where(finite, volume, 0)
        else:
            if time < n_first:
                bad |= ~finite
            volume = last = np.where(finite, volume, last)
        data[time] = reader(volume)
    if not bad.any():
        return data
    if n_first is None and reader.mixes:
        # Neighbours must lose a voxel in every volume, or their course shows it.
        for time, volume in enumerate(run.volumes()):
            data[time] = reader(np.where(bad, 0, volume))
    data[:, plan.place_mask(bad)[mask]] = np.nan
    return data


def _finite(volume: np.ndarray) -> np.ndarray:
    if volume.dtype.kind != "f":
        return np.broadcast_to(np.True_, volume.shape)
    return np.isfinite(volume)


def mean_volume(
    run: RunImages, n_skipped: int = 0, n_used: int | None = None
) -> np.ndarray:
    """Mean over time of some volumes.

    Parameters
    ----------
    run : RunImages
        Images of the run.
    n_skipped, n_used : int
        Volumes left out at the start, and how many count from there; all by default.

    Returns
    -------
    ndarray of float64, shape (x, y, z)
    """
    total, count = np.zeros(run.shape), 0
    until = None if n_used is None else n_skipped + n_used
    for time, volume in enumerate(run.volumes(until)):
        if time >= n_skipped:
            total += volume
            count += 1
    return total / max(count, 1)
