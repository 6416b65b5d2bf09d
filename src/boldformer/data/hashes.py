"""Hashes of files and recordings, to tell later whether they are still the same."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from boldformer.data.recording import Recording


def file_hash(path: Path) -> str:
    """SHA-256 of one file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def file_hashes(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Hash files of a folder, those of its sub-folders included.

    Parameters
    ----------
    folder : Path
        Where they lie.
    names : iterable of str
        Files and sub-folders; what is missing is left out.

    Returns
    -------
    dict of str to str
        SHA-256 by path in the folder, sorted.
    """
    listed = [folder / name for name in names]
    files = [
        f for path in listed for f in (path.rglob("*") if path.is_dir() else [path])
    ]
    return {
        file.relative_to(folder).as_posix(): file_hash(file)
        for file in sorted(files)
        if file.is_file()
    }


def source_of(recording: Recording) -> dict[str, str]:
    """Name of a recording's image, and what shows at a glance whether it changed.

    Parameters
    ----------
    recording : Recording
        Its files are not opened.

    Returns
    -------
    dict of str to str
        ``source``, and ``source_hash`` of names, sizes and times of the image, its mask
        and confounds, and of which frames are taken.

    Raises
    ------
    OSError
        When a file is not there.
    """
    stats = [(path, path.stat()) for path in _files_of(recording)]
    sources = [[path.name, s.st_size, s.st_mtime_ns] for path, s in stats]
    chosen = [recording.frames, recording.frame_numbers, recording.start_s]
    text = json.dumps([sources, chosen, recording.timing])
    return {
        "source": recording.bold.name,
        "source_hash": hashlib.sha256(text.encode()).hexdigest()[:16],
    }


def source_content(recording: Recording) -> str:
    """SHA-256 of what the files of a recording hold, wherever they lie.

    Raises
    ------
    OSError
        When a file cannot be read.
    """
    stats = [(path, path.stat()) for path in _files_of(recording)]
    each = [_content(path, s.st_size, s.st_mtime_ns) for path, s in stats]
    return hashlib.sha256(" ".join(each).encode()).hexdigest()


@functools.lru_cache(maxsize=4096)
def _content(path: Path, size: int, mtime_ns: int) -> str:
    # One file may hold many recordings; it is read once while it stays as it is.
    return file_hash(path)


def _files_of(recording: Recording) -> list[Path]:
    inputs = [recording.mask, recording.confounds]
    inputs += recording.volumes or (recording.bold,)
    return [path for path in inputs if path is not None]
