"""Filters over the entities of BIDS, by their short names or fMRIPrep's long ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from boldformer.data.files import read_json
from boldformer.errors import InputError, did_you_mean

# Names of BIDS 1.10, as they are in file names, and as pybids spells them.
_LONG = {
    "sub": "subject",
    "ses": "session",
    "task": "task",
    "acq": "acquisition",
    "ce": "ceagent",
    "trc": "tracer",
    "rec": "reconstruction",
    "dir": "direction",
    "run": "run",
    "mod": "modality",
    "echo": "echo",
    "flip": "flip",
    "inv": "inversion",
    "part": "part",
    "proc": "processing",
    "space": "space",
    "cohort": "cohort",
    "split": "split",
    "recording": "recording",
    "chunk": "chunk",
    "res": "resolution",
    "den": "density",
    "desc": "desc",
    "hemi": "hemisphere",
    "label": "label",
}
_SHORT = {long: short for short, long in _LONG.items()} | {"description": "desc"}
# What a query for functional images also says, and is true of all that is read.
_IMPLIED = {"datatype": "func", "suffix": "bold"}


def short_name(entity: str) -> str:
    """Entity as file names have it, from that or from its long name.

    Raises
    ------
    InputError
        For what is no entity of BIDS.
    """
    if entity in _LONG:
        return entity
    if entity in _SHORT:
        return _SHORT[entity]
    raise InputError(
        f"BIDS has no entity {entity!r}",
        wanted=f"one of {', '.join(_LONG)}",
        fix=did_you_mean(entity, [*_LONG, *_SHORT]),
    )


def read_filter_file(path: Path) -> dict[str, list[str]]:
    """Read what fMRIPrep's ``--bids-filter-file`` says of functional images.

    Parameters
    ----------
    path : Path
        JSON object with a query ``bold``: labels, or lists of them, by the long name of
        their entity; null for files without it. Queries for other images are passed
        over.

    Returns
    -------
    dict of str to list of str
        Labels by the short name of their entity.

    Raises
    ------
    InputError
        When it is no such file.
    """
    query = read_json(path, InputError).get("bold")
    if not isinstance(query, dict):
        raise InputError(
            f"{path.name} says nothing of functional images",
            wanted='{"bold": {"session": "01"}}',
        )
    found = {}
    for name, value in query.items():
        if name in _IMPLIED:
            if value not in (_IMPLIED[name], [_IMPLIED[name]]):
                raise InputError(
                    f"{path.name}: bold images are not of the {name} {value!r}",
                    wanted=_IMPLIED[name],
                )
            continue
        values = value if isinstance(value, list) else [value]
        found[short_name(name)] = [_label(path, name, label) for label in values]
    return found


def _label(path: Path, name: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, (str, int)) and not isinstance(value, bool):
        return str(value)
    raise InputError(
        f"{path.name}: unusable label of {name!r}",
        wanted="text, a number, null or a list of these",
        received=repr(value)[:60],
    )
