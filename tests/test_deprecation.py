"""The rule of deprecation: a warning that says until when, and nothing kept longer."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import boldformer

SOURCE = Path(boldformer.__file__).parent
_REMOVAL = re.compile(r"removed in (\d+)\.(\d+)")


def warned(tree: ast.AST) -> Iterator[str]:
    """Texts of the deprecation warnings of a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and "DeprecationWarning" in ast.unparse(node):
            yield ast.unparse(node)


def overdue(source: str, version: str) -> list[str]:
    """Warnings that name no version of removal, or one that has come."""
    now = tuple(map(int, version.split(".")[:2]))
    found = []
    for text in warned(ast.parse(source)):
        named = _REMOVAL.search(text)
        if named is None or tuple(map(int, named.groups())) <= now:
            found.append(text)
    return found


def test_nothing_deprecated_outlives_its_version() -> None:
    files = {file: file.read_text(encoding="utf-8") for file in SOURCE.rglob("*.py")}
    late = {f.name: overdue(t, boldformer.__version__) for f, t in files.items()}
    assert not {name: texts for name, texts in late.items() if texts}


@pytest.mark.parametrize(
    ("message", "is_late"),
    [
        ("use fit_model; this is removed in 0.3", False),
        ("use fit_model; this is removed in 0.1", True),
        ("use fit_model", True),
    ],
)
def test_the_rule_finds_what_is_late(message: str, is_late: bool) -> None:
    source = f"warnings.warn({message!r}, DeprecationWarning, stacklevel=2)"
    assert bool(overdue(source, "0.1.0")) == is_late
