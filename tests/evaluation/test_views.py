"""What the humble decoders are given to see."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from boldformer.config import DataConfig, RunConfig
from boldformer.data.cohort import read_cohort
from boldformer.data.sources.layouts import open_source
from boldformer.data.splits import make_folds, split_groups
from boldformer.data.windows import WindowSet
from boldformer.evaluation.baselines import BASELINES, Views
from boldformer.evaluation.out_of_fold import out_of_fold

MakeBids = Callable[..., Path]


def windows_of(root: Path, change: Callable[[np.ndarray], np.ndarray]) -> WindowSet:
    for bold in root.rglob("*preproc_bold.nii.gz"):
        image = nib.load(bold)
        data = change(np.asarray(image.dataobj).astype(float)).astype(np.float32)
        nib.save(nib.Nifti1Image(data, image.affine, image.header), bold)
    settings = RunConfig(data=DataConfig(path=str(root)))
    dataset, store = open_source(settings.data), root.parent / f"{root.name}-store"
    return read_cohort(dataset, settings, store, n_jobs=1, progress=False).windows


def demean(data: np.ndarray) -> np.ndarray:
    return data - data.mean(axis=3, keepdims=True)


def zscore(data: np.ndarray) -> np.ndarray:
    spread = data.std(axis=3, keepdims=True)
    return demean(data) / np.where(spread > 0, spread, 1)


@pytest.mark.parametrize("change", [demean, zscore, lambda data: -1e-4 * demean(data)])
def test_images_without_a_mean_show_none(change: Callable, make_bids: MakeBids) -> None:
    windows = windows_of(make_bids(preprocessed=True), change)
    assert not Views(windows).run_means.any()


def test_run_means_do_not_depend_on_units(make_bids: MakeBids) -> None:
    one, other = (
        Views(windows_of(make_bids(name, preprocessed=True), change)).run_means
        for name, change in {"a": lambda d: d, "b": lambda d: 1e-3 * d}.items()
    )
    np.testing.assert_allclose(one, other, rtol=1e-4)
    assert (one**2).mean(axis=1) == pytest.approx(1)


def plant_global_signal(root: Path) -> None:
    """Let the whole brain brighten a little with one of the two labels."""
    for bold in root.rglob("*preproc_bold.nii.gz"):
        stem = bold.name.split("_space")[0]
        events = pd.read_csv(next(root.rglob(f"{stem}_events.tsv")), sep="\t")
        image = nib.load(bold)
        data = np.asarray(image.dataobj).astype(np.float32)
        times_s = 2.0 * np.arange(data.shape[3])
        for onset in events.loc[events["trial_type"] == "right", "onset"]:
            on = (times_s >= onset + 4) & (times_s < onset + 14)
            data[2:8, 2:9, 2:7, on] += 10
        nib.save(nib.Nifti1Image(data, image.affine, image.header), bold)


def nuisance_score(windows: WindowSet) -> float:
    splits = make_folds(windows.table)
    classes = (windows.labels == "right").astype(int)
    found = out_of_fold(
        BASELINES["nuisance"].make(),
        Views(windows).nuisance,
        classes,
        splits,
        split_groups(windows.table, splits.unit),
        2,
    )
    return float((found.probabilities.argmax(axis=1) == classes).mean())


def test_a_planted_global_signal_is_found_whatever_was_done_to_the_mean(
    make_bids: MakeBids,
) -> None:
    scores = {}
    for name, change in {
        "raw": lambda data: data,
        "demeaned": demean,
        "z-scored": zscore,
        "small": lambda data: 1e-4 * demean(data),
    }.items():
        root = make_bids(name, subjects=4, preprocessed=True)
        plant_global_signal(root)
        scores[name] = nuisance_score(windows_of(root, change))
    assert min(scores.values()) > 0.85, scores
    assert max(scores.values()) - min(scores.values()) < 0.1, scores


@pytest.mark.parametrize("name", sorted({b.features for b in BASELINES.values()}))
def test_what_is_seen_of_a_window_does_not_depend_on_the_others(
    name: str, make_bids: MakeBids
) -> None:
    windows = windows_of(make_bids(preprocessed=True), lambda data: data)
    rows = np.arange(0, len(windows), 3)
    whole, part = getattr(Views(windows), name), getattr(Views(windows[rows]), name)
    np.testing.assert_allclose(part, whole[rows], atol=1e-6)
