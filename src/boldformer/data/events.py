"""Events that overlap, cut into stretches in which the set of labels is constant."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from boldformer.data.recording import Dataset, Recording
from boldformer.errors import InputError

SEPARATOR = "+"
REST = "rest"
# Two events overlap when they share more than this part of the shorter one; less is
# the rounding of a log file.
_SHARED = 0.25


def class_order(found: Iterable[str], labels: Sequence[str] = ()) -> list[str]:
    """Put the classes that were found in order: the one asked for, else sorted."""
    occurring = set(found)
    asked = [label for label in labels if label in occurring]
    return asked + sorted(occurring.difference(asked))


def choose_labels(dataset: Dataset, labels: Sequence[str]) -> list[str]:
    """Class names to decode, in the order given, or all event types found.

    Raises
    ------
    InputError
        For a label no event has, a label named twice, or fewer than two classes.
    """
    found = dataset.event_types
    chosen = list(labels) or found
    unknown = [label for label in chosen if label not in found]
    if unknown:
        raise InputError(
            f"unknown label {unknown[0]!r}", wanted=f"one of {', '.join(found)}"
        )
    if len(set(chosen)) < max(2, len(chosen)):
        raise InputError(
            "decoding needs at least two classes",
            wanted="two or more different labels",
            received=", ".join(chosen) or "none",
        )
    return chosen


def resolve_labels(
    dataset: Dataset, labels: Sequence[str]
) -> tuple[Dataset, list[str]]:
    """Choose the classes; where their events overlap, classes become sets of labels.

    When events of different chosen labels overlap in any recording, each recording is
    cut at every onset and end into stretches, labelled with all that is going on, such
    as ``auditory+visual``, or ``rest`` between the first onset and the last end. Every
    stretch is one event.

    Parameters
    ----------
    dataset : Dataset
        Recordings with their events.
    labels : sequence of str
        Labels, or sets of labels as this function names them; all by default.

    Returns
    -------
    dataset : Dataset
        With the events to decode.
    classes : list of str
        Class names.

    Raises
    ------
    InputError
        See `choose_labels`; also for a label that holds the separator itself.
    """
    single = single_labels(labels, set(dataset.event_types))
    chosen = choose_labels(dataset, single)
    if not any(overlap(recording.events, chosen) for recording in dataset):
        return dataset, choose_labels(dataset, labels)
    _refuse_separator(chosen)
    dataset = with_label_sets(dataset, chosen)
    return dataset, choose_labels(dataset, () if single == list(labels) else labels)


def with_label_sets(dataset: Dataset, classes: Sequence[str]) -> Dataset:
    """Cut the recordings of a dataset into the label sets that `classes` name."""
    single = single_labels(classes, set(dataset.event_types))
    cut = tuple(
        replace(recording, events=label_sets(recording.events, single))
        for recording in dataset
    )
    return replace(dataset, recordings=cut)


def single_labels(labels: Sequence[str], known: set[str]) -> list[str]:
    """Name the labels that `labels`, or the sets among them, are made of.

    Parameters
    ----------
    labels : sequence of str
        Labels, or sets of labels as `resolve_labels` names them.
    known : set of str
        Event types; one of them is no set, whatever its name.
    """
    parts: list[str] = []
    for label in labels:
        parts += [label] if label in known else label.split(SEPARATOR)
    return list(dict.fromkeys(part for part in parts if part != REST or part in known))


def _refuse_separator(labels: Sequence[str]) -> None:
    for label in labels:
        if SEPARATOR in label or label == REST:
            raise InputError(
                f"the label {label!r} cannot be part of a set of labels",
                wanted=f"names without {SEPARATOR!r} and other than {REST!r}",
                fix="rename it with a label table",
            )


def overlap(events: pd.DataFrame, labels: Sequence[str]) -> bool:
    """Tell whether events of different labels go on at the same time.

    Parameters
    ----------
    events : DataFrame
        ``onset``, ``duration`` and ``trial_type``.
    labels : sequence of str
        Those that count.
    """
    chosen = events[events["trial_type"].isin(labels)]
    chosen = chosen[chosen["duration"] > 0].sort_values("onset", kind="stable")
    onset = chosen["onset"].to_numpy(dtype=float)
    length = chosen["duration"].to_numpy(dtype=float)
    kind, end = pd.factorize(chosen["trial_type"])[0], onset + length
    # An event can only share time with those that begin before it ends.
    last = np.searchsorted(onset, end, side="left")
    for i in np.flatnonzero(last > np.arange(len(onset)) + 1):
        later = slice(i + 1, last[i])
        shared = np.minimum(end[i], end[later]) - onset[later]
        enough = shared > _SHARED * np.minimum(length[i], length[later])
        if (enough & (kind[later] != kind[i])).any():
            return True
    return False


def label_sets(events: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    """Cut a run into stretches of constant labels.

    Parameters
    ----------
    events : DataFrame
        ``onset`` and ``duration`` in seconds, ``trial_type``.
    labels : sequence of str
        Those that count; others are dropped.

    Returns
    -------
    DataFrame
        ``onset``, ``duration``, ``trial_type`` (labels joined in sorted order) and
        ``exclusive`` (true: a window of it must end before it does).
    """
    chosen = events[events["trial_type"].isin(labels)]
    begins: dict[float, list[str]] = defaultdict(list)
    ends: dict[float, list[str]] = defaultdict(list)
    for event in chosen.itertuples():
        begins[event.onset].append(event.trial_type)
        ends[event.onset + event.duration].append(event.trial_type)
    rows: list[dict[str, Any]] = []
    on: Counter[str] = Counter()
    for start, stop in itertools.pairwise(sorted({*begins, *ends})):
        on.update(begins[start])
        on.subtract(ends[start])
        name = SEPARATOR.join(sorted(label for label, n in on.items() if n)) or REST
        if rows and rows[-1]["trial_type"] == name:
            rows[-1]["duration"] += stop - start
        else:
            rows.append({"onset": start, "duration": stop - start, "trial_type": name})
    columns = ["onset", "duration", "trial_type"]
    return pd.DataFrame(rows, columns=columns).assign(exclusive=True)


def indicators(labels: Sequence[str], classes: Sequence[str]) -> pd.DataFrame:
    """Which single labels each set of labels holds.

    Parameters
    ----------
    labels : sequence of str, length n_windows
        Sets of labels, as `resolve_labels` names them.
    classes : sequence of str
        Names of all sets that occur.

    Returns
    -------
    DataFrame of bool, shape (n_windows, n_labels)
        One column a single label, sorted.
    """
    single = sorted({part for name in classes for part in name.split(SEPARATOR)})
    held = [set(label.split(SEPARATOR)) for label in labels]
    return pd.DataFrame(
        {part: [part in labels for labels in held] for part in single if part != REST}
    )


def is_exclusive(recording: Recording, event: object) -> bool:
    """Tell whether a window must end before its event does."""
    return recording.timing != "stimulus" or bool(getattr(event, "exclusive", False))
