"""Whether a file is there, absent, or named without its content, and plausible."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

from boldformer.errors import BadRunError, DatasetError, InputError

# What git-annex and Git LFS leave where a file's content was not fetched.
_ANNEX = b"annex/objects/"
_LFS = b"version https://git-lfs.github.com/spec/"
_LONGEST_POINTER = 32_768
# A sidecar or a table beyond these is none; an image's voxels are not counted here.
MOST_TEXT_BYTES = 256 * 2**20


def is_named(path: Path) -> bool:
    """Whether there is a file of this name, be it a link that leads nowhere."""
    return os.path.lexists(path)


def require_content(path: Path, error: type[InputError] = BadRunError) -> None:
    """Raise `error` for a file whose content cannot be read.

    Parameters
    ----------
    path : Path
        File that something depends on.
    error : type of InputError
        What to raise.

    Raises
    ------
    InputError
        When it is missing, a link to nowhere, a pointer of git-annex, DataLad or
        Git LFS whose content was not fetched, or no regular file (such as a pipe,
        which would be waited for without end).
    """
    tool = _unfetched_by(path)
    if tool:
        raise error(f"{path.name}: content is not fetched: `{tool} {path}`")
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        raise error(f"{path.name}: the file is missing", received=str(path)) from None
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe, socket or device"
        raise error(
            f"{path.name}: cannot be read", wanted="a regular file", received=kind
        )


def _unfetched_by(path: Path) -> str:
    """Command that fetches what a pointer stands for; empty where it is no pointer."""
    if path.is_symlink() and not path.exists():
        target = os.fsencode(path.readlink())
        return "datalad get" if _ANNEX in target.replace(b"\\", b"/") else ""
    if not path.is_file() or path.stat().st_size > _LONGEST_POINTER:
        return ""
    try:
        with path.open("rb") as stream:
            first = stream.read(200)
    except OSError:  # the fault itself is reported when the file is read
        return ""
    if first.startswith(b"/" + _ANNEX):
        return "datalad get"
    return "git lfs pull --include" if first.startswith(_LFS) else ""


def read_text(path: Path, error: type[InputError] = BadRunError) -> str:
    """Read UTF-8 text, with or without a byte order mark.

    Raises
    ------
    InputError
        See `require_content`; also for other encodings and implausible sizes.
    """
    require_content(path, error)
    size = path.stat().st_size
    if size > MOST_TEXT_BYTES:
        raise error(
            f"{path.name}: implausibly large",
            wanted=f"at most {MOST_TEXT_BYTES >> 20} MiB of text",
            received=f"{size >> 20} MiB",
        )
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as problem:
        raise error(
            f"{path.name} cannot be read",
            wanted="text in UTF-8",
            received=str(problem)[:160],
        ) from None


def read_json(path: Path, error: type[InputError] = DatasetError) -> dict[str, Any]:
    """Read a JSON object.

    Parameters
    ----------
    path : Path
        File in UTF-8, with or without a byte order mark.
    error : type of InputError
        What to raise when it is no JSON object.
    """
    text = read_text(path, error)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as problem:
        nested = isinstance(problem, RecursionError)
        raise error(
            f"{path.name} cannot be read",
            wanted="JSON",
            received="brackets nested too deep" if nested else str(problem),
        ) from None
    if not isinstance(content, dict):
        raise error(f"{path.name} is not a JSON object")
    return content
