"""Preparing runs: what is stored, what is set aside, what survives an interruption."""

from __future__ import annotations

import gzip
import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from nilearn.interfaces.fmriprep import load_confounds
from nilearn.maskers import NiftiMasker

from boldformer import open_dataset
from boldformer.config import PreprocessingConfig
from boldformer.data.folders import LOCK
from boldformer.data.prepare import prepare
from boldformer.data.store import ZSCORE_SCALE, PreparedRun, one_grid
from boldformer.errors import DatasetError, InputError
from boldformer.preprocessing.pipeline import RunContext, pipeline_from_config

MakeBids = Callable[..., Path]
ChangeImage = Callable[[Path, Callable[[np.ndarray], np.ndarray]], None]
PIPELINE = pipeline_from_config(PreprocessingConfig(dummy_scans=0))
RAW = pipeline_from_config(
    PreprocessingConfig(
        dummy_scans=0,
        centre=False,
        detrend_order=-1,
        high_pass_hz=0.0,
        confounds=(),
        normalise="none",
    )
)


def prepared(root: Path, store: Path) -> dict[str, PreparedRun]:
    runs, set_aside = prepare(open_dataset(root), store, PIPELINE, progress=False)
    assert set_aside == []
    return runs


def test_a_prepared_run_equals_nilearns_masker(
    make_bids: MakeBids, tmp_path: Path
) -> None:
    root = make_bids(subjects=1, runs=1, preprocessed=True, n_times=80)
    (run,) = prepared(root, tmp_path / "store").values()
    (recording,) = open_dataset(root)
    context, _ = load_confounds(
        str(recording.bold), strategy=("motion", "wm_csf"), motion="basic"
    )
    masker = NiftiMasker(
        recording.mask,
        t_r=2.0,
        detrend=True,
        high_pass=1 / 128,
        standardize="zscore_sample",
        clean_args={"filter": "cosine"},
    )
    theirs = masker.fit().transform(recording.bold, confounds=context.fillna(0))
    ours = run.window(0, run.n_times)
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= ZSCORE_SCALE / 2 + 1e-2


def test_raw_intensities_survive_eight_bits(
    make_bids: MakeBids, tmp_path: Path
) -> None:
    root = make_bids(subjects=1, runs=1, preprocessed=True)
    runs, _ = prepare(open_dataset(root), tmp_path / "store", RAW, progress=False)
    (run,) = runs.values()
    (recording,) = open_dataset(root)
    mask = nib.load(recording.mask).get_fdata() > 0
    original = nib.load(recording.bold).get_fdata()[mask].T
    error = run.window(0, run.n_times) - original
    assert error.std() < 0.02 * original.std(axis=0).mean()
    np.testing.assert_allclose(
        run.window_mean(3, 5), run.window(3, 5).mean(0), rtol=1e-5
    )


def test_raw_bids_gets_a_mask_and_drops_non_steady_volumes(
    make_bids: MakeBids, change_image: ChangeImage, tmp_path: Path
) -> None:
    root = make_bids(subjects=1, runs=1)

    def brighten(data: np.ndarray) -> np.ndarray:
        data[..., :2] *= 1.5
        return data

    change_image(next(root.rglob("*_bold.nii.gz")), brighten)
    pipeline = pipeline_from_config(PreprocessingConfig())
    runs, _ = prepare(open_dataset(root), tmp_path / "store", pipeline, progress=False)
    (run,) = runs.values()
    assert run.info["n_dropped_volumes"] == 2
    assert run.start_s == 4.0
    assert run.frames["time_s"].iloc[0] == 4.0
    inside = run.mean_volume() > 0
    assert inside[2:8, 2:9, 2:7].mean() > 0.9
    assert inside.sum() < 1.5 * 6 * 7 * 5


def test_padding_moves_the_grid_and_keeps_the_signal(
    make_bids: MakeBids, tmp_path: Path
) -> None:
    root = make_bids(subjects=1, runs=1, preprocessed=True)
    config = PreprocessingConfig(dummy_scans=0, volume_shape=(16, 16, 16))
    runs, _ = prepare(
        open_dataset(root),
        tmp_path / "padded",
        pipeline_from_config(config),
        progress=False,
    )
    (padded,) = runs.values()
    (plain,) = prepared(root, tmp_path / "plain").values()
    assert padded.grid.shape == (16, 16, 16)
    np.testing.assert_array_equal(padded.stored, plain.stored)
    at = np.array(np.unravel_index(padded.voxels[0], padded.grid.shape))
    before = np.array(np.unravel_index(plain.voxels[0], plain.grid.shape))
    np.testing.assert_allclose(
        padded.grid.matrix @ [*at, 1], plain.grid.matrix @ [*before, 1]
    )


