"""Contiguous stretches of runs, for who has one run only."""

from __future__ import annotations

import numpy as np
import pandas as pd

from boldformer.data.groups import event_names

MOST_STRETCHES = 5


def stretches(table: pd.DataFrame, count: int = 0) -> np.ndarray:
    """Cut every run into stretches of neighbouring events, as long as each other.

    Parameters
    ----------
    table : DataFrame
        Windows with ``recording``, ``block``, ``onset`` and ``label``.
    count : int
        Stretches of a run; 0 takes five, or as many as the rarest class has events.

    Returns
    -------
    ndarray of str, shape (n_windows,)
        Name of each window's stretch: the first of all runs have one name, and so on.
    """
    events = table.assign(event=event_names(table)).drop_duplicates("event")
    if count <= 0:
        fewest = int(events.groupby(["recording", "label"]).size().min())
        count = min(MOST_STRETCHES, max(fewest, 2))
    order = events.groupby("recording")["onset"].rank(method="first") - 1
    size = events.groupby("recording")["event"].transform("size")
    place = (order * count / size).astype(int)
    of_event = dict(zip(events["event"], place, strict=True))
    names = [f"stretch {of_event[event] + 1}" for event in event_names(table)]
    return np.array(names, dtype=str)
