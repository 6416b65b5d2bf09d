"""The output folder of a run: who it belongs to, and the files around the numbers."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from boldformer import __version__, config
from boldformer.config import RunConfig
from boldformer.data.atomic import atomic_path, write_json, write_text, write_tsv
from boldformer.data.groups import resampling_groups
from boldformer.data.windows import WindowSet
from boldformer.errors import OutputExistsError
from boldformer.interpretation.maps import DESCRIPTIONS, to_image

RUN_FILE = "run.toml"
# All that a run writes; with --overwrite this goes, and nothing else.
WRITTEN = (
    "dataset_description.json",
    ".bidsignore",
    "report.html",
    "metrics.json",
    "predictions.tsv",
    "splits.tsv",
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
    "work",
)


def check_free(out: Path, settings: RunConfig, *, overwrite: bool) -> None:
    """Refuse an output folder that holds something else than this run's results.

    Raises
    ------
    OutputExistsError
        When the folder holds other files and `overwrite` is not set.
    """
    if out.exists() and not out.is_dir():
        raise OutputExistsError(f"{out} is a file", wanted="a folder to write to")
    if overwrite or not out.is_dir() or not any(out.iterdir()):
        return
    if not _is_same(out, settings):
        is_run = (out / RUN_FILE).exists()
        what = "a run of other settings" if is_run else "other files"
        raise OutputExistsError(
            f"{out} already holds {what}",
            fix="choose another folder, or replace what a run writes with --overwrite",
        )


def claim(out: Path, settings: RunConfig) -> None:
    """Make the folder this run's own; results of other settings are removed."""
    if not _is_same(out, settings):
        clear(out)
        write_text(out / RUN_FILE, config.to_toml(settings))


def _is_same(out: Path, settings: RunConfig) -> bool:
    try:
        text = (out / RUN_FILE).read_text(encoding="utf-8")
    except OSError:
        return False
    return text == config.to_toml(settings)


def clear(out: Path) -> None:
    """Remove what a run writes, except the store, whose runs check themselves."""
    for name in WRITTEN:
        path = out / name
        if name == "work":
            shutil.rmtree(path / "folds", ignore_errors=True)
        elif path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def describe(out: Path, source: Path, name: str) -> None:
    """Write the BIDS derivative description."""
    write_json(
        out / "dataset_description.json",
        {
            "Name": f"BoldFormer decoding of {name}",
            "BIDSVersion": "1.10.0",
            "DatasetType": "derivative",
            "GeneratedBy": [{"Name": "BoldFormer", "Version": __version__}],
            "SourceDatasets": [{"URL": source.resolve().as_uri()}],
        },
    )
    ignored = [name for name in WRITTEN if not name.startswith(("dataset", "."))]
    write_text(out / ".bidsignore", "".join(f"{name}\n" for name in ignored))


def predictions_table(
    windows: WindowSet,
    probabilities: np.ndarray,
    fold_of: np.ndarray,
    labels: list[str],
) -> pd.DataFrame:
    """One row a tested window with its prediction (see docs/outputs.md).

    Parameters
    ----------
    windows : WindowSet
    probabilities : ndarray, shape (n_windows, n_classes)
        As `boldformer.evaluation.predictions.as_written` rounds them.
    fold_of : ndarray of int, shape (n_windows,)
        The fold that tested each window.
    labels : list of str
        Class names.
    """
    names = ["window", "subject", "session", "task", "run", "onset", "label"]
    table = windows.table[names].copy()
    table["predicted"] = np.array(labels)[np.nan_to_num(probabilities).argmax(axis=1)]
    table["fold"] = fold_of
    table["group"] = resampling_groups(windows.table)[1]
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
    with atomic_path(out / "maps") as folder:
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