def spoil_truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def spoil_three_d(path: Path) -> None:
    image = nib.load(path)
    nib.save(image.slicer[..., 0], path)


def spoil_nan(path: Path) -> None:
    image = nib.load(path)
    data = image.get_fdata()
    data[..., 5] = np.nan
    nib.save(nib.Nifti1Image(data, image.affine, image.header), path)


def spoil_constant(path: Path) -> None:
    image = nib.load(path)
    nib.save(nib.Nifti1Image(np.full(image.shape, 7.0), image.affine), path)


def spoil_short(path: Path) -> None:
    nib.save(nib.load(path).slicer[..., :3], path)


def spoil_text(path: Path) -> None:
    path.write_bytes(gzip.compress(b"this is not an image" * 40))


def spoil_complex(path: Path) -> None:
    image = nib.load(path)
    data = image.get_fdata().astype(np.complex64)
    nib.save(nib.Nifti1Image(data, image.affine), path)


SPOILED = {
    spoil_truncate: "cannot be read",
    spoil_three_d: "wrong number of dimensions.*4-D",
    spoil_nan: "constant or not finite",
    spoil_constant: "constant or not finite",
    spoil_short: "too short.*received 3",
    spoil_text: "cannot be read as an image",
    spoil_complex: "not an image of real numbers",
}


@pytest.mark.parametrize("spoil", SPOILED, ids=lambda f: f.__name__)
def test_a_bad_run_is_set_aside_and_the_rest_goes_on(
    spoil: Callable[[Path], None], make_bids: MakeBids, tmp_path: Path
) -> None:
    root = make_bids(subjects=1, runs=2, preprocessed=True)
    spoil(next(root.rglob("*run-1*_bold.nii.gz")))
    store = tmp_path / "store"
    runs, set_aside = prepare(open_dataset(root), store, PIPELINE, progress=False)
    assert list(runs) == ["sub-01_task-test_run-2"]
    ((name, reason),) = set_aside
    assert name == "sub-01_task-test_run-1"
    assert re.search(SPOILED[spoil], reason), reason
    assert "\n" not in reason
    assert [p.name for p in store.glob("[!.]*")] == ["sub-01_task-test_run-2"]


def test_a_mask_of_another_grid_is_set_aside(
    make_bids: MakeBids, tmp_path: Path
) -> None:
    root = make_bids(subjects=1, runs=2, preprocessed=True)
    mask = next(root.rglob("*run-2*_mask.nii.gz"))
    nib.save(nib.load(mask).slicer[1:], mask)
    _, set_aside = prepare(open_dataset(root), tmp_path / "s", PIPELINE, progress=False)
    assert "mask and recording have different grids" in set_aside[0][1]


def test_a_few_dead_voxels_are_left_out(
    make_bids: MakeBids, change_image: ChangeImage, tmp_path: Path
) -> None:
    root = make_bids(subjects=1, runs=1, preprocessed=True)

    def kill(data: np.ndarray) -> np.ndarray:
        data[3, 3, 3] = 5
        data[4, 4, 4, 7] = np.inf
        return data

    change_image(next(root.rglob("*_bold.nii.gz")), kill)
    (run,) = prepared(root, tmp_path / "store").values()
    assert run.info["n_unusable_voxels"] == 2
    assert np.isfinite(run.window(0, run.n_times)).all()


def test_nothing_usable_is_an_error(make_bids: MakeBids, tmp_path: Path) -> None:
    root = make_bids(subjects=1, runs=1)
    spoil_truncate(next(root.rglob("*_bold.nii.gz")))
    with pytest.raises(DatasetError, match="no run could be prepared"):
        prepare(open_dataset(root), tmp_path / "s", PIPELINE, progress=False)


