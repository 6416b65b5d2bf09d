"""Records: what went in and what came out, hashed, and the header all studies share."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from boldformer import __version__
from boldformer.data.atomic import write_json, write_text
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


def mark_leaky(paths: Iterable[Path]) -> None:
    """Write LEAKY beside every row of tables, in a column of its own.

    Parameters
    ----------
    paths : iterable of Path
        Tables, and folders that may hold some; others are passed over.
    """
    for path in paths:
        files = path.rglob("*.tsv") if path.is_dir() else [path]
        for file in [f for f in files if f.suffix == ".tsv" and f.is_file()]:
            head, *rows = file.read_text(encoding="utf-8").rstrip("\n").split("\n")
            if head.split("\t")[-1] == LEAKY.lower():
                continue
            marked = [f"{head}\t{LEAKY.lower()}", *(f"{row}\t{LEAKY}" for row in rows)]
            write_text(file, "".join(f"{line}\n" for line in marked))


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


def without_folders(value: Any, folders: Iterable[Path]) -> Any:
    """Cut the names of folders of this machine out of all text in a record.

    Parameters
    ----------
    value : Any
        Ready for JSON.
    folders : iterable of Path
        What is cut off before a name in them; one by itself becomes its last part.
    """
    if isinstance(value, dict):
        return {key: without_folders(item, folders) for key, item in value.items()}
    if isinstance(value, list):
        return [without_folders(item, folders) for item in value]
    if isinstance(value, str):
        for folder in folders:
            # A path of its own, and not part of an address or of a longer name.
            path = rf"(?<![\w./:~-]){re.escape(str(folder))}"
            value = re.sub(rf"{path}/(?=\S)", "", value)
            name = folder.name.replace("\\", r"\\")
            value = re.sub(rf"{path}(?![\w/-])", name, value)
    return value


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
