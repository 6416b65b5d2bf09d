"""Which images of a BIDS dataset are read: derivatives, spaces, resolutions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from types import MappingProxyType

from nilearn.interfaces.bids import parse_bids_filename

from boldformer.config import DataConfig
from boldformer.data.selection import keep_asked, listed
from boldformer.errors import DatasetError, InputError

RUN_ENTITIES = ("ses", "task", "acq", "ce", "rec", "dir", "run")
_NUMBERS = ("run", "res")
_PLACES = ("sub-*/func", "sub-*/ses-*/func", "sub-*", "sub-*/ses-*")
_PREFERRED_SPACES = ("MNI152NLin2009cAsym", "MNI152NLin6Asym")
_PREFERRED_RESOLUTIONS = ("", "2")
# fMRIPrep from 1.2 on, and up to 1.1; a suffix says that more was taken out by hand.
_PREPROCESSED = (
    re.compile(r"_desc-preproc_bold(_denoised)?\.nii(\.gz)?$"),
    re.compile(r"_bold(?!.*_variant-)_.*preproc\.nii(\.gz)?$"),
)
_RAW = re.compile(r"^(?!.*_(desc|space)-).*_bold\.nii(\.gz)?$")

Listed = list[tuple[str, str]]


@lru_cache(maxsize=1 << 16)
def entities(name: str) -> MappingProxyType[str, str]:
    """BIDS entities that a file name states, such as ``{"sub": "01"}``."""
    if "." not in name:  # a BIDS file has an extension
        return MappingProxyType({})
    parsed = parse_bids_filename(name)["entities"]
    return MappingProxyType({key: value for key, value in parsed.items() if value})


def is_preprocessed(image: Path) -> bool:
    """Whether fMRIPrep, of any version, wrote this image as a preprocessed run."""
    return any(pattern.search(image.name) for pattern in _PREPROCESSED)


def find_images(root: Path, config: DataConfig) -> tuple[list[Path], Listed]:
    """Choose one image of each run.

    Parameters
    ----------
    root : Path
        Dataset.
    config : DataConfig
        Filters, and where derivatives lie.

    Returns
    -------
    images : list of Path
        All preprocessed in one space and resolution, or all raw.
    set_aside : list of (str, str)
        Images of runs that have no such image, with the reason.

    Raises
    ------
    DatasetError
        When there is none.
    InputError
        For a filter that nothing matches.
    """
    preprocessed = [] if config.raw else _preprocessed(root, config)
    found = preprocessed or _images([root], _RAW)
    if not found:
        raise DatasetError(
            f"no recording in {root}", wanted="*_bold.nii.gz below sub-*/func/"
        )
    for entity, asked in {
        "sub": config.participants,
        "task": config.tasks,
        "ses": config.sessions,
        "acq": (config.acquisition,),
    }.items():
        found = keep_asked(found, entity, asked, partial(_label, entity=entity))
    whole = [image for image in found if not _fault(image)]
    set_aside = [(image.name, _fault(image)) for image in found if _fault(image)]
    if preprocessed and whole:
        return _one_grid(whole, config, set_aside)
    return whole, set_aside


def _preprocessed(root: Path, config: DataConfig) -> list[Path]:
    if not config.derivatives:
        folders = [root, *_nested(root / "derivatives", 2)]
        return _images(folders, *_PREPROCESSED)
    folder = Path(config.derivatives)
    if not folder.is_dir():
        raise DatasetError(f"no such folder: {folder}", wanted="derivatives")
    found = _images(_nested(folder, 1), *_PREPROCESSED)
    if not found:
        raise DatasetError(
            f"no preprocessed recording in {folder}",
            wanted="*_desc-preproc_bold.nii.gz below sub-*/func/",
        )
    return found


def _nested(folder: Path, depth: int) -> list[Path]:
    """List a folder and those in it that may hold subjects, such as one a pipeline."""
    if depth == 0 or not folder.is_dir():
        return [folder]
    inside = sorted(
        path
        for path in folder.iterdir()
        if path.is_dir() and not path.name.startswith((".", "sub-"))
    )
    return [folder, *(deeper for path in inside for deeper in _nested(path, depth - 1))]


# Names that begin with a dot are what macOS leaves beside files.
def _images(folders: Iterable[Path], *patterns: re.Pattern[str]) -> list[Path]:
    return sorted(
        image
        for folder in folders
        for place in _PLACES
        for image in folder.glob(f"{place}/[!.]*.nii*")
        if any(pattern.search(image.name) for pattern in patterns)
    )


def _label(image: Path, entity: str) -> str:
    return entities(image.name).get(entity, "")


def _fault(image: Path) -> str:
    """Why an image is not a whole run by itself; empty where it is."""
    own = entities(image.name)
    if own.get("echo"):
        return (
            f"echo {own['echo']} of a multi-echo run; wanted the echoes combined; "
            "run fMRIPrep and read its derivatives"
        )
    if own.get("part", "mag") != "mag":
        return f"the {own['part']} part of a complex image; wanted its magnitude"
    return ""


# --- one space and resolution -----------------------------------------------------


def _one_grid(
    images: list[Path], config: DataConfig, set_aside: Listed
) -> tuple[list[Path], Listed]:
    """Keep one space and resolution, so that no run is read twice."""
    space = _choose(images, "space", config.space, _PREFERRED_SPACES)
    in_space = [image for image in images if _label(image, "space") == space]
    res = _choose(in_space, "res", config.resolution, _PREFERRED_RESOLUTIONS)
    kept = [image for image in in_space if _label(image, "res") == res]
    runs = {_run(image) for image in kept}
    where = f"space {space or '(none)'}" + (f" at resolution {res}" if res else "")
    lost = [image for image in images if _run(image) not in runs]
    return kept, [*set_aside, *((image.name, f"not in {where}") for image in lost)]


def _choose(
    images: Sequence[Path], entity: str, asked: str, preferred: Sequence[str]
) -> str:
    """Label to read: the one asked for, else the first preferred, else an MNI space."""
    there = sorted({_label(image, entity) for image in images})
    if asked:
        asked = asked.removeprefix(f"{entity}-")
        same = [label for label in there if same_label(entity, label, asked)]
        if not same:
            raise InputError(
                f"no recording in {entity} {asked!r}", wanted=f"one of {listed(there)}"
            )
        return same[0]
    usual = [label for label in preferred if label in there]
    return (usual or [label for label in there if label[:3] == "MNI"] or there)[0]


def _run(image: Path) -> tuple[str, ...]:
    return tuple(_label(image, entity) for entity in ("sub", *RUN_ENTITIES))


def same_label(entity: str, one: str | None, other: str | None) -> bool:
    """Whether two labels mean the same: runs are numbers, so 01 and 1 are one."""
    if one and other and entity in _NUMBERS and one.isdecimal() and other.isdecimal():
        return int(one) == int(other)
    return one == other
