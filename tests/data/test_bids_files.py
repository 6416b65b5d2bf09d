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
