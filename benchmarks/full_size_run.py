"""Time and memory of preparing runs at full size, beside nilearn's masker.

    python benchmarks/full_size_run.py [--shape 91 109 91] [--volumes 232] [--runs 1]

Writes random preprocessed runs and 24 motion parameters, then cleans them (6 mm
smoothing, confounds, line and cosine high-pass in one projection, z-score), each way in
a process of its own whose peak memory is reported. Ours also writes its store.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from nilearn.datasets import load_mni152_brain_mask
from nilearn.image import resample_to_img
from nilearn.interfaces.fmriprep import load_confounds
from nilearn.maskers import NiftiMasker

from boldformer import open_dataset
from boldformer.config import PreprocessingConfig, WindowConfig
from boldformer.data.event_windows import make_table
from boldformer.data.prepare import configured_pipeline, prepare
from boldformer.data.store import ZSCORE_SCALE, PreparedRun
from boldformer.data.windows import WindowSet

SPACE = "space-MNI152NLin2009aSym"
T_R = 2.0
RECIPE = PreprocessingConfig(smooth_mm=6.0, confounds=("motion24",), dummy_scans=0)


def write_dataset(
    root: Path, shape: tuple[int, ...], n_volumes: int, n_runs: int = 1
) -> None:
    """Noise about a level, in the brain only, as fMRIPrep would write it."""
    affine = np.diag([180 / shape[0], 220 / shape[1], 180 / shape[2], 1.0])
    affine[:3, 3] = [-90, -126, -72]
    grid = nib.Nifti1Image(np.zeros(shape, np.uint8), affine)
    mask = resample_to_img(load_mni152_brain_mask(), grid, interpolation="nearest")
    brain = np.asanyarray(mask.dataobj) > 0
    func = root / "sub-01" / "func"
    func.mkdir(parents=True)
    nib.openers.Opener.default_compresslevel = 1
    for run in range(1, n_runs + 1):
        rng = np.random.default_rng(run)
        data = np.zeros((*shape, n_volumes), np.int16)
        level = rng.integers(500, 1500, brain.sum())
        for time_point in range(n_volumes):
            data[..., time_point][brain] = level + rng.integers(-30, 30, level.size)
        stem = func / f"sub-01_task-x_run-{run}"
        image = nib.Nifti1Image(data, affine)
        image.header.set_xyzt_units("mm", "sec")
        image.header.set_zooms((*image.header.get_zooms()[:3], T_R))
        nib.save(image, f"{stem}_{SPACE}_desc-preproc_bold.nii.gz")
        mask = nib.Nifti1Image(brain.astype(np.uint8), affine)
        nib.save(mask, f"{stem}_{SPACE}_desc-brain_mask.nii.gz")
        write_confounds(f"{stem}_desc-confounds_timeseries.tsv", n_volumes, rng)
        onsets = 10 + 18 * np.arange((T_R * n_volumes - 40) // 18)
        kinds = np.array(["a", "b"])[np.arange(onsets.size) % 2]
        events = pd.DataFrame({"onset": onsets, "duration": 16, "trial_type": kinds})
        events.to_csv(f"{stem}_events.tsv", sep="\t", index=False)
    described = {"Name": "full size", "BIDSVersion": "1.10.0"}
    (root / "dataset_description.json").write_text(json.dumps(described))


def write_confounds(path: str, n_volumes: int, rng: np.random.Generator) -> None:
    table = pd.DataFrame()
    for name in ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z"):
        # Mostly jitter: nilearn drops its whole high-pass when one confound resembles
        # a cosine (r > 0.9), as a random walk does.
        walk = 0.02 * rng.standard_normal(n_volumes)
        walk += 0.002 * np.cumsum(rng.standard_normal(n_volumes))
        change = np.diff(walk, prepend=np.nan)
        table[name], table[f"{name}_derivative1"] = walk, change
        table[f"{name}_power2"] = walk**2
        table[f"{name}_derivative1_power2"] = change**2
    table.to_csv(path, sep="\t", index=False, na_rep="n/a")
    Path(path).with_suffix(".json").write_text("{}")


def ours(root: str, store: str) -> None:
    prepare(
        open_dataset(root), Path(store), configured_pipeline(RECIPE), progress=False
    )


def nilearns(root: str, store: str) -> None:
    """Do the same with NiftiMasker and its cosine filter, runs one after the other."""
    warnings.simplefilter("ignore")
    for recording in open_dataset(root):
        confounds, _ = load_confounds(
            str(recording.bold), strategy=("motion",), motion="full"
        )
        masker = NiftiMasker(
            recording.mask,
            smoothing_fwhm=RECIPE.smooth_mm,
            detrend=True,
            high_pass=RECIPE.high_pass_hz,
            t_r=recording.t_r,
            standardize="zscore_sample",
            clean_args={"filter": "cosine"},
        )
        signals = masker.fit().transform(
            recording.bold, confounds=np.nan_to_num(confounds.to_numpy())
        )
        np.save(f"{store}-{recording.name}.npy", signals.astype(np.float32))


def measured(action: Callable, *arguments: str) -> tuple[float, float]:
    """Seconds and peak resident megabytes of an action in a fresh process."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    worker = context.Process(target=report, args=(queue, action, *arguments))
    worker.start()
    result = queue.get()
    worker.join()
    return result


