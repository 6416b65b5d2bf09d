"""From one recording on disk to its prepared run: read, mask, clean, store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from boldformer.data import images
from boldformer.data.confounds import groups_of, read_confounds
from boldformer.data.hashes import source_content, source_of
from boldformer.data.motion import count_marked_non_steady, read_motion
from boldformer.data.quality import dvars
from boldformer.data.reading import (
    GridPlan,
    RunImages,
    mean_volume,
    open_run,
    read_masked,
)
from boldformer.data.recording import Recording
from boldformer.data.store import PreparedRun, from_first, quantise, write_run
from boldformer.errors import BadRunError, DatasetError, InputError
from boldformer.preprocessing.normalisation import NEGLIGIBLE
from boldformer.preprocessing.pipeline import (
    Pipeline,
    RunContext,
)
from boldformer.preprocessing.scrubbing import scrub_frames
from boldformer.preprocessing.temporal import count_non_steady

_MIN_VOLUMES = 8
_MIN_MAPS = 2
_MIN_VOXELS = 10
# Volumes that show where a brain is, and which voxels vary, before the rest has come.
_VOLUMES_OF_A_MASK = 10
# Voxels cleaned at once: what a pipeline copies stays a small part of a run.
_BLOCK = 16384


def prepare_run(recording: Recording, folder: Path, pipeline: Pipeline) -> None:
    """Read, mask, clean and store one recording.

    Parameters
    ----------
    recording : Recording
        Run to prepare.
    folder : Path
        Where its prepared form goes.
    pipeline : Pipeline
        Steps to apply; those along time are left out for maps in no order.

    Raises
    ------
    BadRunError
        When the run cannot be used.
    """
    pipeline = _fitting(pipeline, recording)
    run = open_run(recording)
    _check_length(recording, run.n_times)
    plan = GridPlan.of(pipeline, run.shape, run.affine)
    mask = _mask(recording, run, plan, pipeline)
    n_judged = _n_judged(recording, pipeline)
    raw = read_masked(run, plan, mask, n_judged)
    voxels = np.flatnonzero(mask)
    usable = _usable(raw[:n_judged])
    n_bad = int((~usable).sum())
    if n_bad:
        raw, voxels = raw[:, usable], voxels[usable]
    n_dropped = _n_dropped(recording, pipeline, raw)
    frames = _frames(recording, raw)
    _check_means(recording, pipeline, raw)
    groups = _confound_groups(recording, pipeline)
    context = _context(recording, pipeline, groups, frames, n_dropped)
    frames, raw = frames[n_dropped:].reset_index(drop=True), raw[n_dropped:]
    info = {
        **_source(recording, pipeline),
        "source_content": source_content(recording),
        "grid": {
            "shape": list(plan.shape),
            "affine": plan.affine.tolist(),
            "space": recording.space,
        },
        "start_s": float(frames["time_s"].iloc[0]),
        "n_dropped_volumes": n_dropped,
        "n_unusable_voxels": n_bad,
        "n_confounds": 0 if context.confounds is None else context.confounds.shape[1],
        "confounds": list(groups),
        "n_scrubbed_volumes": 0 if context.bad is None else int(context.bad.sum()),
        "pipeline": [dict(step) for step in pipeline.steps],
    }
    mean = raw.mean(axis=0, dtype=np.float64)
    try:
        stored, levels = _clean(raw, pipeline, context)
    except InputError as error:
        raise BadRunError(str(error)) from None
    write_run(folder, info, stored, levels, voxels, mean, frames)


def _fitting(pipeline: Pipeline, recording: Recording) -> Pipeline:
    return pipeline.without_time() if recording.timing == "map" else pipeline


def _source(recording: Recording, pipeline: Pipeline) -> dict[str, Any]:
    """Identity of what a prepared run was made from, to tell whether it still holds."""
    return {
        "name": recording.name,
        "t_r": recording.t_r,
        "pipeline_hash": pipeline.hash,
        **source_of(recording),
    }


def is_prepared(recording: Recording, folder: Path, pipeline: Pipeline) -> bool:
    """Tell whether a folder holds a recording as a pipeline prepares it."""
    try:
        info = PreparedRun(folder).info
        source = _source(recording, _fitting(pipeline, recording))
        return all(info.get(key) == value for key, value in source.items())
    except (DatasetError, OSError):
        return False


# --- reading ----------------------------------------------------------------------


def _check_length(recording: Recording, n_times: int) -> None:
    fewest = _MIN_MAPS if recording.timing == "map" else _MIN_VOLUMES
    if n_times < fewest:
        raise BadRunError(
            f"{recording.bold.name}: too short",
            wanted=f"at least {fewest} volumes",
            received=f"{n_times}",
        )


def _mask(
    recording: Recording, run: RunImages, plan: GridPlan, pipeline: Pipeline
) -> np.ndarray:
    """Mask of the brain on the plan's grid, (x, y, z)."""
    if recording.mask is not None:
        mask = images.read_mask(recording.mask, run.shape, run.affine)
    elif recording.timing == "map":
        mask = np.logical_or.reduce([np.nan_to_num(v) != 0 for v in run.volumes()])
    else:
        mask = _computed_mask(run, pipeline)
    mask = plan.place_mask(mask)
    if not mask.any():
        raise BadRunError(
            f"{run.name}: no brain is left on the grid asked for",
            received=f"shape {plan.shape}",
        )
    return mask


