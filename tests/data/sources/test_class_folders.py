"""Putting volumes of class folders back into runs and blocks."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from boldformer import open_dataset
from boldformer.data.sources.class_folders import _blocks
from boldformer.errors import DatasetError, InputError


def write_volume(root: Path, label: str, name: str, unit: str = "unknown") -> Path:
    """Write one small volume of a class."""
    folder = root / label
    folder.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(np.ones((3, 4, 2), np.uint8), np.eye(4))
    image.header.set_xyzt_units("mm", unit)
    image.header["pixdim"][4] = 2.0
    nib.save(image, folder / name)
    return folder / name


def write_run(
    root: Path, run: str, labels: dict[int, str], unit: str = "unknown"
) -> None:
    """Write the volumes of a run, each into the folder of its class."""
    for number, label in labels.items():
        write_volume(root, label, f"{run}_vol-{number:03d}.nii.gz", unit)


RUN = dict.fromkeys((10, 11, 12), "left leg") | dict.fromkeys((13, 14), "forearm")
GAPPY = RUN | dict.fromkeys((20, 21), "forearm")


def test_volumes_come_back_in_the_order_of_the_scan(tmp_path: Path) -> None:
    write_run(tmp_path, "sub-01_run-2", RUN)
    (recording,) = open_dataset(tmp_path, t_r=2.0)
    assert recording.name == "sub-01_run-2"
    assert recording.timing == "volume"
    assert [path.name[13:20] for path in recording.volumes] == [
        f"vol-{n:03d}" for n in range(10, 15)
    ]
    assert recording.bold == recording.volumes[0]
    assert recording.frame_numbers == ()
    assert recording.events.to_numpy().tolist() == [
        [0.0, 6.0, "left leg"],
        [6.0, 4.0, "forearm"],
    ]


def test_gaps_are_kept_as_frame_numbers_and_end_a_block(tmp_path: Path) -> None:
    write_run(tmp_path, "sub-01_run-1", GAPPY)
    (recording,) = open_dataset(tmp_path, t_r=2.0)
    assert recording.frame_numbers == (0, 1, 2, 3, 4, 10, 11)
    assert recording.events["onset"].tolist() == [0.0, 6.0, 20.0]
    assert recording.events["duration"].tolist() == [6.0, 4.0, 4.0]


def test_one_missing_volume_is_a_gap(tmp_path: Path) -> None:
    write_run(tmp_path, "sub-01_run-1", dict.fromkeys((1, 3, 4), "a"))
    (recording,) = open_dataset(tmp_path, t_r=2.0)
    assert recording.frame_numbers == (0, 2, 3)
    assert recording.events["duration"].tolist() == [2.0, 4.0]


def test_subjects_sessions_tasks_and_runs_are_told_apart(tmp_path: Path) -> None:
    names = (
        "sub-01_run-1",
        "sub-01_run-2",
        "sub-02_ses-a_run-1",
        "sub-02_ses-a_task-x_run-1",
    )
    for name in names:
        write_run(tmp_path, name, RUN)
    assert [r.name for r in open_dataset(tmp_path, t_r=2.0)] == list(names)
    chosen = open_dataset(tmp_path, t_r=2.0, participants="02", task="x")
    assert [r.name for r in chosen] == [names[-1]]
    with pytest.raises(InputError, match=r"sub-09.*01, 02"):
        open_dataset(tmp_path, t_r=2.0, participants="09")


def test_a_volume_of_two_classes_sets_its_run_aside(tmp_path: Path) -> None:
    write_run(tmp_path, "sub-01_run-1", RUN)
    write_run(tmp_path, "sub-01_run-2", RUN)
    write_volume(tmp_path, "forearm", "sub-01_run-2_vol-11.nii.gz")
    dataset = open_dataset(tmp_path, t_r=2.0)
    assert [r.run for r in dataset] == ["1"]
    ((name, reason),) = dataset.set_aside
    assert name == "sub-01_run-2"
    assert "forearm/sub-01_run-2_vol-11.nii.gz" in reason
    assert "left leg/sub-01_run-2_vol-011.nii.gz" in reason


def test_a_name_that_says_nothing_is_set_aside(tmp_path: Path) -> None:
    write_run(tmp_path, "sub-01_run-1", RUN)
    write_volume(tmp_path, "forearm", "average.nii.gz")
    dataset = open_dataset(tmp_path, t_r=2.0)
    ((name, reason),) = dataset.set_aside
    assert name == "forearm/average.nii.gz"
    assert "sub-XX_run-R_vol-VVV" in reason


@pytest.mark.parametrize("name", ["dataset.json", "bold.json"])
def test_a_repetition_time_beside_the_folders(name: str, tmp_path: Path) -> None:
    write_run(tmp_path, "sub-01_run-1", RUN, unit="sec")
    (tmp_path / name).write_text(json.dumps({"RepetitionTime": 1.5}))
    assert open_dataset(tmp_path).recordings[0].t_r == 1.5
    with pytest.raises(DatasetError, match=r"--tr contradicts.*wanted 1.5 s"):
        open_dataset(tmp_path, t_r=3.0)


def test_a_repetition_time_from_the_header_only_with_its_unit(tmp_path: Path) -> None:
    write_run(tmp_path / "a", "sub-01_run-1", RUN, unit="sec")
    assert open_dataset(tmp_path / "a").recordings[0].t_r == 2.0
    write_run(tmp_path / "b", "sub-01_run-1", RUN)
    with pytest.raises(DatasetError, match=r"repetition time is missing.*--tr"):
        open_dataset(tmp_path / "b")


def test_a_folder_without_volumes(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="CLASS/sub-XX_run-R_vol-VVV"):
        open_dataset(tmp_path, source="class-folders")


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(st.integers(0, 60), st.sampled_from("abc"), min_size=1),
    st.floats(0.3, 5.0),
)
def test_blocks_cover_each_volume_once_with_its_class(
    labels: dict[int, str], t_r: float
) -> None:
    numbers = np.array(sorted(labels))
    blocks = _blocks(numbers, [labels[n] for n in numbers], t_r)
    covered = {}
    for onset, duration, label in blocks.to_numpy():
        first, length = round(onset / t_r), round(duration / t_r)
        covered |= dict.fromkeys(range(first, first + length), (label, onset))
    assert {n: label for n, (label, _) in covered.items()} == labels
    # No block could be joined to the next: the class changes or volumes are missing.
    for n in labels:
        if labels.get(n + 1) == labels[n]:
            assert covered[n] == covered[n + 1]
