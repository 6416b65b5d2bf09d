"""The run that a path means is found with all that belongs to it, and read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from boldformer.config import DataConfig
from boldformer.data.prepare import prepare
from boldformer.data.sources.layouts import open_source
from boldformer.errors import BadRunError, DatasetError, InputError
from boldformer.preprocessing.pipeline import Pipeline
from boldformer.studies.inspection_files import find_run, load_run

MakeBids = Callable[..., Path]
NAME = "sub-01_task-test_run-1"


def bold_of(root: Path, pattern: str = "*run-1*_bold.nii.gz") -> Path:
    return next(root.rglob(pattern))


def test_a_file_is_found_in_the_dataset_around_it(make_bids: MakeBids) -> None:
    found = find_run(bold_of(make_bids(subjects=1, runs=2)))
    assert (found.name, found.notes) == (NAME, ())
    assert set(found.source.events["trial_type"]) == {"left", "right"}


def test_a_link_to_a_file_is_that_file(make_bids: MakeBids) -> None:
    bold = bold_of(make_bids(subjects=1))
    link = bold.with_name("sub-01_task-test_run-1_desc-link_bold.nii.gz")
    link.symlink_to(bold)
    assert find_run(link).name == NAME


def test_a_run_set_aside_says_why_it_has_no_events(make_bids: MakeBids) -> None:
    root = make_bids(subjects=1, runs=2)
    for file in root.rglob("*run-1_events.tsv"):
        file.unlink()
    found = find_run(bold_of(root))
    assert found.name == NAME
    assert found.source.events.empty
    assert "no events" in found.notes[0]


def test_a_folder_of_one_run_needs_no_name(make_bids: MakeBids) -> None:
    root = make_bids(subjects=1, runs=1)
    assert find_run(root).name == find_run(root, NAME).name == NAME


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no"):
        find_run(tmp_path / "nothing.nii.gz")
    with pytest.raises(DatasetError, match="no dataset in a known layout"):
        find_run(tmp_path)


def test_a_run_is_read_in_its_mask(make_bids: MakeBids) -> None:
    root = make_bids(subjects=1, preprocessed=True)
    bold = bold_of(root, "*run-1*desc-preproc_bold.nii.gz")
    run = load_run(find_run(bold))
    whole = nib.load(bold).get_fdata()
    np.testing.assert_allclose(run.data, whole[run.mask].T[run.n_non_steady :])
    np.testing.assert_allclose(run.mean, whole.mean(axis=3), rtol=1e-6)
    np.testing.assert_array_equal(run.volume(run.data[0])[run.mask], run.data[0])
    assert run.frames["global_signal"].iloc[0] == pytest.approx(
        whole[run.mask][:, 0].mean()
    )


def test_voxels_that_cannot_be_measured_are_left_out(
    make_bids: MakeBids, change_image: Callable
) -> None:
    root = make_bids(subjects=1, preprocessed=True)
    bold = bold_of(root, "*run-1*desc-preproc_bold.nii.gz")
    whole = load_run(find_run(bold))

    def spoil(data: np.ndarray) -> np.ndarray:
        data[2, 2, 2] = 7
        data[7, 8, 6] = 7
        return data

    change_image(bold, spoil)
    run = load_run(find_run(bold))
    assert not run.mask[2, 2, 2]
    assert run.mask.sum() == run.data.shape[1] == whole.mask.sum() - 2
    np.testing.assert_allclose(run.data, whole.data[:, 1:-1], rtol=1e-6)


def test_a_constant_run_is_refused(make_bids: MakeBids, change_image: Callable) -> None:
    bold = bold_of(
        make_bids(subjects=1, preprocessed=True), "*run-1*desc-preproc_bold.nii.gz"
    )
    change_image(bold, np.ones_like)
    with pytest.raises(BadRunError, match="no voxel of the mask varies"):
        load_run(find_run(bold))


def test_a_prepared_run_is_read_as_it_is_stored(
    make_bids: MakeBids, tmp_path: Path
) -> None:
    dataset = open_source(DataConfig(path=str(make_bids(subjects=1))))
    pipeline = Pipeline(({"step": "centre"}, {"step": "zscore"}))
    runs, _ = prepare(dataset, tmp_path / "store", pipeline, progress=False)
    run = load_run(find_run(tmp_path / "store", NAME))
    assert run.prepared
    assert run.events.empty
    np.testing.assert_array_equal(run.data, runs[NAME].window(0, runs[NAME].n_times))
    assert np.flatnonzero(run.mask).tolist() == runs[NAME].voxels.tolist()