def _computed_mask(run: RunImages, pipeline: Pipeline) -> np.ndarray:
    """Mask from the mean volume; of images without a mean, the voxels that vary."""
    n_skipped = max(_dummy_scans(pipeline), 0)
    n_first = (pipeline.settings("brain_mask") or {}).get("n_first")
    mean = mean_volume(run) if n_first is None else mean_volume(run, n_skipped, n_first)
    volumes = run.volumes(n_skipped + _VOLUMES_OF_A_MASK)
    kept = np.array([v for time, v in enumerate(volumes) if time >= n_skipped])
    spread = np.nan_to_num(kept.astype(np.float32)).std(axis=0)
    if not images.is_mean_free(mean, spread):
        return images.brain_mask(mean, run.affine, run.name)
    return spread > 0


def _dummy_scans(pipeline: Pipeline) -> int:
    """Volumes dropped at the start; -1 leaves it to the run."""
    return int((pipeline.settings("drop_volumes") or {"dummy_scans": 0})["dummy_scans"])


def _n_judged(recording: Recording, pipeline: Pipeline) -> int | None:
    """Volumes by which voxels are judged; None for all of them."""
    if recording.timing == "map" or not pipeline.is_causal:
        return None
    return _dummy_scans(pipeline) + _VOLUMES_OF_A_MASK


def _check_means(recording: Recording, pipeline: Pipeline, raw: np.ndarray) -> None:
    """Refuse percent of a mean that there is not."""
    if pipeline.settings("percent_signal_change") is None:
        return
    if images.is_mean_free(raw[:50].mean(axis=0), raw[:50].std(axis=0)):
        raise BadRunError(
            f"{recording.bold.name}: percent signal change of images without a mean",
            wanted="image intensities",
            received="voxels that vary more than their mean, such as z-scores",
            fix="use --normalise zscore or none",
        )


def _usable(raw: np.ndarray) -> np.ndarray:
    """Tell which voxels vary and are finite throughout, bool (n_voxels,)."""
    low, high = raw.min(axis=0), raw.max(axis=0)
    level = np.maximum(np.abs(low), np.abs(high))
    # Below the least normal number, or so little of its level, a spread is rounding.
    least = np.maximum(NEGLIGIBLE * level, np.finfo(raw.dtype).tiny)
    with np.errstate(invalid="ignore", over="ignore"):
        usable = np.isfinite(low) & np.isfinite(high) & (high - low > least)
    if usable.sum() < max(_MIN_VOXELS, 0.5 * usable.size):
        raise BadRunError(
            "most voxels of the brain mask are constant or not finite",
            wanted="a signal in at least half of them",
            received=f"{(~usable).sum()} of {usable.size} unusable",
        )
    return usable


