"""Look at one run: measure its noise, motion and responses, and draw them on a page."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd

from boldformer import __version__
from boldformer.config import DataConfig
from boldformer.data import bids, images, quality
from boldformer.data.atomic import atomic_path, write_json, write_tsv
from boldformer.data.bids_files import entities, is_preprocessed
from boldformer.data.confounds import read_motion
from boldformer.data.reading import GridPlan, mean_volume, open_run, read_masked
from boldformer.data.recording import Dataset, Recording
from boldformer.data.sidecars import checked_t_r, header_t_r, read_json
from boldformer.data.sources import open_source
from boldformer.data.store import Grid, PreparedRun
from boldformer.errors import BadRunError, DatasetError, InputError, OutputExistsError
from boldformer.interpretation.maps import to_image
from boldformer.preprocessing.confounds import regress_out
from boldformer.preprocessing.normalisation import percent_signal_change
from boldformer.preprocessing.pipeline import Pipeline
from boldformer.preprocessing.temporal import (
    cosine_drifts,
    count_non_steady,
    polynomial_drifts,
)
from boldformer.visualization.drawing import listed
from boldformer.visualization.inspection import (
    FD_LIMIT_MM,
    Condition,
    Inspection,
    draw_inspection,
)
from boldformer.visualization.style import figure_style, save_figure
from boldformer.workflow.outputs import _bids_labels

logger = logging.getLogger(__name__)

FORMAT = "boldformer-inspection"
HIGH_PASS_HZ = 1 / 128
BASELINE_S = 4.0
_MIN_WINDOW_S = 6.0
_AFTERMATH_S = 8.0  # shown after the response window
_LONGEST_S = 60.0
_RECOVERY_S = 10.0  # after an event its response has not yet gone
_MIN_VOLUMES = 8
_RESPONSIVE = 0.01  # share of voxels in which time courses are shown
_NO_EVENTS = pd.DataFrame({"onset": [], "duration": [], "trial_type": []})


@dataclass(frozen=True, eq=False)
class _Run:
    """A run in memory: raw intensities, or what a pipeline made of them."""

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
    """
    if delay_s < 0 or window_s < 0:
        raise InputError("--delay and --window are seconds after onset, not negative")
    found = _find(run, recording)
    out = out or Path(f"{found.name}_inspect")
    _check_free(out, overwrite=overwrite)
    loaded = (
        _load_prepared(found)
        if isinstance(found, PreparedRun)
        else _load_recording(found)
    )
    measured = _Measures(loaded, labels, delay_s, window_s)
    for note in measured.notes:
        logger.info(note)
    with atomic_path(out) as folder:
        folder.mkdir()
        _write(folder, measured)
    return out / "inspection.png"


# --- finding the run --------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Found:
    """A recording, and what must be said about how it was found."""

    recording: Recording
    name: str
    notes: tuple[str, ...] = ()


def _find(run: Path, name: str) -> _Found | PreparedRun:
    if run.is_file():
        return _find_file(run)
    if not run.is_dir():
        raise InputError(f"there is no {run}", wanted="an image or a folder")
    for folder in (run, run / name):
        if (folder / "run.json").exists():
            return PreparedRun(folder)
    dataset = open_source(DataConfig(path=str(run)))
    names = [recording.name for recording in dataset]
    if name not in names and (name or len(names) > 1):
        raise InputError(
            f"no recording {name!r}" if name else "which recording?",
            wanted=f"one of {', '.join(names[:6])}" + (" …" if len(names) > 6 else ""),
            fix="choose with --recording NAME",
        )
    chosen = dataset.recordings[names.index(name) if name else 0]
    return _Found(chosen, chosen.name)


def _find_file(bold: Path) -> _Found:
    """Find a file's recording in the datasets around it; else take it by itself."""
    reason = ""
    for folder in bold.absolute().parents:
        if folder.name == "func" or folder.name.startswith(("sub-", "ses-")):
            continue
        try:
            dataset = _open_around(folder, bold)
        except DatasetError as error:
            reason = reason or str(error)
            continue
        for recording in dataset or ():
            if bold.samefile(recording.bold):
                return _Found(recording, recording.name)
        for what, why in dataset.set_aside if dataset else ():
            reason = why if what == bold.name else reason
    recording = _alone(bold)
    name = recording.name if recording.subject else bold.name.split(".nii")[0]
    return _Found(recording, name, (f"No events: {reason}.",) if reason else ())


