"""The main job on small datasets: outputs, resuming, honesty of its numbers."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jsonschema
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, matthews_corrcoef

from boldformer import Decoder, config, open_dataset
from boldformer.cli import run_command
from boldformer.data.folders import LOCK, MARKER, WORK
from boldformer.errors import DatasetError, InputError, OutputExistsError
from boldformer.evaluation.baselines import BASELINES, PARTS
from boldformer.studies import run_decoding
from boldformer.studies.run_outputs import WRITTEN
from boldformer.studies.verification import verify

MakeBids = Callable[..., Path]
SCHEMA = json.loads((Path(__file__).parent / "metrics.schema.json").read_text())


def settings(root: Path, **sections: dict) -> config.RunConfig:
    values = {
        "data": {"path": str(root)},
        "model": {"name": "linear"},
        "training": {"max_epochs": 3},
        "evaluation": {"n_resamples": 50, "linear_permutations": 19},
    }
    for name, section in sections.items():
        values[name] = {**values.get(name, {}), **section}
    return config.from_dict(config.RunConfig, values)


def run(root: Path, out: Path, **sections: dict) -> dict:
    run_decoding(settings(root, **sections), out, progress=False)
    return json.loads((out / "metrics.json").read_text())


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, write_bids: MakeBids
) -> tuple[Path, Path, dict]:
    root = tmp_path_factory.mktemp("run") / "bids"
    write_bids(root, subjects=4, runs=2, preprocessed=True)
    out = root.parent / "out"
    metrics = run(root, out, model={"name": "hybrid"})
    return root, out, metrics


def test_every_promised_file_is_there(finished: tuple[Path, Path, dict]) -> None:
    _, out, _ = finished
    assert {p.name for p in out.iterdir()} == {*WRITTEN, WORK, MARKER, LOCK}
    assert not list(out.rglob(".partial-*"))
    description = json.loads((out / "dataset_description.json").read_text())
    assert description["GeneratedBy"][0]["Name"] == "BoldFormer"
    assert description["DatasetType"] == "derivative"


def test_the_output_is_a_bids_derivative(finished: tuple[Path, Path, dict]) -> None:
    validator = shutil.which("bids-validator-deno", path=Path(sys.executable).parent)
    if validator is None:
        pytest.skip("bids-validator-deno is not installed")
    _, out, _ = finished
    done = subprocess.run(
        [validator, "--format", "json", str(out)], capture_output=True, text=True
    )
    issues = json.loads(done.stdout)["issues"]["issues"]
    assert [issue for issue in issues if issue["severity"] == "error"] == []


def test_metrics_follow_the_schema(finished: tuple[Path, Path, dict]) -> None:
    _, _, metrics = finished
    jsonschema.validate(metrics, SCHEMA)
    assert next(iter(metrics["scores"])) == "hybrid"
    assert list(metrics["scores"]) == ["hybrid", *PARTS, *BASELINES]


def test_scores_are_those_of_the_predictions(finished: tuple[Path, Path, dict]) -> None:
    _, out, metrics = finished
    table = pd.read_csv(out / "predictions.tsv", sep="\t", dtype={"subject": str})
    assert len(table) == metrics["n_windows"] == 64
    scores = metrics["scores"]["hybrid"]
    right = accuracy_score(table["label"], table["predicted"])
    assert scores["accuracy"]["value"] == pytest.approx(right)
    mcc = matthews_corrcoef(table["label"], table["predicted"])
    assert scores["mcc"]["value"] == pytest.approx(mcc)
    columns = [f"probability_{label}" for label in metrics["labels"]]
    np.testing.assert_allclose(table[columns].sum(axis=1), 1, atol=1e-5)
    for name in BASELINES:
        other = pd.read_csv(out / "baselines" / f"{name}_predictions.tsv", sep="\t")
        right = accuracy_score(other["label"], other["predicted"])
        assert metrics["scores"][name]["accuracy"]["value"] == pytest.approx(right)


def test_no_subject_is_on_both_sides(finished: tuple[Path, Path, dict]) -> None:
    _, out, metrics = finished
    splits = pd.read_csv(out / "splits.tsv", sep="\t")
    table = pd.read_csv(out / "predictions.tsv", sep="\t", dtype={"subject": str})
    subject = table.set_index("window")["subject"]
    for _, fold in splits.groupby("fold"):
        sides = [set(subject[s["window"]]) for _, s in fold.groupby("set")]
        assert sides[0].isdisjoint(sides[1])
    assert metrics["audit"]["verdict"] != "leak"


def test_the_signal_is_found(finished: tuple[Path, Path, dict]) -> None:
    _, _, metrics = finished
    assert metrics["scores"]["hybrid"]["accuracy"]["value"] > 0.8
    assert metrics["scores"]["linear_svm"]["accuracy"]["value"] > 0.8
    assert metrics["scores"]["nuisance"]["accuracy"]["value"] < 0.8
    for name in ("run_mean", "majority"):
        assert metrics["scores"][name]["accuracy"]["value"] == pytest.approx(0.5)


def test_maps_are_nifti_on_the_recordings_grid(
    finished: tuple[Path, Path, dict],
) -> None:
    root, out, _ = finished
    maps = pd.read_csv(out / "maps" / "maps.tsv", sep="\t")
    assert set(maps["method"]) == {"attention", "saliency", "background"}
    like = nib.load(open_dataset(root).recordings[0].bold)
    for file in maps["file"]:
        image = nib.load(out / "maps" / file)
        assert image.shape == like.shape[:3]
        np.testing.assert_allclose(image.affine, like.affine)
        assert np.isfinite(image.get_fdata()).all()
        assert (out / "maps" / file.replace(".nii.gz", ".json")).exists()


def test_the_model_can_be_used(finished: tuple[Path, Path, dict]) -> None:
    root, out, metrics = finished
    decoder = Decoder.load(out / "model")
    assert decoder.score(open_dataset(root)) > 0.8
    assert decoder.window.length_s == metrics["window"]["length_s"]
    same = Decoder("linear", preprocessing=decoder.preprocessing)
    again = same.set_params(window=decoder.window, labels=decoder.labels)
    again.fit(open_dataset(root))
    assert again.preparation_.pipeline.hash == metrics["preprocessing"]["hash"]
    assert again.classes_.tolist() == decoder.classes_.tolist()
    assert "accuracy, cross-validated" in (out / "model" / "README.md").read_text()


def test_run_toml_repeats_the_run(
    finished: tuple[Path, Path, dict], tmp_path: Path
) -> None:
    _, out, metrics = finished
    again = tmp_path / "again"
    command = ["run", str(again), "--config", str(out / "run.toml"), "--quiet"]
    assert run_command(command) == 0
    repeated = json.loads((again / "metrics.json").read_text())
    for key in ("scores", "columns", "permutation", "learning_curve", "calibration"):
        assert repeated[key] == metrics[key]
    assert repeated["protocol"]["split_hash"] == metrics["protocol"]["split_hash"]


def test_a_finished_run_is_not_trained_again(
    finished: tuple[Path, Path, dict], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, out, metrics = finished

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr("boldformer.evaluation.experiment.estimate", refuse)
    assert run(root, out, model={"name": "hybrid"})["scores"] == metrics["scores"]


def test_other_settings_need_overwrite(
    finished: tuple[Path, Path, dict], tmp_path: Path
) -> None:
    root, out, _ = finished
    copy = tmp_path / "copy"
    shutil.copytree(out, copy)
    mine = ["notes.txt", "figures/mine.png", "maps/mine.nii", "model/mine.md"]
    for name in mine:
        (copy / name).write_text("mine")
    other = settings(root, training={"seed": 5})
    with pytest.raises(OutputExistsError, match="other settings") as caught:
        run_decoding(other, copy, progress=False)
    assert 'model.name: "hybrid" there, "linear" asked for' in str(caught.value)
    assert "training.seed: 0 there, 5 asked for" in str(caught.value)
    run_decoding(other, copy, overwrite=True, progress=False)
    assert [(copy / name).read_text() for name in mine] == ["mine"] * 4
    assert config.load(copy / "run.toml") == other
    assert Decoder.load(copy / "model").model == "linear"


def test_overwrite_deletes_nothing_of_a_folder_that_is_no_run(
    make_bids: MakeBids, tmp_path: Path
) -> None:
    root, out = make_bids(subjects=2, runs=1), tmp_path / "out"
    mine = ["figures/1.png", "model/x", "maps/y", "columns/z", "baselines/b", "work/w"]
    for name in mine:
        (out / name).parent.mkdir(parents=True)
        (out / name).write_text("mine")
    with pytest.raises(OutputExistsError, match="does not touch"):
        run_decoding(settings(root), out, overwrite=True, progress=False)
    there = {f.relative_to(out).as_posix() for f in out.rglob("*") if f.is_file()}
    assert there == set(mine)


def test_a_run_that_fails_early_leaves_the_folder_as_it_was(
    finished: tuple[Path, Path, dict], make_bids: MakeBids, tmp_path: Path
) -> None:
    root, out = make_bids(subjects=2, runs=1), tmp_path / "out"
    for section in (
        {"data": {"labels": ("up", "down")}},
        {"model": {"name": "liner"}},
        {"model": {"parameters": {"nothing": 1}}},
        {"evaluation": {"split": str(tmp_path / "nowhere.tsv")}},
    ):
        with pytest.raises(InputError):
            run_decoding(settings(root, **section), out, progress=False)
        assert not out.exists()
    for bold in root.rglob("*_bold.nii.gz"):
        bold.write_bytes(b"")
    with pytest.raises(DatasetError, match="no run could be prepared"):
        run_decoding(settings(root), out, progress=False)
    assert not out.exists()
    # Nor does it cost the results that are there.
    root, out, _ = finished
    metrics = json.loads((out / "metrics.json").read_text())
    other = settings(root, data={"labels": ("up", "down")})
    with pytest.raises(InputError):
        run_decoding(other, out, overwrite=True, progress=False)
    assert json.loads((out / "metrics.json").read_text()) == metrics


def test_settings_are_checked_before_the_folder(
    make_bids: MakeBids, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.docx").write_text("mine")
    root = make_bids(subjects=2, runs=1)
    with pytest.raises(InputError, match="did you mean 'linear'"):
        run_decoding(
            settings(root, model={"name": "liner"}), tmp_path / "out", progress=False
        )


def test_two_runs_do_not_mix_in_one_folder(make_bids: MakeBids, tmp_path: Path) -> None:
    root, out = make_bids(subjects=4, runs=2), tmp_path / "out"
    command = [sys.executable, "-m", "boldformer", "run", str(root), str(out)]
    command += ["--n-resamples=50", "--n-jobs=1", "--no-causal-decoder"]
    first = subprocess.Popen([*command, "--epochs=400"], stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 120
        while not list(out.glob("work/folds/*/last.ckpt")):
            assert time.monotonic() < deadline
            assert first.poll() is None
            time.sleep(0.2)
        first.send_signal(signal.SIGSTOP)
        other = settings(root, training={"seed": 5})
        with pytest.raises(OutputExistsError, match=f"process {first.pid}"):
            run_decoding(other, out, overwrite=True, progress=False)
        assert "max_epochs = 400" in (out / "run.toml").read_text()
    finally:
        first.kill()
        first.communicate()
    # A killed one holds nothing up, and leaves nothing half-written behind.
    (out / f".partial-{socket.gethostname()}-{first.pid}-x").mkdir()
    run_decoding(other, out, overwrite=True, progress=False)
    assert config.load(out / "run.toml") == other
    assert verify(out).holds
    assert not list(out.rglob(".partial-*"))


def test_what_must_be_said_of_the_data_is_in_the_report(
    make_bids: MakeBids, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = make_bids(subjects=3, runs=1)
    (root / "participants.tsv").write_text("participant_id\tage\n1\t3\n7\t4\n")
    with caplog.at_level("INFO", logger="boldformer"):
        metrics = run(root, tmp_path / "out")
    assert metrics["dataset"]["notes"] == [
        "participants.tsv: rows without a subject: 7",
        "participants.tsv: subjects without a row: 02, 03",
    ]
    (space,) = [c for c in metrics["audit"]["checks"] if c["name"] == "space"]
    assert space["verdict"] == "warning"
    report = (tmp_path / "out" / "report.html").read_text()
    assert "subjects without a row: 02, 03" in report
    assert "on one grid by chance" in report
    assert any("on one grid by chance" in line for line in caplog.messages)


def test_shuffled_labels_are_at_chance(make_bids: MakeBids, tmp_path: Path) -> None:
    root = make_bids(subjects=6, runs=2)
    rng = np.random.default_rng(0)
    for file in root.rglob("*_events.tsv"):
        events = pd.read_csv(file, sep="\t")
        events["trial_type"] = rng.permutation(events["trial_type"])
        events.to_csv(file, sep="\t", index=False)
    metrics = run(root, tmp_path / "out")
    # 96 windows: the 99 % interval of a fair coin is 0.5 ± 0.13.
    assert abs(metrics["scores"]["linear"]["accuracy"]["value"] - 0.5) < 0.14


def sentences_of(out: Path) -> str:
    """Visible text of a report, on one line."""
    page = (out / "report.html").read_text()
    return " ".join(re.sub(r"<style.*?</style>|<[^>]+>", " ", page, flags=re.S).split())


def test_nothing_that_is_sent_names_a_folder_of_this_machine(
    finished: tuple[Path, Path, dict],
) -> None:
    root, out, _ = finished
    for name in ("report.html", "model/README.md", "dataset_description.json"):
        assert str(root.parent) not in (out / name).read_text(), name
    assert str(root.parent) not in (out / "metrics.json").read_text()
    # What repeats the run must know where the data are.
    assert str(root) in (out / "run.toml").read_text()
    assert "path = &#34;bids&#34;" in (out / "report.html").read_text()


def test_the_parts_of_the_hybrid_are_told_and_scored(
    finished: tuple[Path, Path, dict],
) -> None:
    _, out, metrics = finished
    assert metrics["model"]["parts"] == ["network_alone", "linear_path"]
    assert {"network_alone", "linear_path"} <= set(metrics["scores"])
    assert {fold["linear_path"] for fold in metrics["folds"]} <= {"before", "beside"}
    assert (out / "baselines" / "linear_path_predictions.tsv").exists()
    page = sentences_of(out)
    assert "A linear decoder of window means is part of it" in page
    assert "network alone" in page
    assert "linear path alone" in page
    assert "whose logits are added" in (out / "model" / "README.md").read_text()


def test_what_was_regressed_out_of_how_many_runs_is_said(
    finished: tuple[Path, Path, dict], make_bids: MakeBids, tmp_path: Path
) -> None:
    """fMRIPrep's runs have tables; raw ones have none, and nothing is claimed."""
    _, out, metrics = finished
    used = metrics["preprocessing"]["confounds"]
    assert used == [{"groups": ["motion", "wm_csf"], "n_runs": 8}]
    assert "confounds: motion and wm csf in 8 runs" in sentences_of(out)
    raw = run(make_bids(subjects=3, runs=1), tmp_path / "raw")
    assert raw["preprocessing"]["confounds"] == [{"groups": [], "n_runs": 3}]
    assert "confounds: none in 3 runs" in sentences_of(tmp_path / "raw")


