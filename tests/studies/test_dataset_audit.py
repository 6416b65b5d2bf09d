"""`boldformer audit` finds planted leaks in datasets and tables, and says so."""

import json
import shutil
from dataclasses import replace
from itertools import product

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from boldformer import config
from boldformer.cli import run_command
from boldformer.config import DataConfig, RunConfig
from boldformer.errors import InputError
from boldformer.studies.dataset_audit import audit_dataset, audit_table

SUBJECTS = ("01", "02", "03")


@pytest.fixture(scope="module")
def dataset(write_bids, tmp_path_factory):
    """Three people, two runs each."""
    root = tmp_path_factory.mktemp("data") / "bids"
    return write_bids(root, subjects=len(SUBJECTS), preprocessed=True)


@pytest.fixture
def duplicated(dataset, tmp_path):
    """The dataset with subject 02 a second time, as 07, in floats of another scale."""
    root = shutil.copytree(dataset, tmp_path / "bids")
    for path in sorted(root.rglob("sub-02*")):
        if path.is_dir():
            continue
        twin = root / str(path.relative_to(root)).replace("sub-02", "sub-07")
        twin.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, twin)
        if twin.name.endswith("_bold.nii.gz"):
            image = nib.load(path)
            data = 2.5 * image.get_fdata(dtype=np.float32) + 3
            nib.save(nib.Nifti1Image(data, image.affine, image.header), twin)
    return root


def audit_command(*arguments):
    return run_command(["audit", *map(str, arguments), "--quiet", "--n-jobs", "1"])


def checks(report):
    return {check.name: check for check in report.audit.checks}


def write_split(path, sides):
    rows = [(f"sub-{subject}", 0, side) for subject, side in sides.items()]
    table = pd.DataFrame(rows, columns=["subject", "fold", "set"])
    table.to_csv(path, sep="\t", index=False)
    return path


def window_table(path, n_subjects=8, **columns):
    """Write a table of windows: two runs of two classes, in random order."""
    rng = np.random.default_rng(0)
    rows = [
        {"subject": f"{s:02d}", "run": r, "onset": 20.0 * place, "label": label}
        for s in range(n_subjects)
        for r in (1, 2)
        for place, label in enumerate(rng.permutation(list("aabb")))
    ]
    table = pd.DataFrame(rows).assign(**columns)
    table.to_csv(path, sep="\t", index=False)
    return table


def test_a_genuine_dataset_is_clean(dataset, tmp_path, capsys):
    assert audit_command(dataset, "--out", tmp_path / "out") == 0
    printed = capsys.readouterr().out
    assert printed.startswith("CLEAN: 48 windows of 6 runs. Leave one subject out")
    written = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert written["verdict"] == "clean"
    assert written["split"]["n_folds"] == 3
    assert {"name", "verdict", "evidence", "advice", "n_windows", "windows"} == set(
        written["checks"][0]
    )


def test_a_subject_saved_again_is_caught(duplicated, tmp_path, capsys):
    assert audit_command(duplicated, "--out", tmp_path / "out") == 3
    printed = capsys.readouterr().out
    assert printed.startswith("LEAK")
    assert "sub-02" in printed
    assert "sub-07" in printed
    assert "What to do: Remove the copy" in printed
    written = json.loads((tmp_path / "out" / "audit.json").read_text())
    leaks = [c for c in written["checks"] if c["verdict"] == "leak"]
    assert [c["name"] for c in leaks] == ["content"]
    assert leaks[0]["n_windows"] == 32


def test_a_head_that_moves_with_the_task_is_flagged(dataset, tmp_path):
    root = shutil.copytree(dataset, tmp_path / "bids")
    for path in root.rglob("*_desc-confounds_timeseries.tsv"):
        stem = path.name.split("_desc")[0]
        events = pd.read_csv(next(root.rglob(f"{stem}_events.tsv")), sep="\t")
        confounds = pd.read_csv(path, sep="\t", na_values="n/a")
        times_s = 2.0 * np.arange(len(confounds))
        for event in events[events["trial_type"] == "left"].itertuples():
            on = (times_s >= event.onset + 4) & (times_s < event.onset + 14)
            confounds.loc[on, "trans_z"] += 4.0
        confounds.to_csv(path, sep="\t", index=False, na_rep="n/a")
    settings = [RunConfig(data=DataConfig(path=str(path))) for path in (dataset, root)]
    still, moving = (checks(audit_dataset(s, progress=False)) for s in settings)
    assert still["motion"].verdict == "clean"
    assert moving["motion"].verdict == "warning"
    assert "rans_z" in moving["motion"].evidence


def test_a_copy_on_one_side_is_a_warning(duplicated, tmp_path):
    split = write_split(
        tmp_path / "split.tsv",
        {"01": "test", "02": "train", "03": "test", "07": "train"},
    )
    settings = RunConfig(data=DataConfig(path=str(duplicated)))
    report = audit_dataset(settings, split=split, progress=False)
    assert checks(report)["content"].verdict == "warning"
    assert report.audit.verdict == "warning"


