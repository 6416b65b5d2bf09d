"""Windows: which frames they hold, and that every way of reading them agrees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boldformer import open_dataset
from boldformer.config import PreprocessingConfig, WindowConfig
from boldformer.data.prepare import prepare
from boldformer.data.recording import Dataset, Recording
from boldformer.data.windows import (
    WindowSet,
    choose_labels,
    make_table,
    window_length,
)
from boldformer.errors import InputError
from boldformer.preprocessing.pipeline import pipeline_from_config

MakeBids = Callable[..., Path]


def opened(
    root: Path, store: Path, window: WindowConfig | None = None, **config: int
) -> tuple[Dataset, WindowSet]:
    dataset = open_dataset(root)
    pipeline = pipeline_from_config(PreprocessingConfig(**{"dummy_scans": 0, **config}))
    runs, _ = prepare(dataset, store, pipeline, progress=False)
    table, _ = make_table(
        dataset, runs, ["left", "right"], window or WindowConfig(delay_s=4.0)
    )
    return dataset, WindowSet(table, runs)


@pytest.fixture
def windows(make_bids: MakeBids, tmp_path: Path) -> WindowSet:
    return opened(make_bids(preprocessed=True), tmp_path / "store")[1]


def test_one_window_an_event(windows: WindowSet) -> None:
    assert windows.shape == (32, 4, 6, 7, 5)
    assert set(windows.table["n_frames"]) == {4}
    starts = windows.table["first_frame"] * windows.t_r
    delays = starts - windows.table["onset"]
    assert delays.between(4.0, 4.0 + windows.t_r - 1e-9).all()


def test_means_are_the_means_of_the_batch(windows: WindowSet) -> None:
    rows = np.array([3, 17, 4])
    dense = windows.batch(rows)
    assert dense.dtype == np.float32
    np.testing.assert_allclose(
        windows.means(rows), dense.mean(axis=1)[:, windows.mask], atol=1e-6
    )
    np.testing.assert_allclose(
        windows.unmask(windows.means(rows)), dense.mean(axis=1), atol=1e-6
    )


def test_voxels_sit_where_the_run_has_them(windows: WindowSet) -> None:
    row = windows.table.iloc[5]
    run = windows.runs[row["recording"]]
    volume = np.zeros(run.grid.shape, dtype=np.float32)
    volume.ravel()[run.voxels] = run.window(row["first_frame"], 1)[0]
    np.testing.assert_array_equal(windows.batch([5])[0, 0], volume[windows.box])


@given(st.data())
def test_selecting_equals_reading_those_rows(data: st.DataObject) -> None:
    windows = _shared()
    rows = data.draw(st.lists(st.integers(0, len(windows) - 1), min_size=1, max_size=6))
    chosen = windows[np.array(rows)]
    assert len(chosen) == len(rows)
    np.testing.assert_array_equal(
        chosen.batch(np.arange(len(rows))), windows.batch(rows)
    )
    assert chosen.labels.tolist() == windows.labels[rows].tolist()


_CACHE: list[WindowSet] = []


def _shared() -> WindowSet:
    return _CACHE[0]


@pytest.fixture(autouse=True)
def _fill_cache(windows: WindowSet) -> None:
    _CACHE[:] = [windows]


def test_boolean_masks_and_slices_select_too(windows: WindowSet) -> None:
    left = windows.labels == "left"
    assert set(windows[left].labels) == {"left"}
    assert len(windows[4:9]) == 5
    assert len(windows[3]) == 1


def test_a_runs_missing_voxels_are_zero_in_its_windows(
    make_bids: MakeBids, change_image: Callable, tmp_path: Path
) -> None:
    root = make_bids("two", subjects=1, runs=2, preprocessed=True)

    def erase(data: np.ndarray) -> np.ndarray:
        data[2:4] = 0
        return data

    change_image(next(root.rglob("*run-2*_mask.nii.gz")), erase)
    _, windows = opened(root, tmp_path / "two-store")
    second = np.flatnonzero(windows.table["run"] == "2")
    assert windows.mask.shape == (6, 7, 5)
    assert not windows.batch(second)[:, :, :2].any()
    assert windows.batch(second)[:, :, 2:].any()


def test_frames_are_counted_from_the_dropped_volumes(
    make_bids: MakeBids, tmp_path: Path
) -> None:
    root = make_bids("drop", subjects=1, runs=1, preprocessed=True)
    _, kept = opened(root, tmp_path / "kept")
    _, dropped = opened(root, tmp_path / "dropped", dummy_scans=2)
    np.testing.assert_array_equal(
        dropped.table["first_frame"] + 2, kept.table["first_frame"]
    )


def with_events(dataset: Dataset, events: pd.DataFrame) -> Dataset:
    recordings = tuple(replace(r, events=events) for r in dataset)
    return Dataset(dataset.name, dataset.path, recordings)


def test_events_outside_the_run_are_set_aside(
    make_bids: MakeBids, tmp_path: Path
) -> None:
    dataset, _ = opened(make_bids("out", subjects=1, runs=1), tmp_path / "s")
    runs, _ = prepare(
        dataset, tmp_path / "s", pipeline_from_config(PreprocessingConfig())
    )
    events = pd.DataFrame(
        {
            "onset": [-20.0, 10.0, 30.0, 125.0, 9999.0],
            "duration": 8.0,
            "trial_type": ["left", "left", "right", "right", "left"],
        }
    )
    table, outside = make_table(
        with_events(dataset, events), runs, ["left", "right"], WindowConfig()
    )
    assert table["onset"].tolist() == [10.0, 30.0]
    assert len(outside) == 3
    assert "leaves the run (0–128 s)" in outside[0][1]
    with pytest.raises(InputError, match="no window lies inside"):
        make_table(
            with_events(dataset, events.iloc[[0, 4]]), runs, ["left"], WindowConfig()
        )


def test_the_window_is_as_long_as_the_median_event_but_not_shorter_than_six() -> None:
    def dataset(durations: list[float]) -> Dataset:
        events = pd.DataFrame(
            {"onset": 1.0, "duration": durations, "trial_type": "left"}
        )
        return Dataset("x", Path(), (Recording(Path(), 2.0, "01", events=events),))

    config = WindowConfig()
    assert window_length(dataset([16.0, 16.0, 90.0]), ["left"], config) == 16
    assert window_length(dataset([0.0, 0.5]), ["left"], config) == 6
    assert window_length(dataset([16.0]), ["left"], WindowConfig(length_s=3)) == 3


def test_labels(make_bids: MakeBids) -> None:
    dataset = open_dataset(make_bids("labels", subjects=1, runs=1))
    assert choose_labels(dataset, []) == ["left", "right"]
    assert choose_labels(dataset, ["right", "left"]) == ["right", "left"]
    with pytest.raises(InputError, match=r"unknown label 'up'.*left, right"):
        choose_labels(dataset, ["left", "up"])
    with pytest.raises(InputError, match="two classes"):
        choose_labels(dataset, ["left"])
    with pytest.raises(InputError, match="two classes"):
        choose_labels(dataset, ["left", "left"])


def test_different_repetition_times_are_refused(
    make_bids: MakeBids, tmp_path: Path
) -> None:
    dataset, windows = opened(make_bids("tr", subjects=1, runs=2), tmp_path / "s")
    first, second = dataset.recordings
    mixed = Dataset("x", tmp_path, (first, replace(second, t_r=1.0)))
    with pytest.raises(InputError, match=r"different repetition times.*1 s, 2 s"):
        make_table(mixed, windows.runs, ["left", "right"], WindowConfig())


def test_nuisance_knows_motion_and_position_but_no_voxel(windows: WindowSet) -> None:
    nuisance = windows.nuisance()
    assert len(nuisance) == len(windows)
    assert {"position", "run_length", "global_signal", "trans_x"} <= set(nuisance)
    assert nuisance["framewise_displacement"].notna().all()


def test_groups_are_subjects_or_the_runs_of_one(windows: WindowSet) -> None:
    assert set(windows.groups) == {"01", "02"}
    one = windows[(windows.table["subject"] == "01").to_numpy()]
    assert len(set(one.groups)) == 2
