"""Events tables, read tolerantly where that is safe."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from boldformer.data.tables import names, numbers, read_table
from boldformer.errors import BadRunError


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
        whose onset or type is ``n/a`` are dropped; a duration of ``n/a`` counts as
        zero.

    Raises
    ------
    BadRunError
        When columns are missing, a cell is no number, a duration is negative, or no
        row is usable.
    """
    table = read_table(path, ("onset", "duration", "trial_type"))
    duration = numbers(path, table["duration"])
    if (duration < 0).any():
        row = int(duration.index[duration < 0][0])
        raise BadRunError(
            f"{path.name}: a negative duration in row {row + 1}",
            wanted="seconds, or n/a where it is not known",
            received=table["duration"][row],
        )
    events = pd.DataFrame(
        {
            "onset": numbers(path, table["onset"]),
            "duration": duration.fillna(0.0),
            "trial_type": names(path, table["trial_type"]),
        }
    )
    events = events[events["onset"].notna() & (events["trial_type"] != "")]
    if events.empty:
        raise BadRunError(
            f"{path.name}: no usable event",
            wanted="rows with a number for the onset and a trial type",
            received=f"{len(table)} rows",
        )
    return events.sort_values("onset", kind="stable").reset_index(drop=True)
