"""What a decoder says of each event, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from boldformer.data.event_windows import LEFT_OUT, stacked
from boldformer.data.recording import Dataset, Recording
from boldformer.data.windows import WindowSet
from boldformer.decoder_inputs import checked
from boldformer.errors import InputError

_NAMED = [column for column in LEFT_OUT if column != "reason"]


class EventsMixin:
    """What tells event by event what a `boldformer.Decoder` decodes."""

    def predict_events(self: Any, X: Any) -> pd.DataFrame:
        """Tell what is decoded of every event, and why nothing is of some.

        Parameters
        ----------
        X : Dataset, Recording or WindowSet
            Recordings with their events.

        Returns
        -------
        DataFrame
            One row an event, by recording and onset; with a stride one row a window,
            of which an event may have several. ``recording`` (not for a single one),
            ``onset`` and ``duration`` of the event (s), its ``label``, None where it
            has none; ``start_s``, when its window begins (s); ``prediction``, and
            ``probability_<class>`` for each class. Of events that were left out the
            prediction is None, the probabilities are NaN, and ``reason`` says why; it
            is empty for the others.

        Raises
        ------
        MismatchError
            As `predict_proba`.
        InputError
            For an array, which has no events, and for what is no recordings at all.

        Notes
        -----
        Of a decoder of sets of labels, such as ``auditory+visual``, an event is a
        stretch in which the set is constant. Runs that could not be opened at all are
        in ``dataset.set_aside``.
        """
        check_is_fitted(self)
        data = checked(X)
        windows: WindowSet | None
        if isinstance(data, Dataset):
            names = [recording.name for recording in data]
            windows, left_out = self._fitted_to().read_events(
                data, *self._reading, **self._how
            )
        elif isinstance(data, WindowSet):
            windows, left_out = self._fitted_to().fitting(data), stacked([])
            names = list(windows.runs)
        else:
            raise InputError("an array has no events", fix="pass recordings")
        given = np.empty((0, len(self.classes_)))
        if windows is not None:
            given = self._probabilities(windows)
        table = event_table(windows, left_out, given, self.classes_.tolist(), names)
        return table.drop(columns="recording") if isinstance(X, Recording) else table


def event_table(
    windows: WindowSet | None,
    left_out: pd.DataFrame,
    probabilities: np.ndarray,
    classes: Sequence[object],
    recordings: Sequence[str],
) -> pd.DataFrame:
    """Put predictions and events that have none into one table, in order.

    Parameters
    ----------
    windows : WindowSet or None
        What was decoded.
    left_out : DataFrame
        What was not; see `boldformer.data.event_windows.list_windows`.
    probabilities : ndarray, shape (n_windows, n_classes)
        Of each window.
    classes : sequence
        Labels of the columns of `probabilities`.
    recordings : sequence of str
        Names of recordings in their order.

    Returns
    -------
    DataFrame
        See `boldformer.Decoder.predict_events`; with ``recording`` always.
    """
    names = [f"probability_{name}" for name in classes]
    decoded = pd.DataFrame(columns=_NAMED) if windows is None else windows.table[_NAMED]
    n, n_all = len(decoded), len(decoded) + len(left_out)
    table = pd.DataFrame(index=range(n_all))
    for column in _NAMED:
        table[column] = [*decoded[column], *left_out[column]]
    table["label"] = table["label"].astype(object).where(table["label"].notna(), None)
    best = np.full(n_all, None, dtype=object)
    best[:n] = np.asarray(classes, dtype=object)[probabilities.argmax(axis=1)]
    table["prediction"] = pd.Series(best, dtype=object)
    given = np.full((n_all, len(names)), np.nan)
    given[:n] = probabilities
    table[names] = given
    table["reason"] = [*[""] * n, *left_out["reason"]]
    place = {name: i for i, name in enumerate(recordings)}
    table["place"] = table["recording"].map(place)
    table = table.sort_values(["place", "onset", "start_s"], kind="stable")
    return table.drop(columns="place").reset_index(drop=True)
