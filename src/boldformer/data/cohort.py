"""The one reader: from recordings to windows ready to decode, and what was left out."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from boldformer.config import RunConfig, WindowConfig
from boldformer.data.event_windows import make_table, used_window
from boldformer.data.events import choose_labels, class_order, resolve_labels
from boldformer.data.places import check_store
from boldformer.data.prepare import configured_pipeline, prepare
from boldformer.data.recording import Dataset
from boldformer.data.store import PreparedRun, one_grid
from boldformer.data.windows import WindowSet
from boldformer.preprocessing.pipeline import Pipeline

logger = logging.getLogger(__name__)
SetAside = list[tuple[str, str]]


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
        _tell(lost)
        return replace(
            self,
            windows=windows,
            labels=labels,
            targets=windows.table["label"].map(labels.index).to_numpy(dtype=np.int64),
            set_aside=[*self.set_aside, *lost],
            n_set_aside=self.n_set_aside | {"subject": len(lost)},
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
    runs, set_aside = _on_one_grid(every, set_aside, told)
    prepared = dataset.filter(lambda recording: recording.name in runs)
    window = used_window(prepared, labels, settings.window)
    table, outside = make_table(prepared, runs, labels, window)
    classes = choose_labels(prepared, class_order(set(table["label"]), labels))
    lost = [label for label in labels if label not in classes]
    no_class = [(label, "no usable window: it is no class") for label in lost]
    _tell(no_class, told)
    targets = table["label"].map(classes.index).to_numpy(dtype=np.int64)
    windows = WindowSet(table, runs)
    counts = {"run": len(set_aside), "class": len(lost), "event": len(outside)}
    set_aside += [*no_class, *outside]
    return Cohort(dataset, windows, classes, targets, window, set_aside, every, counts)


def read_windows(
    dataset: Dataset,
    labels: Sequence[str],
    window: WindowConfig,
    pipeline: Pipeline,
    store: Path,
    mask: np.ndarray,
    **how: Any,
) -> tuple[WindowSet, SetAside]:
    """Prepare a dataset as another one was, and list the windows of its classes.

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
    windows : WindowSet
        Of the classes that occur.
    set_aside : list of (str, str)
        Runs and events left out, each with its reason.
    """
    runs, set_aside = _on_one_grid(*_prepare(dataset, pipeline, store, **how))
    table, outside = make_table(dataset, runs, labels, window)
    _tell(outside)
    return WindowSet(table, runs, mask), set_aside + outside


def _prepare(
    dataset: Dataset, pipeline: Pipeline, store: Path, **how: Any
) -> tuple[dict[str, PreparedRun], SetAside]:
    check_store(store, dataset.folders)
    runs, set_aside = prepare(dataset, store, pipeline, **how)
    return runs, [*dataset.set_aside, *set_aside]


def _on_one_grid(
    runs: dict[str, PreparedRun],
    set_aside: SetAside,
    told: Collection[tuple[str, str]] = (),
) -> tuple[dict[str, PreparedRun], SetAside]:
    same, others = one_grid(list(runs.values()))
    off_grid = [(name, "its grid differs from that of most runs") for name in others]
    _tell([*set_aside, *off_grid], told)
    return {run.name: run for run in same}, [*set_aside, *off_grid]


def _tell(set_aside: SetAside, told: Collection[tuple[str, str]] = ()) -> None:
    for what, reason in set_aside:
        if (what, reason) not in told:
            logger.warning("set aside: %s: %s", what, reason)
