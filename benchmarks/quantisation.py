"""Whether eight bits a value cost accuracy.

    python benchmarks/quantisation.py DATASET [--labels a,b]

Decodes the same windows with the same linear decoder and folds twice: from the store,
and from the same runs cleaned again and kept in single precision.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict
from sklearn.svm import SVC

from boldformer import open_dataset
from boldformer.config import PreprocessingConfig, WindowConfig
from boldformer.data.event_windows import make_table
from boldformer.data.events import resolve_labels
from boldformer.data.prepare import configured_pipeline, prepare
from boldformer.data.reading import GridPlan, open_run, read_masked
from boldformer.data.recording import Recording
from boldformer.data.store import PreparedRun
from boldformer.data.windows import WindowSet
from boldformer.preprocessing.pipeline import Pipeline, RunContext


def cleaned(recording: Recording, run: PreparedRun, pipeline: Pipeline) -> np.ndarray:
    """Clean a run as the store's was, without rounding, (n_times, n_voxels)."""
    opened = open_run(recording)
    mask = np.zeros(run.grid.shape, dtype=bool)
    mask.ravel()[run.voxels] = True
    plan = GridPlan.of(pipeline, opened.shape, opened.affine)
    raw = read_masked(opened, plan, mask)[run.info["n_dropped_volumes"] :]
    return pipeline.apply(raw, RunContext(run.t_r))


def exact_means(
    windows: WindowSet, recordings: dict[str, Recording], pipeline: Pipeline
) -> tuple[np.ndarray, float]:
    """Window means from unrounded data, and the RMS of what rounding changed."""
    means = np.zeros((len(windows), int(windows.mask.sum())), np.float32)
    errors = []
    for name, run in windows.runs.items():
        data = cleaned(recordings[name], run, pipeline)
        errors.append(np.mean((run.window(0, run.n_times) - data) ** 2))
        for i, row in windows.table.iterrows():
            if row["recording"] == name:
                frames = slice(row["first_frame"], row["first_frame"] + row["n_frames"])
                volume = np.zeros(windows.grid.shape, np.float32)
                volume.ravel()[run.voxels] = data[frames].mean(axis=0)
                means[i] = volume[windows.box][windows.mask]
    return means, float(np.sqrt(np.mean(errors)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--labels", default="")
    options = parser.parse_args()
    dataset, labels = resolve_labels(
        open_dataset(options.dataset), [x for x in options.labels.split(",") if x]
    )
    # Without confounds, which the second way would have to read as well.
    pipeline = configured_pipeline(PreprocessingConfig(confounds=()))
    with tempfile.TemporaryDirectory() as store:
        runs, _ = prepare(dataset, Path(store), pipeline, progress=False)
        table, _ = make_table(dataset, runs, labels, WindowConfig())
        windows = WindowSet(table, runs)
        by_name = {recording.name: recording for recording in dataset}
        exact, error = exact_means(windows, by_name, pipeline)
        stored = windows.means()
        print(f"{len(windows)} windows, RMS rounding error {error:.4f} SD\n")
        print("| windows from | balanced accuracy |\n|---|---|")
        for name, features in {"eight bits": stored, "32 bits": exact}.items():
            products = features @ features.T
            predicted = cross_val_predict(
                SVC(kernel="precomputed"),
                products / np.diag(products).mean(),
                windows.labels.astype(str),
                groups=windows.groups,
                cv=LeaveOneGroupOut(),
            )
            score = balanced_accuracy_score(windows.labels.astype(str), predicted)
            print(f"| {name} | {score:.4f} |")


if __name__ == "__main__":
    main()
