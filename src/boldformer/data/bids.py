"""Recordings from a BIDS dataset: fMRIPrep-style derivatives, or the raw images."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib

from boldformer.config import DataConfig
from boldformer.data.bids_files import (
    RUN_ENTITIES,
    entities,
    find_images,
    is_preprocessed,
    same_label,
)
from boldformer.data.recording import Dataset, Recording
from boldformer.data.selection import as_dataset
from boldformer.data.sidecars import (
    checked_t_r,
    header_t_r,
    read_events,
    read_json,
    read_participants,
)
from boldformer.errors import BadRunError, DatasetError

_SUFFIXES = (".nii.gz", ".nii")
_DESCRIPTION = "dataset_description.json"
_RAW_BESIDE = ("rawdata", "raw", "bids")


def open_bids(config: DataConfig) -> Dataset:
    """Find the recordings of a BIDS dataset.

    Where the folder, or ``derivatives/`` in it, or ``config.derivatives`` holds runs
    that fMRIPrep preprocessed, those are read; otherwise the raw ones. They are read
    in one space and resolution: those asked for, else MNI152NLin2009cAsym, another MNI
    space, or the first by name, and there the images without a ``res`` entity, those
    of 2 mm (``res-2``), or the first by name. A folder of fMRIPrep alone finds events
    in its raw dataset: the one it links to, lies in, or has beside it as ``rawdata``,
    ``raw`` or ``bids``. What has no usable events, repetition time or image in that
    space is set aside with its reason.

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
    InputError
        For a filter that nothing matches.

    References
    ----------
    Gorgolewski KJ et al. (2016). The brain imaging data structure. Scientific Data
    3:160044. Names of preprocessed files: https://fmriprep.org/en/stable/outputs.html
    """
    root = Path(config.path)
    description = _description(root)
    images, set_aside = find_images(root, config)
    tree = _Tree(root, description)
    recordings: list[Recording] = []
    for bold in images:
        try:
            recordings.append(_recording(bold, tree, config.t_r))
        except BadRunError as error:
            set_aside.append((bold.name, str(error)))
    name = str(description.get("Name") or root.resolve().name)
    return as_dataset(name, root, recordings, set_aside)


def is_bids(root: Path) -> bool:
    """Whether a folder holds a BIDS dataset, or at least subjects as one does."""
    return (root / _DESCRIPTION).exists() or any(
        next(root.glob(f"sub-*/{place}"), "") for place in ("func", "ses-*/func")
    )


def _description(root: Path) -> dict[str, Any]:
    file = root / _DESCRIPTION
    if not file.exists():
        raise DatasetError(
            f"{root} is not a BIDS dataset",
            wanted=f"a folder with {_DESCRIPTION}",
            fix="give the folder that holds sub-*/",
        )
    return read_json(file)


# --- what lies beside an image ----------------------------------------------------


class _Tree:
    """The folders of a dataset in which files that belong to an image may lie."""

    def __init__(self, root: Path, description: dict[str, Any]) -> None:
        self.roots = list(dict.fromkeys(_roots(root, description)))
        self.participants: dict[str, dict[str, str]] = {}
        for folder in reversed(self.roots):
            self.participants |= read_participants(folder)
        # A folder is looked into once, however many runs it holds.
        self._names = functools.cache(self._list)

    @staticmethod
    def _list(folder: Path, suffix: str) -> list[Path]:
        return sorted(
            folder.glob(f"[!.]*{suffix}"),
            key=lambda file: (-len(entities(file.name)), file.name),
        )

    def inherited(self, bold: Path, suffix: str) -> list[Path]:
        """Files that apply to an image by BIDS inheritance, the most specific first.

        A file applies when it lies in the same folder or above it in its dataset (or
        at the same place of the raw dataset) and every entity it names agrees.
        """
        own = entities(bold.name)
        return [
            file
            for place in self._places(bold)
            for file in self._names(place, suffix)
            if all(
                same_label(key, own.get(key), value)
                for key, value in entities(file.name).items()
            )
        ]

    def _places(self, bold: Path) -> list[Path]:
        own = entities(bold.name)
        places = _upwards(bold.parent)
        for root in self.roots:
            subject = root / f"sub-{own.get('sub', '')}"
            session = subject / f"ses-{own['ses']}" if own.get("ses") else subject
            places += [session / "func", session, subject, root]
        return list(dict.fromkeys(places))


def _upwards(folder: Path) -> list[Path]:
    """List a folder and those above it, up to the dataset that holds its subject."""
    places = [folder]
    while places[-1].name.startswith(("sub-", "ses-")) or places[-1].name == "func":
        places.append(places[-1].parent)
    return places


def _roots(root: Path, description: dict[str, Any]) -> Iterator[Path]:
    """Yield the dataset and, where it can be found, the raw one it was derived from."""
    yield root
    links = description.get("DatasetLinks")
    link = links.get("raw") if isinstance(links, dict) else None
    if isinstance(link, str) and "://" not in link.removeprefix("file://"):
        yield root / link.removeprefix("file://")
    for above in list(root.absolute().parents)[:3]:
        for folder in (above, *(above / name for name in _RAW_BESIDE)):
            if (folder / _DESCRIPTION).exists():
                yield folder


# --- one recording ----------------------------------------------------------------


def _recording(bold: Path, tree: _Tree, fallback_t_r: float) -> Recording:
    own = entities(bold.name)
    subject = own.get("sub", "")
    return Recording(
        bold=bold,
        t_r=_repetition_time(bold, tree, fallback_t_r),
        subject=subject,
        session=own.get("ses", ""),
        task=own.get("task", ""),
        acquisition=own.get("acq", ""),
        direction=own.get("dir", ""),
        run=own.get("run", ""),
        space=own.get("space", ""),
        events=read_events(_events_file(bold, tree)),
        mask=mask_beside(bold),
        confounds=confounds_beside(bold),
        participant=tree.participants.get(subject, {}),
    )


def _repetition_time(bold: Path, tree: _Tree, fallback: float) -> float:
    """Repetition time in seconds: from the sidecars, the header, else as asked."""
    for sidecar in tree.inherited(bold, "bold.json"):
        value = read_json(sidecar, BadRunError).get("RepetitionTime")
        if value is not None:
            return checked_t_r(value, sidecar.name)
    stated = header_t_r(bold)
    if stated is not None:
        return stated
    if fallback:
        return checked_t_r(fallback, "--tr")
    raise BadRunError(
        "the repetition time is missing",
        wanted="RepetitionTime in the JSON sidecar, or in the header with its unit",
        fix=f"write it into {bold.name.split('.')[0]}.json, or give it with --tr",
    )


def _events_file(bold: Path, tree: _Tree) -> Path:
    found = tree.inherited(bold, "events.tsv")
    if not found:
        own = entities(bold.name)
        stem = "_".join(f"{k}-{own[k]}" for k in ("sub", *RUN_ENTITIES) if own.get(k))
        raise BadRunError("no events", wanted=f"{stem}_events.tsv")
    return found[0]


def mask_beside(bold: Path) -> Path | None:
    """Brain mask of a preprocessed run, in its space and on its grid."""
    if not is_preprocessed(bold):
        return None
    stem = bold.name.split("_desc-")[0]
    old = bold.name.rsplit("_preproc.", 1)[0]
    exact = (f"{stem}_desc-brain_mask", f"{old}_brainmask")
    for name in exact:
        for suffix in _SUFFIXES:
            if (file := bold.with_name(name + suffix)).exists():
                return file
    # Without its resolution a mask may be of another grid.
    coarse = stem.split("_res-")[0] + "_desc-brain_mask"
    for suffix in _SUFFIXES:
        file = bold.with_name(coarse + suffix)
        if file.exists() and _shape(file) == _shape(bold):
            return file
    return None


def _shape(path: Path) -> tuple[int, ...]:
    try:
        image: Any = nib.load(path)
        return tuple(image.shape[:3])
    except Exception:  # the fault itself is reported when the run is read
        return ()


def confounds_beside(bold: Path) -> Path | None:
    """Confounds of a preprocessed run; they belong to the run, whatever its space."""
    if not is_preprocessed(bold):
        return None
    stem = re.split("_bold_|_space-|_desc-", bold.name)[0]
    for ending in (
        "desc-confounds_timeseries.tsv",
        "desc-confounds_regressors.tsv",
        "bold_confounds.tsv",
    ):
        if (file := bold.with_name(f"{stem}_{ending}")).exists():
            return file
    return None
