"""Which images are read: fMRIPrep's spellings, spaces, resolutions, nested folders."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from boldformer import open_dataset
from boldformer.cli import run_command
from boldformer.data.confounds import read_confounds
from boldformer.data.sources.bids_files import entities
from boldformer.data.sources.bids_filters import read_filter_file
from boldformer.errors import DatasetError, InputError

MakeBids = Callable[..., Path]
SPACE = "space-MNI152NLin2009cAsym"


def rename(root: Path, change: Callable[[str], str]) -> None:
    """Rename the images and tables of the derivatives."""
    for file in list(root.glob("derivatives/*/*/func/*")):
        file.rename(file.with_name(change(file.name)))


def as_version_1_1(name: str) -> str:
    """Spelling of fMRIPrep up to 1.1."""
    for new, old in {
        f"{SPACE}_desc-preproc_bold": f"bold_{SPACE}_preproc",
        f"{SPACE}_desc-brain_mask": f"bold_{SPACE}_brainmask",
        "desc-confounds_timeseries": "bold_confounds",
    }.items():
        name = name.replace(new, old)
    return name


@pytest.mark.parametrize(
    "change",
    [
        as_version_1_1,
        lambda name: name.replace("_timeseries.", "_regressors."),
        lambda name: name.replace(SPACE, f"{SPACE}_res-2"),
        # A mask that leaves out the resolution, on the same grid.
        lambda name: name.replace(f"{SPACE}_desc-pre", f"{SPACE}_res-2_desc-pre"),
        lambda name: name.replace("_run-", "_run-0"),
        lambda name: name.replace("preproc_bold.", "preproc_bold_denoised."),
    ],
    ids=["1.1", "20.1", "res", "mask without res", "padded run", "denoised"],
)
def test_spellings_of_fmriprep(
    change: Callable[[str], str], make_bids: MakeBids
) -> None:
    root = make_bids(preprocessed=True)
    rename(root, change)
    dataset = open_dataset(root)
    assert len(dataset) == 4
    for recording in dataset:
        assert recording.space == "MNI152NLin2009cAsym"
        assert recording.mask is not None
        assert "mask" in recording.mask.name
        assert recording.confounds is not None
        assert len(recording.events) == 8


def test_old_variants_are_not_taken_for_runs(make_bids: MakeBids) -> None:
    root = make_bids(preprocessed=True, subjects=1, runs=1)
    rename(root, as_version_1_1)
    (bold,) = root.rglob("*_preproc.nii.gz")
    aroma = bold.name.replace("_preproc", "_variant-smoothAROMAnonaggr_preproc")
    shutil.copy(bold, bold.with_name(aroma))
    assert [r.bold.name for r in open_dataset(root)] == [bold.name]


def test_a_mask_of_another_grid_is_not_taken(make_bids: MakeBids) -> None:
    root = make_bids(preprocessed=True, subjects=1, runs=1)
    rename(root, lambda n: n.replace(f"{SPACE}_desc-pre", f"{SPACE}_res-2_desc-pre"))
    (mask,) = root.rglob("*_mask.nii.gz")
    nib.save(nib.Nifti1Image(np.ones((4, 4, 4), np.uint8), np.eye(4)), mask)
    assert open_dataset(root).recordings[0].mask is None


@pytest.mark.parametrize(
    "place", ["fmriprep-23.1.3", "fmriprep/23.1.3", "fmriprep", "."]
)
def test_derivatives_may_be_nested(place: str, make_bids: MakeBids) -> None:
    root = make_bids(preprocessed=True)
    old, new = root / "derivatives" / "fmriprep", root / "derivatives" / place
    new.mkdir(parents=True, exist_ok=True)
    for subject in list(old.glob("sub-*")):
        subject.rename(new / subject.name)
    dataset = open_dataset(root)
    assert {r.space for r in dataset} == {"MNI152NLin2009cAsym"}
    assert len(open_dataset(root, derivatives=root / "derivatives" / place)) == 4


def test_two_versions_of_derivatives_are_refused_by_name(make_bids: MakeBids) -> None:
    root = make_bids(preprocessed=True, subjects=1, runs=1)
    shutil.copytree(root / "derivatives/fmriprep", root / "derivatives/fmriprep-24")
    with pytest.raises(DatasetError, match=r"same run.*fmriprep-24.*--derivatives"):
        open_dataset(root)
    chosen = open_dataset(root, derivatives=root / "derivatives/fmriprep-24")
    assert "fmriprep-24" in str(chosen.recordings[0].bold)


@pytest.mark.parametrize("where", ["link", "beside", "above"])
def test_a_folder_of_fmriprep_finds_its_raw_dataset(
    where: str, make_bids: MakeBids
) -> None:
    raw = make_bids(preprocessed=True)
    (raw / "participants.tsv").write_text("participant_id\tage\nsub-01\t30\n")
    study = raw.parent / "study"
    folder = study / "derivatives" / "fmriprep"
    shutil.move(raw / "derivatives" / "fmriprep", folder)
    description = {"Name": "prepared", "DatasetType": "derivative"}
    if where == "link":
        description["DatasetLinks"] = {"raw": str(raw)}  # type: ignore[assignment]
    elif where == "beside":
        raw.rename(study / "rawdata")
    else:
        for file in raw.iterdir():
            if file.name != "derivatives":
                shutil.move(file, study)
    (folder / "dataset_description.json").write_text(json.dumps(description))
    dataset = open_dataset(folder)
    assert (dataset.name, len(dataset)) == ("prepared", 4)
    assert dataset.recordings[0].t_r == 2.0
    assert dataset.recordings[0].participant == {"age": "30"}


def test_the_resolution_can_be_chosen(make_bids: MakeBids) -> None:
    root = make_bids(preprocessed=True)
    for file in list(root.glob(f"derivatives/*/*/func/*_{SPACE}_*")):
        for label in ("1", "02"):
            name = file.name.replace(SPACE, f"{SPACE}_res-{label}")
            shutil.copy(file, file.with_name(name))

    def read(**options: str) -> set[str]:
        bold = [r.bold.name for r in open_dataset(root, **options)]
        assert len(bold) == 4
        return {"res-" + name.split("_res-")[-1][:2].strip("_") for name in bold}

    assert not any("_res-" in r.bold.name for r in open_dataset(root))
    assert read(resolution="2") == {"res-02"}
    assert read(resolution="res-1") == {"res-1"}
    with pytest.raises(InputError, match=r"res '3'; wanted one of \(none\), 02, 1"):
        open_dataset(root, resolution="3")


def test_runs_without_the_chosen_space_are_set_aside(make_bids: MakeBids) -> None:
    root = make_bids(preprocessed=True)
    for file in list(root.glob(f"derivatives/*/sub-02/func/*_{SPACE}_*")):
        file.rename(file.with_name(file.name.replace(SPACE, "space-T1w")))
    dataset = open_dataset(root)
    assert dataset.subject_labels == ["01"]
    assert [name[:6] for name, _ in dataset.set_aside] == ["sub-02", "sub-02"]
    assert "not in space MNI152NLin2009cAsym" in dataset.set_aside[0][1]
    bold = dataset.recordings[0].bold
    bold.rename(bold.with_name(bold.name.replace("_space", "_echo-1_space")))
    reasons = [why for _, why in open_dataset(root).set_aside]
    assert ["multi-echo" in why for why in reasons] == [True, False, False]


@pytest.mark.parametrize(
    ("entity", "reason"),
    [("echo-1", "multi-echo run"), ("part-phase", "complex image")],
)
def test_parts_of_a_run_are_set_aside(
    entity: str, reason: str, make_bids: MakeBids
) -> None:
    root = make_bids(subjects=1, runs=2)
    bold = next(root.rglob("*run-1_bold.nii.gz"))
    bold.rename(bold.with_name(bold.name.replace("_bold", f"_{entity}_bold")))
    dataset = open_dataset(root)
    assert [r.run for r in dataset] == ["2"]
    assert reason in dataset.set_aside[0][1]


# --- names ------------------------------------------------------------------------


def respell(root: Path, pattern: str, old: str, new: str) -> None:
    """Rename files, and the folders of subjects, throughout a dataset."""
    for path in sorted(root.rglob(pattern), reverse=True):
        if old in path.name:
            path.rename(path.with_name(path.name.replace(old, new)))


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ("sub-01", "sub-con-01", "sub-con-01"),
        ("task-test", "task-face-loc", "task-face-loc"),
        ("task-test", "task-face_loc", "loc"),
        ("task-test", "task-face.loc", "task-face.loc"),
        ("run-1", "run-first", "run-first"),
        ("run-1", "run-1_run-2", "run-2"),
        ("run-1", "acq-a%b_run-1", "acq-a%b"),
        ("run-1", "rec-_run-1", "rec-"),
    ],
)
@pytest.mark.parametrize("preprocessed", [False, True])
def test_names_that_bids_does_not_allow_are_refused_by_name(
    old: str, new: str, part: str, preprocessed: bool, make_bids: MakeBids
) -> None:
    root = make_bids(subjects=1, runs=1, preprocessed=preprocessed)
    (root / "task-test_bold.json").rename(root / "bold.json")
    respell(root, "*", old, new)
    with pytest.raises(DatasetError, match=f"the name '{part}' is not BIDS"):
        open_dataset(root)


def test_subjects_are_not_merged_by_half_their_name(make_bids: MakeBids) -> None:
    root = make_bids(subjects=3, runs=1)
    for k in (1, 2):
        respell(root, "*", f"sub-0{k}", f"sub-con-0{k}")
    dataset = open_dataset(root)
    assert dataset.subject_labels == ["03"]
    assert len(dataset.set_aside) == 2
    assert all("'sub-con-0" in reason for _, reason in dataset.set_aside)


def test_a_task_does_not_take_the_sidecar_of_another(make_bids: MakeBids) -> None:
    root = make_bids(subjects=1, runs=1)
    (root / "task-test-more_bold.json").write_text('{"RepetitionTime": 9}')
    dataset = open_dataset(root)
    assert dataset.recordings[0].t_r == 2.0
    assert dataset.notes == (
        "Names that are not BIDS, passed over: task-test-more_bold.json",
    )


def test_a_file_in_anothers_folder_is_refused(make_bids: MakeBids) -> None:
    root = make_bids(subjects=2, runs=1)
    respell(root / "sub-01", "*", "sub-01", "sub-02")
    dataset = open_dataset(root)
    assert [str(r.bold.parent.parent.name) for r in dataset] == ["sub-02"]
    ((_, reason),) = dataset.set_aside
    assert "lies in sub-01 and its name says sub-02" in reason


# --- filters ----------------------------------------------------------------------


def copy_runs(root: Path, old: str, new: str) -> None:
    for file in list(root.rglob("*_bold.nii.gz")):
        shutil.copy(file, file.with_name(file.name.replace(old, new)))


@pytest.mark.parametrize(
    ("entity", "long", "label"),
    [
        ("rec", "reconstruction", "b"),
        ("ce", "ceagent", "b"),
        ("dir", "direction", "AP"),
        ("echo", "echo", "2"),
        ("flip", "flip", "3"),
        ("chunk", "chunk", "1"),
        ("proc", "processing", "x"),
    ],
)
def test_every_entity_can_be_chosen_by(
    entity: str, long: str, label: str, make_bids: MakeBids, tmp_path: Path
) -> None:
    root = make_bids(subjects=1, runs=2)
    copy_runs(root, "_run", f"_{entity}-{label}_run")
    if entity not in ("dir", "echo"):  # a run of its own; set aside
        with pytest.raises(DatasetError, match=f"--filter {entity}={label}"):
            open_dataset(root)
    with_it = open_dataset(root, filters={entity: label})
    assert {entities(r.bold.name)[entity] for r in with_it} == {label}
    without = open_dataset(root, filters={entity: ""})
    assert not any(entity in entities(r.bold.name) for r in without)
    assert len(with_it) == len(without) == 2
    file = tmp_path / "filter.json"
    file.write_text(json.dumps({"bold": {long: label, "datatype": "func"}, "t1w": {}}))
    for option in (f"--filter={long}={label}", f"--bids-filter-file={file}"):
        store = tmp_path / option[2:9]
        command = ["prepare", str(root), str(store), option, "--quiet"]
        assert run_command(command) == 0
        sources = [
            json.loads(p.read_text())["source"] for p in store.glob("*/run.json")
        ]
        assert all(f"{entity}-{label}" in source for source in sources)


def test_runs_are_numbers_in_filters_too(make_bids: MakeBids) -> None:
    root = make_bids(subjects=1, runs=3)
    assert [r.run for r in open_dataset(root, filters={"run": ["01", "3"]})] == [
        "1",
        "3",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"t1w": {}}, "nothing of functional images"),
        ({"bold": {"sub_ject": "1"}}, "did you mean 'subject'"),
        ({"bold": {"suffix": "cbv"}}, "not of the suffix 'cbv'"),
        ({"bold": {"run": 1.5}}, "unusable label of 'run'"),
    ],
)
def test_filter_files_that_cannot_be_used(
    content: dict, message: str, tmp_path: Path
) -> None:
    file = tmp_path / "filter.json"
    file.write_text(json.dumps(content))
    with pytest.raises(InputError, match=message):
        read_filter_file(file)


def test_a_cohort_of_a_space_is_chosen_as_fmriprep_spells_it(
    make_bids: MakeBids,
) -> None:
    root = make_bids(subjects=1, runs=1, preprocessed=True)
    for cohort in ("1", "2"):
        for file in list(root.glob(f"derivatives/*/*/func/*_{SPACE}_desc*")):
            other = f"space-MNIPediatricAsym_cohort-{cohort}"
            shutil.copy(file, file.with_name(file.name.replace(SPACE, other)))
    spelt = "MNIPediatricAsym:cohort-2"
    (recording,) = open_dataset(root, space=spelt)
    assert recording.entities["cohort"] == "2"
    assert recording.mask is not None
    assert "cohort-2" in recording.mask.name
    with pytest.raises(InputError, match="no recording in cohort '3'"):
        open_dataset(root, space="MNIPediatricAsym:cohort-3")
    with pytest.raises(InputError, match="unknown part 'tone-1'"):
        open_dataset(root, space="MNIPediatricAsym:tone-1")


# --- what lies beside, and what is missing ----------------------------------------


@pytest.mark.parametrize("ending", ["nii", "denoised", "both"])
def test_the_confounds_that_were_found_are_loaded(
    ending: str, make_bids: MakeBids
) -> None:
    root = make_bids(subjects=1, runs=1, preprocessed=True)
    (before,) = open_dataset(root)
    expected = read_confounds(before, ("motion",), {}, 64)
    if ending == "nii":
        image = nib.load(before.bold)
        nib.save(image, before.bold.with_suffix(""))
        before.bold.unlink()
    elif ending == "denoised":
        rename(root, lambda n: n.replace("preproc_bold.", "preproc_bold_denoised."))
    else:  # the older spelling, with other numbers
        assert before.confounds is not None
        text = before.confounds.read_text().replace("0.", "9.")
        old = before.confounds.name.replace("_timeseries", "_regressors")
        before.confounds.with_name(old).write_text(text)
    (recording,) = open_dataset(root)
    found = read_confounds(recording, ("motion",), {}, 64)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("what", ["confounds", "mask"])
def test_runs_that_lack_what_others_have_are_named(
    what: str, make_bids: MakeBids
) -> None:
    root = make_bids(subjects=2, runs=1, preprocessed=True)
    next(root.rglob(f"sub-02*{what}*")).unlink()
    for file in root.rglob(f"sub-02*{what}*.tsv"):
        file.unlink()
    (note,) = open_dataset(root).notes
    assert note.startswith(f"1 of 2 runs have no {what}")
    assert "sub-02" in note


def test_runs_without_derivatives_are_listed(make_bids: MakeBids) -> None:
    root = make_bids(subjects=2, runs=2, preprocessed=True)
    raw = make_bids("raw", subjects=2, runs=2)
    for file in raw.rglob("*_bold.nii.gz"):
        shutil.copy(file, root / file.relative_to(raw))
    shutil.rmtree(root / "derivatives" / "fmriprep" / "sub-02")
    dataset = open_dataset(root)
    assert dataset.subject_labels == ["01"]
    assert [name[:6] for name, _ in dataset.set_aside] == ["sub-02", "sub-02"]
    assert all("no preprocessed image" in reason for _, reason in dataset.set_aside)
    assert open_dataset(root, participants="01").set_aside == ()
    assert len(open_dataset(root, raw=True)) == 4


@pytest.mark.parametrize("options", [{"space": "T1w"}, {"resolution": "2"}])
@pytest.mark.parametrize("raw", [False, True])
def test_a_space_of_raw_recordings_is_refused(
    options: dict, raw: bool, make_bids: MakeBids
) -> None:
    root = make_bids(subjects=1, runs=1, preprocessed=raw)
    with pytest.raises(InputError, match="was asked for, and no preprocessed"):
        open_dataset(root, raw=raw, **options)


def test_raw_recordings_beside_empty_derivatives_are_read_and_it_is_said(
    make_bids: MakeBids,
) -> None:
    root = make_bids(subjects=1, runs=1)
    (root / "derivatives" / "fmriprep").mkdir(parents=True)
    assert "Raw recordings are read" in open_dataset(root).notes[0]
    assert open_dataset(root, raw=True).notes == ()
