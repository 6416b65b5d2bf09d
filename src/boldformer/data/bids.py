"""Recordings from a BIDS dataset: fMRIPrep-style derivatives, or the raw images."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
from nilearn.interfaces.bids import parse_bids_filename

from boldformer.config import DataConfig
from boldformer.data.recording import Dataset, Recording
from boldformer.errors import BadRunError, DatasetError, InputError

_BOLD_PATTERNS = ("*_bold.nii.gz", "*_bold.nii")
_RUN_ENTITIES = ("ses", "task", "acq", "ce", "rec", "dir", "run")
_PREFERRED_SPACES = ("MNI152NLin2009cAsym", "MNI152NLin6Asym")


def open_bids(config: DataConfig) -> Dataset:
    """Find the recordings of a BIDS dataset.

    Where ``derivatives/`` (or ``config.derivatives``) holds preprocessed recordings
    those are read; otherwise the raw ones. A run without usable events or repetition
    time is set aside with its reason.

    Parameters
    ----------
    config : DataConfig
        Folder and entity filters.

    Returns
    -------
    Dataset

    Raises
    ------
    DatasetError
        When the folder is no BIDS dataset, or nothing is left after filtering.
    """
    root = Path(config.path)
    description = _description(root)
    files = _find_bold(root, config)
    participants = _participants(root)
    recordings: list[Recording] = []
    set_aside: list[tuple[str, str]] = []
    for bold in files:
        try:
            recordings.append(_recording(bold, root, participants))
        except BadRunError as error:
            set_aside.append((bold.name, str(error)))
    if not recordings:
        reasons = "; ".join(f"{what}: {why}" for what, why in set_aside[:2])
        raise DatasetError(f"no usable recording in {root}", received=reasons)
    recordings.sort(key=lambda recording: recording.name)
    _refuse_twins(recordings)
    name = str(description.get("Name") or root.resolve().name)
    return Dataset(name, root, tuple(recordings), tuple(set_aside))


def _description(root: Path) -> dict[str, Any]:
    if not root.is_dir():
        raise DatasetError(
            "no such folder", wanted="a BIDS dataset", received=str(root)
        )
    file = root / "dataset_description.json"
    if not file.exists():
        raise DatasetError(
            f"{root} is not a BIDS dataset",
            wanted="a folder with dataset_description.json",
            fix="give the folder that holds sub-*/",
        )
    return _read_json(file)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise DatasetError(
            f"{path.name} cannot be read", wanted="JSON", received=str(error)
        ) from None
    if not isinstance(content, dict):
        raise DatasetError(f"{path.name} is not a JSON object")
    return content


# --- which images -----------------------------------------------------------------


def _find_bold(root: Path, config: DataConfig) -> list[Path]:
    preprocessed: list[Path] = []
    if not config.raw:
        for folder in _derivative_folders(root, config):
            preprocessed += [
                file for file in _bold_files(folder) if "_desc-preproc_" in file.name
            ]
    found = preprocessed or [
        file for file in _bold_files(root) if "_desc-" not in file.name
    ]
    if config.derivatives and not preprocessed:
        raise DatasetError(
            f"no preprocessed recording in {config.derivatives}",
            wanted="*_desc-preproc_bold.nii.gz below sub-*/func/",
        )
    if not found:
        raise DatasetError(
            f"no recording in {root}", wanted="*_bold.nii.gz below sub-*/func/"
        )
    kept = _filter(found, config)
    return _one_space(kept, config.space) if preprocessed else kept


def _derivative_folders(root: Path, config: DataConfig) -> list[Path]:
    if config.derivatives:
        folder = Path(config.derivatives)
        if not folder.is_dir():
            raise DatasetError(f"no such folder: {folder}", wanted="derivatives")
        return [folder]
    below = sorted(path for path in (root / "derivatives").glob("*") if path.is_dir())
    return [root, *below]


def _bold_files(folder: Path) -> list[Path]:
    func = [*folder.glob("sub-*/func"), *folder.glob("sub-*/ses-*/func")]
    return sorted(
        file
        for part in func
        for pattern in _BOLD_PATTERNS
        for file in part.glob(pattern)
    )


def _entities(path: Path) -> dict[str, str]:
    parsed = parse_bids_filename(str(path))["entities"]
    return {key: value or "" for key, value in parsed.items()}


def _filter(files: Sequence[Path], config: DataConfig) -> list[Path]:
    """Keep the files whose entities are asked for, naming the first that is absent."""
    wanted: dict[str, tuple[str, ...]] = {
        "sub": config.participants,
        "task": config.tasks,
        "ses": config.sessions,
        "acq": (config.acquisition,) if config.acquisition else (),
    }
    kept = list(files)
    for entity, labels in wanted.items():
        if not labels:
            continue
        asked = [label.removeprefix(f"{entity}-") for label in labels]
        there = {_entities(file).get(entity, "") for file in kept}
        missing = [label for label in asked if label not in there]
        if missing:
            raise InputError(
                f"no recording has {entity}-{missing[0]}",
                wanted=f"{entity} in {_listed(there)}",
            )
        kept = [file for file in kept if _entities(file).get(entity, "") in asked]
    return kept


def _one_space(files: list[Path], space: str) -> list[Path]:
    """Keep one space, so that no run is read twice."""
    spaces = {_entities(file).get("space", "") for file in files}
    if space and space not in spaces:
        raise InputError(
            f"no recording in space {space!r}", wanted=f"one of {_listed(spaces)}"
        )
    if not space:
        mni = sorted(name for name in spaces if name.startswith("MNI"))
        preferred = [name for name in _PREFERRED_SPACES if name in spaces]
        space = (preferred or mni or sorted(spaces))[0]
    return [file for file in files if _entities(file).get("space", "") == space]


def _refuse_twins(recordings: Sequence[Recording]) -> None:
    seen: dict[str, Path] = {}
    for recording in recordings:
        if recording.name in seen:
            raise DatasetError(
                f"two files are the same run {recording.name}",
                received=f"{seen[recording.name].name} and {recording.bold.name}",
                fix="choose with --task, --acquisition, --space or --derivatives",
            )
        seen[recording.name] = recording.bold


def _listed(labels: Iterable[str]) -> str:
    return ", ".join(sorted(label or "(none)" for label in labels))


# --- one recording ----------------------------------------------------------------


def _recording(
    bold: Path, root: Path, participants: dict[str, dict[str, str]]
) -> Recording:
    entities = _entities(bold)
    subject = entities.get("sub", "")
    return Recording(
        bold=bold,
        t_r=_repetition_time(bold, root),
        subject=subject,
        session=entities.get("ses", ""),
        task=entities.get("task", ""),
        acquisition=entities.get("acq", ""),
        direction=entities.get("dir", ""),
        run=entities.get("run", ""),
        space=entities.get("space", ""),
        events=read_events(_events_file(bold, root)),
        mask=_beside(bold, "desc-brain_mask"),
        confounds=_confounds_file(bold),
        participant=participants.get(subject, {}),
    )


def _inherited(bold: Path, root: Path, suffix: str) -> list[Path]:
    """Files that apply to `bold` by BIDS inheritance, the most specific first.

    A file applies when it lies in the same folder or above it in its dataset (or at
    the same place of the raw dataset `root`) and every entity it names agrees.
    """
    own = _entities(bold)
    session = [f"ses-{own['ses']}"] if own.get("ses") else []
    inside = ("func", *reversed(session), f"sub-{own.get('sub', '')}")
    places = list(bold.parents[: len(inside) + 1])
    for dataset in (root, root.parent.parent):
        if dataset == root or (dataset / "dataset_description.json").exists():
            subject = dataset / inside[-1]
            folder = subject.joinpath(*session)
            places += [folder / "func", folder, subject, dataset]
    found: list[Path] = []
    for place in dict.fromkeys(places):
        candidates = [
            file
            for file in sorted(place.glob(f"*{suffix}"))
            if file.name.endswith(suffix)
            and all(own.get(k) == v for k, v in _entities(file).items())
        ]
        candidates.sort(key=lambda file: -len(_entities(file)))
        found += candidates
    return found


def _repetition_time(bold: Path, root: Path) -> float:
    """Repetition time in seconds: from the sidecars, else from the header."""
    for sidecar in _inherited(bold, root, "bold.json"):
        value = _read_json(sidecar).get("RepetitionTime")
        if value is not None:
            return _checked_t_r(value, sidecar.name)
    try:
        header: Any = nib.load(bold).header
        zooms, unit = header.get_zooms(), header.get_xyzt_units()[1]
    except Exception:  # the fault itself is reported when the run is read
        zooms, unit = (), ""
    factor = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6}.get(unit, 1.0)
    if len(zooms) > 3 and zooms[3] > 0 and unit != "unknown":
        return _checked_t_r(float(zooms[3]) * factor, bold.name)
    raise BadRunError(
        "the repetition time is missing",
        wanted="RepetitionTime in the JSON sidecar, or in the header with its unit",
        fix=f"write it into {bold.name.split('.')[0]}.json",
    )


def _checked_t_r(value: Any, where: str) -> float:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0.05 <= value <= 60:
        raise BadRunError(
            f"{where}: unusable repetition time",
            wanted="seconds between 0.05 and 60",
            received=repr(value),
        )
    return float(value)


def _events_file(bold: Path, root: Path) -> Path:
    found = _inherited(bold, root, "events.tsv")
    if not found:
        entities = _entities(bold)
        named = "_".join(
            f"{k}-{entities[k]}" for k in ("sub", *_RUN_ENTITIES) if entities.get(k)
        )
        raise BadRunError("no events", wanted=f"{named}_events.tsv")
    return found[0]


def read_events(path: Path) -> pd.DataFrame:
    """Read a BIDS events table.

    Returns
    -------
    DataFrame
        ``onset`` and ``duration`` in seconds, ``trial_type``; sorted by onset. Rows
        without a number for the onset or without a type are dropped; a missing
        duration counts as zero.

    Raises
    ------
    BadRunError
        When columns are missing or no row is usable.
    """
    try:
        table = pd.read_csv(
            path, sep="\t", dtype=str, encoding="utf-8-sig", keep_default_na=False
        )
    except (OSError, ValueError) as error:
        raise BadRunError(f"{path.name} cannot be read", received=str(error)) from None
    table.columns = table.columns.str.strip()
    missing = {"onset", "duration", "trial_type"} - set(table.columns)
    if missing:
        raise BadRunError(
            f"{path.name}: no column {sorted(missing)[0]!r}",
            wanted="onset, duration and trial_type, separated by tabs",
            received=", ".join(map(str, table.columns))[:120],
        )
    events = pd.DataFrame(
        {
            "onset": pd.to_numeric(table["onset"], errors="coerce"),
            "duration": pd.to_numeric(table["duration"], errors="coerce").fillna(0.0),
            "trial_type": table["trial_type"].str.strip(),
        }
    )
    named = ~events["trial_type"].isin(["", "n/a", "nan"])
    events = events[np.isfinite(events["onset"]) & named]
    if events.empty:
        raise BadRunError(f"{path.name}: no usable event")
    return events.sort_values("onset", kind="stable").reset_index(drop=True)


def _beside(bold: Path, ending: str) -> Path | None:
    stem = bold.name.split("_desc-")[0]
    for suffix in (".nii.gz", ".nii"):
        file = bold.with_name(f"{stem}_{ending}{suffix}")
        if file.exists() and "_desc-" in bold.name:
            return file
    return None


def _confounds_file(bold: Path) -> Path | None:
    """Confounds of a preprocessed run; they belong to the run, whatever its space."""
    if "_desc-preproc_" not in bold.name:
        return None
    stem = bold.name.split("_space-")[0].split("_desc-")[0]
    for ending in ("desc-confounds_timeseries.tsv", "desc-confounds_regressors.tsv"):
        file = bold.with_name(f"{stem}_{ending}")
        if file.exists():
            return file
    return None


def _participants(root: Path) -> dict[str, dict[str, str]]:
    file = root / "participants.tsv"
    if not file.exists():
        return {}
    try:
        table = pd.read_csv(file, sep="\t", dtype=str, encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise DatasetError(f"{file.name} cannot be read", received=str(error)) from None
    if "participant_id" not in table.columns:
        raise DatasetError("participants.tsv has no column 'participant_id'")
    table = table.fillna("").set_index("participant_id")
    return {
        str(label).removeprefix("sub-"): {str(k): str(v) for k, v in row.items()}
        for label, row in table.to_dict("index").items()
    }
