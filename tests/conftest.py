"""Small BIDS datasets made on the spot, and the way to the real recordings."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from hypothesis import settings

REPOSITORY = Path(__file__).parents[1]
SHAPE = (9, 10, 8)
AFFINE = np.diag([3.0, 3.0, 3.0, 1.0])
CLASSES = ("left", "right")

# How long an example takes says more of the machine than of the code.
settings.register_profile("boldformer", deadline=None)
settings.load_profile("boldformer")


@pytest.fixture(scope="session")
def recordings_dir() -> Path:
    """Folder of the real recordings; the test skips where there is none."""
    default = REPOSITORY.parent / "shared" / "data"
    folder = Path(os.environ.get("BOLDFORMER_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no real recordings in {folder} (set BOLDFORMER_DATA)")
    return folder


def brain() -> np.ndarray:
    """A block of brain inside the volume."""
    mask = np.zeros(SHAPE, dtype=bool)
    mask[2:8, 2:9, 2:7] = True
    return mask


def bold_run(
    events: pd.DataFrame, n_times: int, t_r: float, rng: np.random.Generator
) -> np.ndarray:
    """A run whose two halves respond to the two event types, (x, y, z, t)."""
    mask = brain()
    data = np.zeros((*SHAPE, n_times))
    data[mask] = 1000 + 20 * rng.standard_normal((int(mask.sum()), n_times))
    data[mask] += 100 * rng.random((int(mask.sum()), 1))
    times = np.arange(n_times) * t_r
    for event in events.itertuples():
        on = (times >= event.onset + 4) & (times < event.onset + 4 + event.duration)
        half = slice(2, 5) if event.trial_type == CLASSES[0] else slice(5, 8)
        data[half, 2:9, 2:7, on] += 25
    return data


def run_events(n_blocks: int, rng: np.random.Generator) -> pd.DataFrame:
    """Blocks of 8 s every 14 s, both types equally often, in random order."""
    order = rng.permutation(np.repeat(CLASSES, n_blocks // 2))
    onsets = 6.0 + 14.0 * np.arange(len(order))
    return pd.DataFrame({"onset": onsets, "duration": 8.0, "trial_type": order})


MakeBids = Callable[..., Path]


@pytest.fixture(scope="session")
def write_bids() -> MakeBids:
    """Return `write_dataset`, for fixtures that outlive a test."""
    return write_dataset


@pytest.fixture
def make_bids(tmp_path: Path) -> MakeBids:
    """Return a function that writes a BIDS dataset (see `write_dataset`)."""

    def make(name: str = "bids", **options: object) -> Path:
        return write_dataset(tmp_path / name, **options)  # type: ignore[arg-type]

    return make


def write_dataset(
    root: Path,
    *,
    subjects: int = 2,
    runs: int = 2,
    n_times: int = 64,
    t_r: float = 2.0,
    n_blocks: int = 8,
    preprocessed: bool = False,
    seed: int = 0,
) -> Path:
    """Write a raw dataset, or one whose recordings are fMRIPrep-style derivatives."""
    root.mkdir(parents=True)
    description = {"Name": "tiny", "BIDSVersion": "1.10.0"}
    (root / "dataset_description.json").write_text(json.dumps(description))
    (root / "task-test_bold.json").write_text(
        json.dumps({"RepetitionTime": t_r, "TaskName": "test"})
    )
    for subject in range(1, subjects + 1):
        for run in range(1, runs + 1):
            rng = np.random.default_rng([seed, subject, run])
            _write_run(
                root, f"{subject:02d}", run, n_times, t_r, n_blocks, preprocessed, rng
            )
    return root


def _write_run(
    root: Path,
    subject: str,
    run: int,
    n_times: int,
    t_r: float,
    n_blocks: int,
    preprocessed: bool,
    rng: np.random.Generator,
) -> None:
    stem = f"sub-{subject}_task-test_run-{run}"
    func = root / f"sub-{subject}" / "func"
    func.mkdir(parents=True, exist_ok=True)
    events = run_events(n_blocks, rng)
    events.to_csv(func / f"{stem}_events.tsv", sep="\t", index=False)
    image = nib.Nifti1Image(bold_run(events, n_times, t_r, rng).astype("f4"), AFFINE)
    image.header.set_xyzt_units("mm", "sec")
    image.header.set_zooms((3.0, 3.0, 3.0, t_r))
    if not preprocessed:
        nib.save(image, func / f"{stem}_bold.nii.gz")
        return
    out = root / "derivatives" / "fmriprep" / f"sub-{subject}" / "func"
    out.mkdir(parents=True, exist_ok=True)
    space = "space-MNI152NLin2009cAsym"
    nib.save(image, out / f"{stem}_{space}_desc-preproc_bold.nii.gz")
    mask = nib.Nifti1Image(brain().astype(np.uint8), AFFINE)
    nib.save(mask, out / f"{stem}_{space}_desc-brain_mask.nii.gz")
    columns = [f"{k}_{a}" for k in ("trans", "rot") for a in "xyz"]
    columns += ["csf", "white_matter", "framewise_displacement"]
    confounds = pd.DataFrame(
        rng.standard_normal((n_times, len(columns))), columns=columns
    )
    for column in columns[:6]:
        confounds[f"{column}_derivative1"] = confounds[column].diff()
        confounds[f"{column}_power2"] = confounds[column] ** 2
        confounds[f"{column}_derivative1_power2"] = confounds[column].diff() ** 2
    confounds.to_csv(
        out / f"{stem}_desc-confounds_timeseries.tsv",
        sep="\t",
        index=False,
        na_rep="n/a",
    )
    (out / f"{stem}_desc-confounds_timeseries.json").write_text("{}")


def rewrite(path: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Replace the voxels of an image on disk."""
    image = nib.load(path)
    data = change(np.asanyarray(image.dataobj).copy())
    nib.save(nib.Nifti1Image(data, image.affine, image.header), path)


@pytest.fixture
def change_image() -> Callable[[Path, Callable], None]:
    """Return `rewrite`."""
    return rewrite
