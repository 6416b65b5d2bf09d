"""The cohort on disk."""

import dataclasses
import hashlib
import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from nilearn.interfaces.fmriprep import load_confounds
from nilearn.signal import clean
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.svm import SVC

from boldformer.errors import InputError, OutputExistsError
from boldformer.simulation import CohortSpec, simulate_cohort
from boldformer.simulation.layout import Layout

SPACE = "space-MNI152NLin2009aSym"
BOLD = (
    "derivatives/fmriprep/sub-01/func/"
    f"sub-01_task-somatotopy_run-1_{SPACE}_desc-preproc_bold.nii.gz"
)
KNOWN_FILES = {
    "code/simulation.json": "13a1c7632a7fddb2",
    "participants.tsv": "9f34866d6a683b28",
    "sub-01/func/sub-01_task-somatotopy_run-1_events.tsv": "4a3f589048ce82a2",
    "sub-02/func/sub-02_task-somatotopy_run-2_events.tsv": "1a5423875570303b",
}
# Sum over the first run, and four of its voxels.
KNOWN_VALUES = [157441729, 859, 948, 846, 769]


def _digests(root):
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def _bold(root):
    return sorted(root.glob("derivatives/fmriprep/sub-*/func/*_bold.nii.gz"))


def test_recordings_are_compact_images_in_mni_space(tiny_cohort, tiny_spec, template):
    paths = _bold(tiny_cohort)
    names = [
        f"sub-{subject:02d}_task-somatotopy_run-{run}_{SPACE}_desc-preproc_bold.nii.gz"
        for subject in (1, 2)
        for run in (1, 2)
    ]
    assert [path.name for path in paths] == names
    image = nib.load(paths[0])
    assert image.shape == (*template.shape, 45)
    assert image.get_data_dtype() == np.int16
    assert image.header.get_zooms()[3] == tiny_spec.t_r
    assert image.header.get_xyzt_units() == ("mm", "sec")
    assert int(image.header["sform_code"]) == int(image.header["qform_code"]) == 4
    np.testing.assert_allclose(image.affine, template.affine)
    data = np.asarray(image.dataobj)
    assert (data[~template.head] == 0).all()
    sidecar = json.loads(Path(str(paths[0]).replace(".nii.gz", ".json")).read_text())
    assert sidecar["RepetitionTime"] == tiny_spec.t_r


def test_masks_events_and_people_go_with_the_recordings(
    tiny_cohort, tiny_spec, template
):
    for path in _bold(tiny_cohort):
        mask = nib.load(str(path).replace("desc-preproc_bold", "desc-brain_mask"))
        np.testing.assert_array_equal(np.asarray(mask.dataobj) > 0, template.brain)
        stem = path.name.split("_space")[0]
        folder = tiny_cohort / stem.split("_")[0] / "func"
        events = pd.read_csv(folder / f"{stem}_events.tsv", sep="\t")
        assert list(events) == ["onset", "duration", "trial_type"]
        assert set(events["trial_type"]) == set(tiny_spec.conditions)
    people = pd.read_csv(tiny_cohort / "participants.tsv", sep="\t")
    assert list(people["participant_id"]) == ["sub-01", "sub-02"]
    assert {"age", "sex", "site"} <= set(people)


def test_nilearn_reads_the_confounds(tiny_cohort):
    for path in _bold(tiny_cohort):
        table, _ = load_confounds(
            str(path), strategy=("motion", "wm_csf"), motion="full", wm_csf="basic"
        )
        assert table.shape == (45, 26)
        assert not table.isna().any(axis=None)
        load_confounds(str(path), strategy=("high_pass", "global_signal", "scrub"))


def test_planted_truth_lies_beside_the_data(tiny_cohort, tiny_spec):
    truth = tiny_cohort / "derivatives" / "truth"
    for label in ("leftleg", "forearm", "tongue"):
        name = f"task-somatotopy_{SPACE}_label-{label}_desc-planted_statmap"
        group = nib.load(truth / f"{name}.nii.gz").get_fdata()
        own = [
            nib.load(truth / sub / "func" / f"{sub}_{name}.nii.gz").get_fdata()
            for sub in ("sub-01", "sub-02")
        ]
        assert group.max() > 1.0
        for person in own:
            assert np.corrcoef(group.ravel(), person.ravel())[0, 1] > 0.3
        assert not np.allclose(*own)
        described = json.loads((truth / f"{name}.json").read_text())
        assert described["Condition"].replace("_", "") == label
    foci = pd.read_csv(truth / "foci.tsv", sep="\t")
    assert set(foci["condition"]) == set(tiny_spec.conditions)
    assert foci["coordinate_source"].str.contains("doi:").all()


def test_nothing_claims_that_fmriprep_was_run(tiny_cohort):
    for path in tiny_cohort.rglob("dataset_description.json"):
        description = json.loads(path.read_text())
        names = [maker["Name"] for maker in description["GeneratedBy"]]
        assert names == ["BoldFormer simulation"]


@pytest.mark.parametrize("dataset", [".", "derivatives/fmriprep", "derivatives/truth"])
def test_the_bids_validator_finds_no_error(tiny_cohort, dataset):
    beside_python = shutil.which(
        "bids-validator-deno", path=Path(sys.executable).parent
    )
    validator = beside_python or shutil.which("bids-validator-deno")
    if validator is None:
        pytest.skip("bids-validator-deno is not installed")
    done = subprocess.run(
        [validator, "--format", "json", str(tiny_cohort / dataset)],
        capture_output=True,
        text=True,
        check=False,
    )
    issues = json.loads(done.stdout)["issues"]["issues"]
    errors = [issue for issue in issues if issue["severity"] == "error"]
    assert errors == []
    assert done.returncode == 0


