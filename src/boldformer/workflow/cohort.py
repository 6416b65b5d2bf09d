"""From a configuration to windows ready to decode: the first half of every run."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from boldformer.config import DataConfig, PreprocessingConfig, RunConfig, WindowConfig
from boldformer.data.atomic import write_tsv
from boldformer.data.events import choose_labels, resolve_labels
from boldformer.data.folders import check_store
from boldformer.data.prepare import configured_pipeline, prepare
from boldformer.data.recording import Dataset
from boldformer.data.sources import open_source
from boldformer.data.store import PreparedRun, one_grid
from boldformer.data.windows import WindowSet, make_table, used_window

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
    dataset: Dataset,
    settings: RunConfig,
    store: Path,
    *,
    n_jobs: int,
    progress: bool,
    scheduler: str = "",
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
    scheduler : str
        Address of a Dask scheduler that prepares the runs instead.
    """
    dataset, labels = resolve_labels(dataset, settings.data.labels)
    runs, set_aside = _prepare(
        dataset,
        settings.preprocessing,
        store,
        n_jobs=n_jobs,
        scheduler=scheduler,
        progress=progress,
    )
    prepared = dataset.filter(lambda recording: recording.name in runs)
    window = used_window(prepared, labels, settings.window)
    table, outside = make_table(prepared, runs, labels, window)
    present = [label for label in labels if label in set(table["label"])]
    lost = [label for label in labels if label not in present]
    set_aside += [(label, "no usable window: it is no class") for label in lost]
    for label in lost:
        logger.warning("%s has no usable window: it is no class", label)
    labels = choose_labels(prepared, present)
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
    scheduler: str = "",
) -> tuple[str, SetAside]:
    """Prepare a dataset; return a sentence on the store, and what was set aside.

    The store also gets two tables: ``runs.tsv``, what it holds, and ``set_aside.tsv``.
    """
    pipeline = configured_pipeline(preprocessing)
    check_store(store, (data.path, data.derivatives))
    dataset = open_source(data)
    check_store(store, dataset.folders)
    runs, bad = prepare(
        dataset,
        store,
        pipeline,
        n_jobs=n_jobs,
        scheduler=scheduler,
        progress=progress,
    )
    set_aside = [*dataset.set_aside, *bad]
    twins = _twins(runs)
    write_tsv(store / "runs.tsv", _run_table(runs))
    write_tsv(
        store / "set_aside.tsv",
        pd.DataFrame([*set_aside, *twins], columns=["what", "reason"]),
    )
    size = sum(file.stat().st_size for file in store.rglob("*") if file.is_file())
    volumes = sum(run.n_times for run in runs.values())
    sentence = (
        f"{len(runs)} runs, {volumes} volumes, {size / 1e6:.0f} MB in {store}; "
        f"{len(set_aside)} set aside"
    )
    return sentence, [*set_aside, *twins]


def _run_table(runs: dict[str, PreparedRun]) -> pd.DataFrame:
    rows = []
    for name, run in runs.items():
        row = {"run": name, "n_volumes": run.n_times, "t_r": run.t_r}
        row["shape"] = "x".join(map(str, run.grid.shape))
        row["n_voxels"] = run.voxels.size
        counts = ("dropped_volumes", "scrubbed_volumes", "unusable_voxels", "confounds")
        row |= {f"n_{count}": run.info[f"n_{count}"] for count in counts}
        rows.append(row | {"pipeline_hash": run.pipeline_hash})
    return pd.DataFrame(rows)


def _twins(runs: dict[str, PreparedRun]) -> SetAside:
    """List runs that hold the very data of another one; they stay in the store."""
    first: dict[str, str] = {}
    twins: SetAside = []
    for name, run in runs.items():
        known = first.setdefault(run.info["content_hash"], name)
        if known != name:
            twins.append((name, f"holds the same data as {known}; keep one of them"))
    return twins


def _prepare(
    dataset: Dataset,
    preprocessing: PreprocessingConfig,
    store: Path,
    *,
    n_jobs: int,
    scheduler: str,
    progress: bool,
) -> tuple[dict[str, PreparedRun], SetAside]:
    runs, set_aside = prepare(
        dataset,
        store,
        configured_pipeline(preprocessing),
        n_jobs=n_jobs,
        scheduler=scheduler,
        progress=progress,
    )
    same, others = one_grid(list(runs.values()))
    off_grid = [(name, "its grid differs from that of most runs") for name in others]
    set_aside = [*dataset.set_aside, *set_aside, *off_grid]
    for what, reason in set_aside:
        logger.warning("set aside: %s: %s", what, reason)
    return {run.name: run for run in same}, set_aside
