"""From a configuration to windows ready to decode: the first half of every run."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from boldformer.config import DataConfig, PreprocessingConfig, RunConfig, WindowConfig
from boldformer.data.prepare import prepare
from boldformer.data.recording import Dataset
from boldformer.data.sources import open_source
from boldformer.data.store import PreparedRun, one_grid
from boldformer.data.windows import (
    WindowSet,
    choose_labels,
    make_table,
    window_length,
)
from boldformer.preprocessing.pipeline import pipeline_from_config

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
        Runs and events left out, each with its reason.
    """

    dataset: Dataset
    windows: WindowSet
    labels: list[str]
    targets: np.ndarray
    window: WindowConfig
    set_aside: SetAside


def read_cohort(
    dataset: Dataset, settings: RunConfig, store: Path, *, n_jobs: int, progress: bool
) -> Cohort:
    """Prepare a dataset and list its windows.

    Parameters
    ----------
    dataset : Dataset
        What to decode.
    settings : RunConfig
        How.
    store : Path
        Where prepared runs are kept.
    n_jobs : int
        Runs prepared at once.
    progress : bool
        Show a progress bar.
    """
    labels = choose_labels(dataset, settings.data.labels)
    runs, set_aside = _prepare(
        dataset, settings.preprocessing, store, n_jobs=n_jobs, progress=progress
    )
    table, outside = make_table(dataset, runs, labels, settings.window)
    present = [label for label in labels if label in set(table["label"])]
    labels = choose_labels(dataset, present)
    window = WindowConfig(
        settings.window.delay_s, window_length(dataset, labels, settings.window)
    )
    targets = table["label"].map(labels.index).to_numpy(dtype=np.int64)
    windows = WindowSet(table, runs)
    return Cohort(dataset, windows, labels, targets, window, set_aside + outside)


def prepare_dataset(
    data: DataConfig,
    preprocessing: PreprocessingConfig,
    store: Path,
    *,
    n_jobs: int,
    progress: bool,
) -> tuple[str, SetAside]:
    """Prepare a dataset; return a sentence on the store, and what was set aside."""
    runs, set_aside = _prepare(
        open_source(data), preprocessing, store, n_jobs=n_jobs, progress=progress
    )
    size = sum(file.stat().st_size for file in store.rglob("*") if file.is_file())
    hours = sum(run.n_times * run.t_r for run in runs.values()) / 3600
    sentence = (
        f"{len(runs)} runs, {hours:.2f} h of scan, {size / 1e6:.0f} MB in {store}; "
        f"{len(set_aside)} set aside"
    )
    return sentence, set_aside


def _prepare(
    dataset: Dataset,
    preprocessing: PreprocessingConfig,
    store: Path,
    *,
    n_jobs: int,
    progress: bool,
) -> tuple[dict[str, PreparedRun], SetAside]:
    runs, set_aside = prepare(
        dataset,
        store,
        pipeline_from_config(preprocessing),
        n_jobs=n_jobs,
        progress=progress,
    )
    same, others = one_grid(list(runs.values()))
    off_grid = [(name, "its grid differs from that of most runs") for name in others]
    set_aside = [*dataset.set_aside, *set_aside, *off_grid]
    for what, reason in set_aside:
        logger.warning("set aside: %s: %s", what, reason)
    return {run.name: run for run in same}, set_aside