def _n_dropped(recording: Recording, pipeline: Pipeline, raw: np.ndarray) -> int:
    """Volumes to drop: those asked for, else those the run or fMRIPrep shows."""
    n_dropped = _dummy_scans(pipeline)
    if n_dropped < 0:
        marked = count_marked_non_steady(recording.confounds)
        n_dropped = max(count_non_steady(raw.mean(axis=1)), marked)
    if n_dropped and raw.shape[0] - n_dropped < _MIN_VOLUMES:
        raise BadRunError(
            "too few volumes are left after dropping the first ones",
            wanted=f"at least {_MIN_VOLUMES}",
            received=f"{raw.shape[0] - n_dropped}",
        )
    return n_dropped


# --- what is known of each frame --------------------------------------------------


def _frames(recording: Recording, raw: np.ndarray) -> pd.DataFrame:
    """Table of measures per volume, used by the decoder that knows only nuisance."""
    n_times = raw.shape[0]
    frames = pd.DataFrame(
        {
            "time_s": recording.times_s(n_times),
            "global_signal": raw.mean(axis=1),
            "dvars": np.nan_to_num(dvars(raw)),
        }
    )
    motion = read_motion(recording, n_times).fillna(0.0)
    return pd.concat([frames, motion], axis=1)


def _confound_groups(recording: Recording, pipeline: Pipeline) -> tuple[str, ...]:
    clean = pipeline.settings("clean") or {}
    asked, options = clean.get("confounds", ()), clean.get("confound_options", {})
    return groups_of(recording, asked, options)


def _context(
    recording: Recording,
    pipeline: Pipeline,
    groups: tuple[str, ...],
    frames: pd.DataFrame,
    n_dropped: int,
) -> RunContext:
    """Gather what the steps need to know; mark scrubbed volumes in `frames`."""
    options = (pipeline.settings("clean") or {}).get("confound_options", {})
    if pipeline.is_causal:  # a mean over the run would look ahead
        options = {**options, "demean": False}
    confounds = None
    if groups:
        confounds = read_confounds(recording, groups, options, len(frames))
    scrubbing, bad = pipeline.settings("scrub"), None
    if scrubbing is not None:
        if "framewise_displacement" not in frames:
            raise BadRunError(
                "scrubbing was asked for, and head motion is not known",
                wanted="a table of confounds with motion or framewise displacement",
                received=recording.confounds.name if recording.confounds else "none",
                fix="leave --scrub-fd out",
            )
        bad = scrub_frames(
            frames["framewise_displacement"].to_numpy(), scrubbing["fd_mm"]
        )
        frames["scrubbed"] = bad.astype(int)
    numbers = np.array(recording.frame_numbers) if recording.frame_numbers else None
    kept = slice(n_dropped, None)
    return RunContext(
        recording.t_r,
        confounds=None if confounds is None else confounds[kept],
        frame_numbers=None if numbers is None else numbers[kept],
        bad=None if bad is None else bad[kept],
    )


def _clean(
    raw: np.ndarray, pipeline: Pipeline, context: RunContext
) -> tuple[np.ndarray, np.ndarray | None]:
    """Apply the steps along time, some voxels at a time, and round to eight bits."""
    zscored = pipeline.settings("zscore") is not None
    exact = pipeline.is_causal and not zscored
    stored = np.empty(raw.shape, dtype=np.float16 if exact else np.int8)
    levels = np.empty((2, raw.shape[1]), dtype=np.float32)
    for start in range(0, raw.shape[1], _BLOCK):
        block = np.s_[:, start : start + _BLOCK]
        cleaned = pipeline.apply(np.ascontiguousarray(raw[block]), context)
        # Levels of a whole run would let its end change what is stored of its begin.
        stored[block], level = (
            from_first(cleaned) if exact else quantise(cleaned, zscored=zscored)
        )
        if level is not None:
            levels[block] = level
    constant: np.ndarray = (stored == stored[0]).all(axis=0)
    if 2 * constant.sum() > constant.size:
        raise BadRunError(
            "most voxels are constant once they are cleaned",
            wanted="a signal in at least half of them",
            received=f"{constant.sum()} of {constant.size} constant",
        )
    return stored, None if zscored else levels
