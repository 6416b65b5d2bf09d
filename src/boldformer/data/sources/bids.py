"""Recordings from a BIDS dataset: fMRIPrep-style derivatives, or the raw images."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from boldformer.config import DataConfig
from boldformer.data.files import is_named, read_json, require_content
from boldformer.data.images import open_header
from boldformer.data.recording import Dataset, Recording
from boldformer.data.selection import as_dataset, same_label
from boldformer.data.sources.bids_files import (
    GRID_ENTITIES,
    RUN_ENTITIES,
    entities,
    find_images,
    is_preprocessed,
    misnamed,
)
from boldformer.data.sources.event_tables import read_events
from boldformer.data.sources.participants import Participants, read_participants
from boldformer.data.sources.timing import Timing, read_timing
from boldformer.data.wording import first_of
from boldformer.errors import BadRunError, DatasetError

_DESCRIPTION = "dataset_description.json"
# What belongs to all echoes of a run does not say which.
_PARTS = ("echo", "part")
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
    tree = _Tree(root, description)
    images, set_aside, notes = find_images(root, config, tree.roots[1:])
    people = read_participants(tree.roots, tree.subjects(images))
    recordings: list[Recording] = []
    for bold in images:
        try:
            recordings.append(_recording(bold, tree, people, config.t_r))
        except BadRunError as error:
            set_aside.append((bold.name, str(error)))
    name = str(description.get("Name") or root.resolve().name)
    notes += [*people.notes, *tree.notes()]
    return as_dataset(name, root, recordings, set_aside, notes)


def is_bids(root: Path) -> bool:
    """Whether a folder holds a BIDS dataset, or at least subjects as one does."""
    return is_named(root / _DESCRIPTION) or any(
        next(root.glob(f"sub-*/{place}"), "") for place in ("func", "ses-*/func")
    )


def _description(root: Path) -> dict[str, Any]:
    file = root / _DESCRIPTION
    if not is_named(file):
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
        # A folder is looked into once, however many runs it holds.
        self._names = functools.cache(self._list)
        self._misnamed: set[str] = set()
        self._of_header: list[str] = []

    def _list(self, folder: Path, suffix: str) -> list[Path]:
        found = list(folder.glob(f"[!.]*{suffix}"))
        self._misnamed |= {file.name for file in found if misnamed(file.name)}
        return sorted(
            (file for file in found if not misnamed(file.name)),
            key=lambda file: (-len(entities(file.name)), file.name),
        )

    def subjects(self, images: Sequence[Path]) -> set[str]:
        """Label every subject that has a folder, or one of the images."""
        folders = (f for root in self.roots for f in root.glob("sub-*"))
        labels = {folder.name.removeprefix("sub-") for folder in folders}
        return labels | {entities(image.name)["sub"] for image in images}

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

    def timing(self, bold: Path, asked_s: float) -> Timing:
        """When an image's volumes were acquired."""
        found = self.inherited(bold, "bold.json")
        stated: dict[str, Any] = {}
        for sidecar in found:
            stated = read_json(sidecar, BadRunError) | stated
        where = found[0].name if found else "the sidecar"
        timing = read_timing(bold, stated, asked_s, where)
        if timing.header_t_r is not None:
            self._of_header.append(
                f"{bold.name} ({timing.header_t_r:g} s for {timing.t_r:g} s)"
            )
        return timing

    def notes(self) -> Iterator[str]:
        """Say what was passed over."""
        if self._misnamed:
            names = first_of(sorted(self._misnamed))
            yield f"Names that are not BIDS, passed over: {names}"
        if self._of_header:
            runs = first_of(self._of_header)
            yield (
                "The header states another repetition time than the one that is used: "
                f"{runs}"
            )

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


def _recording(
    bold: Path, tree: _Tree, people: Participants, asked_t_r: float
) -> Recording:
    require_content(bold)
    timing = tree.timing(bold, asked_t_r)
    return replace(
        named_recording(bold, timing),
        events=read_events(_events_file(bold, tree)),
        participant=people[entities(bold.name)["sub"]],
    )


def named_recording(bold: Path, timing: Timing) -> Recording:
    """Make a recording of what a file's name says and what lies beside it.

    Raises
    ------
    BadRunError
        When a mask or confounds are there without their content.
    """
    own = entities(bold.name)
    return Recording(
        bold=bold,
        t_r=timing.t_r,
        subject=own.get("sub", ""),
        session=own.get("ses", ""),
        task=own.get("task", ""),
        acquisition=own.get("acq", ""),
        direction=own.get("dir", ""),
        run=own.get("run", ""),
        space=own.get("space", ""),
        mask=_mask_beside(bold),
        confounds=_confounds_beside(bold),
        frame_numbers=timing.frame_numbers,
        start_s=timing.start_s,
        entities=own,
    )


def _events_file(bold: Path, tree: _Tree) -> Path:
    found = tree.inherited(bold, "events.tsv")
    if not found:
        own = entities(bold.name)
        stem = "_".join(f"{k}-{own[k]}" for k in ("sub", *RUN_ENTITIES) if own.get(k))
        raise BadRunError("no events", wanted=f"{stem}_events.tsv")
    return found[0]


def _mask_beside(bold: Path) -> Path | None:
    """Brain mask of a preprocessed run, in its space and on its grid."""
    endings = ("_desc-brain_mask.nii*", "_brainmask.nii*")
    exact = beside(bold, endings, (*_PARTS, "desc"))
    if exact is not None:
        return exact
    # Without its resolution a mask may be of another grid.
    coarse = beside(bold, endings[:1], (*_PARTS, "desc", "res"))
    same = coarse is not None and _shape(coarse) == _shape(bold)
    return coarse if same else None


def _confounds_beside(bold: Path) -> Path | None:
    """Confounds of a preprocessed run; they belong to the run, whatever its space."""
    endings = (
        "_desc-confounds_timeseries.tsv",
        "_desc-confounds_regressors.tsv",
        "_bold_confounds.tsv",
    )
    return beside(bold, endings, (*_PARTS, *GRID_ENTITIES))


def beside(bold: Path, endings: Sequence[str], but: Sequence[str]) -> Path | None:
    """Find the file in a preprocessed run's folder that belongs to it.

    Parameters
    ----------
    bold : Path
        Image.
    endings : sequence of str
        Patterns that its name ends in, the preferred ones first.
    but : sequence of str
        Entities that it may lack or state otherwise; the others must agree.

    Returns
    -------
    Path or None
        None where there is none, or the image is raw.

    Raises
    ------
    BadRunError
        When it is there without its content.
    """
    if not is_preprocessed(bold):
        return None

    def named(file: Path) -> dict[str, str]:
        own = entities(file.name)
        return {key: label for key, label in own.items() if key not in but}

    wanted = named(bold)
    for ending in endings:
        for file in sorted(bold.parent.glob(f"[!.]*{ending}")):
            found = named(file)
            if found.keys() == wanted.keys() and all(
                same_label(key, found[key], wanted[key]) for key in wanted
            ):
                require_content(file)
                return file
    return None


def _shape(path: Path) -> tuple[int, ...]:
    try:
        return tuple(open_header(path).shape[:3])
    except Exception:  # the fault itself is reported when the run is read
        return ()
