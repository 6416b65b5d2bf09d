"""The one reader of tables: cells as text, ragged rows refused, numbers checked."""

from __future__ import annotations

import contextlib
import math
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from boldformer.data.files import read_text
from boldformer.errors import BadRunError, InputError

_MISSING = ("", "n/a")
# What other programs write for a missing cell: as a name it would become a class.
_MISSPELT = ("nan", "na", "<na>", "#n/a")


def read_table(
    path: Path,
    columns: Sequence[str] = (),
    error: type[InputError] = BadRunError,
) -> pd.DataFrame:
    """Read a tab-separated table as text, without judging its values.

    Byte order marks, line ends of any system, quotes around cells and blanks around
    them are taken off; lines without anything are passed over.

    Parameters
    ----------
    path : Path
        Table with a header.
    columns : sequence of str
        Columns it must have.
    error : type of InputError
        What to raise.

    Returns
    -------
    DataFrame of str
        Columns without a name are left out.

    Raises
    ------
    InputError
        When it cannot be read, a row has more or fewer cells than the header, a column
        is missing, or two have the same name.
    """
    lines = re.split(r"\r\n|\n|\r", read_text(path, error))
    rows = [
        [_cell(text) for text in line.split("\t")] for line in lines if line.strip()
    ]
    if not rows:
        raise error(
            f"{path.name} cannot be read as a table",
            wanted="columns separated by tabs, in UTF-8",
            received="nothing",
        )
    header, cells = rows[0], rows[1:]
    _refuse_ragged(path, header, cells, error)
    table = pd.DataFrame(cells, columns=header, dtype=object)
    twice = [name for name, n in Counter(header).items() if name and n > 1]
    if twice:
        raise error(f"{path.name}: two columns are called {twice[0]!r}")
    if "" in header:
        table = table.loc[:, [name != "" for name in header]]
    require_columns(path, table, columns, error)
    return table


def _refuse_ragged(
    path: Path, header: list[str], rows: list[list[str]], error: type[InputError]
) -> None:
    for number, row in enumerate(rows, start=1):
        if len(row) == len(header):
            continue
        named = len(row) == len(header) + 1 and all(
            len(other) == len(row) for other in rows
        )
        raise error(
            f"{path.name} cannot be read as a table: row {number} has another number "
            "of cells than the header",
            wanted=f"{len(header)} ({', '.join(header)})"[:120],
            received=f"{len(row)} ({', '.join(row)})"[:120],
            fix="give the column of row names a name, or leave it out "
            "(in R: row.names = FALSE)"
            if named
            else "",
        )


def require_columns(
    path: Path, table: pd.DataFrame, columns: Sequence[str], error: type[InputError]
) -> None:
    """Raise `error` when a table read from `path` lacks one of the columns."""
    missing = [name for name in columns if name not in table.columns]
    if not missing:
        return
    header = ", ".join(map(str, table.columns))
    alone = len(table.columns) == 1
    separator = next((mark for mark in ",; " if alone and mark in header), "")
    raise error(
        f"{path.name}: no column {missing[0]!r}",
        wanted=f"{', '.join(columns)}, separated by tabs",
        received=header[:120],
        fix=f"separate its columns by tabs, not by {separator!r}" if separator else "",
    )


def _cell(text: str) -> str:
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] == '"':
        return text[1:-1].replace('""', '"').strip()
    return text.strip('"').strip()


def said(cells: pd.Series) -> pd.Series:
    """Tell which cells say something, as booleans; only ``n/a`` and empty do not."""
    return cells.map(is_said).astype(bool)


def is_said(cell: str) -> bool:
    """Tell whether a cell says something; only ``n/a`` and empty do not."""
    return cell.casefold() not in _MISSING


def names(
    path: Path, cells: pd.Series, error: type[InputError] = BadRunError
) -> pd.Series:
    """Return a column of names, empty where they are missing.

    Raises
    ------
    InputError
        For what other programs write where a cell is missing, such as ``NaN``.
    """
    given = cells.tolist()
    for row, cell in enumerate(given):
        if cell.casefold() in _MISSPELT:
            wanted = "a name, or n/a where there is none"
            raise _unusable(path, cells, row, wanted, error)
    found = [cell if is_said(cell) else "" for cell in given]
    return pd.Series(found, cells.index, dtype=object, name=cells.name)


def numbers(
    path: Path, cells: pd.Series, error: type[InputError] = BadRunError
) -> pd.Series:
    """Return a column of finite numbers, NaN where they are missing.

    Parameters
    ----------
    path : Path
        Table, for the message.
    cells : Series of str
        Column of it.
    error : type of InputError
        What to raise.

    Raises
    ------
    InputError
        For a cell that is neither a finite number nor ``n/a`` or empty.
    """
    # A loop: what pandas spends on a column of a few dozen cells is many times more,
    # and a dataset may hold tens of thousands of tables.
    values = np.full(len(cells), np.nan)
    for row, cell in enumerate(cells.tolist()):
        if not is_said(cell):
            continue
        with contextlib.suppress(ValueError):
            # Python reads 1_000; nobody else writes it.
            values[row] = np.nan if "_" in cell else float(cell)
        if not math.isfinite(values[row]):
            wanted = "a number, or n/a where there is none"
            raise _unusable(path, cells, row, wanted, error)
    return pd.Series(values, cells.index, name=cells.name)


def _unusable(
    path: Path, cells: pd.Series, row: int, wanted: str, error: type[InputError]
) -> InputError:
    where = f"row {int(cells.index[row]) + 1}, column {cells.name!r}"
    return error(
        f"{path.name}: unusable cell in {where}",
        wanted=wanted,
        received=repr(cells.iloc[row])[:60],
    )
