"""Settings as dictionaries and as TOML, there and back."""

from __future__ import annotations

import dataclasses
import tomllib
import types
import typing
from pathlib import Path
from typing import Any

import tomli_w

from boldformer.config.run import RunConfig
from boldformer.errors import InputError, did_you_mean


def to_dict(config: Any) -> dict[str, Any]:
    """Plain, JSON- and TOML-ready form of a configuration dataclass."""

    def plain(value: Any) -> Any:
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {
                f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)
            }
        if isinstance(value, (tuple, list)):
            return [plain(item) for item in value]
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        return value

    return plain(config)


def from_dict(kind: type, values: dict[str, Any], where: str = "") -> Any:
    """Build the configuration dataclass `kind` from plain values.

    Raises
    ------
    InputError
        For a key the class does not have (with the nearest one it has), or a value
        of another type.
    """
    hints = typing.get_type_hints(kind)
    names = [f.name for f in dataclasses.fields(kind)]
    for key in values:
        if key not in names:
            raise InputError(
                f"unknown setting {where + key!r}",
                wanted=f"one of {', '.join(names)}",
                fix=did_you_mean(key, names) or "remove it",
            )
    built = {
        key: _coerce(hints[key], value, f"{where}{key}")
        for key, value in values.items()
    }
    return kind(**built)


def _coerce(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, dict):
            raise InputError(
                f"setting {where!r} is not a table", received=repr(value)[:60]
            )
        return from_dict(typing.cast(type, hint), value, f"{where}.")
    origin = typing.get_origin(hint)
    if origin is tuple and isinstance(value, (list, tuple)):
        item_type = typing.get_args(hint)[0]
        return tuple(_coerce(item_type, item, where) for item in value)
    expected = origin or hint
    if expected is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    is_bool_for_number = isinstance(value, bool) and expected is not bool
    if not isinstance(value, expected) or is_bool_for_number:
        wanted = str(hint) if isinstance(hint, types.GenericAlias) else hint.__name__
        raise InputError(
            f"setting {where!r} has the wrong type",
            wanted=wanted,
            received=repr(value)[:60],
        )
    return value


def to_toml(config: Any) -> str:
    """Write a configuration dataclass as TOML text that `from_toml` reads back."""
    return tomli_w.dumps(to_dict(config))


def from_toml(text: str, kind: type = RunConfig) -> Any:
    """Read a configuration dataclass from TOML text.

    Raises
    ------
    InputError
        For text that is not TOML, unknown settings or values of the wrong type.
    """
    try:
        values = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError("the configuration is not TOML", received=str(error)) from None
    return from_dict(kind, values)


def parse_value(text: str) -> Any:
    """Read a value as TOML writes it (``0.2``, ``true``, ``[1, 2]``), else as text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return text


def load(path: Path, kind: type = RunConfig) -> Any:
    """Read a configuration dataclass from a TOML file (see `from_toml`)."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"cannot read the configuration {str(path)!r}", received=str(error)
        ) from None
    return from_toml(text, kind)
