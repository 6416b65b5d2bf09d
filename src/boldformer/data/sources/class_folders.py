"""Recordings kept as a folder per class of 3-D volumes; the names say which run."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from boldformer.config import DataConfig
from boldformer.data.files import is_named, read_json
from boldformer.data.recording import Dataset, Recording
from boldformer.data.selection import as_dataset, keep_asked
from boldformer.data.sources.participants import Participants, read_participants
from boldformer.data.sources.timing import Timing, read_timing
from boldformer.errors import BadRunError, DatasetError

_NAME = re.compile(
    r"sub-(?P<sub>[^_]+)(_ses-(?P<ses>[^_]+))?(_task-(?P<task>[^_]+))?"
    r"(_run-(?P<run>[^_]+))?_vol-(?P<vol>\d+)\.nii(\.gz)?"
)
_SIDECARS = ("dataset.json", "bold.json")
_WANTED = "sub-XX_run-R_vol-VVV.nii.gz"


@dataclass(frozen=True)
class _Volume:
    path: Path
    label: str
    number: int
    sub: str
    ses: str
    task: str
    run: str

    @property
    def scan(self) -> tuple[str, str, str, str]:
        return self.sub, self.ses, self.task, self.run

    def __str__(self) -> str:
        return f"{self.label}/{self.path.name}"


def is_class_folders(root: Path) -> bool:
    """Whether sub-folders hold volumes named as this layout names them."""
    return any(_NAME.fullmatch(file.name) for _, file in _files(root))


def open_class_folders(config: DataConfig) -> Dataset:
    """Put the volumes of class folders back into the runs they were taken from.

    ``CLASS/sub-XX_run-R_vol-VVV.nii.gz``, optionally with ``ses-`` and ``task-``: the
    volumes of one run are collected over the classes and ordered by ``VVV``; stretches
    of one class without a gap become its blocks. The repetition time is ``config.t_r``,
    or ``RepetitionTime`` of ``dataset.json`` or ``bold.json`` in the folder, or the
    fourth voxel dimension of the first volume where the header states its unit.

    Parameters
    ----------
    config : DataConfig
        Folder with one sub-folder a class; filters of entities.

    Returns
    -------
    Dataset
        With ``volumes`` and, where volumes are missing, ``frame_numbers``; the onset of
        an event is counted from the first volume there is.

    Raises
    ------
    DatasetError
        When there is nothing usable. A run in which a volume has two classes is set
        aside, and so is a file whose name says something else.
    InputError
        For a filter that nothing matches.
    """
    root = Path(config.path)
    set_aside: list[tuple[str, str]] = []
    volumes = []
    for label, file in _files(root):
        if (found := _NAME.fullmatch(file.name)) is None:
            problem = f"the name says no run and volume; wanted {_WANTED}"
            set_aside.append((f"{label}/{file.name}", problem))
            continue
        parts = {key: value or "" for key, value in found.groupdict().items()}
        number = int(parts.pop("vol"))
        volumes.append(_Volume(file, label, number, **parts))
    if not volumes:
        raise DatasetError(
            f"no folder per class in {root}", wanted=f"CLASS/{_WANTED} in it"
        )
    recordings = []
    people = read_participants(root, {volume.sub for volume in volumes})
    stated = _stated(root)
    for run in _runs(_asked(volumes, config)):
        try:
            timing = read_timing(run[0].path, stated, config.t_r)
            recordings.append(_recording(run, timing, people))
        except BadRunError as error:
            set_aside.append((_name(run[0]), str(error)))
    name = root.resolve().name
    return as_dataset(name, root, recordings, set_aside, people.notes)


def _files(root: Path) -> Iterator[tuple[str, Path]]:
    """Images in the sub-folders of a folder, each with its sub-folder's name."""
    if not root.is_dir():
        return
    for folder in sorted(root.iterdir()):
        if folder.is_dir() and not folder.name.startswith((".", "sub-")):
            for file in sorted(folder.glob("[!.]*.nii*")):
                yield folder.name, file


def _asked(volumes: list[_Volume], config: DataConfig) -> list[_Volume]:
    kept = keep_asked(volumes, "sub", config.participants, lambda v: v.sub)
    kept = keep_asked(kept, "task", config.tasks, lambda v: v.task)
    return keep_asked(kept, "ses", config.sessions, lambda v: v.ses)


def _runs(volumes: Iterable[_Volume]) -> list[list[_Volume]]:
    runs: dict[tuple[str, ...], list[_Volume]] = defaultdict(list)
    for volume in volumes:
        runs[volume.scan].append(volume)
    return [sorted(run, key=lambda volume: volume.number) for run in runs.values()]


def _name(volume: _Volume) -> str:
    pairs = zip(("sub", "ses", "task", "run"), volume.scan, strict=True)
    return "_".join(f"{entity}-{label}" for entity, label in pairs if label)


def _recording(
    run: Sequence[_Volume], timing: Timing, people: Participants
) -> Recording:
    for one, other in pairwise(run):
        if one.number == other.number:
            raise BadRunError(
                f"volume {one.number} is there twice", received=f"{one} and {other}"
            )
    first, t_r = run[0], timing.t_r
    numbers = np.array([volume.number for volume in run]) - first.number
    gaps = numbers[-1] >= len(numbers)
    return Recording(
        bold=first.path,
        t_r=t_r,
        subject=first.sub,
        session=first.ses,
        task=first.task,
        run=first.run,
        events=_blocks(numbers, [volume.label for volume in run], t_r),
        participant=people[first.sub],
        volumes=tuple(volume.path for volume in run),
        frame_numbers=tuple(int(number) for number in numbers) if gaps else (),
        timing="volume",
    )


def _blocks(numbers: np.ndarray, labels: Sequence[str], t_r: float) -> pd.DataFrame:
    """Stretches of one class in consecutive volumes, as events in seconds."""
    named = np.asarray(labels)
    begins = np.flatnonzero((np.diff(numbers) != 1) | (named[1:] != named[:-1])) + 1
    starts = np.concatenate([[0], begins])
    lengths = np.diff(np.concatenate([starts, [len(numbers)]]))
    return pd.DataFrame(
        {
            "onset": numbers[starts] * t_r,
            "duration": lengths * t_r,
            "trial_type": named[starts].tolist(),
        }
    )


def _stated(root: Path) -> dict[str, Any]:
    """Read the repetition time that holds for every run."""
    for name in _SIDECARS:
        if is_named(root / name):
            value = read_json(root / name).get("RepetitionTime")
            if value is not None:
                return {"RepetitionTime": value}
    return {}
