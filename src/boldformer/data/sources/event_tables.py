"""Events tables, read tolerantly where that is safe."""

from __future__ import annotations

import math
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
    durations = numbers(path, table["duration"]).tolist()
    for row, seconds in enumerate(durations):
        if seconds < 0:
            raise BadRunError(
                f"{path.name}: a negative duration in row {row + 1}",
                wanted="seconds, or n/a where it is not known",
                received=table["duration"][row],
            )
    onsets = numbers(path, table["onset"]).tolist()
    types = names(path, table["trial_type"]).tolist()
    events = [
        (onset, 0.0 if math.isnan(duration) else duration, type_)
        for onset, duration, type_ in zip(onsets, durations, types, strict=True)
        if type_ and not math.isnan(onset)
    ]
    if not events:
        raise BadRunError(
            f"{path.name}: no usable event",
            wanted="rows with a number for the onset and a trial type",
            received=f"{len(table)} rows",
        )
    events.sort(key=lambda event: event[0])
    return pd.DataFrame(events, columns=["onset", "duration", "trial_type"])