def report(queue: multiprocessing.Queue, action: Callable, *arguments: str) -> None:
    started = time.perf_counter()
    action(*arguments)
    queue.put((time.perf_counter() - started, peak_mb()))


def peak_mb() -> float:
    """Peak resident memory; getrusage would count that of the parent process too."""
    status = Path("/proc/self/status").read_text().splitlines()
    line = next(line for line in status if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def median_ms(action: Callable, repeats: int = 15) -> float:
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        action()
        times.append(time.perf_counter() - started)
    return 1e3 * float(np.median(times))


def agreement(store: Path) -> tuple[float, float]:
    """Largest and RMS difference of the stored z-scores from nilearn's."""
    largest, squares = 0.0, []
    for folder in sorted(store.iterdir()):
        run = PreparedRun(folder)
        theirs = np.load(f"{store}-{run.name}.npy")
        difference = run.window(0, run.n_times) - theirs
        difference[np.abs(theirs) > 127 * ZSCORE_SCALE] = 0.0  # clipped on purpose
        largest = max(largest, float(np.abs(difference).max()))
        squares.append(float(np.mean(difference**2, dtype=np.float64)))
    return largest, float(np.sqrt(np.mean(squares)))


def windows_of(root: Path, store: Path) -> tuple[WindowSet, PreparedRun]:
    dataset = open_dataset(root)
    runs, _ = prepare(dataset, store, configured_pipeline(RECIPE), progress=False)
    table, _ = make_table(dataset, runs, ["a", "b"], WindowConfig(length_s=32.0))
    return WindowSet(table, runs), next(iter(runs.values()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", type=int, nargs=3, default=(91, 109, 91))
    parser.add_argument("--volumes", type=int, default=232)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--no-nilearn", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root, store = Path(folder) / "bids", Path(folder) / "store"
        write_dataset(root, tuple(options.shape), options.volumes, options.runs)
        rows: dict[str, list[tuple[float, float]]] = {"boldformer": [], "nilearn": []}
        for repeat in range(options.repeats):
            rows["boldformer"].append(measured(ours, str(root), f"{store}{repeat}"))
            if not options.no_nilearn:
                rows["nilearn"].append(measured(nilearns, str(root), f"{store}0"))
        store = Path(f"{store}0")
        difference = (np.nan, np.nan) if options.no_nilearn else agreement(store)
        size = sum(file.stat().st_size for file in store.rglob("*.*")) / 1e6
        windows, run = windows_of(root, store)
        frames = windows.shape[1]
        stored = median_ms(lambda: run.stored[50 : 50 + frames].copy())
        values = median_ms(lambda: run.window(50, frames))
        dense = median_ms(lambda: windows.batch([3]))
    shape = "×".join(map(str, [*options.shape, options.volumes]))
    print(f"{options.runs} run(s) of {shape}, median of {options.repeats}\n")
    print("| by | s | peak, MB |\n|---|---|---|")
    best = {}
    for name, found in rows.items():
        if found:
            best[name] = np.median(np.array(found), axis=0)
            print(f"| {name} | {best[name][0]:.1f} | {best[name][1]:.0f} |")
    if not options.no_nilearn:
        ratio = best["nilearn"] / best["boldformer"]
        print(f"| ratio | {ratio[0]:.1f} | {ratio[1]:.1f} |")
        print(
            f"\nlargest difference {difference[0]:.4f} SD, RMS {difference[1]:.4f} SD"
        )
    print(
        f"\nstore {size / options.runs:.1f} MB a run; a {frames}-frame window warm: "
        f"stored {stored:.2f} ms, as float {values:.2f} ms, dense {dense:.1f} ms"
    )


if __name__ == "__main__":
    main()
