"""Whether values, as JSON and TOML hold them, are what a type hint asks for."""

from __future__ import annotations

import types
import typing
from collections.abc import Sequence
from typing import Any

_NAMES = {
    float: "a number",
    int: "a whole number",
    str: "text",
    bool: "true or false",
}
_UNIONS = (types.UnionType, typing.Union)


def fits(hint: Any, value: Any) -> bool:
    """Tell whether a JSON value fits a type hint."""
    kind = typing.get_origin(hint) or hint
    if kind in _UNIONS:
        return any(fits(option, value) for option in typing.get_args(hint))
    if kind is Any:
        return True
    if kind is typing.Literal:
        return value in typing.get_args(hint)
    if isinstance(value, bool):
        return kind is bool
    if kind is float:
        return isinstance(value, (int, float))
    if kind in (Sequence, tuple):
        items = typing.get_args(hint)[0]
        is_list = isinstance(value, (list, tuple))
        return is_list and all(fits(items, item) for item in value)
    return isinstance(value, kind)


def in_words(hint: Any) -> str:
    """Say what a type hint asks for."""
    kind = typing.get_origin(hint) or hint
    if kind in _UNIONS:
        return " or ".join(in_words(option) for option in typing.get_args(hint))
    if kind is typing.Literal:
        return f"one of {', '.join(map(repr, typing.get_args(hint)))}"
    if kind in (Sequence, tuple):
        return "a list"
    return _NAMES.get(kind, "a table")
