"""A scan is recognised under another name however it was saved; no other scan is."""

import shutil

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from nilearn.image import resample_img

from boldformer.config import DataConfig, PreprocessingConfig
from boldformer.data.audit.fingerprints import SAME_SCAN, SIMILAR, find_copies
from boldformer.data.prepare import configured_pipeline, prepare
from boldformer.data.sources.layouts import open_dataset, open_source
from boldformer.data.store import PreparedRun, quantise, write_run
from boldformer.simulation import CohortSpec, simulate_cohort

LABELS = ("left_leg", "right_leg", "forearm")
N_VOLUMES = 72


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Three people, two runs each, on a coarse grid."""
    spec = CohortSpec(
        subjects=3, runs=2, n_volumes=N_VOLUMES, voxel_size_mm=8, conditions=LABELS
    )
    return simulate_cohort(
        tmp_path_factory.mktemp("cohort") / "bids", spec, progress=False
    )


@pytest.fixture(scope="module")
def genuine(cohort, tmp_path_factory):
    """The prepared runs of the cohort."""
    return prepared(cohort, tmp_path_factory.mktemp("store"))


def prepared(root, store, **settings):
    pipeline = configured_pipeline(PreprocessingConfig(**settings))
    runs, set_aside = prepare(open_dataset(root), store, pipeline, progress=False)
    assert not set_aside
    return runs


def with_images(root, new, change):
    """Copy subject 02 alone into a dataset of its own, its images changed."""
    shutil.copytree(root, new, ignore=shutil.ignore_patterns("sub-01*", "sub-03*"))
    for path in new.rglob("*_bold.nii.gz"):
        image = nib.load(path)
        nib.save(change(image, "continuous"), path)
        mask = path.with_name(path.name.replace("desc-preproc_bold", "desc-brain_mask"))
        nib.save(change(nib.load(mask), "nearest"), mask)
    return new


def rebuilt(image, data, affine=None):
    made = nib.Nifti1Image(data, image.affine if affine is None else affine)
    made.header.set_xyzt_units("mm", "sec")
    if data.ndim == 4:
        made.header.set_zooms((*made.header.get_zooms()[:3], 2.0))
    return made


def resaved(image, kind):
    if kind == "nearest":
        return image
    made = rebuilt(image, image.get_fdata(dtype=np.float32) * 3.7)
    made.header.set_slope_inter(0.01, 5.0)
    return made


def resampled(image, kind):
    made = resample_img(
        rebuilt(image, image.get_fdata(dtype=np.float32)),
        target_affine=np.diag([10.0, 10.0, 10.0]),
        interpolation=kind,
        copy_header=True,
        force_resample=True,
    )
    data = made.get_fdata(dtype=np.float32)
    return rebuilt(
        image, data.astype(np.uint8) if kind == "nearest" else data, made.affine
    )


def cropped(image, _):
    return image.slicer[3:-2, 2:-4, :-3]


def shifted(image, _):
    return rebuilt(image, np.roll(np.asanyarray(image.dataobj), (2, -1), (0, 2)))


def mirrored(image, _):
    return rebuilt(image, np.asanyarray(image.dataobj)[::-1].copy())


CHANGES = [resaved, resampled, cropped, shifted, mirrored]


def test_no_two_scans_of_a_cohort_are_alike(genuine):
    assert find_copies(genuine) == []


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_copy_is_known_however_it_was_saved(cohort, genuine, tmp_path, change):
    copied = prepared(
        with_images(cohort, tmp_path / "bids", change), tmp_path / "store"
    )
    runs = genuine | {f"copy of {name}": run for name, run in copied.items()}
    found = find_copies(runs)
    assert {(copy.first, copy.second) for copy in found} == {
        (name, f"copy of {name}") for name in copied
    }
    assert all(copy.certain and copy.similarity >= SAME_SCAN for copy in found)


def test_a_copy_cleaned_otherwise_is_known(cohort, genuine, tmp_path):
    other = prepared(
        with_images(cohort, tmp_path / "bids", resaved),
        tmp_path / "store",
        confounds=(),
        high_pass_hz=0.0,
        normalise="none",
    )
    found = find_copies(genuine | {f"copy of {n}": run for n, run in other.items()})
    assert {copy.second.removeprefix("copy of ") for copy in found} == set(other)
    assert {copy.first for copy in found} == set(other)


def store_run(folder, series, t_r=2.0):
    """Store a series, (n_times, n_voxels), on a cubic grid of 6 mm voxels."""
    n_times, n_voxels = series.shape
    side = round(n_voxels ** (1 / 3))
    stored, levels = quantise(series, zscored=False)
    info = {
        "name": folder.name,
        "t_r": t_r,
        "start_s": 0.0,
        "pipeline_hash": "x",
        "pipeline": [],
        "grid": {
            "shape": [side] * 3,
            "affine": np.diag([6.0, 6.0, 6.0, 1.0]).tolist(),
            "space": "",
        },
    }
    frames = pd.DataFrame({"time_s": t_r * np.arange(n_times)})
    voxels = np.arange(n_voxels)
    write_run(folder, info, stored, levels, voxels, series.mean(axis=0), frames)
    return PreparedRun(folder)


def noise(rng, n_times, n_voxels=512):
    """Voxels that share ten courses, as physiology and motion make them share."""
    courses = rng.standard_normal((n_times, 10)) @ rng.standard_normal((10, n_voxels))
    return courses + rng.standard_normal((n_times, n_voxels))


def test_a_copy_without_its_first_or_last_volumes_is_known(tmp_path):
    rng = np.random.default_rng(0)
    series = noise(rng, 100)
    runs = {
        name: store_run(tmp_path / name, part)
        for name, part in {
            "whole": series,
            "late": series[4:],
            "short": series[:-7],
            "other": noise(rng, 100),
        }.items()
    }
    found = {(copy.first, copy.second): copy.certain for copy in find_copies(runs)}
    # "late" and "short" lack volumes at different ends: they are known by the whole.
    assert found == {("whole", "late"): True, ("whole", "short"): True}


def test_a_task_that_all_runs_share_makes_no_copies(tmp_path):
    """Blocks at the same times, a third of the variance: twenty people, one design."""
    rng = np.random.default_rng(1)
    task = np.repeat(rng.permutation(np.tile([0.0, 1.0], 10)), 8)[:, None]
    pattern = rng.standard_normal((1, 512))
    runs = {
        f"sub-{i}": store_run(
            tmp_path / f"sub-{i}", noise(rng, 160) + 4 * task * pattern
        )
        for i in range(20)
    }
    assert find_copies(runs) == []


def test_runs_too_short_to_tell_are_not_compared(tmp_path):
    series = noise(np.random.default_rng(0), 15)
    runs = {name: store_run(tmp_path / name, series) for name in "ab"}
    assert find_copies(runs) == []


def test_a_faint_resemblance_is_no_certainty(tmp_path):
    rng = np.random.default_rng(2)
    series = noise(rng, 120)
    parts = {"a": series, "b": series + 1.1 * noise(rng, 120), "c": noise(rng, 120)}
    runs = {name: store_run(tmp_path / name, part) for name, part in parts.items()}
    (copy,) = find_copies(runs)
    assert (copy.first, copy.second) == ("a", "b")
    assert SIMILAR <= copy.similarity < SAME_SCAN
    assert not copy.certain


def test_responses_that_drown_the_noise_make_no_copies(make_bids, tmp_path):
    """Blocks at the same times that are far above the noise: runs are alike, all."""
    root = make_bids(subjects=4, preprocessed=True)
    assert find_copies(prepared(root, tmp_path / "store")) == []


def test_two_acquisitions_of_one_scan_are_noticed(recordings_dir, tmp_path):
    """A half-slice and 25 mm voxels of the same twelve scans: most, and no others."""
    dataset = open_dataset(recordings_dir / "haxby")
    pipeline = configured_pipeline(PreprocessingConfig())
    runs, _ = prepare(dataset, tmp_path, pipeline, progress=False)
    found = find_copies(runs)
    plain = [
        {name.replace("acq-slice_", "").replace("acq-coarse_", "") for name in pair}
        for pair in ((copy.first, copy.second) for copy in found)
    ]
    assert all(len(names) == 1 for names in plain)
    assert len(found) > 6
    assert not any(copy.certain for copy in found)


def recorded(root, store, acquisition="", smooth_mm=0.0):
    """The prepared runs of real recordings."""
    dataset = open_source(DataConfig(path=str(root), acquisition=acquisition))
    pipeline = configured_pipeline(PreprocessingConfig(smooth_mm=smooth_mm))
    return prepare(dataset, store, pipeline, progress=False)[0]


@pytest.mark.parametrize(
    ("name", "acquisition", "smooth_mm"),
    [
        ("perception", "", 0.0),
        ("haxby", "slice", 0.0),
        ("haxby", "coarse", 0.0),
        ("cerebellum", "", 0.0),
        ("cerebellum", "", 8.0),
    ],
)
def test_no_two_real_scans_are_alike(
    recordings_dir, tmp_path, name, acquisition, smooth_mm
):
    """Runs of one person, and maps of the same conditions in people of one template."""
    runs = recorded(recordings_dir / name, tmp_path, acquisition, smooth_mm)
    assert len(runs) > 2
    assert find_copies(runs) == []


def test_copied_maps_of_a_person_are_known(recordings_dir, tmp_path):
    """Under another name, through a coarser grid and back, in two bytes a voxel."""
    root = tmp_path / "maps"
    shutil.copytree(recordings_dir / "cerebellum", root)
    image = nib.load(next((root / "sub-02").glob("*.nii.gz")))
    maps = nib.Nifti1Image(np.nan_to_num(image.get_fdata()), image.affine)
    for affine, shape in ((np.diag([4.5] * 3), None), (image.affine, image.shape[:3])):
        maps = resample_img(
            maps, affine, shape, "continuous", copy_header=True, force_resample=True
        )
    data = maps.get_fdata() / np.abs(maps.get_fdata()).max()
    (root / "sub-92").mkdir()
    copied = rebuilt(image, np.round(32000 * data).astype(np.int16))
    nib.save(copied, root / "sub-92" / "sub-92_statmap.nii.gz")
    found = find_copies(recorded(root, tmp_path / "store"))
    assert {(copy.first, copy.second) for copy in found} == {
        ("sub-02_run-1", "sub-92_run-1"),
        ("sub-02_run-2", "sub-92_run-2"),
    }
    assert all(copy.certain for copy in found)
