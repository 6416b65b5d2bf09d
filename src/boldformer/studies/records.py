"""Records: what went in and what came out, hashed, and the header all studies share."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pandas as pd

from boldformer import __version__
from boldformer.data.atomic import write_json
from boldformer.data.cohort import SetAside
from boldformer.data.hashes import file_hashes
from boldformer.data.windows import WindowSet
from boldformer.evaluation.intervals import Estimate
from boldformer.studies.system import versions

RECORD_FILE = "record.json"
# What a result consists of; figures and report, which have a record of their own
# (`boldformer.visualization.report`), are drawn from these.
RECORDED = (
    "run.toml",
    "metrics.json",
    "splits.tsv",
    "protocol.tsv",
    "predictions.tsv",
    "history.tsv",
    "set_aside.tsv",
    "permutations.tsv",
    "learning_curve.tsv",
    "baselines",
    "columns",
    "maps",
    "model",
)


LEAKY = "LEAKY"


def header(name: str, leaky: bool, **facts: Any) -> dict[str, Any]:
    """First entries of a study's record: what wrote it, and whether it leaks.

    Parameters
    ----------
    name : str
        Of the study.
    leaky : bool
        Whether training and test data of any number are not apart.
    **facts
        What else comes first.
    """
    known = {"format": f"boldformer-{name}", "version": __version__}
    return known | {"versions": versions(), "leaky": leaky} | facts


def described_windows(windows: WindowSet) -> dict[str, Any]:
    """How many subjects and runs, and the grid of their volumes, ready for JSON."""
    return {
        "n_runs": len(windows.runs),
        "n_subjects": int(windows.table["subject"].nunique()),
        "n_voxels": int(windows.mask.sum()),
        "voxel_size_mm": list(windows.grid.voxel_size_mm),
        "t_r": windows.t_r,
    }


def listed_set_aside(set_aside: SetAside) -> list[dict[str, str]]:
    """List what was left out, each with its reason, ready for JSON."""
    return [{"what": what, "reason": reason} for what, reason in set_aside]


def plain_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of a table ready for JSON, None for what is missing."""
    return [
        {str(key): None if pd.isna(value) else value for key, value in row.items()}
        for row in table.astype(object).to_dict("records")
    ]


def rounded(value: float) -> float:
    """Round to the four digits of tables."""
    return round(float(value), 4)


def ends(name: str, estimate: Estimate) -> dict[str, float]:
    """Cells of an estimate: ``name``, ``name_low`` and ``name_high``."""
    values = {"": estimate.value, "_low": estimate.low, "_high": estimate.high}
    return {f"{name}{end}": rounded(value) for end, value in values.items()}


def inputs_of(windows: WindowSet) -> dict[str, dict[str, str]]:
    """Hashes of every prepared run, and of the file it was made from, by run."""
    keys = ("source", "source_hash", "source_content", "pipeline_hash", "content_hash")
    return {
        # Runs that an earlier version prepared say nothing of their source's content.
        name: {key: run.info[key] for key in keys if key in run.info}
        for name, run in sorted(windows.runs.items())
    }


def input_hash(inputs: dict[str, dict[str, str]]) -> str:
    """SHA-256 of what `inputs_of` lists."""
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def write_record(out: Path, metrics: dict[str, Any], windows: WindowSet) -> None:
    """Write ``record.json`` over the files that lie in the output folder.

    Parameters
    ----------
    out : Path
        Output folder, complete but for the report.
    metrics : dict
        As in ``metrics.json``.
    windows : WindowSet
        Windows of the run.
    """
    write_json(
        out / RECORD_FILE,
        {
            "format": "boldformer-record",
            "version": 1,
            "created": metrics["created"],
            **metrics["records"],
            "versions": metrics["versions"],
            "inputs": inputs_of(windows),
            "files": file_hashes(out, RECORDED),
        },
    )
