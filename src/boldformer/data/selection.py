"""Keeping the recordings asked for, and closing a list of them into a dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from boldformer.data.recording import Dataset, Recording
from boldformer.data.wording import first_of
from boldformer.errors import DatasetError, InputError

Item = TypeVar("Item")

# Entities whose labels are numbers: 01 and 1 are one.
NUMBERS = ("run", "echo", "flip", "inv", "split", "chunk")
_COUNTED = (*NUMBERS, "res")


def same_label(entity: str, one: str | None, other: str | None) -> bool:
    """Whether two labels mean the same: runs are numbers, so 01 and 1 are one."""
    if one and other and entity in _COUNTED and one.isdecimal() and other.isdecimal():
        return int(one) == int(other)
    return one == other


def keep_asked(
    items: Sequence[Item],
    entity: str,
    asked: Iterable[str],
    label_of: Callable[[Item], str],
) -> list[Item]:
    """Keep the items whose label of an entity is asked for.

    Parameters
    ----------
    items : sequence
        What there is.
    entity : str
        BIDS entity, such as ``task``; labels may be asked for with it as a prefix.
    asked : iterable of str
        Labels to keep, an empty one for items without the entity; none keeps all.
    label_of : callable
        Label of an item.

    Raises
    ------
    InputError
        For a label that no item has, naming those there are.
    """
    labels = [label.removeprefix(f"{entity}-") for label in asked]
    if not labels:
        return list(items)
    there = {label_of(item) for item in items}
    for label in labels:
        if not any(is_asked(entity, found, [label]) for found in there):
            raise InputError(
                f"no recording has {entity}-{label}"
                if label
                else f"every recording has the entity {entity}",
                wanted=f"{entity} in {listed(there)}",
            )
    return [item for item in items if is_asked(entity, label_of(item), labels)]


def is_asked(entity: str, label: str, asked: Iterable[str]) -> bool:
    """Whether a label is among those asked for, with or without its entity."""
    bare = (wanted.removeprefix(f"{entity}-") for wanted in asked)
    return any(same_label(entity, label, wanted) for wanted in bare)


def listed(labels: Iterable[str]) -> str:
    """Labels in sorted order for a message; an empty one as ``(none)``."""
    return ", ".join(sorted(label or "(none)" for label in labels))


def as_dataset(
    name: str,
    root: Path,
    recordings: Iterable[Recording],
    set_aside: Iterable[tuple[str, str]],
    notes: Iterable[str] = (),
) -> Dataset:
    """Sort recordings into a dataset.

    Parameters
    ----------
    name, root : str, Path
        What the dataset is called and where it lies.
    recordings : iterable of Recording
        What can be used.
    set_aside : iterable of (str, str)
        What cannot, each with its reason.
    notes : iterable of str
        What must be said of the rest.

    Raises
    ------
    DatasetError
        When nothing can be used, or two recordings are the same run.
    """
    kept = sorted(recordings, key=lambda recording: recording.name)
    bad = tuple(set_aside)
    if not kept:
        reasons = "; ".join(f"{what}: {why}" for what, why in bad[:2])
        raise DatasetError(f"no usable recording in {root}", received=reasons)
    _refuse_one_run_twice(kept)
    return Dataset(name, root, tuple(kept), bad, (*notes, *_uneven(kept)))


def _uneven(recordings: Sequence[Recording]) -> Iterator[str]:
    """Say that some runs have what others lack: they will be prepared otherwise."""
    for what in ("confounds", "mask"):
        lacking = [r.name for r in recordings if getattr(r, what) is None]
        if lacking and len(lacking) < len(recordings):
            yield (
                f"{len(lacking)} of {len(recordings)} runs have no {what}, which the "
                f"others have: {first_of(lacking)}"
            )


def _refuse_one_run_twice(recordings: Sequence[Recording]) -> None:
    first: dict[tuple[str, ...], Recording] = {}
    for recording in recordings:
        run = recording.run
        number = str(int(run)) if run.isdecimal() else run
        key = (recording.name.removesuffix(f"run-{run}"), number)
        other = first.setdefault(key, recording)
        if other is not recording:
            raise DatasetError(
                f"two files are the same run {recording.name}",
                received=f"{other.bold} and {recording.bold}",
                fix=_how_to_choose(other, recording),
            )


def _how_to_choose(one: Recording, other: Recording) -> str:
    """Name an entity that tells two files of one run apart, or what else may."""
    for entity in dict.fromkeys([*one.entities, *other.entities]):
        labels = [recording.entities.get(entity, "") for recording in (one, other)]
        if not same_label(entity, *labels):
            choices = " or ".join(f"--filter {entity}={label}" for label in labels)
            return f"choose with {choices}"
    return "choose with --derivatives, or remove one of the two"
