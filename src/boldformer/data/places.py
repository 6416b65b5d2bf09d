"""Where output may lie: never in what is read, nor among other files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from boldformer.errors import InputError, OutputExistsError

# What a store holds beside prepared runs.
STORE_TABLES = ("runs.tsv", "set_aside.tsv")
# Folders of a BIDS dataset that are there to be written to.
_OPEN_TO_OUTPUT = ("derivatives", "code")
# What file browsers leave behind.
LITTER = (".DS_Store", "Thumbs.db", "desktop.ini")


def check_place(out: Path, inputs: Iterable[str | Path]) -> None:
    """Refuse an output folder that would mix with what is read.

    Parameters
    ----------
    out : Path
        Where to write.
    inputs : iterable of path
        Folders or files that are read; those that are not there are passed over.

    Raises
    ------
    InputError
        When `out` is an input, holds one, or lies in one outside ``derivatives/`` and
        ``code/``.
    """
    place = out.resolve()
    for given in inputs:
        if not str(given) or not Path(given).exists():
            continue
        source = Path(given).resolve()
        fix = f"choose a folder elsewhere, or in {source / _OPEN_TO_OUTPUT[0]}"
        if place == source:
            raise InputError(
                f"the output folder is the input: {out}",
                wanted="another folder, so that nothing of the input is replaced",
                fix=fix,
            )
        if place in source.parents:
            raise InputError(
                f"the input lies inside the output folder {out}",
                wanted="an output folder apart from the input",
                received=str(given),
                fix="choose a folder beside the input",
            )
        if source in place.parents:
            first, *rest = place.relative_to(source).parts
            if first not in _OPEN_TO_OUTPUT or not rest:
                raise InputError(
                    f"the output folder lies inside the input {given}",
                    wanted="one elsewhere, or a folder of its own in "
                    + " or ".join(f"{name}/" for name in _OPEN_TO_OUTPUT),
                    received=str(out),
                    fix=fix,
                )


def check_store(store: Path, inputs: Iterable[str | Path]) -> None:
    """Refuse a folder for prepared runs that is an input or holds other files.

    Raises
    ------
    InputError
        See `check_place`.
    OutputExistsError
        When it holds anything but prepared runs and their tables.
    """
    check_place(store, inputs)
    if store.exists() and not store.is_dir():
        raise OutputExistsError(f"{store} is a file", wanted="a folder to write to")
    for path in sorted(store.iterdir()) if store.is_dir() else ():
        ours = (path / "run.json").is_file() or path.name in (*STORE_TABLES, *LITTER)
        if not ours and not path.name.startswith("."):
            raise OutputExistsError(
                f"{store} holds other files",
                wanted="an empty folder, or one of prepared runs",
                received=path.name,
                fix="choose another folder",
            )
