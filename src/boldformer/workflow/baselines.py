"""The humble decoders on a cohort's own folds: what each of them is given to see."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

import numpy as np
from sklearn.base import BaseEstimator

from boldformer.data.protocol import Protocol
from boldformer.data.splits import Fold, Splits, split_groups
from boldformer.data.windows import WindowSet
from boldformer.evaluation.baselines import BASELINES, OutOfFold, out_of_fold
from boldformer.evaluation.parcels import parcel_means, parcellate
from boldformer.training.linear import LinearDecoder
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
    cohort: Cohort, splits: Splits, means: np.ndarray, protocol: Protocol
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
    protocol : Protocol
        Takes in what they are fitted to.

    Returns
    -------
    dict of str to OutOfFold
        By name, in the order of `REPORTED_BASELINES`; rows as in
        `boldformer.workflow.results.Results`.
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
        found[name] = in_every_repeat(
            BASELINES[name].make(),
            features[BASELINES[name].features](),
            cohort.targets,
            splits.parts,
            groups,
            len(cohort.labels),
        )
        declare(protocol, name, splits.folds)
        seconds = time.perf_counter() - started
        logger.info("Baseline %s: %.1f s", name.replace("_", " "), seconds)
    return found


def in_every_repeat(
    estimator: BaseEstimator,
    features: np.ndarray,
    targets: np.ndarray,
    repeats: Sequence[Splits],
    groups: np.ndarray,
    n_classes: int,
) -> OutOfFold:
    """Judge a classifier in every repeat of a split, one after the other.

    Parameters
    ----------
    estimator, features, targets, groups, n_classes
        As for `boldformer.evaluation.baselines.out_of_fold`.
    repeats : sequence of Splits
        `boldformer.data.splits.Splits.parts`.

    Returns
    -------
    OutOfFold
        Probabilities of shape (n_repeats * n_windows, n_classes).
    """
    found = [
        out_of_fold(estimator, features, targets, part, groups, n_classes)
        for part in repeats
    ]
    parts = [p.untempered for p in found if p.untempered is not None]
    return OutOfFold(
        np.concatenate([part.probabilities for part in found]),
        tuple(a for part in found for a in part.training_accuracy),
        tuple(t for part in found for t in part.temperatures),
        untempered=np.concatenate(parts) if len(parts) == len(found) else None,
    )


def declare(
    protocol: Protocol, name: str, folds: Sequence[Fold], prefix: str = ""
) -> None:
    """Record what `out_of_fold` fits a baseline to: the training side of each fold.

    Inner folds, where a baseline has any, choose its penalty, number of voxels and
    temperature among the same windows.
    """
    tuned = isinstance(BASELINES[name].make(), LinearDecoder)
    for fold in folds:
        protocol.record(f"{prefix}{name}", fold.train, fold=fold.index)
        if tuned:
            protocol.record(
                f"{prefix}{name}: inner folds",
                fold.train,
                fold=fold.index,
                purpose="select",
            )


def run_means(windows: WindowSet) -> np.ndarray:
    """Mean image of the run that each window comes from, relative to its brightness.

    Brightness is the root mean square over the brain. Images without a mean, such as
    z-scores, have none to show: they give zeros.

    Returns
    -------
    ndarray of float32, shape (n_windows, n_voxels)
        The same for all windows of a run.
    """
    of_run = {}
    maps = windows.table["timing"].eq("map").all()
    for name, run in windows.runs.items():
        image = run.mean_volume()[windows.box][windows.mask]
        level = float(np.sqrt(np.mean(image**2, dtype=np.float64)))
        # From volume to volume an image changes far less than it is bright.
        least = 0.0 if maps else float(run.frames["dvars"].mean())
        of_run[name] = image / level if level > least else np.zeros_like(image)
    return np.stack([of_run[name] for name in windows.table["recording"]])