def test_what_leaks_says_so_in_every_table_and_in_the_model(
    make_bids: MakeBids, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out"
    evaluation = {"unit": "stretch", "allow_leakage": True}
    metrics = run(make_bids(subjects=1, runs=1), out, evaluation=evaluation)
    assert metrics["protocol"]["leaky"]
    assert "contiguous stretches" in metrics["protocol"]["scheme"]
    tables = [p for p in out.rglob("*.tsv") if "work" not in p.parts]
    assert len(tables) > 8
    for file in tables:
        table = pd.read_csv(file, sep="\t")
        assert (table["leaky"] == "LEAKY").all(), file
    assert "LEAKY" in (out / "model" / "README.md").read_text()
    Decoder.load(out / "model")
    assert "LEAKY" in caplog.text
    assert verify(out).holds


def test_a_subject_that_cannot_be_decoded_alone_is_set_aside(
    make_bids: MakeBids, tmp_path: Path
) -> None:
    root, out = make_bids(subjects=3, runs=2), tmp_path / "out"
    for file in (root / "sub-02").rglob("*run-2*"):
        file.unlink()
    metrics = run(root, out, evaluation={"unit": "run"})
    (lost,) = metrics["set_aside"]
    assert lost["what"] == "sub-02"
    assert "only one group" in lost["reason"]
    assert metrics["dataset"]["n_subjects"] == 2
    assert metrics["n_set_aside"]["subject"] == 1
    assert verify(out).holds


def test_within_subjects_the_units_are_named_as_they_are(
    make_bids: MakeBids, tmp_path: Path
) -> None:
    """Subjects are judged, runs are held out within each of them."""
    out = tmp_path / "out"
    metrics = run(make_bids(subjects=3, runs=2), out, evaluation={"unit": "run"})
    assert metrics["protocol"]["interval"]["unit"] == "subject"
    page = sentences_of(out)
    assert "over 3 subjects, runs held out within each" in page
    assert "held-out run" not in page
    # Nobody trains the decoder of another person: nothing is widened.
    assert metrics["protocol"]["interval"]["widening"] == 1.0
    assert "times as wide" not in page
    assert "paired over subjects" in page
    assert "Accuracy of every subject, its runs held out" in page
    assert "Every subject" in page


def test_within_one_subject_runs_are_kept_apart(
    make_bids: MakeBids, tmp_path: Path
) -> None:
    metrics = run(make_bids(subjects=1, runs=3), tmp_path / "out")
    assert metrics["protocol"]["unit"] == "run"
    assert metrics["protocol"]["n_folds"] == 3
    assert metrics["protocol"]["interval"]["unit"] == "run"
    assert metrics["scores"]["linear"]["accuracy"]["value"] > 0.8


def test_participant_level_stays_within_subjects(
    make_bids: MakeBids, tmp_path: Path
) -> None:
    root, out = make_bids(subjects=2, runs=2), tmp_path / "out"
    arguments = ["run", str(root), str(out), "participant", "--model=linear", "--quiet"]
    assert run_command([*arguments, "--n-resamples=50"]) == 0
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["protocol"]["unit"] == "run"
    assert metrics["protocol"]["n_folds"] == 4


def test_one_bad_run_does_not_stop_the_cohort(
    make_bids: MakeBids, tmp_path: Path
) -> None:
    root = make_bids(subjects=3, runs=2)
    bold = next(root.rglob("sub-02*run-1_bold.nii.gz"))
    bold.write_bytes(bold.read_bytes()[:1000])
    metrics = run(root, tmp_path / "out")
    assert [entry["what"] for entry in metrics["set_aside"]] == [
        "sub-02_task-test_run-1"
    ]
    assert "sub-02_task-test_run-1" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_in_one_line_and_the_run_goes_on(
    sent: signal.Signals, make_bids: MakeBids, tmp_path: Path
) -> None:
    root, out = make_bids(subjects=4, runs=2), tmp_path / "out"
    command = [sys.executable, "-m", "boldformer", "run", str(root), str(out)]
    command += ["--epochs=400", "--n-resamples=50", "--n-jobs=1"]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        # Background jobs of a shell inherit an ignored SIGINT; a terminal's do not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 120
    while not list(out.glob("work/folds/*/last.ckpt")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.2)
    process.send_signal(sent)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert errors.strip().splitlines()[-1].startswith("boldformer: interrupted")
    assert not (out / "metrics.json").exists()
    assert not list(out.rglob(".partial-*"))
    assert list(out.glob("work/folds/*/last.ckpt"))
