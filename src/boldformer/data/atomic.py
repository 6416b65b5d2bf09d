"""Files and folders that appear under their final name only when complete."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from boldformer.errors import OutputExistsError

_PREFIX = ".partial-"
_LEFTOVER = re.compile(re.escape(_PREFIX) + r"(?P<host>.+)-(?P<pid>\d+)-[^-]+")


@contextlib.contextmanager
def atomic_path(
    path: str | Path, *, ours: Iterable[str] | None = None
) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it there if the block succeeds.

    The temporary name keeps the suffixes of the final one, since many writers choose
    their format by them. Works for files and for folders; an existing target is
    replaced. When the block fails the temporary is removed and `path` is untouched.

    Parameters
    ----------
    path : path
        Final file or folder. Parent folders are made.
    ours : iterable of str, optional
        What in an existing folder is ours to replace; everything else that the new
        folder lacks stays. Without it the folder as a whole is.

    Yields
    ------
    Path
        Where to write.

    Raises
    ------
    OutputExistsError
        When there is a folder where a file is to be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    owner = f"{_PREFIX}{socket.gethostname()}-{os.getpid()}-"
    holder = Path(tempfile.mkdtemp(prefix=owner, dir=path.parent))
    temporary = holder / path.name
    try:
        yield temporary
        if path.is_dir() and not path.is_symlink():
            if not temporary.is_dir():
                raise OutputExistsError(
                    f"{path} is a folder", wanted="a place for a file of this name"
                )
            if ours is not None:
                _copy_others(path, temporary, set(ours))
            path.rename(holder / "replaced")
        temporary.replace(path)
    finally:
        shutil.rmtree(holder, ignore_errors=True)


def _copy_others(old: Path, new: Path, ours: set[str]) -> None:
    """Copy what lies in a folder that is to be replaced and was not written by us."""
    for path in old.iterdir():
        target = new / path.name
        if path.name in ours or os.path.lexists(target):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.copytree(path, target, symlinks=True)
        else:
            shutil.copy2(path, target, follow_symlinks=False)


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes of this machine left half-written in a folder.

    What a running process, or one on another machine, is writing stays.
    """
    for path in folder.glob(f"{_PREFIX}*"):
        owner = _LEFTOVER.fullmatch(path.name)
        here = owner is not None and owner["host"] == socket.gethostname()
        if owner is not None and here and not _is_alive(int(owner["pid"])):
            shutil.rmtree(path, ignore_errors=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, content: Any) -> None:
    """Write JSON atomically; NaN and infinity, which JSON lacks, are refused."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def write_tsv(path: str | Path, table: pd.DataFrame) -> None:
    """Write a table atomically as BIDS wants it: tabs, and ``n/a`` for missing."""
    with atomic_path(path) as temporary:
        table.to_csv(
            temporary, sep="\t", index=False, na_rep="n/a", lineterminator="\n"
        )
