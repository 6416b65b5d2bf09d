"""Reading BIDS: inheritance, filters, derivatives, folders that are no dataset."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from boldformer import open_dataset
from boldformer.errors import DatasetError, InputError

MakeBids = Callable[..., Path]


def test_raw_runs_with_inherited_sidecar(make_bids: MakeBids) -> None:
    dataset = open_dataset(make_bids(subjects=2, runs=2, t_r=1.5))
    assert [r.name for r in dataset] == [
        "sub-01_task-test_run-1",
        "sub-01_task-test_run-2",
        "sub-02_task-test_run-1",
        "sub-02_task-test_run-2",
    ]
    assert {r.t_r for r in dataset} == {1.5}
    assert dataset.event_types == ["left", "right"]
    assert dataset.set_aside == ()


def test_derivatives_are_preferred_and_carry_mask_and_confounds(
    make_bids: MakeBids,
) -> None:
    root = make_bids(preprocessed=True)
    dataset = open_dataset(root)
    for recording in dataset:
        assert recording.space == "MNI152NLin2009cAsym"
        assert recording.mask is not None
        assert recording.mask.exists()
        assert recording.confounds is not None
        assert len(recording.events) == 8


def test_a_derivative_folder_alone_finds_the_events_of_its_raw_dataset(
    make_bids: MakeBids,
) -> None:
    root = make_bids(preprocessed=True)
    derivatives = root / "derivatives" / "fmriprep"
    shutil.copy(root / "dataset_description.json", derivatives)
    (derivatives / "task-test_bold.json").write_text('{"RepetitionTime": 2.0}')
    assert len(open_dataset(derivatives)) == 4


def test_one_space_is_read_and_can_be_chosen(make_bids: MakeBids) -> None:
    root = make_bids(preprocessed=True)
    for file in list(root.glob("derivatives/*/*/func/*_space-*")):
        other = file.name.replace("MNI152NLin2009cAsym", "T1w")
        shutil.copy(file, file.with_name(other))
    assert {r.space for r in open_dataset(root)} == {"MNI152NLin2009cAsym"}
    assert {r.space for r in open_dataset(root, space="T1w")} == {"T1w"}
    with pytest.raises(InputError, match="MNI152NLin2009cAsym, T1w"):
        open_dataset(root, space="Talairach")


def test_filters_keep_what_is_asked_and_name_what_is_absent(
    make_bids: MakeBids,
) -> None:
    root = make_bids(subjects=3)
    assert open_dataset(root, participants=["sub-02", "03"]).subject_labels == [
        "02",
        "03",
    ]
    with pytest.raises(InputError, match=r"sub-09.*01, 02, 03"):
        open_dataset(root, participants="09")
    with pytest.raises(InputError, match=r"task-rest.*test"):
        open_dataset(root, task="rest")


def test_sessions_and_a_run_specific_sidecar(make_bids: MakeBids) -> None:
    root = make_bids(subjects=1, runs=1)
    func = root / "sub-01" / "func"
    session = root / "sub-01" / "ses-pre" / "func"
    session.parent.mkdir()
    shutil.move(func, session)
    for file in list(session.iterdir()):
        file.rename(file.with_name(file.name.replace("sub-01_", "sub-01_ses-pre_")))
    specific = session / "sub-01_ses-pre_task-test_run-1_bold.json"
    specific.write_text('{"RepetitionTime": 2.5}')
    (recording,) = open_dataset(root)
    assert (recording.session, recording.t_r) == ("pre", 2.5)


def test_the_repetition_time_may_come_from_the_header(make_bids: MakeBids) -> None:
    root = make_bids(subjects=1, runs=1, t_r=1.25)
    (root / "task-test_bold.json").unlink()
    (recording,) = open_dataset(root)
    assert recording.t_r == pytest.approx(1.25)


def test_a_missing_repetition_time_sets_the_run_aside(make_bids: MakeBids) -> None:
    root = make_bids(subjects=1, runs=2)
    (root / "task-test_bold.json").unlink()
    bold = next(root.rglob("*run-1_bold.nii.gz"))
    image = nib.load(bold)
    image.header.set_zooms((3, 3, 3, 0))
    nib.save(nib.Nifti1Image(image.get_fdata(), image.affine, image.header), bold)
    dataset = open_dataset(root)
    assert [r.run for r in dataset] == ["2"]
    ((name, reason),) = dataset.set_aside
    assert name == bold.name
    assert "repetition time is missing" in reason
    assert "RepetitionTime" in reason


def test_a_run_without_events_is_set_aside(make_bids: MakeBids) -> None:
    root = make_bids(subjects=1, runs=2)
    next(root.rglob("*run-2_events.tsv")).unlink()
    dataset = open_dataset(root)
    assert len(dataset) == 1
    assert "sub-01_task-test_run-2_events.tsv" in dataset.set_aside[0][1]


@pytest.mark.parametrize("spoil", ["missing", "plain", "empty"])
def test_folders_that_are_no_dataset(spoil: str, tmp_path: Path) -> None:
    root = tmp_path / "data"
    if spoil != "missing":
        root.mkdir()
    if spoil == "empty":
        (root / "dataset_description.json").write_text('{"Name": "x"}')
    expected = {
        "missing": "no such folder",
        "plain": "dataset_description.json",
        "empty": "no recording",
    }
    with pytest.raises(DatasetError, match=expected[spoil]):
        open_dataset(root)


def test_what_macos_leaves_beside_files_is_not_read(make_bids: MakeBids) -> None:
    root = make_bids()
    for file in [*root.rglob("*_bold.nii.gz"), *root.rglob("*.tsv")]:
        file.with_name(f"._{file.name}").write_bytes(b"\x00\x05\x16\x07")
    assert len(open_dataset(root)) == 4


def test_two_files_of_one_run_are_refused(make_bids: MakeBids) -> None:
    root = make_bids(subjects=1, runs=1)
    bold = next(root.rglob("*_bold.nii.gz"))
    shutil.copy(bold, bold.with_name(bold.name.replace("_run", "_rec-b_run")))
    with pytest.raises(DatasetError, match="two files are the same run"):
        open_dataset(root)


def test_several_tasks(make_bids: MakeBids) -> None:
    root = make_bids(subjects=2, runs=1)
    for file in list(root.glob("sub-*/func/*")):
        copy = file.with_name(file.name.replace("task-test", "task-other"))
        shutil.copy(file, copy)
    (root / "task-other_bold.json").write_text('{"RepetitionTime": 1.1}')
    dataset = open_dataset(root)
    assert {(r.task, r.t_r) for r in dataset} == {("test", 2.0), ("other", 1.1)}
    assert len(open_dataset(root, task="other")) == 2


def set_header_t_r(root: Path, t_r: float, unit: str = "sec") -> None:
    for bold in root.rglob("*_bold.nii.gz"):
        image = nib.load(bold)
        image.header.set_xyzt_units("mm", unit)
        image.header.set_zooms((3, 3, 3, t_r))
        nib.save(nib.Nifti1Image(image.get_fdata(), image.affine, image.header), bold)


def test_a_given_repetition_time_contradicts_no_sidecar(make_bids: MakeBids) -> None:
    root = make_bids(subjects=1, runs=1)
    assert open_dataset(root, t_r=2.0).recordings[0].t_r == 2.0
    with pytest.raises(DatasetError, match=r"--tr contradicts.*wanted 2 s.*received 3"):
        open_dataset(root, t_r=3.0)


@pytest.mark.parametrize("header", [1.0, 0.0, 500.0])
def test_a_given_repetition_time_goes_before_the_header(
    header: float, make_bids: MakeBids
) -> None:
    root = make_bids(subjects=1, runs=1)
    (root / "task-test_bold.json").write_text("{}")
    set_header_t_r(root, header)
    assert open_dataset(root, t_r=3.0).recordings[0].t_r == 3.0


def test_a_header_that_disagrees_with_the_sidecar_is_said(make_bids: MakeBids) -> None:
    root = make_bids(subjects=1, runs=2)
    assert open_dataset(root).notes == ()
    set_header_t_r(root, 1.0)
    dataset = open_dataset(root)
    assert {r.t_r for r in dataset} == {2.0}
    assert any("(1 s for 2 s) and 1 more" in note for note in dataset.notes)


def test_a_header_in_milliseconds(make_bids: MakeBids) -> None:
    root = make_bids(subjects=1, runs=1)
    (root / "task-test_bold.json").unlink()
    bold = next(root.rglob("*_bold.nii.gz"))
    image = nib.load(bold)
    image.header.set_xyzt_units("mm", "msec")
    image.header.set_zooms((3, 3, 3, 720))
    nib.save(nib.Nifti1Image(image.get_fdata(), image.affine, image.header), bold)
    assert open_dataset(root).recordings[0].t_r == 0.72


@pytest.mark.parametrize("content", ["{", "[]", '{"RepetitionTime": 2000}'])
def test_a_broken_sidecar_sets_its_run_aside(content: str, make_bids: MakeBids) -> None:
    root = make_bids(subjects=1, runs=2)
    bold = next(root.rglob("*run-1_bold.nii.gz"))
    bold.with_name(bold.name.replace(".nii.gz", ".json")).write_text(content)
    dataset = open_dataset(root)
    assert [r.run for r in dataset] == ["2"]
    assert "bold.json" in dataset.set_aside[0][1]


def test_participants_listed_twice_or_with_commas(make_bids: MakeBids) -> None:
    root = make_bids(subjects=1)
    file = root / "participants.tsv"
    file.write_text("participant_id\tage\nsub-01\t30\nsub-01\t31\n")
    assert open_dataset(root).recordings[0].participant == {"age": "30"}
    file.write_text("participant_id,age\nsub-01,30\n")
    with pytest.raises(DatasetError, match="by tabs, not by ','"):
        open_dataset(root)


def test_train_and_test_subjects(make_bids: MakeBids) -> None:
    root = make_bids(subjects=5, runs=1)
    dataset = open_dataset(root)
    train, test = dataset.subjects("train"), dataset.subjects("test")
    assert set(train.subject_labels).isdisjoint(test.subject_labels)
    assert len(train) + len(test) == 5
    (root / "participants.tsv").write_text(
        "participant_id\tsplit\nsub-01\ttest\nsub-02\ttrain\nsub-03\ttrain\n"
    )
    assert open_dataset(root).subjects("test").subject_labels == ["01"]
    with pytest.raises(InputError, match="unknown subject '99'"):
        dataset.subjects(["99"])


def test_real_recordings_open(recordings_dir: Path) -> None:
    perception = open_dataset(recordings_dir / "perception")
    assert len(perception) == 3
    assert perception.event_types == ["gaussian", "living", "non_living"]
    haxby = open_dataset(recordings_dir / "haxby", acquisition="slice")
    assert len(haxby) == 12
    assert {r.t_r for r in haxby} == {2.5}
    described = json.loads(
        (recordings_dir / "perception" / "dataset_description.json").read_text()
    )
    assert perception.name == described["Name"]
    assert np.isfinite([r.t_r for r in perception]).all()
