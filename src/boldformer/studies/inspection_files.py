"""The run to look at: found from a path, with what lies around it, and read."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from boldformer.config import DataConfig
from boldformer.data import images
from boldformer.data.files import is_named, read_json
from boldformer.data.motion import read_motion
from boldformer.data.reading import (
    GridPlan,
    RunImages,
    mean_volume,
    open_run,
    read_masked,
)
from boldformer.data.recording import Dataset, Recording
from boldformer.data.sources import bids
from boldformer.data.sources.bids_files import entities, is_preprocessed
from boldformer.data.sources.layouts import open_source
from boldformer.data.sources.timing import read_timing
from boldformer.data.store import Grid, PreparedRun
from boldformer.errors import BadRunError, DatasetError, InputError
from boldformer.preprocessing.pipeline import Pipeline
from boldformer.preprocessing.temporal import count_non_steady

_MIN_VOLUMES = 8
_NO_EVENTS = pd.DataFrame({"onset": [], "duration": [], "trial_type": []})


@dataclass(frozen=True, eq=False)
class Found:
    """A run that is not read yet.

    Parameters
    ----------
    source : Recording or PreparedRun
    name : str
        What to call it.
    notes : tuple of str
        What must be said about how it was found.
    """

    source: Recording | PreparedRun
    name: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class LoadedRun:
    """A run in memory: raw intensities, or what a pipeline made of them.

    Parameters
    ----------
    name : str
    t_r : float
        Repetition time, seconds.
    grid : Grid
    mean : ndarray, shape (x, y, z)
        Mean image.
    mask : ndarray of bool, shape (x, y, z)
        Voxels that vary.
    data : ndarray of float32, shape (n_times - n_non_steady, n_voxels)
        What lies in the mask; measures may overwrite it.
    frames : DataFrame
        One row a volume, those before the steady state included: time, global signal
        and, where it is known, motion.
    n_non_steady : int
        Volumes before the steady state.
    prepared : bool
        Whether a pipeline made it, or another program took its mean out.
    events : DataFrame
        ``onset``, ``duration`` (s from the first volume) and ``trial_type``.
    notes : tuple of str
        What must be said about it.
    """

    name: str
    t_r: float
    grid: Grid
    mean: np.ndarray
    mask: np.ndarray
    data: np.ndarray
    frames: pd.DataFrame
    n_non_steady: int = 0
    prepared: bool = False
    events: pd.DataFrame = field(default_factory=_NO_EVENTS.copy)
    notes: tuple[str, ...] = ()

    def volume(self, values: np.ndarray) -> np.ndarray:
        """Put one value a voxel back into the grid, zero outside the mask."""
        volume = np.zeros(self.grid.shape, dtype=np.float32)
        volume[self.mask] = values
        return volume


# --- finding it -------------------------------------------------------------------


def find_run(path: Path, name: str = "") -> Found:
    """Find the run that a path means.

    Parameters
    ----------
    path : Path
        A 4-D image, whose dataset is looked for around it; the folder of a prepared
        run; or the folder of a dataset or a store.
    name : str
        Of the recording in a dataset or a store; not needed where it holds one.

    Raises
    ------
    InputError
        When there is no such run, or it is not clear which is meant.
    DatasetError
        When a folder is no dataset in a known layout.
    """
    if path.is_file():
        return _find_file(path)
    if not path.is_dir():
        raise InputError(f"there is no {path}", wanted="an image or a folder")
    for folder in (path, path / name):
        if (folder / "run.json").exists():
            run = PreparedRun(folder)
            return Found(run, run.name)
    recordings = {r.name: r for r in open_source(DataConfig(path=str(path)))}
    if not name and len(recordings) == 1:
        (name,) = recordings
    if name not in recordings:
        more = " …" if len(recordings) > 6 else ""
        raise InputError(
            f"no recording {name!r}" if name else "which recording?",
            wanted=f"one of {', '.join(list(recordings)[:6])}{more}",
            fix="choose with --recording NAME",
        )
    return Found(recordings[name], name)


def _find_file(bold: Path) -> Found:
    """Find a file's recording in the datasets around it; else take it by itself."""
    reason = ""
    for folder in bold.absolute().parents:
        try:
            dataset = _open_around(folder, bold)
        except DatasetError as error:
            reason = reason or str(error)
            continue
        for recording in dataset or ():
            if bold.samefile(recording.bold):
                return Found(recording, recording.name)
        reason = dict(dataset.set_aside).get(bold.name, reason) if dataset else reason
    recording = _alone(bold)
    notes = (f"No events: {reason}.",) if reason else ()
    stem = bold.name.split(".nii")[0]
    return Found(recording, recording.name if recording.subject else stem, notes)


