"""Tables, JSON files and headers that say what an image is, read tolerantly."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd

from boldformer.errors import BadRunError, DatasetError, InputError

_SECONDS = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6}


def read_json(path: Path, error: type[InputError] = DatasetError) -> dict[str, Any]:
    """Read a JSON object.

    Parameters
    ----------
    path : Path
        File in UTF-8, with or without a byte order mark.
    error : type of InputError
        What to raise when it is no JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as problem:
        raise error(
            f"{path.name} cannot be read", wanted="JSON", received=str(problem)
        ) from None
    if not isinstance(content, dict):
        raise error(f"{path.name} is not a JSON object")
    return content


def read_table(
    path: Path, columns: tuple[str, ...], error: type[InputError] = BadRunError
) -> pd.DataFrame:
    """Read a tab-separated table as text, without judging its values.

    Byte order marks, Windows line ends, quotes around cells and blanks around them are
    taken off; a missing cell is an empty string.

    Parameters
    ----------
    path : Path
        Table with a header.
    columns : tuple of str
        Columns it must have.
    error : type of InputError
        What to raise when it cannot be read, or a column is missing.

    Returns
    -------
    DataFrame of str
    """
    try:
        table = pd.read_csv(
            path,
            sep="\t",
            dtype=str,
            encoding="utf-8-sig",
            keep_default_na=False,
            index_col=False,
            quoting=csv.QUOTE_NONE,
        )
    except (OSError, ValueError) as problem:
        raise error(
            f"{path.name} cannot be read as a table",
            wanted="columns separated by tabs, in UTF-8",
            received=str(problem).strip().split("\n", 1)[0],
        ) from None
    table = table.fillna("").map(_cell)
    table.columns = [_cell(str(name)) for name in table.columns]
    require_columns(path, table, columns, error)
    return table


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
    return text.strip().strip('"').strip()


def named(values: pd.Series) -> pd.Series:
    """Tell which cells of a text column say something, as booleans."""
    return ~values.str.casefold().isin(["", "n/a", "nan"])


def read_events(path: Path) -> pd.DataFrame:
    """Read a BIDS events table.

    Parameters
    ----------
    path : Path
        ``*_events.tsv``.

    Returns
    -------
    DataFrame
        ``onset`` and ``duration`` in seconds, ``trial_type``; sorted by onset. Rows
        without a number for the onset or without a type are dropped; a missing or
        negative duration counts as zero.

    Raises
    ------
    BadRunError
        When columns are missing or no row is usable.
    """
    table = read_table(path, ("onset", "duration", "trial_type"))
    duration = pd.to_numeric(table["duration"], errors="coerce")
    events = pd.DataFrame(
        {
            "onset": pd.to_numeric(table["onset"], errors="coerce").astype(float),
            "duration": duration.where(np.isfinite(duration) & (duration > 0), 0.0),
            "trial_type": table["trial_type"],
        }
    )
    events = events[np.isfinite(events["onset"]) & named(events["trial_type"])]
    if events.empty:
        raise BadRunError(
            f"{path.name}: no usable event",
            wanted="rows with a number for the onset and a trial type",
            received=f"{len(table)} rows",
        )
    return events.sort_values("onset", kind="stable").reset_index(drop=True)


def read_participants(folder: Path) -> dict[str, dict[str, str]]:
    """Read ``participants.tsv`` where there is one.

    Parameters
    ----------
    folder : Path
        Dataset.

    Returns
    -------
    dict of str to dict
        Each subject's row (the first, where there are several) by its label without
        ``sub-``; empty without the file.

    Raises
    ------
    DatasetError
        When the file is no table with ``participant_id``.
    """
    file = folder / "participants.tsv"
    if not file.exists():
        return {}
    table = read_table(file, ("participant_id",), DatasetError)
    table = table.drop_duplicates("participant_id").set_index("participant_id")
    return {
        str(label).removeprefix("sub-"): {str(k): str(v) for k, v in row.items()}
        for label, row in table.to_dict("index").items()
    }


def header_t_r(path: Path) -> float | None:
    """Repetition time in seconds that a NIfTI header states, with its unit, or None."""
    try:
        header: Any = nib.load(path).header
        value, unit = float(header["pixdim"][4]), header.get_xyzt_units()[1]
    except Exception:  # the fault itself is reported when the run is read
        return None
    if unit not in _SECONDS or not math.isfinite(value) or value <= 0:
        return None
    # Headers hold 32-bit numbers: 0.72 comes back as 0.7200000286.
    return checked_t_r(round(value * _SECONDS[unit], 6), path.name)


def checked_t_r(value: Any, where: str) -> float:
    """Return a repetition time in seconds, or raise `BadRunError` if it cannot be."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0.05 <= value <= 60:
        raise BadRunError(
            f"{where}: unusable repetition time",
            wanted="seconds between 0.05 and 60",
            received=repr(value),
        )
    return float(value)
