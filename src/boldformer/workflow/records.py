"""The record of a run: hashes of what went in and of every file that came out."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from boldformer.data.atomic import write_json
from boldformer.data.windows import WindowSet

RECORD_FILE = "record.json"
# What a result consists of; figures and report are drawn from these.
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


def inputs_of(windows: WindowSet) -> dict[str, dict[str, str]]:
    """Hashes of every prepared run, and of the file it was made from, by run."""
    keys = ("source", "source_hash", "pipeline_hash", "content_hash")
    return {
        name: {key: run.info[key] for key in keys}
        for name, run in sorted(windows.runs.items())
    }


def input_hash(inputs: dict[str, dict[str, str]]) -> str:
    """SHA-256 of what `inputs_of` lists."""
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def file_hashes(out: Path) -> dict[str, str]:
    """SHA-256 of the files of a result, by their path in the output folder."""
    listed = [out / name for name in RECORDED]
    files = [
        f for path in listed for f in (path.rglob("*") if path.is_dir() else [path])
    ]
    return {
        file.relative_to(out).as_posix(): file_hash(file)
        for file in sorted(files)
        if file.is_file()
    }


def file_hash(path: Path) -> str:
    """SHA-256 of one file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


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
            "files": file_hashes(out),
        },
    )