def _open_around(folder: Path, bold: Path) -> Dataset | None:
    """Open a folder, where it is a dataset, with the filters a file name implies."""
    if (folder / "MNINonLinear").is_dir():
        return open_source(DataConfig(path=str(folder.parent)))
    if folder.name.startswith(("sub-", "ses-")) or not bids.is_bids(folder):
        return None
    own = entities(bold.name)
    labels = {key: (own[key],) if key in own else () for key in ("sub", "task", "ses")}
    return open_source(
        DataConfig(
            path=str(folder),
            participants=labels["sub"],
            tasks=labels["task"],
            sessions=labels["ses"],
            acquisition=own.get("acq", ""),
            space=own.get("space", ""),
            resolution=own.get("res", ""),
            raw=not is_preprocessed(bold),
            source="bids",
        )
    )


def _alone(bold: Path) -> Recording:
    """Take a file without a dataset's word on it; what lies beside it still counts."""
    images.open_image(bold, 4)
    sidecar = bold.with_name(f"{bold.name.split('.nii')[0]}.json")
    stated = read_json(sidecar) if is_named(sidecar) else {}
    return bids.named_recording(bold, read_timing(bold, stated))


# --- reading it -------------------------------------------------------------------


def load_run(found: Found) -> LoadedRun:
    """Read what lies in the mask of a run, volume by volume.

    Raises
    ------
    InputError
        For maps, which have no course in time.
    BadRunError
        When the run is damaged, too short, or does not vary.
    """
    if isinstance(found.source, PreparedRun):
        return _load_prepared(found.source)
    recording, notes = found.source, list(found.notes)
    if recording.timing == "map":
        raise InputError(
            f"{found.name}: maps in no order have no course in time",
            wanted="a run of volumes, one after the other",
        )
    run = open_run(recording)
    if run.n_times < _MIN_VOLUMES:
        raise BadRunError(
            f"{run.name}: too short",
            wanted=f"at least {_MIN_VOLUMES} volumes",
            received=f"{run.n_times}",
        )
    mean = mean_volume(run)
    mask = _mask(recording, run, mean, notes)
    plan = GridPlan.of(Pipeline(()), run.shape, run.affine)
    data, mask = _measurable(read_masked(run, plan, mask), mask)
    frames = _frames(recording, data)
    # Of images without a mean neither a signal-to-noise ratio nor a percentage exists.
    no_mean = images.is_mean_free(data[:50].mean(axis=0), data[:50].std(axis=0))
    if no_mean:
        notes.append(
            "The images have no mean (they were demeaned or z-scored): the signal is "
            "shown as it is; temporal SNR and percent signal change are not defined."
        )
    n_first = count_non_steady(frames["global_signal"].to_numpy())
    return LoadedRun(
        found.name,
        recording.t_r,
        Grid.from_arrays(run.shape, run.affine, recording.space),
        np.nan_to_num(mean, posinf=0, neginf=0),
        mask,
        data[n_first:],
        frames,
        n_first,
        prepared=no_mean,
        events=_events(recording, notes),
        notes=tuple(notes),
    )


def _mask(
    recording: Recording, run: RunImages, mean: np.ndarray, notes: list[str]
) -> np.ndarray:
    """Mask that comes with the run, or else, with a note, one of its mean image."""
    if recording.mask is not None:
        return images.read_mask(recording.mask, run.shape, run.affine)
    notes.append("The mask was computed from the mean image.")
    return images.brain_mask(mean, run.affine, run.name)


def _measurable(data: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Leave out voxels that do not vary or are not finite."""
    low, high = data.min(axis=0), data.max(axis=0)
    usable = np.isfinite(low) & np.isfinite(high) & (high > low)
    if not usable.any():
        raise BadRunError("no voxel of the mask varies over the run")
    if usable.all():
        return data, mask
    kept = mask.copy()
    kept[mask] = usable
    # Volume by volume to the front of the same memory: a run may fill half of it.
    n_times, n_usable = len(data), int(usable.sum())
    packed = data.reshape(-1)[: n_times * n_usable].reshape(n_times, n_usable)
    for time, volume in enumerate(data):
        packed[time] = volume[usable]
    return packed, kept


def _frames(recording: Recording, data: np.ndarray) -> pd.DataFrame:
    n_times = len(data)
    known = {
        "time_s": recording.times_s(n_times),
        "global_signal": data.mean(axis=1, dtype=np.float64),
    }
    motion = read_motion(recording, n_times)
    return pd.concat([pd.DataFrame(known), motion], axis=1)


def _events(recording: Recording, notes: list[str]) -> pd.DataFrame:
    """Events to average over; a note where the source has none of that kind."""
    if recording.timing == "stimulus" and not recording.frame_numbers:
        return recording.events
    notes.append(
        "Responses are not shown: the source says which volumes belong to a class, "
        "not when something was presented in one unbroken run."
    )
    return _NO_EVENTS


def _load_prepared(run: PreparedRun) -> LoadedRun:
    mask = np.zeros(run.grid.shape, dtype=bool)
    mask.ravel()[run.voxels] = True
    note = (
        f"Prepared run (pipeline {run.pipeline_hash}): the signal is shown as it is "
        "stored, so temporal SNR and percent signal change are not defined; a store "
        "holds no events."
    )
    return LoadedRun(
        run.name,
        run.t_r,
        run.grid,
        run.mean_volume(),
        mask,
        run.window(0, run.n_times),
        run.frames,
        prepared=True,
        notes=(note,),
    )
