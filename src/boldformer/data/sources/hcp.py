"""Recordings of the Human Connectome Project, minimally preprocessed, in MNI space."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from boldformer.config import DataConfig
from boldformer.data.files import is_named, read_text, require_content
from boldformer.data.recording import Dataset, Recording
from boldformer.data.selection import as_dataset, keep_asked
from boldformer.data.sources.participants import Participants, read_participants
from boldformer.data.sources.timing import checked_t_r, header_t_r
from boldformer.errors import BadRunError, DatasetError

T_R = 0.72
SPACE = "MNI152NLin6Asym"
BLOCKS = {
    "emotion": ("fear", "neut"),
    "gambling": ("win", "loss"),
    "language": ("story", "math"),
    "motor": ("lf", "rf", "lh", "rh", "t"),
    "relational": ("relation", "match"),
    "social": ("mental", "rnd"),
    "wm": tuple(
        f"{load}bk_{what}"
        for load in (0, 2)
        for what in ("body", "faces", "places", "tools")
    ),
}
_RESULTS = "MNINonLinear/Results"
_RUN = re.compile(r"tfMRI_(?P<task>[A-Za-z0-9]+)_(?P<direction>LR|RL|AP|PA)")
_NO_EV = "sync"
_MASK = "brainmask_fs.2.nii.gz"
_MOTION = "Movement_Regressors.txt"


def is_hcp(root: Path) -> bool:
    """Whether a folder holds HCP subjects with task runs."""
    return next(root.glob(f"*/{_RESULTS}/tfMRI_*"), None) is not None


def open_hcp(config: DataConfig) -> Dataset:
    """Find task runs as HCP distributes them.

    ``SUBJECT/MNINonLinear/Results/tfMRI_TASK_LR/`` holds ``tfMRI_TASK_LR.nii.gz``, the
    explanatory variables ``EVs/*.txt`` (onset, duration, amplitude), and, where they
    are there, ``Movement_Regressors.txt`` and ``brainmask_fs.2.nii.gz``. An event's
    type is the name of its file. Without a label table only the blocks of each task
    are read (`BLOCKS`): cues, single trials, responses and errors lie inside them. With
    one every file is, and the table chooses. An empty file is a condition that did not
    occur.

    Parameters
    ----------
    config : DataConfig
        Folder with one sub-folder a subject; participants and tasks to keep.

    Returns
    -------
    Dataset
        Task in lower case, ``LR`` or ``RL`` as direction, repetition time as the
        header says it or 0.72 s.

    Raises
    ------
    DatasetError
        When there is nothing usable.
    InputError
        For a filter that nothing matches.

    References
    ----------
    Barch DM et al. (2013). Function in the human connectome: task-fMRI and individual
    differences in behavior. NeuroImage 80:169-189.
    """
    root = Path(config.path)
    if not root.is_dir() or not is_hcp(root):
        raise DatasetError(
            f"no HCP task run in {root}", wanted=f"SUBJECT/{_RESULTS}/tfMRI_TASK_LR/"
        )
    folders = list(_run_folders(root))
    people = read_participants(root, map(_subject, folders))
    subjects = [label.removeprefix("sub-") for label in config.participants]
    tasks = [label.removeprefix("task-").lower() for label in config.tasks]
    folders = keep_asked(folders, "sub", subjects, _subject)
    folders = keep_asked(folders, "task", tasks, _task)
    folders = keep_asked(folders, "ses", config.sessions, lambda _: "")
    if config.space:
        folders = keep_asked(folders, "space", (config.space,), lambda _: SPACE)
    recordings: list[Recording] = []
    set_aside: list[tuple[str, str]] = []
    for folder in folders:
        try:
            recordings.append(_recording(folder, config, people))
        except BadRunError as error:
            set_aside.append((f"{_subject(folder)}/{folder.name}", str(error)))
    name = root.resolve().name
    return as_dataset(name, root, recordings, set_aside, people.notes)


def _run_folders(root: Path) -> Iterator[Path]:
    for folder in sorted(root.glob(f"*/{_RESULTS}/tfMRI_*")):
        if _RUN.fullmatch(folder.name) and folder.is_dir():
            yield folder


def _subject(folder: Path) -> str:
    return folder.parents[2].name


def _task(folder: Path) -> str:
    return folder.name.split("_")[1].lower()


def _recording(folder: Path, config: DataConfig, people: Participants) -> Recording:
    images = [folder / f"{folder.name}{suffix}" for suffix in (".nii.gz", ".nii")]
    bold = next((image for image in images if is_named(image)), None)
    if bold is None:
        raise BadRunError("the recording is missing", wanted=images[0].name)
    beside = [folder / name for name in (_MASK, _MOTION)]
    mask, motion = (file if is_named(file) else None for file in beside)
    for file in (bold, mask, motion):
        if file is not None:
            require_content(file)
    task, subject = _task(folder), _subject(folder)
    blocks = () if config.label_table else BLOCKS.get(task, ())
    asked = checked_t_r(config.t_r, "--tr") if config.t_r else 0.0
    return Recording(
        bold=bold,
        t_r=asked or header_t_r(bold) or T_R,
        subject=subject,
        task=task,
        direction=folder.name.rsplit("_", 1)[1],
        space=SPACE,
        events=_read_evs(folder / "EVs", blocks),
        mask=mask,
        confounds=motion,
        participant=people[subject],
    )


def _read_evs(folder: Path, names: tuple[str, ...]) -> pd.DataFrame:
    """Events of the files `names`, or of all, sorted by onset."""
    files = [
        file
        for file in sorted(folder.glob("[!.]*.txt"))
        if file.stem.lower() != _NO_EV and (not names or file.stem in names)
    ]
    tables = [table for file in files if not (table := _read_ev(file)).empty]
    if not tables:
        raise BadRunError(
            "no events",
            wanted=f"EVs/{names[0] if names else '*'}.txt and others, not all empty",
        )
    return pd.concat(tables).sort_values("onset", kind="stable", ignore_index=True)


def _read_ev(file: Path) -> pd.DataFrame:
    """Read a three-column file as FSL defines it; rows of amplitude 0 are no events."""
    lines = read_text(file).splitlines()
    try:
        rows = [cells for line in lines if (cells := line.split())]
        wrong = next((cells for cells in rows if len(cells) != 3), None)
        values = np.array([] if wrong else rows, dtype=float).reshape(-1, 3)
    except ValueError as error:
        raise BadRunError(f"{file.name} cannot be read", received=str(error)) from None
    wrong = wrong or next(
        (row for row, v in zip(rows, values, strict=True) if not _is_event(v)), None
    )
    if wrong:
        raise BadRunError(
            f"{file.name}: not an explanatory variable",
            wanted="three columns: onset, duration, amplitude",
            received=" ".join(wrong)[:80],
        )
    values = values[values[:, 2] != 0]
    return pd.DataFrame(
        {
            "onset": values[:, 0],
            "duration": values[:, 1],
            "trial_type": [file.stem] * len(values),
        }
    )


def _is_event(row: np.ndarray) -> bool:
    return bool(np.isfinite(row).all() and row[1] >= 0)
