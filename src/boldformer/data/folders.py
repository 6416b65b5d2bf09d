"""Output folders: whose they are, and who writes to them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from filelock import BaseFileLock, FileLock, Timeout

from boldformer.data.atomic import remove_leftovers, write_json
from boldformer.data.places import LITTER
from boldformer.errors import OutputExistsError

MARKER = ".boldformer.json"
LOCK = ".boldformer.lock"
WORK = "work"
_FORMAT = "boldformer-folder"


class OutputFolder:
    """A folder that one job at a time writes to, and that knows what the job wrote.

    Used as a context: entering refuses a folder that is another's or is being written
    to, and locks it; `begin` makes it this job's own and removes what an earlier job
    wrote there, no other file; leaving it after an error, before anything was prepared,
    takes the claim back.

    Parameters
    ----------
    path : Path
        The folder; made where it is missing.
    job : str
        What writes to it, such as "a run".
    names : sequence of str
        Files and folders that the job writes, besides ``work``.
    settings : dict
        JSON-ready settings of the job.
    overwrite : bool
        Replace what a job of this kind with other settings wrote.
    repeatable : bool
        A finished job of the same settings may be given again; otherwise that takes
        `overwrite`. An unfinished one goes on.
    """

    def __init__(
        self,
        path: Path,
        job: str,
        names: Sequence[str],
        settings: dict[str, Any],
        *,
        overwrite: bool,
        repeatable: bool = False,
    ) -> None:
        self.path, self._job, self._names = path, job, tuple(names)
        self._settings = json.loads(json.dumps(settings))
        self._overwrite, self._repeatable = overwrite, repeatable
        self._lock = FileLock(path / LOCK)
        self._made: list[Path] = []
        self._begun = False
        self._before: dict[str, Any] = {}

    def __enter__(self) -> Self:
        """Check and lock the folder.

        Raises
        ------
        OutputExistsError
            When it holds something else, or another process writes to it.
        """
        # Looked at before anything is made there, and again under the lock.
        self._before = read_marker(self.path)
        self._check()
        self._make()
        _acquire(self._lock, self.path)
        try:
            self._before = read_marker(self.path)
            self._check()
            for folder in (self.path, *self._folders()):
                remove_leftovers(folder)
            if not self._before:
                self._write_marker(settings=None, done=False)
        except BaseException:
            self._release()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Say that the job is done, or take back a claim without anything in it."""
        try:
            if kind is None and self._begun:
                self._write_marker(settings=self._settings, done=True)
            elif not self._begun and not self._before and not self._has_work():
                (self.path / MARKER).unlink(missing_ok=True)
                shutil.rmtree(self.path / WORK, ignore_errors=True)
        finally:
            self._release()

    def begin(self) -> None:
        """Make the folder this job's own; results of other settings are removed."""
        if self._before.get("settings") != self._settings or not self._repeatable:
            self._clear()
        self._begun = True
        self._write_marker(settings=self._settings, done=False)

    def _make(self) -> None:
        for folder in (self.path, *self.path.parents):
            if folder.exists():
                break
            self._made.append(folder)
        self.path.mkdir(parents=True, exist_ok=True)

    def _check(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise OutputExistsError(
                f"{self.path} is a file", wanted="a folder to write to"
            )
        if not self.path.is_dir():
            return
        there = {path.name for path in self.path.iterdir()}
        there -= {MARKER, LOCK, *LITTER}
        there = {name for name in there if not name.startswith(".partial-")}
        before = self._before
        if not there:
            self._before = {}
            return
        if before.get("job") != self._job:
            what = before.get("job", "other files")
            raise OutputExistsError(
                f"{self.path} holds {what}, which --overwrite does not touch"
                if self._overwrite
                else f"{self.path} holds {what}",
                fix="choose another folder",
            )
        settings = before.get("settings")
        if self._overwrite or settings is None:
            return
        differing = differences(settings, self._settings)
        if differing and (self._repeatable or before["done"]):
            raise OutputExistsError(
                f"{self.path} already holds {self._job} of other settings",
                wanted="the same ones",
                received="; ".join(differing),
                fix="choose another folder, or replace what it wrote with --overwrite",
            )
        if before["done"] and not self._repeatable:
            raise OutputExistsError(
                f"{self.path} holds the results of {self._job}",
                fix="choose another folder, or replace them with --overwrite",
            )

    def _clear(self) -> None:
        """Remove the files that an earlier job wrote, and folders left empty."""
        before = self._before
        written = before.get("written") or self._present(before.get("others", ()))
        for name in written:
            (self.path / name).unlink(missing_ok=True)
        for name in self._names:
            remove_empty_folders(self.path / name)

    def _present(self, but: Iterable[str] = ()) -> list[str]:
        """Files under the names that the job writes."""
        files = [
            file.relative_to(self.path).as_posix()
            for name in self._names
            for file in (self.path / name, *(self.path / name).rglob("*"))
            if file.is_file() or file.is_symlink()
        ]
        return sorted(set(files) - set(but))

    def _folders(self) -> list[Path]:
        names = (*self._names, WORK)
        found = [self.path / name for name in names if (self.path / name).is_dir()]
        return [*found, *(f for top in found for f in top.rglob("*") if f.is_dir())]

    def _has_work(self) -> bool:
        """Whether anything was prepared or fitted that a later job can use."""
        files = (file for file in (self.path / WORK).rglob("*") if file.is_file())
        return any(file.name != LOCK for file in files)

    def _write_marker(self, *, settings: dict[str, Any] | None, done: bool) -> None:
        others = self._before.get("others")
        if others is None or self._before.get("written"):
            others = self._present(self._before.get("written") or ())
        if done:
            others = read_marker(self.path).get("others", [])
        write_json(
            self.path / MARKER,
            {
                "format": _FORMAT,
                "version": 1,
                "job": self._job,
                "settings": settings,
                "done": done,
                "written": self._present(others) if done else [],
                # Files under the same names that lay here before, and stay.
                "others": others,
                "process": f"process {os.getpid()} on {socket.gethostname()}",
            },
        )

    def _release(self) -> None:
        self._lock.release()
        left = {path.name for path in self.path.iterdir()}
        if left <= {LOCK}:
            (self.path / LOCK).unlink(missing_ok=True)
            for folder in self._made:
                _remove_empty(folder)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes from writing to a folder, which is made where missing.

    Raises
    ------
    OutputExistsError
        When one does so already.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    _acquire(lock, folder)
    try:
        yield
    finally:
        lock.release()


def _acquire(lock: BaseFileLock, folder: Path) -> None:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise OutputExistsError(
            f"{folder} is being written to by another process",
            received=read_marker(folder).get("process", ""),
            fix="wait for it, or choose another folder",
        ) from None


def read_marker(folder: Path) -> dict[str, Any]:
    """Read what a job left to tell its folder by; empty where there is none."""
    try:
        found = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    sound = isinstance(found, dict) and found.get("format") == _FORMAT
    return found if sound else {}


def differences(there: dict[str, Any], asked: dict[str, Any]) -> list[str]:
    """Name the settings that differ, such as ``"seed: 5 there, 3 asked for"``."""
    found: list[str] = []

    def compare(one: Any, other: Any, where: str) -> None:
        if isinstance(one, dict) and isinstance(other, dict):
            for key in dict.fromkeys([*one, *other]):
                compare(one.get(key), other.get(key), f"{where}.{key}".lstrip("."))
        elif one != other:
            pair = f"{_brief(one)} there, {_brief(other)} asked for"
            found.append(f"{where}: {pair}")

    compare(there, asked, "")
    return found


def _brief(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:79]}…"


def remove_empty_folders(top: Path) -> None:
    """Remove a folder and those in it, as far as there is nothing in them."""
    for folder in (*sorted(top.rglob("*"), reverse=True), top):
        _remove_empty(folder)


def _remove_empty(folder: Path) -> None:
    if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
        folder.rmdir()