def _open_around(folder: Path, bold: Path) -> Dataset | None:
    """Open a folder, where it is a dataset, with the filters a file name implies."""
    if (folder / "MNINonLinear").is_dir():
        return open_source(DataConfig(path=str(folder.parent)))
    if not bids.is_bids(folder):
        return None
    own = entities(bold.name)
    return open_source(
        DataConfig(
            path=str(folder),
            participants=_named(own, "sub"),
            tasks=_named(own, "task"),
            sessions=_named(own, "ses"),
            acquisition=own.get("acq", ""),
            space=own.get("space", ""),
            resolution=own.get("res", ""),
            raw=not is_preprocessed(bold),
            source="bids",
        )
    )


def _named(own: Any, entity: str) -> tuple[str, ...]:
    return (own[entity],) if entity in own else ()


def _alone(bold: Path) -> Recording:
    """Take a file without a dataset's word on it; what lies beside it still counts."""
    own, stem = entities(bold.name), bold.name.split(".nii")[0]
    sidecar = bold.with_name(f"{stem}.json")
    stated = read_json(sidecar).get("RepetitionTime") if sidecar.exists() else None
    t_r = checked_t_r(stated, sidecar.name) if stated else header_t_r(bold)
    images.open_image(bold, 4)
    if t_r is None:
        raise BadRunError(
            f"{bold.name}: the repetition time is missing",
            wanted="pixdim[4] with its unit in the header",
            fix=f'write {{"RepetitionTime": seconds}} into {sidecar.name} beside it',
        )
    return Recording(
        bold=bold,
        t_r=t_r,
        subject=own.get("sub", ""),
        session=own.get("ses", ""),
        task=own.get("task", ""),
        acquisition=own.get("acq", ""),
        direction=own.get("dir", ""),
        run=own.get("run", ""),
        space=own.get("space", ""),
        mask=bids._mask(bold),
        confounds=bids._confounds_file(bold),
    )


# --- loading it -------------------------------------------------------------------


def _load_recording(found: _Found) -> _Run:
    recording, notes = found.recording, list(found.notes)
    if recording.timing == "map":
        raise InputError(
            f"{found.name}: maps in no order have no course in time",
            wanted="a run of volumes, one after the other",
        )
    images_of = open_run(recording)
    n_times = images_of.n_times
    if n_times < _MIN_VOLUMES:
        raise BadRunError(
            f"{recording.bold.name}: too short",
            wanted=f"at least {_MIN_VOLUMES} volumes",
            received=f"{n_times}",
        )
    shape, affine = images_of.shape, images_of.affine
    mean = mean_volume(images_of)
    if recording.mask is not None:
        mask = images.read_mask(recording.mask, shape, affine)
    else:
        mask = images.brain_mask(mean, affine, recording.bold.name)
        notes.append("The mask was computed from the mean image.")
    data = read_masked(images_of, GridPlan.of(Pipeline(()), shape, affine), mask)
    data, mask = _measurable(data, mask)
    signal = data.mean(axis=1, dtype=np.float64)
    n_first = count_non_steady(signal)
    frames = pd.DataFrame(
        {"time_s": np.arange(n_times) * recording.t_r, "global_signal": signal}
    )
    motion = read_motion(recording, n_times)
    events = recording.events
    if recording.frame_numbers or recording.timing != "stimulus":
        events = _NO_EVENTS
        notes.append(
            "Responses are not shown: the source says which volumes belong to a class, "
            "not when something was presented in one unbroken run."
        )
    return _Run(
        found.name,
        recording.t_r,
        Grid.from_arrays(shape, affine, recording.space),
        np.nan_to_num(mean, posinf=0, neginf=0),
        mask,
        data[n_first:],
        pd.concat([frames, motion], axis=1),
        n_first,
        events=events,
        notes=tuple(notes),
    )


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
    return data[:, usable], kept


