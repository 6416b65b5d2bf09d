"""Time and memory of preparing one run at full size, and of reading windows from it.

    python benchmarks/full_size_run.py [--shape 91 109 91] [--volumes 232]

Writes a random preprocessed run, prepares it in a process of its own (whose peak memory
is reported) and reads windows from the store.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from nilearn.datasets import load_mni152_brain_mask
from nilearn.image import resample_to_img

from boldformer import open_dataset
from boldformer.config import PreprocessingConfig, WindowConfig
from boldformer.data.prepare import prepare
from boldformer.data.windows import WindowSet, make_table
from boldformer.preprocessing.pipeline import pipeline_from_config


def write_dataset(root: Path, shape: tuple[int, ...], n_volumes: int) -> None:
    affine = np.diag([180 / shape[0], 220 / shape[1], 180 / shape[2], 1.0])
    affine[:3, 3] = [-90, -126, -72]
    grid = nib.Nifti1Image(np.zeros(shape, np.uint8), affine)
    mask = resample_to_img(load_mni152_brain_mask(), grid, interpolation="nearest")
    brain = np.asanyarray(mask.dataobj) > 0
    rng = np.random.default_rng(0)
    data = np.zeros((*shape, n_volumes), np.int16)
    level = rng.integers(500, 1500, brain.sum())
    for time_point in range(n_volumes):
        data[..., time_point][brain] = level + rng.integers(-30, 30, level.size)
    func = root / "sub-01" / "func"
    func.mkdir(parents=True)
    stem = func / "sub-01_task-x_run-1"
    image = nib.Nifti1Image(data, affine)
    image.header.set_xyzt_units("mm", "sec")
    image.header.set_zooms((*image.header.get_zooms()[:3], 2.0))
    nib.openers.Opener.default_compresslevel = 1
    nib.save(image, f"{stem}_space-MNI152NLin2009aSym_desc-preproc_bold.nii.gz")
    mask = nib.Nifti1Image(brain.astype(np.uint8), affine)
    nib.save(mask, f"{stem}_space-MNI152NLin2009aSym_desc-brain_mask.nii.gz")
    described = {"Name": "full size", "BIDSVersion": "1.10.0"}
    (root / "dataset_description.json").write_text(json.dumps(described))
    onsets = 10 + 18 * np.arange((2 * n_volumes - 40) // 18)
    kinds = np.array(["a", "b"])[np.arange(onsets.size) % 2]
    events = pd.DataFrame({"onset": onsets, "duration": 16, "trial_type": kinds})
    events.to_csv(f"{stem}_events.tsv", sep="\t", index=False)


def prepare_run(root: str, store: str, queue: multiprocessing.Queue) -> None:
    started = time.perf_counter()
    pipeline = pipeline_from_config(PreprocessingConfig())
    prepare(open_dataset(root), Path(store), pipeline, progress=False)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    queue.put((time.perf_counter() - started, peak))


def median_ms(action: object, repeats: int = 15) -> float:
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        action()
        times.append(time.perf_counter() - started)
    return 1e3 * float(np.median(times))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", type=int, nargs=3, default=(91, 109, 91))
    parser.add_argument("--volumes", type=int, default=232)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root, store = Path(folder) / "bids", Path(folder) / "store"
        write_dataset(root, tuple(options.shape), options.volumes)
        context = multiprocessing.get_context("spawn")
        queue = context.Queue()
        worker = context.Process(
            target=prepare_run, args=(str(root), str(store), queue)
        )
        worker.start()
        seconds, peak = queue.get()
        worker.join()
        size = sum(file.stat().st_size for file in store.rglob("*.*")) / 1e6
        dataset = open_dataset(root)
        pipeline = pipeline_from_config(PreprocessingConfig())
        runs, _ = prepare(dataset, store, pipeline, progress=False)
        table, _ = make_table(dataset, runs, ["a", "b"], WindowConfig())
        windows, (run,) = WindowSet(table, runs), runs.values()
        stored = median_ms(lambda: run.stored[50:66].copy())
        values = median_ms(lambda: run.window(50, 16))
        dense = median_ms(lambda: windows.batch([3]))
    shape = "×".join(map(str, [*options.shape, options.volumes]))
    print("| run | prepare, s | peak, MB | store, MB | 16 frames stored, ms ", end="")
    print("| 16 frames as float, ms | 8 frames dense, ms |")
    print("|---|---|---|---|---|---|---|")
    print(
        f"| {shape} | {seconds:.1f} | {peak:.0f} | {size:.1f} | {stored:.2f} ", end=""
    )
    print(f"| {values:.2f} | {dense:.2f} |")


if __name__ == "__main__":
    main()
