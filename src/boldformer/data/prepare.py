"""From recordings on disk to prepared runs in a store: parallel, resumable."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from nilearn.interfaces.fmriprep import load_confounds
from tqdm.auto import tqdm

from boldformer.data import images
from boldformer.data.recording import Dataset, Recording
from boldformer.data.store import PreparedRun, write_run
from boldformer.errors import BadRunError, DatasetError, InputError
from boldformer.preprocessing.pipeline import Pipeline, RunContext
from boldformer.preprocessing.spatial import pad_or_crop
from boldformer.preprocessing.temporal import count_non_steady

MOTION = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")
_MIN_VOLUMES = 8
_MIN_VOXELS = 10


def prepare(
    dataset: Dataset,
    store: Path,
    pipeline: Pipeline,
    *,
    n_jobs: int = 1,
    progress: bool = True,
) -> tuple[dict[str, PreparedRun], list[tuple[str, str]]]:
    """Prepare every recording of a dataset that the store does not hold yet.

    Parameters
    ----------
    dataset : Dataset
        What to prepare.
    store : Path
        Folder of the store; made where it is missing.
    pipeline : Pipeline
        Steps to apply.
    n_jobs : int
        Runs prepared at once.
    progress : bool
        Show a progress bar.

    Returns
    -------
    runs : dict of str to PreparedRun
        The dataset's runs by name.
    set_aside : list of (str, str)
        Runs that could not be prepared, each with its reason.

    Raises
    ------
    DatasetError
        When no run could be prepared.
    """
    todo = [r for r in dataset if not _is_prepared(r, store / r.name, pipeline)]
    set_aside: list[tuple[str, str]] = []
    done = tqdm(
        _prepare_all(todo, store, pipeline, n_jobs),
        total=len(todo),
        desc="Preparing runs",
        unit="run",
        disable=not progress or not todo,
    )
    set_aside += [(name, reason) for name, reason in done if reason]
    bad = {name for name, _ in set_aside}
    runs = {r.name: PreparedRun(store / r.name) for r in dataset if r.name not in bad}
    if not runs:
        raise DatasetError("no run could be prepared", received=set_aside[0][1])
    return runs, sorted(set_aside)


def _prepare_all(
    recordings: list[Recording], store: Path, pipeline: Pipeline, n_jobs: int
) -> Iterator[tuple[str, str]]:
    if n_jobs == 1 or len(recordings) < 2:
        for recording in recordings:
            yield _try_prepare(recording, store, pipeline)
        return
    parallel = Parallel(n_jobs=n_jobs, return_as="generator_unordered")
    yield from parallel(delayed(_try_prepare)(r, store, pipeline) for r in recordings)


def _try_prepare(
    recording: Recording, store: Path, pipeline: Pipeline
) -> tuple[str, str]:
    """Prepare one run; a bad one gives its reason instead of stopping the cohort."""
    try:
        prepare_run(recording, store / recording.name, pipeline)
    except BadRunError as error:
        return recording.name, str(error)
    return recording.name, ""


def prepare_run(recording: Recording, folder: Path, pipeline: Pipeline) -> None:
    """Read, mask, clean and store one recording.

    Parameters
    ----------
    recording : Recording
        Run to prepare.
    folder : Path
        Where its prepared form goes.
    pipeline : Pipeline
        Steps to apply.

    Raises
    ------
    BadRunError
        When the run cannot be used.
    """
    raw, mask, affine = _read_masked(recording, pipeline)
    usable = np.isfinite(raw).all(axis=0) & (np.ptp(raw, axis=0) > 0)
    n_bad = int((~usable).sum())
    if usable.sum() < max(_MIN_VOXELS, 0.5 * usable.size):
        raise BadRunError(
            "most voxels of the brain mask are constant or not finite",
            wanted="a signal in at least half of them",
            received=f"{n_bad} of {usable.size} unusable",
        )
    raw = raw if n_bad == 0 else raw[:, usable]
    n_dropped = _n_dropped(pipeline, raw)
    frames = _frames(recording, raw)[n_dropped:].reset_index(drop=True)
    confounds = _confounds(recording, pipeline, raw.shape[0])
    context = RunContext(
        recording.t_r, None if confounds is None else confounds[n_dropped:]
    )
    raw = raw[n_dropped:]
    mean = raw.mean(axis=0, dtype=np.float64)
    try:
        data = pipeline.apply(raw, context)
    except InputError as error:
        raise BadRunError(str(error)) from None
    info = {
        **_source(recording, pipeline),
        "grid": {
            "shape": list(mask.shape),
            "affine": affine.tolist(),
            "space": recording.space,
        },
        "start_s": n_dropped * recording.t_r,
        "n_dropped_volumes": n_dropped,
        "n_unusable_voxels": n_bad,
        "n_confounds": 0 if confounds is None else confounds.shape[1],
        "pipeline": [dict(step) for step in pipeline.steps],
    }
    voxels = np.flatnonzero(mask)[usable]
    zscored = pipeline.settings("zscore") is not None
    write_run(folder, info, data, voxels, mean, frames, zscored=zscored)


def _source(recording: Recording, pipeline: Pipeline) -> dict[str, Any]:
    """Identity of what a prepared run was made from, to tell whether it still holds."""
    inputs = [recording.bold, recording.mask, recording.confounds]
    stats = [(path, path.stat()) for path in inputs if path is not None]
    return {
        "name": recording.name,
        "t_r": recording.t_r,
        "pipeline_hash": pipeline.hash,
        "sources": [[p.name, s.st_size, s.st_mtime_ns] for p, s in stats],
    }


def _is_prepared(recording: Recording, folder: Path, pipeline: Pipeline) -> bool:
    try:
        info = PreparedRun(folder).info
        return all(
            info.get(key) == value
            for key, value in _source(recording, pipeline).items()
        )
    except (DatasetError, OSError):
        return False


# --- reading ----------------------------------------------------------------------


def _read_masked(
    recording: Recording, pipeline: Pipeline
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read the voxels in the brain.

    Returns
    -------
    data : ndarray of float32, shape (n_times, n_voxels)
    mask : ndarray of bool, shape (x, y, z)
    affine : ndarray, shape (4, 4)
    """
    image = images.open_image(recording.bold, 4)
    n_times = image.shape[3]
    if n_times < _MIN_VOLUMES:
        raise BadRunError(
            f"{recording.bold.name}: too short",
            wanted=f"at least {_MIN_VOLUMES} volumes",
            received=f"{n_times}",
        )
    mask = images.read_mask(recording.mask, image) if recording.mask else None
    voxels = images.read_voxels(image, recording.bold.name)
    slope, intercept = images.scaling(image)
    affine = image.affine
    if mask is None:
        mean = voxels.mean(axis=3, dtype=np.float64) * slope + intercept
        mask = images.brain_mask(mean, affine, recording.bold.name)
    crop = pipeline.settings("pad_or_crop")
    if crop is not None:
        moved = np.moveaxis(voxels, 3, 0)
        moved, _ = pad_or_crop(moved, affine, crop["shape"])
        voxels = np.moveaxis(moved, 0, 3)
        mask, affine = pad_or_crop(mask, affine, crop["shape"], fill=False)
        if not mask.any():
            raise BadRunError("no brain is left inside the volume shape")
    data = _gather(voxels, mask)
    data *= slope
    data += intercept
    return data, mask, affine


