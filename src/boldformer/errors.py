"""Errors a user can act on: what was wanted, what was received, what to do."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from types import ModuleType


class BoldFormerError(Exception):
    """Base of every error BoldFormer raises on purpose; prints as one line.

    Parameters
    ----------
    problem : str
        What went wrong, in a few words.
    wanted, received, fix : str, optional
        What was expected, what was found instead, and what the user can do.
    """

    exit_code = 2

    def __init__(
        self, problem: str, *, wanted: str = "", received: str = "", fix: str = ""
    ) -> None:
        parts = [problem.rstrip(".")]
        parts += [f"wanted {wanted}"] if wanted else []
        parts += [f"received {received}"] if received else []
        parts += [fix] if fix else []
        line = "; ".join(part.replace("\n", " ") for part in parts)
        super().__init__(line)
        self.parts = {
            "problem": problem,
            "wanted": wanted,
            "received": received,
            "fix": fix,
        }

    def __reduce__(self) -> tuple:
        # Exceptions cross process borders (parallel preparation) by pickling
        # their arguments; keyword-only ones need help.
        return _rebuild, (type(self), self.parts)


def _rebuild(kind: type[BoldFormerError], parts: dict[str, str]) -> BoldFormerError:
    keywords = {key: value for key, value in parts.items() if key != "problem"}
    return kind(parts["problem"], **keywords)


class InputError(BoldFormerError, ValueError):
    """A value, file or dataset that cannot be used as it is."""


class DatasetError(InputError):
    """A folder that is not the dataset it should be, or holds nothing usable."""


class BadRunError(InputError):
    """One run that cannot be used; a cohort sets it aside and goes on."""


class OutputExistsError(BoldFormerError, FileExistsError):
    """The output folder holds something that must not be overwritten silently."""


class MismatchError(InputError):
    """A model and data that were prepared in different ways."""


class LeakageError(BoldFormerError):
    """Training and test data share something that makes the score meaningless."""

    exit_code = 3


class MissingExtraError(BoldFormerError, ImportError):
    """An optional library is needed and not installed."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Suggest the known name that is nearest to another one; empty without any."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {near[0]!r}?" if near else ""


def import_extra(module: str, extra: str) -> ModuleType:
    """Import an optional library, or say which extra installs it.

    Parameters
    ----------
    module : str
        Name to import.
    extra : str
        The extra of this package that brings it.

    Raises
    ------
    MissingExtraError
        When the library is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"this needs the library {module!r}, which is not installed",
            # The name is not on PyPI yet.
            fix=f"pip install '.[{extra}]' in the folder of this package's source",
        ) from error
