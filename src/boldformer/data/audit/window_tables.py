"""Window tables that other programs or people wrote, made fit for an audit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from boldformer.data.tables import names, numbers, read_table
from boldformer.errors import InputError

_ENTITIES = {"subject": "sub", "session": "ses", "task": "task", "run": "run"}
_NUMBERS = ("window", "onset", "first_frame", "n_frames", "n_run_frames", "t_r")


def read_windows(path: str | Path) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Read a table of windows, and the split that it may bring along.

    Parameters
    ----------
    path : path
        TSV with ``subject`` and ``label``, one row a window. ``session``, ``task``,
        ``run``, ``recording``, ``block``, ``onset``, ``first_frame``, ``n_frames``,
        ``n_run_frames``, ``t_r``, ``content_hash``, ``family`` and ``site`` are used
        where they are there; ``window`` numbers the rows from 0. With ``fold`` alone a
        window is tested in that fold and trains the others; with ``set`` as well, rows
        are those of a split file, several to a window.

    Returns
    -------
    windows : DataFrame, index 0 … n-1
        With ``window`` and ``recording``.
    split : DataFrame or None
        Columns ``window``, ``fold`` and ``set``.

    Raises
    ------
    InputError
        For a file that is no such table.
    """
    table = _read(Path(path))
    if "window" not in table:
        table.insert(0, "window", np.arange(len(table)))
    split = _split_in(table)
    windows = table.drop_duplicates("window").sort_values("window", ignore_index=True)
    windows = windows.drop(columns=["fold", "set"], errors="ignore")
    if (windows["window"] != np.arange(len(windows))).any():
        raise InputError(
            f"{path}: windows are not numbered without gaps",
            wanted=f"window 0 to {len(windows) - 1}",
            received=f"{windows['window'].min():g} to {windows['window'].max():g}",
        )
    return windows, split


def _read(path: Path) -> pd.DataFrame:
    table = read_table(path, (), InputError)
    missing = [name for name in ("subject", "label") if name not in table]
    if missing or table.empty:
        raise InputError(
            f"{path} is no table of windows",
            wanted="rows with at least the columns subject and label",
            received=", ".join(table.columns) if missing else "no rows",
            fix="give the dataset as DATA and a split file with --split",
        )
    for name in set(table):
        known = numbers if name in _NUMBERS else names
        table[name] = known(path, table[name], InputError)
        if name in _NUMBERS and table[name].isna().any():
            raise InputError(
                f"{path}: column {name!r} has gaps", wanted="a number in every row"
            )
    table["subject"] = table["subject"].str.removeprefix("sub-")
    whole = {"window", "first_frame", "n_frames"} & set(table)
    table = table.astype(dict.fromkeys(whole, np.int64))
    if "recording" not in table:
        table["recording"] = table.apply(_name, axis=1)
    return table


def _name(row: pd.Series) -> str:
    named = [(short, row.get(name, "")) for name, short in _ENTITIES.items()]
    return "_".join(f"{short}-{value}" for short, value in named if value)


def _split_in(table: pd.DataFrame) -> pd.DataFrame | None:
    if "set" in table:
        return table[["window", "set", *(["fold"] if "fold" in table else [])]]
    if "fold" not in table:
        return None
    # A window that several repeats test has a row, and a fold, in each of them.
    windows = table["window"].drop_duplicates()
    parts = [
        pd.DataFrame(
            {
                "window": windows,
                "fold": fold,
                "set": np.where(windows.isin(tested["window"]), "test", "train"),
            }
        )
        for fold, tested in table.groupby("fold", sort=False)
    ]
    return pd.concat(parts, ignore_index=True)