def _gather(voxels: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Copy the masked voxels of (x, y, z, t) into float32 (n_times, n_voxels)."""
    n_times = voxels.shape[3]
    index = np.ravel_multi_index(np.nonzero(mask), mask.shape, order="F")
    data = np.empty((n_times, index.size), dtype=np.float32)
    for time in range(n_times):
        data[time] = voxels[..., time].ravel(order="F")[index]
    return data


def _n_dropped(pipeline: Pipeline, raw: np.ndarray) -> int:
    settings = pipeline.settings("drop_volumes") or {"dummy_scans": 0}
    asked = settings["dummy_scans"]
    n_dropped = count_non_steady(raw.mean(axis=1)) if asked < 0 else int(asked)
    if raw.shape[0] - n_dropped < _MIN_VOLUMES:
        raise BadRunError(
            "too few volumes are left after dropping the first ones",
            wanted=f"at least {_MIN_VOLUMES}",
            received=f"{raw.shape[0] - n_dropped}",
        )
    return n_dropped


# --- confounds and frame-wise measures --------------------------------------------


def _confounds(
    recording: Recording, pipeline: Pipeline, n_times: int
) -> np.ndarray | None:
    """Load the confound groups the pipeline asks for, where the run has them."""
    groups = (pipeline.settings("clean") or {}).get("confounds", ())
    if not groups or recording.confounds is None:
        return None
    full = "motion24" in groups
    strategy = tuple(
        dict.fromkeys(group.replace("motion24", "motion") for group in groups)
    )
    try:
        table, _ = load_confounds(
            str(recording.bold), strategy=strategy, motion="full" if full else "basic"
        )
    except Exception as error:  # nilearn raises several kinds for missing columns
        raise BadRunError(
            f"{recording.confounds.name}: confounds cannot be loaded",
            wanted=f"the groups {', '.join(groups)}",
            received=str(error).splitlines()[0][:160],
            fix="choose other groups with --confounds, or none",
        ) from None
    values = np.nan_to_num(np.asarray(table, dtype=np.float64))
    if len(values) != n_times:
        raise BadRunError(
            f"{recording.confounds.name}: not as long as the run",
            wanted=f"{n_times} rows",
            received=f"{len(values)}",
        )
    return values


def _frames(recording: Recording, raw: np.ndarray) -> pd.DataFrame:
    """Table of measures per volume, used by the decoder that knows only nuisance."""
    n_times = raw.shape[0]
    change = np.diff(raw, axis=0, prepend=raw[:1])
    frames = pd.DataFrame(
        {
            "time_s": np.arange(n_times) * recording.t_r,
            "global_signal": raw.mean(axis=1),
            "dvars": np.sqrt(np.einsum("tv,tv->t", change, change) / raw.shape[1]),
        }
    )
    if recording.confounds is None:
        return frames
    try:
        table = pd.read_csv(recording.confounds, sep="\t", na_values="n/a")
    except (OSError, ValueError) as error:
        raise BadRunError(
            f"{recording.confounds.name} cannot be read", received=str(error)
        ) from None
    for column in (*MOTION, "framewise_displacement"):
        if column in table.columns and len(table) == n_times:
            frames[column] = pd.to_numeric(table[column], errors="coerce").fillna(0.0)
    return frames
