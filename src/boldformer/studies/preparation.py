"""The store filled ahead of everything else, and what it holds as tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from boldformer.config import DataConfig, PreprocessingConfig
from boldformer.data.atomic import write_tsv
from boldformer.data.cohort import SetAside
from boldformer.data.places import check_store
from boldformer.data.prepare import configured_pipeline, prepare
from boldformer.data.sources.layouts import open_source
from boldformer.data.store import PreparedRun


def prepare_dataset(
    data: DataConfig, preprocessing: PreprocessingConfig, store: Path, **how: Any
) -> tuple[str, SetAside]:
    """Prepare a dataset; return a sentence on the store, and what was set aside.

    The store also gets two tables: ``runs.tsv``, what it holds, and ``set_aside.tsv``.
    ``how`` is passed on to `boldformer.data.prepare.prepare`.
    """
    pipeline = configured_pipeline(preprocessing)
    check_store(store, (data.path, data.derivatives))
    dataset = open_source(data)
    check_store(store, dataset.folders)
    runs, bad = prepare(dataset, store, pipeline, **how)
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
        row["confounds"] = ",".join(run.info.get("confounds", [])) or None
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