def test_prepared_runs_are_kept_and_stale_ones_made_again(
    make_bids: MakeBids, change_image: ChangeImage, tmp_path: Path
) -> None:
    root = make_bids(subjects=1, runs=2, preprocessed=True)
    store = tmp_path / "store"
    first = {k: r.info["content_hash"] for k, r in prepared(root, store).items()}
    times = {p: p.stat().st_mtime_ns for p in store.rglob("*.npy")}
    prepared(root, store)
    assert {p: p.stat().st_mtime_ns for p in store.rglob("*.npy")} == times
    change_image(next(root.rglob("*run-2*_bold.nii.gz")), lambda data: data[::-1])
    second = {k: r.info["content_hash"] for k, r in prepared(root, store).items()}
    assert first["sub-01_task-test_run-1"] == second["sub-01_task-test_run-1"]
    assert first["sub-01_task-test_run-2"] != second["sub-01_task-test_run-2"]


def test_an_interrupted_run_leaves_nothing_under_its_name(
    make_bids: MakeBids, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_bids(subjects=1, runs=1)
    store = tmp_path / "store"

    def interrupt(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("boldformer.data.store.write_tsv", interrupt)
        with pytest.raises(KeyboardInterrupt):
            prepare(open_dataset(root), store, PIPELINE, progress=False)
    assert [p.name for p in store.iterdir()] == [LOCK]
    assert len(prepared(root, store)) == 1


def test_parallel_and_serial_preparation_give_the_same_bytes(
    make_bids: MakeBids, tmp_path: Path
) -> None:
    dataset = open_dataset(make_bids(subjects=2, runs=2))
    for n_jobs in (1, 2):
        prepare(
            dataset, tmp_path / f"{n_jobs}", PIPELINE, n_jobs=n_jobs, progress=False
        )
    one, two = (
        {p.relative_to(tmp_path / n): p.read_bytes() for p in files}
        for n in ("1", "2")
        for files in [(tmp_path / n).rglob("*.*")]
    )
    assert one == two


def test_a_store_of_another_version_is_refused(
    make_bids: MakeBids, tmp_path: Path
) -> None:
    root = make_bids(subjects=1, runs=1)
    (run,) = prepared(root, tmp_path / "store").values()
    file = run.folder / "run.json"
    file.write_text(json.dumps({**run.info, "version": 99}))
    with pytest.raises(DatasetError, match="another version"):
        PreparedRun(run.folder)


def test_runs_on_another_grid_are_told_apart(
    make_bids: MakeBids, tmp_path: Path
) -> None:
    root = make_bids(subjects=2, runs=2)
    bold = next(root.rglob("*sub-02*run-1_bold.nii.gz"))
    image = nib.load(bold)
    nib.save(nib.Nifti1Image(image.get_fdata(), np.diag([2.0, 3, 3, 1])), bold)
    runs = prepared(root, tmp_path / "store")
    same, others = one_grid(list(runs.values()))
    assert len(same) == 3
    assert others == ["sub-02_task-test_run-1"]
    pair = [run for name, run in runs.items() if name.startswith("sub-02")]
    with pytest.raises(InputError, match="different grids"):
        one_grid(pair)


# --- what is not finite, has no mean, or comes later ------------------------------


def resaved(root: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    for bold in root.rglob("*_bold.nii.gz"):
        image = nib.load(bold)
        data = change(np.asarray(image.dataobj).astype(np.float32))
        nib.save(nib.Nifti1Image(data, image.affine, image.header), bold)


def set_values(where: tuple, value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(data: np.ndarray) -> np.ndarray:
        data[where] = value
        return data

    return change


@pytest.mark.parametrize("options", [{"smooth_mm": 6.0}, {"voxel_size_mm": 4.0}, {}])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_volume_that_is_not_finite_sets_its_run_aside_however_it_is_read(
    options: dict, value: float, make_bids: MakeBids, tmp_path: Path
) -> None:
    root = make_bids(subjects=1, runs=1, preprocessed=True)
    resaved(root, set_values((..., 5), value))
    pipeline = pipeline_from_config(PreprocessingConfig(dummy_scans=0, **options))
    with pytest.raises(DatasetError, match="not finite"):
        prepare(open_dataset(root), tmp_path / "s", pipeline, progress=False)


@pytest.mark.parametrize("options", [{"smooth_mm": 6.0}, {"voxel_size_mm": 4.0}])
def test_a_voxel_that_is_not_finite_once_leaves_no_spike_around_it(
    options: dict, make_bids: MakeBids, tmp_path: Path
) -> None:
    pipeline = pipeline_from_config(PreprocessingConfig(dummy_scans=0, **options))
    found = []
    for name, change in {
        "once": set_values((4, 5, 4, 7), np.nan),
        "always": set_values((4, 5, 4), 0.0),
    }.items():
        root = make_bids(name, subjects=1, runs=1, preprocessed=True)
        resaved(root, change)
        runs, _ = prepare(open_dataset(root), tmp_path / name, pipeline, progress=False)
        found += runs.values()
    once, always = found
    # Of voxels that are resampled none need be nearest to the one that was bad.
    assert once.info["n_unusable_voxels"] >= ("smooth_mm" in options)
    kept = np.isin(always.voxels, once.voxels)
    np.testing.assert_array_equal(once.stored, always.stored[:, kept])


def test_nan_around_the_brain_is_nothing(make_bids: MakeBids, tmp_path: Path) -> None:
    pipeline = pipeline_from_config(PreprocessingConfig(dummy_scans=0, smooth_mm=6.0))
    found = []
    for name, value in (("zero", 0.0), ("nan", np.nan)):
        root = make_bids(name, subjects=1, runs=1, preprocessed=True)
        resaved(root, set_values((slice(2),), value))
        runs, _ = prepare(open_dataset(root), tmp_path / name, pipeline, progress=False)
        found += runs.values()
    np.testing.assert_array_equal(found[0].stored, found[1].stored)


@pytest.mark.parametrize("scale", [1e-42, 1e-44])
def test_a_run_of_denormal_values_is_set_aside(
    scale: float, make_bids: MakeBids, tmp_path: Path
) -> None:
    root = make_bids(subjects=1, runs=1, preprocessed=True)
    resaved(root, lambda data: (scale * data.astype(float)).astype(np.float32))
    with pytest.raises(DatasetError, match="constant"):
        prepare(open_dataset(root), tmp_path / "s", PIPELINE, progress=False)


def demean(data: np.ndarray) -> np.ndarray:
    return data - data.mean(axis=3, keepdims=True)


@pytest.mark.parametrize("causal", [False, True])
def test_percent_of_a_mean_that_there_is_not_is_refused(
    causal: bool, make_bids: MakeBids, tmp_path: Path
) -> None:
    root = make_bids(subjects=1, runs=1, preprocessed=True)
    resaved(root, demean)
    config = PreprocessingConfig(
        dummy_scans=0, normalise="percent_signal_change", causal=causal
    )
    pipeline = pipeline_from_config(config)
    with pytest.raises(DatasetError, match="without a mean"):
        prepare(open_dataset(root), tmp_path / "s", pipeline, progress=False)


@pytest.mark.parametrize("causal", [False, True])
def test_images_without_a_mean_are_masked_by_what_varies(
    causal: bool, make_bids: MakeBids, tmp_path: Path
) -> None:
    root = make_bids(subjects=1, runs=1)
    resaved(root, demean)
    pipeline = pipeline_from_config(PreprocessingConfig(dummy_scans=0, causal=causal))
    runs, _ = prepare(open_dataset(root), tmp_path / "s", pipeline, progress=False)
    (run,) = runs.values()
    mask = np.zeros(run.grid.shape, dtype=bool)
    mask.ravel()[run.voxels] = True
    expected = np.zeros_like(mask)
    expected[2:8, 2:9, 2:7] = True
    np.testing.assert_array_equal(mask, expected)


CAUSAL = {
    "default": {},
    "percent": {"normalise": "percent_signal_change"},
    "none": {"normalise": "none"},
    "raw": {"normalise": "none", "centre": False, "detrend_order": -1},
    "smoothed": {"smooth_mm": 6.0, "normalise": "percent_signal_change"},
    "resampled": {"voxel_size_mm": 4.0},
    "filtered": {"low_pass_hz": 0.1, "despike": True, "smooth_s": 4.0},
    "scrubbed": {"scrub_fd_mm": 0.5, "normalise": "none"},
}
LATER = {
    "brighter": lambda data: 3 * data,
    "not finite": lambda data: np.full_like(data, np.nan),
    "constant": np.zeros_like,
    "far away": lambda data: data + 1e4,
}


@pytest.mark.parametrize("later", LATER)
@pytest.mark.parametrize(
    ("name", "preprocessed"),
    [(n, p) for n in CAUSAL for p in (False, True) if p or n != "scrubbed"],
)
def test_the_future_changes_nothing_that_is_stored_of_the_past(
    preprocessed: bool, name: str, later: str, make_bids: MakeBids, tmp_path: Path
) -> None:
    """Through the store: levels, usable voxels and the mask come from the past."""
    n_past, stored = 30, []
    pipeline = pipeline_from_config(PreprocessingConfig(causal=True, **CAUSAL[name]))

    def change(data: np.ndarray) -> np.ndarray:
        # A third of the brain, so that the run as a whole is not refused.
        data[2:4, ..., n_past:] = LATER[later](data[2:4, ..., n_past:])
        return data

    for which in ("before", "after"):
        root = make_bids(which, subjects=1, runs=1, preprocessed=preprocessed)
        if which == "after":
            resaved(root, change)
        runs, bad = prepare(
            open_dataset(root), tmp_path / which, pipeline, progress=False
        )
        assert not bad
        stored += runs.values()
    before, after = stored
    n_kept = n_past - before.info["n_dropped_volumes"]
    np.testing.assert_array_equal(before.voxels, after.voxels)
    np.testing.assert_array_equal(before.window(0, n_kept), after.window(0, n_kept))
    assert np.isfinite(after.window(0, after.n_times)).all()


@pytest.mark.parametrize("name", ["percent", "none", "raw"])
def test_a_causal_store_holds_what_the_pipeline_made(
    name: str, make_bids: MakeBids, tmp_path: Path
) -> None:
    root = make_bids(subjects=1, runs=1, preprocessed=True)
    options = {**CAUSAL[name], "dummy_scans": 0, "confounds": ()}
    pipeline = pipeline_from_config(PreprocessingConfig(causal=True, **options))
    runs, _ = prepare(open_dataset(root), tmp_path / "s", pipeline, progress=False)
    (run,) = runs.values()
    (recording,) = open_dataset(root)
    mask = nib.load(recording.mask).get_fdata() > 0
    original = np.asarray(nib.load(recording.bold).dataobj)[mask].T
    expected = pipeline.apply(original, RunContext(2.0))
    error = run.window(0, run.n_times) - expected
    assert error.std() < 0.002 * expected.std(axis=0).mean()


def test_a_tiny_file_that_declares_gigabytes_is_refused_unread(
    make_bids: MakeBids, tmp_path: Path
) -> None:
    root = make_bids(subjects=1, runs=2, preprocessed=True)
    bold = next(root.rglob("*run-2_*_bold.nii.gz"))
    image = nib.Nifti1Image(np.zeros((2, 2, 2, 2), dtype=np.float32), np.eye(4))
    header = image.header.copy()
    header.set_data_shape((200, 200, 200, 320))
    header.set_xyzt_units("mm", "sec")
    raw = header.binaryblock + b"\0" * 4 + bytes(10_000)
    bold.write_bytes(gzip.compress(raw))
    started = time.monotonic()
    runs, ((_, reason),) = prepare(
        open_dataset(root), tmp_path / "s", PIPELINE, progress=False
    )
    assert time.monotonic() - started < 10
    assert len(runs) == 1
    assert "10.2 GB" in reason
    assert "too few to hold them" in reason


@pytest.mark.parametrize("causal", [False, True])
def test_confounds_are_those_of_the_volumes_that_are_left(
    causal: bool, make_bids: MakeBids, tmp_path: Path
) -> None:
    """Dropping volumes must drop their rows of the table of confounds as well."""
    root = make_bids(subjects=1, runs=1, preprocessed=True)
    (bold,) = root.rglob("*preproc_bold.nii.gz")
    (table,) = root.rglob("*timeseries.tsv")
    image, confounds = nib.load(bold), pd.read_csv(table, sep="\t", na_values="n/a")
    walk = np.random.default_rng(0).normal(size=len(confounds))
    confounds["trans_x"] = walk
    confounds.to_csv(table, sep="\t", index=False, na_rep="n/a")
    data = np.asarray(image.dataobj) + 500 * walk
    nib.save(nib.Nifti1Image(data.astype("f4"), image.affine, image.header), bold)
    config = PreprocessingConfig(
        dummy_scans=5, confounds=("motion",), normalise="none", causal=causal
    )
    pipeline = pipeline_from_config(config)
    runs, _ = prepare(open_dataset(root), tmp_path / "s", pipeline, progress=False)
    (run,) = runs.values()
    assert run.n_times == len(walk) - 5
    late = run.window(run.n_times - 30, 30)
    # What moves all voxels by 500 is gone; the noise of each, 20, is left.
    assert np.abs(np.corrcoef(late.mean(axis=1), walk[-30:])[0, 1]) < 0.5
    assert late.std(axis=0).mean() < 150
