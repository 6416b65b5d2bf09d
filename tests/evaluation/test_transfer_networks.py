"""Networks between sites: aligned windows, and heads that alone are tuned."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from boldformer.config import WindowConfig
from boldformer.data.event_windows import make_table
from boldformer.data.prepare import prepare
from boldformer.data.sources.layouts import open_dataset
from boldformer.data.windows import WindowSet
from boldformer.evaluation.transfer_networks import AlignedWindows, train_head_only
from boldformer.models import list_models
from boldformer.models.registry import create
from boldformer.preprocessing.pipeline import Pipeline
from boldformer.training.feature_alignment import centre


@pytest.fixture
def windows(make_bids: Callable[..., Path], tmp_path: Path) -> WindowSet:
    dataset = open_dataset(make_bids(preprocessed=True))
    pipeline = Pipeline([{"step": "zscore"}])
    runs, _ = prepare(dataset, tmp_path / "store", pipeline, progress=False)
    return WindowSet(
        make_table(dataset, runs, ["left", "right"], WindowConfig())[0], runs
    )


def test_frames_are_aligned_as_window_means_are(windows: WindowSet) -> None:
    runs = windows.table["recording"].to_numpy(dtype=str)
    aligned, rows = AlignedWindows(windows, runs), np.array([0, 5, 20])
    wanted = centre(windows.means(), runs)[rows]
    np.testing.assert_allclose(aligned.means(rows), wanted, atol=1e-5)
    frames = aligned.batch(rows)
    np.testing.assert_allclose(frames.mean(axis=1)[:, windows.mask], wanted, atol=1e-4)
    assert not frames[:, :, ~windows.mask].any()


def test_a_part_keeps_the_shifts_of_the_whole(windows: WindowSet) -> None:
    aligned = AlignedWindows(windows, windows.table["recording"].to_numpy(dtype=str))
    part = aligned[np.array([7, 3])]
    assert len(part) == part.shape[0] == 2
    np.testing.assert_array_equal(part.batch([1]), aligned.batch([3]))


def test_people_are_kept_apart_whatever_is_aligned(windows: WindowSet) -> None:
    aligned = AlignedWindows(windows, windows.table["recording"].to_numpy(dtype=str))
    assert aligned.groups.tolist() == windows.table["subject"].tolist()


def test_without_groups_only_the_mask_is_applied(windows: WindowSet) -> None:
    np.testing.assert_array_equal(
        AlignedWindows(windows).batch([0, 1]), windows.batch([0, 1])
    )


@pytest.mark.parametrize("name", list_models())
def test_only_what_a_new_head_replaces_is_trained(name: str) -> None:
    shape = (16, 16, 16)
    model = create(name, n_outputs=3, n_times=4, volume_shape=shape)
    train_head_only(model)
    trained = {n for n, p in model.named_parameters() if p.requires_grad}
    assert trained
    other = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1.0)
    other.reset_head(3)
    for (key, old), new in zip(
        model.named_parameters(), other.parameters(), strict=True
    ):
        assert torch.equal(old + 1, new) == (key not in trained)
