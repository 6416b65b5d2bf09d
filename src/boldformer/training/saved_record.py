"""What the record of a saved decoder must say, checked before it is used."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from boldformer.data.hashes import file_hash
from boldformer.errors import InputError

HASH = "hash"
Test = Callable[[Any], bool]


def facts_hash(record: Mapping[str, Any]) -> str:
    """SHA-256 of all that a record says, but for the hash in it.

    Parameters
    ----------
    record : mapping
        JSON-ready.
    """
    facts = {key: value for key, value in record.items() if key != HASH}
    text = json.dumps(facts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def said_hash(path: Path) -> str:
    """SHA-256 of a file; of what it says, where that is JSON."""
    if path.suffix == ".json":
        return facts_hash(json.loads(path.read_text(encoding="utf-8")))
    return file_hash(path)


def check_record(record: Mapping[str, Any], folder: Path) -> None:
    """Refuse a record that is incomplete, was changed, or makes no sense.

    Parameters
    ----------
    record : mapping
        As it was read.
    folder : Path
        Where, for the error.

    Raises
    ------
    InputError
        When a fact is missing, of another kind, or not what was written.
    """
    of_recordings = "pipeline" in record
    needed = _OF_RECORDINGS if of_recordings else _OF_ARRAYS
    for key, (wanted, holds) in {**_ALWAYS, **needed, **_SINCE_HASHES}.items():
        if key not in record:
            if key in _SINCE_HASHES:
                continue
            raise _unusable(folder, f"{key}: {wanted}", "none")
        if not holds(record[key]):
            raise _unusable(folder, f"{key}: {wanted}", f"{record[key]!r:.60}")
    classes = record["classes"]
    if of_recordings and not all(isinstance(name, str) for name in classes):
        raise _unusable(folder, "classes: names", f"{classes!r:.60}")
    if HASH in record and record[HASH] != facts_hash(record):
        raise InputError(
            f"the record of the decoder in {folder} was changed after it was written",
            wanted=f"facts of hash {str(record[HASH])[:16]}",
            received=f"hash {facts_hash(record)[:16]}",
            fix="take the folder as it was saved",
        )


def check_files(record: Mapping[str, Any], folder: Path) -> None:
    """Refuse a folder with other files than those that its record was written with.

    Parameters
    ----------
    record : mapping
        Of the decoder.
    folder : Path
        Where the files are.

    Raises
    ------
    InputError
        When a file is missing or another one.
    """
    for name, written in record.get("files", {}).items():
        try:
            same = Path(name).name == name and said_hash(folder / name) == written
        except (OSError, ValueError, RecursionError):
            same = False
        if not same:
            raise InputError(
                f"the decoder in {folder} was changed after it was written",
                wanted=f"the {name} it was saved with",
                received="another one, or none",
                fix="take the folder as it was saved",
            )


def check_model(
    record: Mapping[str, Any], described: Mapping[str, Any], folder: Path
) -> None:
    """Refuse a model of another number of classes than the record's.

    Parameters
    ----------
    record : mapping
        Of the decoder.
    described : mapping
        Of the model; see `boldformer.training.weights.read_architecture`.
    folder : Path
        Where, for the error.

    Raises
    ------
    InputError
        When the numbers differ.
    """
    outputs = described["config"].get("n_outputs")
    if outputs != len(record["classes"]):
        n = len(record["classes"])
        raise _unusable(folder, f"classes: {outputs!r:.20}, as the model has", str(n))


def _unusable(folder: Path, wanted: str, received: str) -> InputError:
    return InputError(
        f"{folder} holds no decoder that can be used", wanted=wanted, received=received
    )


def is_table(value: Any) -> bool:
    """Whether a value is a JSON object."""
    return isinstance(value, dict)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_duration(value: Any) -> bool:
    return _is_number(value) and math.isfinite(value) and value > 0


def _are_seconds(value: Any) -> bool:
    if not is_table(value):
        return False
    return all(_is_number(v) and math.isfinite(v) for v in value.values())


def _is_count(value: Any) -> bool:
    return type(value) is int and value > 0


def _are_classes(value: Any) -> bool:
    """Whether a list holds two labels or more, of one kind, each once."""
    if not isinstance(value, list) or len(value) < 2:
        return False
    if not all(isinstance(label, str) for label in value):
        kinds = {type(label) is bool for label in value}
        numbers = all(isinstance(v, (int, float)) and math.isfinite(v) for v in value)
        if len(kinds) > 1 or not numbers:
            return False
    return len(set(value)) == len(value)


def _is_shape(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(map(_is_count, value))


def _are_hashes(value: Any) -> bool:
    return is_table(value) and all(isinstance(text, str) for text in value.values())


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


_ALWAYS: dict[str, tuple[str, Test]] = {
    "classes": ("two or more labels, each once", _are_classes),
    "t_r": ("seconds, above 0", _is_duration),
    "model": ("a name", _is_text),
    "model_parameters": ("an object", is_table),
    "training": ("an object", is_table),
}
_OF_RECORDINGS: dict[str, tuple[str, Test]] = {
    "window": ("an object of finite seconds", _are_seconds),
    "pipeline": ("a list of steps", lambda value: isinstance(value, list)),
    "pipeline_hash": ("a hash", _is_text),
    "space": ("a name", _is_text),
}
_OF_ARRAYS: dict[str, tuple[str, Test]] = {
    "n_features_in": ("a number of features", _is_count),
}
# Folders of earlier versions lack these.
_SINCE_HASHES: dict[str, tuple[str, Test]] = {
    HASH: ("a hash", _is_text),
    "files": ("an object of hashes", _are_hashes),
    "parameters": ("an object", is_table),
    "shape": ("three sizes of the grid", _is_shape),
    "leaky": ("true or false", lambda value: isinstance(value, bool)),
}
