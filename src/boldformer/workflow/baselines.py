"""The humble decoders on a cohort's own folds: what each of them is given to see."""

from __future__ import annotations

import logging
import time

import numpy as np

from boldformer.data.splits import Splits, split_groups
from boldformer.data.windows import WindowSet
from boldformer.evaluation.baselines import BASELINES, OutOfFold, out_of_fold
from boldformer.evaluation.parcels import parcel_means, parcellate
from boldformer.workflow.cohort import Cohort

logger = logging.getLogger(__name__)

# What every score stands beside, in the order of the report.
REPORTED_BASELINES = (
    "linear_svm",
    "logistic",
    "parcels",
    "nuisance",
    "run_mean",
    "majority",
)


def judge_baselines(
    cohort: Cohort, splits: Splits, means: np.ndarray
) -> dict[str, OutOfFold]:
    """Judge the humble decoders on the folds of the decoder.

    Parameters
    ----------
    cohort : Cohort
        What is decoded.
    splits : Splits
        Folds over its windows.
    means : ndarray, shape (n_windows, n_voxels)
        Window means of the cohort.

    Returns
    -------
    dict of str to OutOfFold
        By name, in the order of `REPORTED_BASELINES`.
    """
    windows = cohort.windows
    features = {
        "means": lambda: means,
        "parcels": lambda: parcel_means(
            means, parcellate(windows.mask, windows.grid.voxel_size_mm)
        ),
        "run_means": lambda: run_means(windows),
        "nuisance": lambda: windows.nuisance().to_numpy(),
        "none": lambda: np.zeros((len(windows), 1)),
    }
    groups = split_groups(windows.table, splits.unit)
    found = {}
    for name in REPORTED_BASELINES:
        started = time.perf_counter()
        found[name] = out_of_fold(
            BASELINES[name].make(),
            features[BASELINES[name].features](),
            cohort.targets,
            splits,
            groups,
            len(cohort.labels),
        )
        seconds = time.perf_counter() - started
        logger.info("Baseline %s: %.1f s", name.replace("_", " "), seconds)
    return found


def run_means(windows: WindowSet) -> np.ndarray:
    """Mean image of the run that each window comes from, relative to its brain mean.

    Returns
    -------
    ndarray of float32, shape (n_windows, n_voxels)
        The same for all windows of a run.
    """
    of_run = {}
    for name, run in windows.runs.items():
        image = run.mean_volume()[windows.box][windows.mask]
        of_run[name] = image / image.mean()
    return np.stack([of_run[name] for name in windows.table["recording"]])
