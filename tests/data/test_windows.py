"""Windows: which frames they hold, and that every way of reading them agrees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boldformer import open_dataset
from boldformer.config import PreprocessingConfig, WindowConfig
from boldformer.data.event_windows import make_table, used_window
from boldformer.data.events import resolve_labels
from boldformer.data.prepare import prepare
from boldformer.data.recording import Dataset, Recording
from boldformer.data.windows import WindowSet
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

    def length_s(durations: list[float], **config: float) -> float:
        return used_window(
            dataset(durations), ["left"], WindowConfig(**config)
        ).length_s

    assert length_s([16.0, 16.0, 90.0]) == 16
    assert length_s([0.0, 0.5]) == 6
    assert length_s([16.0], length_s=3.0) == 3


def planted_pair(make_bids: MakeBids, tmp_path: Path) -> WindowSet:
    """Two runs of one slow sine, scanned every 2 s and every 0.5 s."""
    roots = [
        make_bids("slow", subjects=1, runs=1, t_r=2.0, n_times=64, preprocessed=True),
        make_bids("fast", subjects=1, runs=1, t_r=0.5, n_times=256, preprocessed=True),
    ]
    recordings = []
    for name, root in zip(["slow", "fast"], roots, strict=True):
        (recording,) = open_dataset(root)
        image = nib.load(recording.bold)
        # What a volume shows is the mean over the time until the next one.
        edges = recording.t_r * np.arange(image.shape[3] + 1)
        course = np.diff(np.cos(2 * np.pi * edges / 40)) / recording.t_r
        data = image.get_fdata() * 0 + 1000 + 50 * course / np.abs(course).max()
        nib.save(nib.Nifti1Image(data, image.affine, image.header), recording.bold)
        recordings.append(replace(recording, subject=name))
    dataset = Dataset("pair", tmp_path, tuple(recordings))
    pipeline = pipeline_from_config(
        PreprocessingConfig(dummy_scans=0, high_pass_hz=0.0, confounds=())
    )
    runs, _ = prepare(dataset, tmp_path / "pair", pipeline, progress=False)
    table, _ = make_table(dataset, runs, ["left", "right"], WindowConfig())
    return WindowSet(table, runs)


def test_recordings_of_other_repetition_times_are_resampled(
    make_bids: MakeBids, tmp_path: Path
) -> None:
    windows = planted_pair(make_bids, tmp_path)
    assert windows.t_r == 2.0
    assert windows.shape[:2] == (16, 4)
    table = windows.table
    slow = table["subject"] == "slow"
    assert set(table.loc[slow, "n_frames"]) == {4}
    assert set(table.loc[~slow, "n_frames"]) <= {16, 17}
    # Windows of one time show the same course, whichever run they come from.
    starts = table["start_s"].round(6)
    same = starts[slow].isin(starts[~slow])
    assert same.any()
    courses = windows.batch(np.arange(len(windows))).mean(axis=(2, 3, 4))
    courses /= np.abs(courses).max()
    for row in np.flatnonzero(slow)[same]:
        twin = np.flatnonzero(~slow & (starts == starts[row]))[0]
        first_s = table["first_frame"][row] * 2.0
        if first_s == starts[row]:  # frames of the slow run begin where the window does
            np.testing.assert_allclose(courses[row], courses[twin], atol=0.05)
    np.testing.assert_allclose(
        windows.means(),
        windows.batch(np.arange(16)).mean(1)[:, windows.mask],
        atol=1e-5,
    )


@pytest.mark.parametrize(
    ("stride_s", "expected"), [(0.0, 1), (2.0, 3), (4.0, 2), (5.0, 1)]
)
def test_strides_stay_inside_the_event(
    make_bids: MakeBids, tmp_path: Path, stride_s: float, expected: int
) -> None:
    window = WindowConfig(delay_s=4.0, length_s=4.0, stride_s=stride_s)
    _, windows = opened(make_bids("stride", subjects=1, runs=1), tmp_path / "s", window)
    counts = windows.table.groupby("block").size()
    assert set(counts) == {expected}
    late = windows.table["start_s"] + 4.0 - windows.table["onset"]
    assert (late <= 4.0 + windows.table["duration"] + 1e-6).all()


def test_overlapping_events_give_windows_of_several_labels(
    make_bids: MakeBids, tmp_path: Path
) -> None:
    root = make_bids("multi", subjects=1, runs=1)
    events = pd.DataFrame(
        {
            "onset": [0.0, 20.0, 60.0],
            "duration": [40.0, 40.0, 20.0],
            "trial_type": ["left", "right", "left"],
        }
    )
    dataset, labels = resolve_labels(with_events(open_dataset(root), events), ())
    assert labels == ["left", "left+right", "right"]
    pipeline = pipeline_from_config(PreprocessingConfig(dummy_scans=0))
    runs, _ = prepare(dataset, tmp_path / "m", pipeline, progress=False)
    table, _ = make_table(dataset, runs, labels, WindowConfig(delay_s=0.0))
    windows = WindowSet(table, runs)
    assert table["label"].tolist() == ["left", "left+right", "right", "left"]
    assert table["first_frame"].tolist() == [0, 10, 20, 30]
    assert windows.indicators().to_numpy().tolist() == [
        [True, False],
        [True, True],
        [False, True],
        [True, False],
    ]
    # A stretch shorter than the window would mix labels.
    with pytest.raises(InputError, match="shorter than a window"):
        make_table(dataset, runs, labels, WindowConfig(delay_s=0.0, length_s=24.0))


def test_windows_do_not_reach_over_missing_volumes(
    make_bids: MakeBids, tmp_path: Path
) -> None:
    root = make_bids("gaps", subjects=1, runs=1)
    (recording,) = open_dataset(root)
    kept = tuple(range(20)) + tuple(range(26, 64))
    recording = replace(recording, frames=kept, frame_numbers=kept)
    dataset = Dataset("gaps", root, (recording,))
    pipeline = pipeline_from_config(PreprocessingConfig(dummy_scans=0))
    runs, bad = prepare(dataset, tmp_path / "g", pipeline, progress=False)
    assert not bad
    table, outside = make_table(dataset, runs, ["left", "right"], WindowConfig(4.0))
    (run,) = runs.values()
    assert run.n_times == 58
    assert run.has_gaps
    times = run.times_s
    for row in table.itertuples():
        read = times[row.first_frame : row.first_frame + row.n_frames]
        assert np.allclose(np.diff(read), 2.0)
        assert 0 <= read[0] - row.onset - 4.0 < 2.0
    assert any("missing volumes" in why for _, why in outside)


def test_nuisance_knows_motion_and_position_but_no_voxel(windows: WindowSet) -> None:
    nuisance = windows.nuisance()
    assert len(nuisance) == len(windows)
    assert {"position", "run_length", "global_signal", "trans_x"} <= set(nuisance)
    assert nuisance["framewise_displacement"].notna().all()


def test_groups_are_subjects_or_the_runs_of_one(windows: WindowSet) -> None:
    assert set(windows.groups) == {"01", "02"}
    one = windows[(windows.table["subject"] == "01").to_numpy()]
    assert len(set(one.groups)) == 2


def with_blocks(root: Path, rows: list[tuple[float, float, str]]) -> Path:
    for file in root.rglob("*_events.tsv"):
        table = pd.DataFrame(rows, columns=["onset", "duration", "trial_type"])
        table.to_csv(file, sep="\t", index=False)
    return root


BLOCKS = [(6.0 + 14 * k, 8.0, ("left", "right")[k % 2]) for k in range(6)]


@pytest.mark.parametrize(
    "again", [(20.0, 8.0, "right"), (20.0, 6.0, "right"), (19.5, 8.0, "right")]
)
def test_an_event_that_is_there_twice_counts_once(
    again: tuple[float, float, str], make_bids: MakeBids, tmp_path: Path
) -> None:
    root = with_blocks(make_bids("twice", subjects=1, runs=1), [*BLOCKS, again])
    dataset = open_dataset(root)
    pipeline = pipeline_from_config(PreprocessingConfig(dummy_scans=0))
    runs, _ = prepare(dataset, tmp_path / "t", pipeline, progress=False)
    table, aside = make_table(dataset, runs, ["left", "right"], WindowConfig(4.0, 8.0))
    assert len(table) == len(BLOCKS)
    assert table["window"].tolist() == list(range(len(BLOCKS)))
    ((what, why),) = aside
    assert "right at" in what
    assert "counted once" in why


@pytest.mark.parametrize("gap_s", [0.0, 0.4])
def test_two_labels_for_the_same_frames_are_refused(
    gap_s: float, make_bids: MakeBids, tmp_path: Path
) -> None:
    stimuli = [(6.0 + 14 * k, 0.0, ("left", "right")[k % 2]) for k in range(6)]
    presses = [(onset + gap_s, 0.0, "press") for onset, _, _ in stimuli]
    root = with_blocks(make_bids("press", subjects=1, runs=1), [*stimuli, *presses])
    dataset, labels = resolve_labels(open_dataset(root), ())
    pipeline = pipeline_from_config(PreprocessingConfig(dummy_scans=0))
    runs, _ = prepare(dataset, tmp_path / "t", pipeline, progress=False)
    config = WindowConfig(3.5)
    with pytest.raises(InputError, match=r"same frames in 12 windows.*--labels"):
        make_table(dataset, runs, labels, config)
    table, _ = make_table(dataset, runs, ["left", "right"], config)
    assert len(table) == 6


def changed_nuisance(
    root: Path, store: Path, change: Callable[[np.ndarray], np.ndarray]
) -> pd.DataFrame:
    for bold in root.rglob("*preproc_bold.nii.gz"):
        image = nib.load(bold)
        data = change(np.asanyarray(image.dataobj).astype(float))
        nib.save(nib.Nifti1Image(data.astype("f4"), image.affine, image.header), bold)
    return opened(root, store)[1].nuisance()


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data - data.mean(axis=3, keepdims=True),
        lambda data: 1e-3 * data,
        lambda data: 0.02 * (data - data.mean(axis=3, keepdims=True)),
        lambda data: data + 1e4,
    ],
    ids=["demeaned", "other units", "both", "offset"],
)
def test_nuisance_does_not_depend_on_the_mean_or_the_units(
    change: Callable, make_bids: MakeBids, tmp_path: Path
) -> None:
    plain = opened(make_bids("p", preprocessed=True), tmp_path / "p")[1].nuisance()
    root = make_bids("c", preprocessed=True)
    found = changed_nuisance(root, tmp_path / "c", change)
    pd.testing.assert_frame_equal(found, plain, atol=1e-2, rtol=1e-2)
    assert plain["global_signal"].std() > 0.05


def test_nuisance_of_maps_does_not_know_their_order(tmp_path: Path) -> None:
    root = tmp_path / "maps"
    rng = np.random.default_rng(0)
    for subject in ("01", "02"):
        (root / f"sub-{subject}").mkdir(parents=True)
        image = nib.Nifti1Image(rng.normal(size=(6, 6, 6, 8)).astype("f4"), np.eye(4))
        nib.save(image, root / f"sub-{subject}" / "beta.nii.gz")
    rows = "".join(f"{k}\t{'ab'[k % 2]}\n" for k in range(8))
    (root / "volumes.tsv").write_text("volume\ttrial_type\n" + rows)
    dataset = open_dataset(root)
    pipeline = pipeline_from_config(PreprocessingConfig())
    runs, _ = prepare(dataset, tmp_path / "s", pipeline, progress=False)
    table, _ = make_table(dataset, runs, ["a", "b"], WindowConfig())
    nuisance = WindowSet(table, runs).nuisance()
    assert list(nuisance) == ["global_signal"]
    assert np.isfinite(nuisance.to_numpy()).all()
