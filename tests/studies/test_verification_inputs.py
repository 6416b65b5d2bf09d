"""What a run was made from is looked at again, as far as it is still there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from boldformer.data.hashes import source_content
from boldformer.data.sources.layouts import open_dataset
from boldformer.studies.verification import verify

RUN = "sub-01_task-test_run-1"


@pytest.fixture
def dataset(plain: Any, plain_run: Path) -> Path:
    """Return a copy of the dataset, which the run is told to be of."""
    root = shutil.copytree(plain_run.parent / "bids", plain.out.parent / "bids")
    plain.settings("data", path=str(root))
    return root


def test_a_copied_dataset_is_the_same(plain: Any, dataset: Path) -> None:
    for file in dataset.rglob("*_bold.nii.gz"):
        os.utime(file, ns=(0, 0))
    found = verify(plain.out)
    assert found.holds
    assert found.notes == ()


def test_a_changed_recording_is_caught(
    plain: Any, dataset: Path, change_image: Callable[[Path, Callable], None]
) -> None:
    (file,) = dataset.rglob(f"{RUN}_bold.nii.gz")
    change_image(file, lambda data: data + 1)
    assert verify(plain.out).problems == (f"source recordings changed: {RUN}",)


def test_recordings_that_are_gone_are_noted(plain: Any, dataset: Path) -> None:
    for file in dataset.rglob(f"{RUN}_*"):
        file.unlink()
    found = verify(plain.out)
    assert found.holds
    assert found.notes == ("1 of 8 recordings are gone: not checked",)


def test_a_dataset_that_is_gone_is_noted(plain: Any, dataset: Path) -> None:
    shutil.rmtree(dataset)
    found = verify(plain.out)
    assert found.holds
    assert found.notes == ("the dataset that run.toml names is not there: not checked",)


def test_a_run_prepared_by_an_earlier_version_goes_by_size_and_time(
    plain: Any, dataset: Path
) -> None:
    recording = next(iter(open_dataset(dataset)))
    before = source_content(recording)
    os.utime(recording.bold, ns=(0, 0))
    assert source_content(recording) == before

    def forget(record: dict) -> None:
        for entry in record["inputs"].values():
            del entry["source_content"]

    plain.edit("record.json", forget)
    assert f"source recordings changed: {RUN}" in verify(plain.out).line


def test_a_changed_prepared_run_is_caught_and_a_missing_one_noted(plain: Any) -> None:
    folder = plain.out / "work" / "store" / RUN
    data = np.load(folder / "data.npy")
    data[0, 0] += 1
    np.save(folder / "data.npy", data)
    assert verify(plain.out).problems == (f"prepared runs changed: {RUN}",)
    shutil.rmtree(plain.out / "work")
    found = verify(plain.out)
    assert found.holds
    assert found.notes == ("8 of 8 prepared runs are gone: not checked",)


def test_other_inputs_than_those_hashed_are_caught(plain: Any) -> None:
    plain.edit("record.json", lambda record: record["inputs"].popitem())
    assert "the inputs listed" in verify(plain.out).line
