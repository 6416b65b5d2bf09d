"""Keeping the recordings asked for, and closing a list of them into a dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

from boldformer.data.recording import Dataset, Recording
from boldformer.errors import DatasetError, InputError

Item = TypeVar("Item")


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
        Labels to keep; none keeps all.
    label_of : callable
        Label of an item.

    Raises
    ------
    InputError
        For a label that no item has, naming those there are.
    """
    labels = [label.removeprefix(f"{entity}-") for label in asked if label]
    if not labels:
        return list(items)
    there = {label_of(item) for item in items}
    missing = [label for label in labels if label not in there]
    if missing:
        raise InputError(
            f"no recording has {entity}-{missing[0]}",
            wanted=f"{entity} in {listed(there)}",
        )
    return [item for item in items if label_of(item) in labels]


def listed(labels: Iterable[str]) -> str:
    """Labels in sorted order for a message; an empty one as ``(none)``."""
    return ", ".join(sorted(label or "(none)" for label in labels))


def as_dataset(
    name: str,
    root: Path,
    recordings: Iterable[Recording],
    set_aside: Iterable[tuple[str, str]],
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
    for one, other in pairwise(kept):
        if one.name == other.name:
            raise DatasetError(
                f"two files are the same run {one.name}",
                received=f"{one.bold} and {other.bold}",
                fix="choose with --task, --acquisition, --space, --resolution "
                "or --derivatives",
            )
    return Dataset(name, root, tuple(kept), bad)