def test_bytes_depend_on_the_settings_alone(tiny_cohort, tiny_spec, tmp_path):
    wanted = _digests(tiny_cohort)
    # One subject first, then the whole cohort by two processes, then a lost run.
    first = dataclasses.replace(tiny_spec, subjects=1, runs=1)
    simulate_cohort(tmp_path, first, n_jobs=1, progress=False)
    simulate_cohort(tmp_path, tiny_spec, n_jobs=2, progress=False)
    assert _digests(tmp_path) == wanted
    _bold(tmp_path)[1].unlink()
    simulate_cohort(tmp_path, tiny_spec, n_jobs=1, progress=False)
    assert _digests(tmp_path) == wanted


def test_another_noise_or_site_is_another_cohort(tiny_cohort, tiny_spec, tmp_path):
    one = dataclasses.replace(tiny_spec, subjects=1, runs=1, site_offset=0.2)
    simulate_cohort(tmp_path, one, n_jobs=1, progress=False)
    assert _digests(tmp_path)[BOLD] != _digests(tiny_cohort)[BOLD]
    for other in (
        dataclasses.replace(one, site_offset=0.0),
        dataclasses.replace(one, noise_scale=2.0),
    ):
        with pytest.raises(OutputExistsError, match=r"site_offset|noise_scale"):
            simulate_cohort(tmp_path, other, n_jobs=1, progress=False)


def test_defaults_make_what_they_made_before_noise_and_site_could_be_set(tiny_cohort):
    digests = _digests(tiny_cohort)
    assert {name: digests[name][:16] for name in KNOWN_FILES} == KNOWN_FILES
    # Not a hash: sums round as the local library of linear algebra orders them, so a
    # voxel may differ by one elsewhere.
    data = np.asarray(nib.load(tiny_cohort / BOLD).dataobj)
    found = [int(data.sum(dtype=np.int64)), *map(int, data[10, 12, 10:14, 20])]
    np.testing.assert_allclose(found, KNOWN_VALUES, atol=1, rtol=1e-7)


def test_complete_runs_are_not_written_again(tiny_cohort, tiny_spec):
    before = {path: path.stat().st_mtime_ns for path in _bold(tiny_cohort)}
    simulate_cohort(tiny_cohort, tiny_spec, n_jobs=1, progress=False)
    assert {path: path.stat().st_mtime_ns for path in _bold(tiny_cohort)} == before


def test_another_cohort_is_replaced_only_when_asked(tiny_cohort, tiny_spec, tmp_path):
    root = shutil.copytree(tiny_cohort, tmp_path / "copy")
    other = dataclasses.replace(tiny_spec, seed=4, subjects=1, runs=1)
    before = _digests(root)
    with pytest.raises(OutputExistsError, match="seed, subjects, runs"):
        simulate_cohort(root, other, n_jobs=1, progress=False)
    assert _digests(root) == before
    mine = [root / "notes.txt", root / "derivatives" / "mine" / "sub-01" / "x.nii"]
    for path in mine:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    simulate_cohort(root, other, n_jobs=1, progress=False, overwrite=True)
    assert len(_bold(root)) == 1
    assert [path.read_text() for path in mine] == ["mine", "mine"]


def test_every_file_of_a_cohort_is_known_to_be_its_own(tiny_cohort, tiny_spec):
    there = {path for path in tiny_cohort.rglob("*") if path.is_file()}
    assert set(Layout(tiny_cohort, tiny_spec).files()) == there


def test_a_folder_of_something_else_is_left_alone(tiny_spec, tmp_path):
    precious = tmp_path / "thesis.txt"
    precious.write_text("years of work")
    with pytest.raises(OutputExistsError, match="not a simulated cohort"):
        simulate_cohort(tmp_path, tiny_spec, progress=False, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_volumes_without_a_brain_are_refused(tmp_path):
    spec = CohortSpec(voxel_size_mm=60.0, volume_shape=(8, 8, 8))
    with pytest.raises(InputError, match="hardly any brain"):
        simulate_cohort(tmp_path / "none", spec, progress=False)
    assert not (tmp_path / "none").exists()


def test_anatomy_hides_what_run_centring_shows(tmp_path):
    spec = CohortSpec(subjects=8, runs=1, voxel_size_mm=8.0, effect_size=1.5)
    root = simulate_cohort(tmp_path, spec, n_jobs=1, progress=False)
    raw, centred, labels, people = [], [], [], []
    for path in _bold(root):
        brain = nib.load(str(path).replace("desc-preproc_bold", "desc-brain_mask"))
        data = np.asarray(nib.load(path).dataobj)[np.asarray(brain.dataobj) > 0].T
        data = data.astype(float)
        stem = path.name.split("_space")[0]
        table = stem.split("_")[0] + f"/func/{stem}_events.tsv"
        events = pd.read_csv(root / table, sep="\t")
        for prepared, windows in (
            (data, raw),
            (clean(data, detrend=True, standardize="zscore_sample"), centred),
        ):
            firsts = [math.ceil((onset_s + 5.0) / 2.0) for onset_s in events["onset"]]
            windows += [prepared[first : first + 8].mean(axis=0) for first in firsts]
        labels += list(events["trial_type"])
        people += [stem.split("_")[0]] * len(events)

    def accuracy(windows):
        return cross_val_score(
            SVC(kernel="linear"), windows, labels, groups=people, cv=GroupKFold(4)
        ).mean()

    # Six classes: chance is 0.17.
    assert accuracy(np.array(raw)) < 0.32
    assert accuracy(np.array(centred)) > 0.5
