"""Which images of a BIDS dataset are read: derivatives, spaces, resolutions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from types import MappingProxyType

from boldformer.config import DataConfig
from boldformer.data.files import is_named
from boldformer.data.selection import (
    NUMBERS,
    is_asked,
    keep_asked,
    listed,
    same_label,
)
from boldformer.errors import DatasetError, InputError

RUN_ENTITIES = ("ses", "task", "acq", "ce", "rec", "dir", "run")
# What says where voxels lie and how they were made, not which run it is.
GRID_ENTITIES = ("space", "cohort", "res", "desc")
_PLACES = ("sub-*/func", "sub-*/ses-*/func", "sub-*", "sub-*/ses-*")
_PREFERRED_SPACES = ("MNI152NLin2009cAsym", "MNI152NLin6Asym")
_PREFERRED_RESOLUTIONS = ("", "2")
# fMRIPrep from 1.2 on, and up to 1.1; a suffix says that more was taken out by hand.
_PREPROCESSED = (
    re.compile(r"_desc-preproc_bold(_denoised)?\.nii(\.gz)?$"),
    re.compile(r"_bold(?!.*_variant-)_.*preproc\.nii(\.gz)?$"),
)
_RAW = re.compile(r"^(?!.*_(desc|space)-).*_bold\.nii(\.gz)?$")
# fMRIPrep up to 1.1 has its old suffix in the middle of a name.
_WORDS = ("bold",)
_LABEL = re.compile(r"[0-9A-Za-z+]+")
_EXTENSION = re.compile(r"\.(nii(\.gz)?|json|tsv(\.gz)?|txt)$")

Listed = list[tuple[str, str]]


@lru_cache(maxsize=1 << 16)
def entities(name: str) -> MappingProxyType[str, str]:
    """BIDS entities that a file name states, such as ``{"sub": "01"}``."""
    if "." not in name:  # a BIDS file has an extension
        return MappingProxyType({})
    pairs = (part.partition("-") for part in _EXTENSION.sub("", name).split("_"))
    return MappingProxyType({key: label for key, _, label in pairs if label})


@lru_cache(maxsize=1 << 16)
def misnamed(name: str) -> str:
    """Part of a file's name that BIDS does not allow; empty for a sound name.

    Labels are letters, digits and plus signs, those of runs and echoes are digits, and
    no entity occurs twice.
    """
    *parts, last = _EXTENSION.sub("", name).split("_")
    seen: set[str] = set()
    for part in (*parts, last) if "-" in last else parts:
        key, dash, label = part.partition("-")
        sound = _LABEL.fullmatch(label) and key.isalnum() and key not in seen
        if key in NUMBERS and not label.isdecimal():
            sound = None
        if not sound and not (not dash and part in _WORDS):
            return part
        seen.add(key)
    return ""


def is_preprocessed(image: Path) -> bool:
    """Whether fMRIPrep, of any version, wrote this image as a preprocessed run."""
    return any(pattern.search(image.name) for pattern in _PREPROCESSED)


def find_images(
    root: Path, config: DataConfig, raw_roots: Sequence[Path] = ()
) -> tuple[list[Path], Listed, list[str]]:
    """Choose one image of each run.

    Parameters
    ----------
    root : Path
        Dataset.
    config : DataConfig
        Filters, and where derivatives lie.
    raw_roots : sequence of Path
        Other folders that hold the raw runs of preprocessed ones.

    Returns
    -------
    images : list of Path
        All preprocessed in one space and resolution, or all raw.
    set_aside : list of (str, str)
        Images of runs that have no such image, or are misnamed, with the reason.
    notes : list of str
        What must be said of the choice.

    Raises
    ------
    DatasetError
        When there is none.
    InputError
        For a filter that nothing matches, or a space of raw images.
    """
    whole = partial(_told_apart, fault=partial(_fault, filters=config.filters))
    raw, bad_raw = _told_apart(_images([root], _RAW), _name_fault)
    found = [] if config.raw else _preprocessed(root, config)
    preprocessed, bad = _told_apart(found, _name_fault)
    if not preprocessed:
        notes = _without_derivatives(root, config, bad)
        kept, set_aside = whole(_kept(raw, config, bad_raw + bad, root))
        return kept, bad_raw + bad + set_aside, notes
    kept, set_aside = whole(_kept(preprocessed, config, bad, root))
    if kept:
        kept, set_aside = _one_grid(kept, config, set_aside)
    others, _ = _told_apart(_images(raw_roots, _RAW), _name_fault)
    lost = _unprocessed(preprocessed, _runs_asked([*raw, *others], config))
    return kept, bad + set_aside + lost, []


def _without_derivatives(root: Path, config: DataConfig, bad: Listed) -> list[str]:
    """Refuse or say that raw images are read."""
    for option, asked in {
        "space": config.space,
        "resolution": config.resolution,
    }.items():
        if asked:
            raise InputError(
                f"--{option} {asked} was asked for, and no preprocessed recording "
                f"matches in {root}",
                wanted="*_desc-preproc_bold.nii.gz, in derivatives/ or --derivatives",
                received=bad[0][1]
                if bad
                else "raw recordings, in the scanner's space"
                if config.raw
                else "none",
                fix=f"leave --{option} out to read raw recordings",
            )
    if config.raw or not is_named(root / "derivatives"):
        return []
    return [
        "Raw recordings are read: no *_desc-preproc_bold.nii.gz is in derivatives/."
    ]


def _told_apart(
    images: Iterable[Path], fault: Callable[[Path], str]
) -> tuple[list[Path], Listed]:
    """Tell images without a fault from others, with the reason."""
    kept, bad = [], []
    for image in images:
        reason = fault(image)
        if reason:
            bad.append((image.name, reason))
        else:
            kept.append(image)
    return kept, bad


def _name_fault(image: Path) -> str:
    part = misnamed(image.name)
    if part:
        return (
            f"the name {part!r} is not BIDS; wanted letters and digits after "
            f"the hyphen ({' and '.join(NUMBERS[:2])}: digits), and each entity once; "
            "rename it"
        )
    own, above = entities(image.name), [p.name for p in image.parents[:3]]
    within = next((n for n, name in enumerate(above) if name[:4] == "sub-"), 2)
    for entity in ("sub", "ses"):
        folders = [n for n in above[: within + 1] if n.startswith(f"{entity}-")]
        stated = f"{entity}-{own[entity]}" if entity in own else ""
        if (folders or entity == "sub") and folders[:1] != [stated]:
            where = folders[0] if folders else f"no folder {entity}-*"
            return (
                f"it lies in {where} and its name says {stated or f'no {entity}-'}; "
                "rename one of the two"
            )
    return ""


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


# --- filters ----------------------------------------------------------------------


def _filters(config: DataConfig) -> Iterator[tuple[str, Sequence[str]]]:
    """Yield every entity that is asked for, with the labels to keep."""
    yield "sub", config.participants
    yield "task", config.tasks
    yield "ses", config.sessions
    yield "acq", (config.acquisition,) if config.acquisition else ()
    for entity, labels in config.filters.items():
        yield entity, [labels] if isinstance(labels, str) else labels


def _kept(
    images: Sequence[Path], config: DataConfig, bad: Listed, root: Path
) -> list[Path]:
    if not images:
        raise DatasetError(
            f"no recording in {root}",
            wanted="*_bold.nii.gz below sub-*/func/",
            received=f"{bad[0][0]}: {bad[0][1]}" if bad else "",
        )
    found = list(images)
    for entity, asked in _filters(config):
        found = keep_asked(found, entity, asked, partial(_label, entity=entity))
    return found


def _runs_asked(images: Iterable[Path], config: DataConfig) -> list[Path]:
    """Raw images of the runs that filters ask for, as far as they speak of runs."""
    found = list(images)
    for entity, asked in _filters(config):
        if asked and entity in ("sub", *RUN_ENTITIES):
            found = [i for i in found if is_asked(entity, _label(i, entity), asked)]
    return found


def _unprocessed(preprocessed: Iterable[Path], raw: Iterable[Path]) -> Listed:
    """Raw runs that have no preprocessed image in any space."""
    runs = {_run(image) for image in preprocessed}
    lost = {_run(image): image.name for image in raw if _run(image) not in runs}
    reason = "this run has no preprocessed image; others have (--raw reads raw ones)"
    return [(name, reason) for name in sorted(lost.values())]


def _fault(image: Path, filters: Mapping[str, object]) -> str:
    """Why an image is not a whole run by itself; empty where it is."""
    own = entities(image.name)
    if own.get("echo") and "echo" not in filters:
        return (
            f"echo {own['echo']} of a multi-echo run; wanted the echoes combined; "
            "run fMRIPrep and read its derivatives, or choose one with --filter echo=N"
        )
    if own.get("part", "mag") != "mag":
        return f"the {own['part']} part of a complex image; wanted its magnitude"
    return ""


# --- one space and resolution -----------------------------------------------------


def _one_grid(
    images: list[Path], config: DataConfig, set_aside: Listed
) -> tuple[list[Path], Listed]:
    """Keep one space, cohort and resolution, so that no run is read twice."""
    space, *modifiers = config.space.removeprefix("space-").split(":")
    asked = {"space": space, "cohort": "", "res": config.resolution}
    for modifier in modifiers:  # as fMRIPrep spells MNIPediatricAsym:cohort-1:res-2
        entity, _, label = modifier.partition("-")
        if entity not in ("cohort", "res") or not label:
            raise InputError(
                f"unknown part {modifier!r} of the space",
                wanted="SPACE, SPACE:cohort-1 or SPACE:res-2",
                received=config.space,
            )
        asked[entity] = label
    preferred = (_PREFERRED_SPACES, ("",), _PREFERRED_RESOLUTIONS)
    kept, chosen = images, []
    for (entity, wanted), usual in zip(asked.items(), preferred, strict=True):
        label = _choose(kept, entity, wanted, usual)
        kept = [image for image in kept if _label(image, entity) == label]
        chosen += (
            [f"{entity} {label or '(none)'}"] if label or entity == "space" else []
        )
    runs = {_run(image) for image in kept}
    lost = [image for image in images if _run(image) not in runs]
    reason = f"not in {', '.join(chosen)}"
    return kept, set_aside + [(image.name, reason) for image in lost]


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
    """Which run an image is of; runs are numbers, so 01 and 1 are one."""
    labels = [_label(image, entity) for entity in ("sub", *RUN_ENTITIES)]
    labels[-1] = labels[-1].lstrip("0") if labels[-1].isdecimal() else labels[-1]
    return tuple(labels)
