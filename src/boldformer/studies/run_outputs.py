"""The output folder of a run: who it belongs to, and the files around the numbers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd

from boldformer import __version__
from boldformer.data.atomic import atomic_path, write_json, write_text, write_tsv
from boldformer.data.folders import LOCK, MARKER, WORK
from boldformer.data.groups import resampling_groups
from boldformer.data.recording import Dataset
from boldformer.data.windows import WindowSet
from boldformer.evaluation.learning_curve import curve_table
from boldformer.interpretation.maps import DESCRIPTIONS, to_image
from boldformer.studies.records import mark_leaky
from boldformer.studies.run_metrics import Evidence
from boldformer.studies.run_robustness import null_table
from boldformer.visualization.report import REFERENCES_FILE, REPORT_FILE, REPORT_RECORD

RUN_FILE = "run.toml"
# All that a run writes; with --overwrite this goes, and nothing else. Of ``work`` the
# store stays, since its runs check themselves.
WRITTEN = (
    "dataset_description.json",
    ".bidsignore",
    REPORT_FILE,
    REPORT_RECORD,
    REFERENCES_FILE,
    "metrics.json",
    "predictions.tsv",
    "splits.tsv",
    "protocol.tsv",
    "history.tsv",
    "set_aside.tsv",
    "permutations.tsv",
    "learning_curve.tsv",
    "record.json",
    RUN_FILE,
    "baselines",
    "columns",
    "maps",
    "figures",
    "model",
)


def describe(out: Path, dataset: Dataset) -> None:
    """Write the BIDS derivative description; it names no folder of this machine."""
    address = {"DOI" if dataset.address.startswith("doi:") else "URL": dataset.address}
    sources = {"SourceDatasets": [address]} if dataset.address else {}
    write_json(
        out / "dataset_description.json",
        {
            "Name": f"BoldFormer decoding of {dataset.name}",
            "BIDSVersion": "1.10.0",
            "DatasetType": "derivative",
            "GeneratedBy": [{"Name": "BoldFormer", "Version": __version__}],
            **sources,
        },
    )
    ignored = (*WRITTEN[2:], WORK, MARKER, LOCK)
    write_text(out / ".bidsignore", "".join(f"{name}\n" for name in ignored))


def write_results(out: Path, evidence: Evidence, metrics: dict[str, Any]) -> None:
    """Write what a run found, its numbers last.

    Parameters
    ----------
    out : Path
        Output folder.
    evidence : Evidence
        What the run found.
    metrics : dict
        The content of ``metrics.json``.
    """
    cohort, results, other = evidence.cohort, evidence.results, evidence.other
    describe(out, cohort.dataset)
    write_tsv(out / "predictions.tsv", _predictions(evidence, results.probabilities))
    others = evidence.results.parts() | evidence.baselines
    by_baseline = {name: found.probabilities for name, found in others.items()}
    _write_predictions(out / "baselines", evidence, by_baseline)
    by_column = {f"{name}_{other.mode}": p for name, p in other.probabilities.items()}
    _write_predictions(out / "columns", evidence, by_column)
    write_tsv(out / "history.tsv", results.history)
    set_aside = pd.DataFrame(metrics["set_aside"], columns=["what", "reason"])
    write_tsv(out / "set_aside.tsv", set_aside)
    write_tsv(out / "permutations.tsv", null_table(evidence.nulls))
    write_tsv(out / "learning_curve.tsv", curve_table(evidence.curves))
    write_maps(out, cohort.windows, cohort.labels, results.maps)
    if metrics["protocol"]["leaky"]:
        mark_leaky(out / name for name in WRITTEN)
    write_json(out / "metrics.json", metrics)


def _write_predictions(
    place: Path, evidence: Evidence, probabilities: dict[str, np.ndarray]
) -> None:
    with atomic_path(place, ours=()) as folder:
        folder.mkdir()
        for name, given in probabilities.items():
            table = _predictions(evidence, given)
            write_tsv(folder / f"{name}_predictions.tsv", table)


def _predictions(evidence: Evidence, probabilities: np.ndarray) -> pd.DataFrame:
    cohort = evidence.cohort
    return predictions_table(
        cohort.windows, probabilities, evidence.results.fold_of, cohort.labels
    )


def predictions_table(
    windows: WindowSet,
    probabilities: np.ndarray,
    fold_of: np.ndarray,
    labels: list[str],
) -> pd.DataFrame:
    """One row a tested window and repeat with its prediction (see docs/outputs.md).

    Parameters
    ----------
    windows : WindowSet
    probabilities : ndarray, shape (n_repeats * n_windows, n_classes)
        As `boldformer.evaluation.predictions.as_written` rounds them; one repeat after
        the other.
    fold_of : ndarray of int, shape (n_repeats * n_windows,)
        The fold that tested each window.
    labels : list of str
        Class names.
    """
    names = ["window", "subject", "session", "task", "run", "recording", "onset"]
    n_repeats = len(probabilities) // len(windows)
    table = pd.concat([windows.table[[*names, "label"]]] * n_repeats)
    table["predicted"] = np.array(labels)[np.nan_to_num(probabilities).argmax(axis=1)]
    table["fold"] = fold_of
    table["repeat"] = np.repeat(np.arange(n_repeats), len(windows))
    table["group"] = np.tile(resampling_groups(windows.table)[1], n_repeats)
    for column, label in enumerate(labels):
        table[f"probability_{label}"] = probabilities[:, column]
    tested = np.isfinite(probabilities).all(axis=1)
    return table[tested].replace({"": None})


def write_maps(
    out: Path,
    windows: WindowSet,
    labels: list[str],
    maps: dict[str, dict[int, np.ndarray]],
) -> None:
    """Write maps as NIfTI with their list, and the mean image to show them on.

    Parameters
    ----------
    out : Path
        Output folder; ``out/maps`` is replaced as a whole.
    windows : WindowSet
        Gives grid, box and mask.
    labels : list of str
        Class names.
    maps : dict
        Method → class index → ndarray (x, y, z) of the box.
    """
    space = windows.grid.space or "scanner"
    named = bids_labels(labels)
    listed: list[dict[str, str]] = []
    with atomic_path(out / "maps", ours=()) as folder:
        folder.mkdir()
        for method, of_class in maps.items():
            for index, values in of_class.items():
                name = f"space-{space}_label-{named[index]}_desc-{method}"
                image = to_image(values, windows.grid, windows.box, windows.mask)
                _save_map(folder, name, image, labels[index], DESCRIPTIONS[method])
                listed.append(_listing(name, labels[index], method))
        runs = list(windows.runs.values())
        mean = np.mean([run.mean_volume() for run in runs], axis=0, dtype=np.float32)
        name = f"space-{space}_desc-background"
        image = nib.Nifti1Image(mean, windows.grid.matrix)
        _save_map(folder, name, image, "", "mean intensity over all runs")
        listed.append(_listing(name, "", "background", "mean intensity over all runs"))
        write_tsv(folder / "maps.tsv", pd.DataFrame(listed).replace({"": None}))


def _save_map(
    folder: Path, name: str, image: nib.Nifti1Image, label: str, description: str
) -> None:
    nib.save(image, folder / f"{name}_statmap.nii.gz")
    sidecar = {"Description": description} | ({"Label": label} if label else {})
    write_json(folder / f"{name}_statmap.json", sidecar)


def _listing(
    name: str, label: str, method: str, description: str = ""
) -> dict[str, str]:
    return {
        "file": f"{name}_statmap.nii.gz",
        "label": label,
        "method": method,
        "description": description or DESCRIPTIONS[method],
    }


def bids_labels(labels: list[str]) -> list[str]:
    """Labels as BIDS entities may hold them: letters and digits, all different."""
    plain = [re.sub(r"[^A-Za-z0-9]", "", label) or "unnamed" for label in labels]
    return [
        name if plain.count(name) == 1 else f"{name}{index}"
        for index, name in enumerate(plain)
    ]