def test_a_split_file_is_held_against_the_dataset(dataset, tmp_path, capsys):
    store = tmp_path / "store"
    honest = write_split(
        tmp_path / "honest.tsv", {"01": "test", "02": "train", "03": "train"}
    )
    assert audit_command(dataset, "--split", honest, "--store", store) == 0
    windows = pd.DataFrame({"window": np.arange(48), "fold": 0})
    windows["set"] = np.where(windows["window"] % 5 == 0, "test", "train")
    windows.to_csv(tmp_path / "random.tsv", sep="\t", index=False)
    capsys.readouterr()
    arguments = ("--split", tmp_path / "random.tsv", "--store", store)
    assert audit_command(dataset, *arguments) == 3
    printed = capsys.readouterr().out
    assert "leak        subject" in printed
    assert "leak        run" in printed
    assert "Test windows concerned: 10 (rows 0, 5, 10" in printed


def test_the_temporary_store_goes_and_a_named_one_stays(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    settings = RunConfig(data=DataConfig(path=str(dataset)))
    audit_dataset(settings, progress=False)
    assert not list((tmp_path / "temporary").iterdir())
    audit_dataset(settings, store=tmp_path / "store", progress=False)
    assert len(list((tmp_path / "store").glob("sub-*"))) == 6


def test_the_configuration_of_a_run_names_data_and_folds(dataset, tmp_path, capsys):

    settings = RunConfig(data=DataConfig(path=str(dataset)))
    evaluation = replace(settings.evaluation, folds=2)
    file = tmp_path / "run.toml"
    file.write_text(config.to_toml(replace(settings, evaluation=evaluation)))
    assert audit_command("--config", file, "--store", tmp_path / "store") == 0
    assert "2 folds over 3 subjects" in capsys.readouterr().out


def test_a_table_alone_is_audited(tmp_path, capsys):
    path = tmp_path / "windows.tsv"
    table = window_table(path)
    assert audit_command(path) == 0
    assert "64 windows of 16 runs" in capsys.readouterr().out
    split = pd.DataFrame({"window": table.index, "fold": 0})
    split["set"] = np.where(table["run"] == 1, "train", "test")
    split.to_csv(tmp_path / "split.tsv", sep="\t", index=False)
    assert audit_command(path, "--split", tmp_path / "split.tsv") == 3
    assert "leak        subject" in capsys.readouterr().out


def test_a_table_may_bring_its_split(tmp_path):
    path = tmp_path / "windows.tsv"
    subject = np.repeat(np.arange(8), 8)
    window_table(path, fold=subject % 4)
    report = audit_table(path)
    assert report.audit.verdict == "clean"
    assert len(report.splits.folds) == 4
    window_table(path, fold=np.arange(64) % 4)
    assert checks(audit_table(path))["run"].verdict == "leak"
    window_table(path, set=np.where(subject < 2, "test", "train"))
    (fold,) = audit_table(path).splits.folds
    assert list(fold.test) == list(range(16))


def test_predictions_of_a_repeated_split_are_audited(tmp_path):
    rows = [
        f"{window}\t{fold + 2 * repeat}\ts{subject}\t{label}"
        for repeat in range(2)
        for window, (subject, label) in enumerate(product(range(4), "ab"))
        for fold in [(subject // 2 if repeat == 0 else subject % 2)]
    ]
    table = tmp_path / "predictions.tsv"
    table.write_text("\n".join(["window\tfold\tsubject\tlabel", *rows]) + "\n")
    found = audit_table(table)
    assert len(found.splits.folds) == 4
    assert found.n_windows == 8
    assert all(len(fold.train) == len(fold.test) == 4 for fold in found.splits.folds)


def test_designs_that_tell_the_class_are_flagged_in_a_table(tmp_path):
    path = tmp_path / "windows.tsv"
    table = window_table(path, n_subjects=16)
    patient = table["subject"].astype(int) % 2 == 0
    length = np.where(table["label"] == "a", 200, 230)
    site = np.where(patient, "north", "south")
    window_table(path, 16, label=np.where(patient, "a", "b"), site=site)
    assert checks(audit_table(path))["site"].verdict == "warning"
    window_table(path, 16, label=np.where(table["run"] == 1, "a", "b"))
    timing = checks(audit_table(path))["timing"]
    assert timing.verdict == "warning"
    assert "Order of the run" in timing.evidence
    window_table(path, 16, n_run_frames=length, t_r=2.0)
    assert "ength of the run" in checks(audit_table(path))["timing"].evidence


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (lambda p: (), "DATA is needed"),
        (lambda p: (p / "none",), "no such folder"),
        (
            lambda p: (p / "windows.tsv", "--split", p / "no.tsv"),
            "no.tsv: the file is missing",
        ),
        (lambda p: (p / "odd.tsv",), "no table of windows"),
        (lambda p: (p / "windows.tsv", "--split", p / "odd.tsv"), "lacks columns"),
    ],
)
def test_unusable_input_is_one_line_and_exit_code_2(
    tmp_path, capsys, arguments, message
):
    window_table(tmp_path / "windows.tsv")
    (tmp_path / "odd.tsv").write_text("a\tb\n1\t2\n")
    assert audit_command(*arguments(tmp_path)) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("subject\tlabel\n", "no rows"),
        ("subject\tlabel\tonset\n1\ta\tn/a\n", "'onset' has gaps"),
        ("subject\tlabel\twindow\n1\ta\t0\n1\tb\t2\n", "not numbered without gaps"),
    ],
)
def test_a_broken_table_is_refused(tmp_path, text, message):
    path = tmp_path / "windows.tsv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        audit_table(path)