def _load_prepared(run: PreparedRun) -> _Run:
    mask = np.zeros(run.grid.shape, dtype=bool)
    mask.ravel()[run.voxels] = True
    note = (
        f"Prepared run (pipeline {run.pipeline_hash}): the signal is shown as it is "
        "stored, so temporal SNR and percent signal change are not defined; a store "
        "holds no events."
    )
    return _Run(
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


# --- measuring it -----------------------------------------------------------------


class _Measures:
    """Everything the page and the tables hold, measured once.

    Parameters
    ----------
    run : _Run
    labels : sequence of str
        Event types to average; all where empty.
    delay_s, window_s : float
        See `inspect_run`.
    """

    def __init__(
        self, run: _Run, labels: Sequence[str], delay_s: float, window_s: float
    ) -> None:
        self.run = run
        self.events = _choose_events(run.events, labels)
        self.labels = sorted(set(self.events["trial_type"]))
        if not window_s and len(self.events):
            window_s = max(float(self.events["duration"].median()), _MIN_WINDOW_S)
        self.window_s = (delay_s, delay_s + window_s)
        last_s = self.window_s[1] + _AFTERMATH_S
        last_s = max(min(last_s, _LONGEST_S), self.window_s[1])
        self.lags_s = quality.event_lags(run.t_r, BASELINE_S, last_s)
        self.tsnr = None if run.prepared else quality.temporal_snr(run.data)
        self.dvars = quality.dvars_test(run.data)
        self.frames = self._frames()
        self.carpet = quality.carpet(run.data, quality.global_order(run.data))
        self.peaks: dict[str, np.ndarray] = {}
        self.notes = list(run.notes)
        self.conditions = self._conditions()

    def _frames(self) -> pd.DataFrame:
        """One row a volume; measures of volumes left out are missing."""
        run, frames = self.run, self.run.frames.reset_index(drop=True).copy()
        percent = 1.0 if run.prepared else 100 / float(run.data.mean(dtype=np.float64))
        lead = np.full(run.n_non_steady, np.nan)
        frames["dvars"] = np.r_[lead, percent * self.dvars.dvars]
        frames["dvars_relative"] = np.r_[lead, self.dvars.relative]
        frames["dvars_p"] = np.r_[lead, self.dvars.p_value]
        frames["dvars_excess_percent"] = np.r_[lead, self.dvars.excess_percent]
        frames["dvars_outlier"] = np.r_[lead > 0, self.dvars.outlier].astype(int)
        frames["non_steady"] = (np.arange(len(frames)) < run.n_non_steady).astype(int)
        return frames

    def _conditions(self) -> list[Condition]:
        if self.events.empty:
            return []
        run = self.run
        drifts = np.hstack(
            [
                polynomial_drifts(len(run.data), 1),
                cosine_drifts(len(run.data), run.t_r, HIGH_PASS_HZ),
            ]
        )
        signal = percent_signal_change(regress_out(run.data, drifts))
        noise = signal.std(axis=0)
        noise[noise == 0] = np.inf
        onsets = self._usable_onsets()
        self._note_events(onsets)
        return [self._condition(k, onsets, signal, noise) for k in onsets]

    def _usable_onsets(self) -> dict[str, np.ndarray]:
        """Onsets by label, seconds from the first steady volume."""
        run, found = self.run, {}
        for label in self.labels:
            onsets = self._onsets(label)
            usable = quality.usable_events(
                onsets, len(run.data), run.t_r, self.lags_s[0], self.window_s[1]
            )
            if usable.any():
                found[label] = onsets[usable]
        return found

    def _onsets(self, label: str) -> np.ndarray:
        """Onsets of all events of a type, seconds from the first steady volume."""
        own = self.events.loc[self.events["trial_type"] == label, "onset"]
        return own.to_numpy(float) - self.run.n_non_steady * self.run.t_r

    def _condition(
        self,
        label: str,
        onsets: dict[str, np.ndarray],
        signal: np.ndarray,
        noise: np.ndarray,
    ) -> Condition:
        own = onsets[label]
        average = self._average(signal, own)
        response = quality.window_mean(average, *self.window_s)
        self.peaks[label] = self.run.volume(quality.peak_response(average))
        courses: list[np.ndarray] = []
        for chosen_by, shown in self._halves(label, onsets):
            level = quality.windowed_mean(
                signal, chosen_by, self.run.t_r, *self.window_s
            )
            n_chosen = max(10, round(_RESPONSIVE * level.size))
            best = np.argsort(-level / noise, kind="stable")[:n_chosen]
            series = signal[:, best].mean(axis=1, keepdims=True)
            single = quality.locked_events(series, shown, self.run.t_r, self.lags_s)
            courses += [course[:, 0] for course in single]
        return Condition(
            label,
            len(own),
            self.run.volume(response),
            self.run.volume(np.abs(response) / (noise * self._spread(len(own)))),
            _course(self.lags_s, np.stack(courses)),
        )

    def _halves(
        self, label: str, onsets: dict[str, np.ndarray]
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Pair events that choose voxels with those that are shown in them.

        Events without a baseline, which cannot be shown, may still choose.
        """
        own = onsets[label]
        spare = np.setdiff1d(self._onsets(label), own)
        if len(own) > 1:
            yield np.r_[own[::2], spare], own[1::2]
            yield np.r_[own[1::2], spare], own[::2]
        elif len(spare):
            yield spare, own
        else:
            others = [self._onsets(other) for other in self.labels if other != label]
            yield np.concatenate([*others, own[:0]]), own

    def _spread(self, n_events: int) -> float:
        """Give the standard error of a mean response, in SDs over time."""
        first_s, last_s = self.window_s
        n_frames = max(
            1, int(((self.lags_s >= first_s) & (self.lags_s <= last_s)).sum())
        )
        n_before = int((self.lags_s < 0).sum())
        return float(np.sqrt((1 / n_frames + 1 / n_before) / n_events))

    def _average(self, signal: np.ndarray, onsets: np.ndarray) -> quality.EventAverage:
        return quality.average_events(signal, onsets, self.run.t_r, self.lags_s)

    def _note_events(self, onsets: dict[str, np.ndarray]) -> None:
        """Say what about these events limits what their averages mean."""
        n_used = sum(len(own) for own in onsets.values())
        if n_used < len(self.events):
            self.notes.append(
                f"{len(self.events) - n_used} of {len(self.events)} events are left "
                "out: their baseline or response window lies outside the run."
            )
        single = [
            label
            for label, own in onsets.items()
            if len(own) == 1 == len(self._onsets(label))
        ]
        if single:
            self.notes.append(
                f"{listed(single) if len(single) < 4 else f'{len(single)} conditions'}:"
                " a single event, hence no standard error, in voxels that the events "
                "of the other conditions chose."
            )
        if _overlap(self.run.events):
            self.notes.append(
                "Events overlap in time: an average holds the response to what else "
                "was on."
            )
        close = _share_in_recovery(self.run.events)
        if close > 0.1:
            self.notes.append(
                f"The baselines of {close:.0%} of the events lie within "
                f"{_RECOVERY_S:g} s of another event's end, so the response to that is "
                "in them."
            )

    def inspection(self) -> Inspection:
        """Gather what the page shows."""
        run = self.run
        return Inspection(
            name=run.name,
            details=self._details(),
            affine=run.grid.matrix,
            t_r=run.t_r,
            unit="% signal change",
            mean=run.mean,
            mask=run.mask,
            tsnr=None if self.tsnr is None else run.volume(self.tsnr),
            frames=self.frames,
            carpet=self.carpet,
            events=run.events,
            conditions=self.conditions,
            window_s=self.window_s,
            notes=self.notes,
        )

    def _details(self) -> str:
        run = self.run
        minutes, seconds = divmod(round(len(run.frames) * run.t_r), 60)
        parts = [
            f"{' × '.join(map(str, run.grid.shape))} voxels of "
            f"{' × '.join(f'{mm:.3g}' for mm in run.grid.voxel_size_mm)} mm",
            f"{run.data.shape[1]:,} in the mask",
            f"TR {run.t_r:.4g} s",
            f"{len(run.frames)} volumes ({minutes} min {seconds} s)",
            run.grid.space or "scanner space",
        ]
        return "  ·  ".join(parts)

    def summary(self) -> dict[str, Any]:
        """Numbers of the page, JSON-ready."""
        run, frames = self.run, self.frames
        summary: dict[str, Any] = {
            "format": FORMAT,
            "boldformer": __version__,
            "name": run.name,
            "shape": list(run.grid.shape),
            "voxel_size_mm": list(run.grid.voxel_size_mm),
            "space": run.grid.space,
            "t_r": run.t_r,
            "n_volumes": len(frames),
            "n_non_steady_volumes": run.n_non_steady,
            "n_voxels": run.data.shape[1],
            "n_dvars_outliers": int(self.dvars.outlier.sum()),
            "high_pass_hz": HIGH_PASS_HZ,
            "baseline_s": BASELINE_S,
            "response_window_s": list(self.window_s),
            "conditions": [self._condition_summary(c) for c in self.conditions],
            "notes": self.notes,
        }
        if self.tsnr is not None:
            summary["tsnr_median"] = _rounded(np.median(self.tsnr))
        if "framewise_displacement" in frames:
            moved = frames["framewise_displacement"]
            summary["fd_mean_mm"] = _rounded(moved.mean())
            summary["fd_max_mm"] = _rounded(moved.max())
            summary["n_fd_above_limit"] = int((moved > FD_LIMIT_MM).sum())
            summary["fd_limit_mm"] = FD_LIMIT_MM
        return summary

    def _condition_summary(self, condition: Condition) -> dict[str, Any]:
        course = condition.course
        at = course.loc[course["time_s"] >= 0, "mean"].idxmax()
        return {
            "label": condition.label,
            "n_events": condition.n_events,
            "n_events_in_run": int(
                (self.events["trial_type"] == condition.label).sum()
            ),
            "peak_percent": _rounded(course.loc[at, "mean"]),
            "peak_time_s": _rounded(course.loc[at, "time_s"]),
        }


def _choose_events(events: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    there = sorted(set(events["trial_type"]))
    for label in labels:
        if label not in there:
            raise InputError(
                f"no event is of the type {label!r}",
                wanted=f"one of {', '.join(there)}" if there else "a run with events",
            )
    return events[events["trial_type"].isin(labels)] if labels else events


def _course(lags_s: np.ndarray, courses: np.ndarray) -> pd.DataFrame:
    """Mean over events of (n_events, n_lags) courses, with its standard error."""
    table = pd.DataFrame(courses)
    n_events = table.count()
    shown = pd.DataFrame(
        {
            "time_s": lags_s,
            "n_events": n_events,
            "mean": table.mean(),
            "sd": table.std(ddof=1),
            "sem": table.sem(ddof=1),
        }
    )
    return shown[n_events > 0].reset_index(drop=True)


def _overlap(events: pd.DataFrame) -> bool:
    """Whether an event begins before an earlier one has ended."""
    ends = (events["onset"] + events["duration"]).cummax().to_numpy(float)
    return bool((events["onset"].to_numpy(float)[1:] < ends[:-1] - 0.1).any())


def _share_in_recovery(events: pd.DataFrame) -> float:
    """Share of events that begin while the response to another still lasts."""
    onset = events["onset"].to_numpy(float)
    end = onset + events["duration"].to_numpy(float)
    since = onset[:, None] - BASELINE_S - end[None]
    before = onset[None] < onset[:, None]
    return float(((since < _RECOVERY_S) & before).any(axis=1).mean())


def _rounded(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None


# --- writing it -------------------------------------------------------------------


def _check_free(out: Path, *, overwrite: bool) -> None:
    """Refuse a folder of other files, and an earlier inspection unless asked."""
    if out.exists() and not out.is_dir():
        raise OutputExistsError(f"{out} is a file", wanted="a folder to write to")
    if not out.is_dir() or not any(out.iterdir()):
        return
    there = {file.name for file in out.iterdir()}
    if not there <= _written_before(out):
        raise OutputExistsError(f"{out} holds other files", fix="choose another folder")
    if not overwrite:
        raise OutputExistsError(
            f"{out} already holds an inspection", fix="replace it with --overwrite"
        )


def _written_before(out: Path) -> set[str]:
    try:
        summary = read_json(out / "summary.json")
    except InputError:
        return set()
    return set(summary["files"]) if summary.get("format") == FORMAT else set()


def _write(folder: Path, measured: _Measures) -> None:
    inspection = measured.inspection()
    with figure_style():
        drawing = draw_inspection(inspection)
    save_figure(drawing.figure, folder / drawing.name)
    columns = ["trial_type", "time_s", "n_events", "mean", "sd", "sem"]
    responses = [c.course.assign(trial_type=c.label) for c in measured.conditions]
    table = pd.concat(responses) if responses else pd.DataFrame(columns=columns)
    write_tsv(folder / "frames.tsv", measured.frames.round(6))
    write_tsv(folder / "responses.tsv", table[columns].round(6))
    for name, volume in _maps(inspection, measured):
        image = to_image(volume, measured.run.grid, [slice(None)] * 3, inspection.mask)
        nib.save(image, folder / f"{name}.nii.gz")
    files = sorted([*(file.name for file in folder.iterdir()), "summary.json"])
    summary = {**measured.summary(), "caption": drawing.caption, "files": files}
    write_json(folder / "summary.json", summary)


def _maps(
    inspection: Inspection, measured: _Measures
) -> Iterator[tuple[str, np.ndarray]]:
    if inspection.tsnr is not None:
        yield "tsnr", inspection.tsnr
    space = f"_space-{measured.run.grid.space}" if measured.run.grid.space else ""
    labels = _bids_labels([condition.label for condition in measured.conditions])
    for condition, label in zip(measured.conditions, labels, strict=True):
        stem = f"{inspection.name}{space}_label-{label}"
        yield f"{stem}_desc-response_statmap", condition.response
        yield f"{stem}_desc-peak_statmap", measured.peaks[condition.label]
