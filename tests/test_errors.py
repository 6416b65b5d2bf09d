"""Errors are one line that says what to do, and cross process borders."""

from __future__ import annotations

import pickle

import pytest

from boldformer import errors
from boldformer.errors import BoldFormerError

KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, BoldFormerError)
]


@pytest.mark.parametrize("kind", KINDS)
def test_one_line_with_everything_in_it(kind: type[BoldFormerError]) -> None:
    error = kind("it broke.", wanted="a\nb", received="c", fix="do d")
    assert str(error) == "it broke; wanted a b; received c; do d"


@pytest.mark.parametrize("kind", KINDS)
def test_errors_travel_between_processes(kind: type[BoldFormerError]) -> None:
    error = kind("it broke", wanted="more", fix="try again")
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is kind
    assert str(back) == str(error)


def test_exit_codes() -> None:
    assert errors.LeakageError("x").exit_code == 3
    assert errors.InputError("x").exit_code == 2
    assert isinstance(errors.InputError("x"), ValueError)
    assert isinstance(errors.MissingExtraError("x"), ImportError)


def test_a_missing_extra_is_named() -> None:
    with pytest.raises(errors.MissingExtraError, match=r"\[onnx\]"):
        errors.import_extra("a_library_nobody_has", "onnx")
