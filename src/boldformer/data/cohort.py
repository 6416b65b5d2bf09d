"""The one reader: from recordings to windows ready to decode, and what was left out."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from boldformer.config import RunConfig, WindowConfig
from boldformer.data.event_windows import (
    LEFT_OUT,
    list_windows,
    make_table,
    named,
    stacked,
    used_window,
)
from boldformer.data.events import choose_labels, class_order, resolve_labels
from boldformer.data.places import check_store
from boldformer.data.prepare import configured_pipeline, prepare
from boldformer.data.recording import Dataset, Recording
from boldformer.data.store import PreparedRun, one_grid
from boldformer.data.windows import WindowSet
from boldformer.preprocessing.pipeline import Pipeline

logger = logging.getLogger(__name__)
SetAside = list[tuple[str, str]]

# A log is no table: beyond so many reasons it only counts them.
_MOST_TOLD = 20


@dataclass(frozen=True, eq=False)
class Cohort:
    """Windows of a dataset, and how they came about.

    Parameters
    ----------
    dataset : Dataset
        Its recordings.
    windows : WindowSet
        One a usable event.
    labels : list of str
        Class names.
    targets : ndarray of int, shape (n_windows,)
        Class of each window.
    window : WindowConfig
        Delay and length actually used.
    set_aside : list of (str, str)
        Runs, classes and events left out, each with its reason.
    prepared : dict of str to PreparedRun
        All prepared runs, those of another grid too: a resampled copy is among them.
    n_set_aside : dict of str to int
        How many of `set_aside` are each a ``run`` (or file), ``class`` or ``event``.
    """

    dataset: Dataset
    windows: WindowSet
    labels: list[str]
    targets: np.ndarray
    window: WindowConfig
    set_aside: SetAside
    prepared: dict[str, PreparedRun]
    n_set_aside: dict[str, int]

    def without(self, subjects: Mapping[str, str]) -> Cohort:
        """Set subjects aside, each for its reason.

        Parameters
        ----------
        subjects : mapping of str to str
            Label and reason.

        Returns
        -------
        Cohort
            With the windows and classes of the others.
        """
        if not subjects:
            return self
        kept = ~self.windows.table["subject"].astype(str).isin(subjects).to_numpy()
        table = self.windows.table[kept].reset_index(drop=True)
        table["window"] = np.arange(len(table))
        windows = WindowSet(table, self.windows.runs)
        labels = [n for n in self.labels if (windows.table["label"] == n).any()]
        lost = [(f"sub-{name}", reason) for name, reason in subjects.items()]
        no_class = _no_class(self.labels, labels)
        log_set_aside([*lost, *no_class])
        return replace(
            self,
            windows=windows,
            labels=labels,
            targets=windows.table["label"].map(labels.index).to_numpy(dtype=np.int64),
            set_aside=[*self.set_aside, *lost, *no_class],
            n_set_aside=self.n_set_aside
            | {
                "subject": len(lost),
                "class": self.n_set_aside.get("class", 0) + len(no_class),
            },
        )

    @property
    def chance(self) -> float:
        """Balanced accuracy of guessing."""
        return 1 / len(self.labels)


def read_cohort(
    dataset: Dataset,
    settings: RunConfig,
    store: Path,
    *,
    told: Collection[tuple[str, str]] = (),
    **how: Any,
) -> Cohort:
    """Prepare a dataset, settle its classes and list its windows.

    Parameters
    ----------
    dataset : Dataset
        What to decode.
    settings : RunConfig
        Labels, preprocessing and window; see `boldformer.data.events.class_order` for
        the order of the classes.
    store : Path
        Where prepared runs are kept.
    told : collection of (str, str)
        What was set aside of the dataset before, and said then.
    **how
        ``n_jobs``, ``scheduler`` and ``progress`` of `boldformer.data.prepare.prepare`.

    Raises
    ------
    InputError
        For labels that do not occur, runs on different grids, or no usable window.
    """
    dataset, labels = resolve_labels(dataset, settings.data.labels)
    pipeline = configured_pipeline(settings.preprocessing)
    every, set_aside = _prepare(dataset, pipeline, store, **how)
    runs, off_grid = _on_one_grid(every)
    set_aside += off_grid
    log_set_aside(set_aside, told)
    prepared = dataset.filter(lambda recording: recording.name in runs)
    window = used_window(prepared, labels, settings.window)
    table, outside = make_table(prepared, runs, labels, window)
    classes = choose_labels(prepared, class_order(set(table["label"]), labels))
    no_class = _no_class(labels, classes)
    log_set_aside([*no_class, *outside], told)
    targets = table["label"].map(classes.index).to_numpy(dtype=np.int64)
    windows = WindowSet(table, runs)
    counts = {"run": len(set_aside), "class": len(no_class), "event": len(outside)}
    set_aside += [*no_class, *outside]
    return Cohort(dataset, windows, classes, targets, window, set_aside, every, counts)


def read_events(
    dataset: Dataset,
    labels: Sequence[str],
    window: WindowConfig,
    pipeline: Pipeline,
    store: Path,
    mask: np.ndarray,
    **how: Any,
) -> tuple[WindowSet | None, pd.DataFrame]:
    """Prepare a dataset as another one was, and list its events with their windows.

    Parameters
    ----------
    dataset : Dataset
        Recordings with their events.
    labels, window, pipeline, mask
        Classes, window as used, steps and voxels of the grid.
    store, **how
        As for `read_cohort`.

    Returns
    -------
    windows : WindowSet or None
        Of the classes that occur; none where there is no window.
    left_out : DataFrame
        One row a window that cannot be had, as
        `boldformer.data.event_windows.list_windows` has it, and one row an event of a
        run that was set aside or of another type than the classes.
    """
    every, set_aside = _prepare(dataset, pipeline, store, **how)
    runs, off_grid = _on_one_grid(every)
    set_aside += off_grid
    log_set_aside(set_aside)
    table, outside = list_windows(dataset, runs, labels, window)
    log_set_aside(named(outside))
    reasons = dict(set_aside)
    lost = [
        unused_events(recording, reasons.get(recording.name, "it was set aside"))
        for recording in dataset
        if recording.name not in runs
    ]
    read = dataset.filter(lambda recording: recording.name in runs)
    windows = None if table.empty else WindowSet(table, runs, mask)
    return windows, stacked([outside, *lost, *of_no_class(read, labels)])


def of_no_class(dataset: Dataset, classes: Sequence[str]) -> Iterator[pd.DataFrame]:
    """List the events of other types than the classes, for each recording."""
    reason = f"its label is none of the classes ({', '.join(map(str, classes))})"
    for recording in dataset:
        yield unused_events(recording, reason, besides=classes)


def unused_events(
    recording: Recording, reason: str, besides: Sequence[str] = ()
) -> pd.DataFrame:
    """List events that no window is read of, as `list_windows` lists them.

    Parameters
    ----------
    recording : Recording
        Its events.
    reason : str
        Why.
    besides : sequence of str
        Types of event that are read.
    """
    events = recording.events
    unused = events[~events["trial_type"].isin(besides)]
    told = unused.rename(columns={"trial_type": "label"}).assign(
        recording=recording.name, start_s=np.nan, reason=reason
    )
    return told[LEFT_OUT]


def _no_class(asked: Sequence[str], classes: Sequence[str]) -> SetAside:
    lost = [label for label in asked if label not in classes]
    return [(label, "no usable window: it is no class") for label in lost]


def log_set_aside(set_aside: SetAside, told: Collection[tuple[str, str]] = ()) -> None:
    """Warn of what is left out, once a reason: the first of each, and how many more.

    Parameters
    ----------
    set_aside : list of (str, str)
        What, and for which reason.
    told : collection of (str, str)
        What was said before, and is not said again.
    """
    found: dict[str, list[str]] = {}
    for what, reason in [one for one in set_aside if one not in told]:
        found.setdefault(reason, []).append(what)
    for reason, several in list(found.items())[:_MOST_TOLD]:
        more = f" (and {len(several) - 1} more)" if len(several) > 1 else ""
        logger.warning("set aside: %s%s: %s", several[0], more, reason)
    left = len(found) - _MOST_TOLD
    if left > 0:
        logger.warning("set aside: more, for %d other reasons", left)


def _prepare(
    dataset: Dataset, pipeline: Pipeline, store: Path, **how: Any
) -> tuple[dict[str, PreparedRun], SetAside]:
    check_store(store, dataset.folders)
    runs, set_aside = prepare(dataset, store, pipeline, **how)
    return runs, [*dataset.set_aside, *set_aside]


def _on_one_grid(
    runs: dict[str, PreparedRun],
) -> tuple[dict[str, PreparedRun], SetAside]:
    same, others = one_grid(list(runs.values()))
    off_grid = [(name, "its grid differs from that of most runs") for name in others]
    return {run.name: run for run in same}, off_grid
