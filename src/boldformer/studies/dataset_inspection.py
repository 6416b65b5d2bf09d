"""Look at one run: measure its noise, motion and responses, and draw them on a page."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd

from boldformer import __version__
from boldformer.data import quality
from boldformer.data.atomic import atomic_path, write_json, write_tsv
from boldformer.data.files import read_json
from boldformer.data.places import check_place
from boldformer.errors import InputError, OutputExistsError
from boldformer.interpretation.maps import to_image
from boldformer.studies.inspection_files import LoadedRun, find_run, load_run
from boldformer.studies.inspection_responses import (
    BASELINE_S,
    HIGH_PASS_HZ,
    choose_events,
    measure_responses,
    response_window,
)
from boldformer.studies.run_outputs import bids_labels
from boldformer.visualization.cards import Condition
from boldformer.visualization.inspection_page import Inspection, draw_inspection
from boldformer.visualization.panels import FD_LIMIT_MM
from boldformer.visualization.style import figure_style, save_figure

logger = logging.getLogger(__name__)

FORMAT = "boldformer-inspection"


def inspect_run(
    run: Path,
    out: Path | None = None,
    *,
    recording: str = "",
    labels: Sequence[str] = (),
    delay_s: float = 5.0,
    window_s: float = 0.0,
    overwrite: bool = False,
) -> Path:
    """Measure a run and draw it on one page.

    Parameters
    ----------
    run : Path
        A 4-D image; the dataset around it, where there is one, gives events, mask and
        confounds. Or the folder of a prepared run; or, with `recording`, the folder of
        a dataset or a store.
    out : Path, optional
        Folder to write; ``<run name>_inspect`` in the working directory by default.
    recording : str
        Name of a run in a dataset or a store.
    labels : sequence of str
        Event types to average; all by default.
    delay_s, window_s : float
        Begin of the response window after onset, and its length; 0 takes the median
        duration of the events, at least six seconds.
    overwrite : bool
        Replace an earlier inspection in `out`.

    Returns
    -------
    Path
        ``inspection.png``. Beside it lie ``inspection.svg``, maps as NIfTI,
        ``frames.tsv``, ``responses.tsv`` and ``summary.json``.

    Raises
    ------
    InputError
        When there is no such run, label or window, or the run cannot be used.
    OutputExistsError
        When `out` holds something else, or an inspection and `overwrite` is not set.

    Notes
    -----
    Events that overlap are averaged as they are, with a note, not cut into label sets:
    a stretch of constant labels has the stretch before it as its baseline, so that
    "auditory" after "auditory+visual" would show the end of "visual".
    """
    if delay_s < 0 or window_s < 0:
        raise InputError("--delay and --window are seconds after onset, not negative")
    found = find_run(run, recording)
    out = out or Path(f"{found.name}_inspect")
    check_place(out, _dataset_around(run))
    _check_free(out, overwrite=overwrite)
    # The run itself is not kept: drawing needs the memory.
    inspection = _measure(load_run(found), labels, delay_s, window_s)
    for note in inspection.notes:
        logger.info(note)
    with atomic_path(out, ours=_written_before(out)) as folder:
        folder.mkdir()
        _write(folder, inspection)
    return out / "inspection.png"


# --- measuring it -----------------------------------------------------------------


def _measure(
    run: LoadedRun, labels: Sequence[str], delay_s: float, window_s: float
) -> Inspection:
    events = choose_events(run.events, labels)
    window = response_window(events, delay_s, window_s)
    frames = _frames(run)
    carpet = quality.carpet(run.data, quality.global_order(run.data))
    tsnr = None if run.prepared else run.volume(quality.temporal_snr(run.data))
    conditions, notes = measure_responses(run, events, window)
    return Inspection(
        name=run.name,
        t_r=run.t_r,
        grid=run.grid,
        mean=run.mean,
        mask=run.mask,
        tsnr=tsnr,
        frames=frames,
        carpet=carpet,
        events=run.events,
        conditions=conditions,
        window_s=window,
        notes=[*run.notes, *notes],
    )


def _frames(run: LoadedRun) -> pd.DataFrame:
    """One row a volume; measures of volumes left out are missing."""
    test = quality.dvars_test(run.data)
    percent = 1.0 if run.prepared else 100 / float(run.data.mean(dtype=np.float64))
    measures = pd.DataFrame(
        {
            "dvars": percent * test.dvars,
            "dvars_relative": test.relative,
            "dvars_p": test.p_value,
            "dvars_excess_percent": test.excess_percent,
            "dvars_outlier": test.outlier.astype(int),
            "non_steady": 0,
        },
        index=pd.RangeIndex(run.n_non_steady, len(run.frames)),
    )
    frames = run.frames.drop(columns=measures.columns, errors="ignore").join(measures)
    frames["non_steady"] = frames["non_steady"].fillna(1).astype(int)
    frames["dvars_outlier"] = frames["dvars_outlier"].fillna(0).astype(int)
    return frames


# --- writing it -------------------------------------------------------------------


def _dataset_around(run: Path) -> list[Path]:
    """List the BIDS datasets that an image lies in."""
    above = run.absolute().parents
    return [p for p in above if (p / "dataset_description.json").is_file()]


def _check_free(out: Path, *, overwrite: bool) -> None:
    """Refuse a folder of other files, and an earlier inspection unless asked."""
    if out.exists() and not out.is_dir():
        raise OutputExistsError(f"{out} is a file", wanted="a folder to write to")
    there = {file.name for file in out.iterdir()} if out.is_dir() else set()
    if not there <= _written_before(out):
        raise OutputExistsError(f"{out} holds other files", fix="choose another folder")
    if there and not overwrite:
        raise OutputExistsError(
            f"{out} already holds an inspection", fix="replace it with --overwrite"
        )


def _written_before(out: Path) -> set[str]:
    try:
        summary = read_json(out / "summary.json")
    except InputError:
        return set()
    return set(summary["files"]) if summary.get("format") == FORMAT else set()


def _write(folder: Path, inspection: Inspection) -> None:
    with figure_style():
        drawing = draw_inspection(inspection)
    save_figure(drawing.figure, folder / drawing.name)
    write_tsv(folder / "frames.tsv", inspection.frames.round(6))
    write_tsv(folder / "responses.tsv", _courses(inspection.conditions).round(6))
    for name, volume in _maps(inspection):
        image = to_image(volume, inspection.grid, [slice(None)] * 3, inspection.mask)
        nib.save(image, folder / f"{name}.nii.gz")
    files = sorted([*(file.name for file in folder.iterdir()), "summary.json"])
    summary = {**_summary(inspection), "caption": drawing.caption, "files": files}
    write_json(folder / "summary.json", summary)


def _courses(conditions: Sequence[Condition]) -> pd.DataFrame:
    columns = ["trial_type", "time_s", "n_events", "mean", "sd", "sem"]
    courses = [c.course.assign(trial_type=c.label) for c in conditions]
    return pd.concat(courses)[columns] if courses else pd.DataFrame(columns=columns)


def _maps(inspection: Inspection) -> Iterator[tuple[str, np.ndarray]]:
    if inspection.tsnr is not None:
        yield "tsnr", inspection.tsnr
    space = f"_space-{inspection.grid.space}" if inspection.grid.space else ""
    conditions = inspection.conditions
    labels = bids_labels([condition.label for condition in conditions])
    for condition, label in zip(conditions, labels, strict=True):
        stem = f"{inspection.name}{space}_label-{label}"
        yield f"{stem}_desc-response_statmap", condition.response
        yield f"{stem}_desc-peak_statmap", condition.peak


def _summary(shown: Inspection) -> dict[str, Any]:
    """Numbers of the page, JSON-ready."""
    summary: dict[str, Any] = {
        "format": FORMAT,
        "boldformer": __version__,
        "name": shown.name,
        "shape": list(shown.grid.shape),
        "voxel_size_mm": list(shown.grid.voxel_size_mm),
        "space": shown.grid.space,
        "t_r": shown.t_r,
        "n_volumes": len(shown.frames),
        "n_non_steady_volumes": shown.n_non_steady,
        "n_voxels": int(shown.mask.sum()),
        "n_dvars_outliers": int(shown.frames["dvars_outlier"].sum()),
        "high_pass_hz": HIGH_PASS_HZ,
        "baseline_s": BASELINE_S,
        "response_window_s": list(shown.window_s),
        "conditions": [_condition_summary(c, shown) for c in shown.conditions],
        "notes": list(shown.notes),
    }
    if shown.tsnr is not None:
        summary["tsnr_median"] = _rounded(np.median(shown.tsnr[shown.mask]))
    if "framewise_displacement" in shown.frames:
        moved = shown.frames["framewise_displacement"]
        summary["fd_mean_mm"] = _rounded(moved.mean())
        summary["fd_max_mm"] = _rounded(moved.max())
        summary["n_fd_above_limit"] = int((moved > FD_LIMIT_MM).sum())
        summary["fd_limit_mm"] = FD_LIMIT_MM
    return summary


def _condition_summary(condition: Condition, shown: Inspection) -> dict[str, Any]:
    course = condition.course
    at = course.loc[course["time_s"] >= 0, "mean"].idxmax()
    return {
        "label": condition.label,
        "n_events": condition.n_events,
        "n_events_in_run": int((shown.events["trial_type"] == condition.label).sum()),
        "peak_percent": _rounded(course.loc[at, "mean"]),
        "peak_time_s": _rounded(course.loc[at, "time_s"]),
    }


def _rounded(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None
