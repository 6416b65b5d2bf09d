"""Tampering with any part of a result is caught, and named in one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file, save_file

from boldformer import config
from boldformer.cli import run_command
from boldformer.errors import InputError
from boldformer.studies import run_decoding
from boldformer.studies.records import file_hash
from boldformer.studies.verification import verify


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, write_bids: Callable[..., Path]
) -> Path:
    root = tmp_path_factory.mktemp("verify") / "bids"
    write_bids(root, subjects=4, runs=2)
    values = {
        "data": {"path": str(root)},
        "model": {"name": "linear"},
        "evaluation": {"n_resamples": 50, "linear_permutations": 9},
    }
    settings = config.from_dict(config.RunConfig, values)
    run_decoding(settings, root.parent / "out", progress=False)
    return root.parent / "out"


@pytest.fixture
def out(finished: Path, tmp_path: Path) -> Path:
    return shutil.copytree(finished, tmp_path / "out")


def rerecord(out: Path, *files: str) -> None:
    """Write the hashes of changed files into the record, as a careful forger would."""
    path = out / "record.json"
    record = json.loads(path.read_text())
    for file in files:
        record["files"][file] = file_hash(out / file)
    path.write_text(json.dumps(record))


def edit_metrics(out: Path, change: Callable[[dict], None]) -> None:
    metrics = json.loads((out / "metrics.json").read_text())
    change(metrics)
    (out / "metrics.json").write_text(json.dumps(metrics))


def flip_a_prediction(out: Path, file: str = "predictions.tsv") -> None:
    table = pd.read_csv(out / file, sep="\t", dtype=str)
    left, right = (name for name in table if name.startswith("probability_"))
    table.loc[0, [left, right]] = table.loc[0, [right, left]].to_numpy()
    others = set(table["predicted"]) - {table.loc[0, "predicted"]}
    table.loc[0, "predicted"] = others.pop()
    table.to_csv(out / file, sep="\t", index=False)


def test_an_untouched_result_holds(out: Path, capsys: pytest.CaptureFixture) -> None:
    assert run_command(["verify", str(out)]) == 0
    assert capsys.readouterr().out == f"{out}: the result holds\n"


def test_figures_and_report_may_be_built_again(out: Path) -> None:
    (out / "report.html").write_text("built again")
    shutil.rmtree(out / "figures")
    assert verify(out).holds


@pytest.mark.parametrize(
    "file",
    [
        "metrics.json",
        "predictions.tsv",
        "splits.tsv",
        "protocol.tsv",
        "run.toml",
        "baselines/linear_svm_predictions.tsv",
        "columns/linear_svm_causal_predictions.tsv",
        "learning_curve.tsv",
        "permutations.tsv",
        "maps/maps.tsv",
        "model/decoder.json",
        "model/model.safetensors",
    ],
)
def test_every_file_of_the_result_is_covered(
    out: Path, file: str, capsys: pytest.CaptureFixture
) -> None:
    with (out / file).open("ab") as stream:
        stream.write(b"\n")
    assert run_command(["verify", str(out)]) == 1
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert "does NOT hold" in said
    assert f"{file} changed" in said


def test_missing_and_new_files_are_named(out: Path) -> None:
    (out / "baselines" / "nuisance_predictions.tsv").unlink()
    (out / "model" / "more.safetensors").write_text("")
    line = verify(out).line
    assert "baselines/nuisance_predictions.tsv missing" in line
    assert "model/more.safetensors new" in line


@pytest.mark.parametrize(
    "file", ["predictions.tsv", "baselines/linear_svm_predictions.tsv"]
)
def test_a_better_prediction_is_caught_even_when_the_record_is_forged(
    out: Path, file: str
) -> None:
    flip_a_prediction(out, file)
    rerecord(out, file)
    assert "does not follow from the predictions" in verify(out).line


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda m: m["scores"]["linear"]["accuracy"].update(value=0.99),
            "scores.linear.accuracy.value does not follow",
        ),
        (
            lambda m: m["scores"]["linear"]["mcc"].update(low=0.9),
            "scores.linear.mcc.low does not follow",
        ),
        (
            lambda m: m["comparisons"][0].update(p_holm=0.001),
            "comparisons[0].p_holm does not follow",
        ),
        (
            lambda m: m["verdict"].update(beats_linear=True),
            "verdict.beats_linear does not follow",
        ),
        (
            lambda m: m["groups"][0]["accuracy"].update(linear=0.01),
            "groups[0].accuracy.linear does not follow",
        ),
        (
            lambda m: m["columns"]["cells"][3]["scores"]["accuracy"].update(value=0.01),
            "accuracy of linear_svm_causal is",
        ),
        (lambda m: m["records"].update(model_hash="0"), "model_hash differs"),
        (lambda m: m["protocol"].update(split_hash="0"), "the split named in"),
    ],
)
def test_numbers_are_computed_again(
    out: Path, change: Callable[[dict], None], said: str
) -> None:
    edit_metrics(out, change)
    rerecord(out, "metrics.json")
    found = verify(out)
    assert not found.holds
    assert said in found.line


def test_another_split_is_caught(out: Path) -> None:
    table = pd.read_csv(out / "splits.tsv", sep="\t")
    moved = table.index[table["set"] == "train"][0]
    table.loc[moved, "set"] = "test"
    table.to_csv(out / "splits.tsv", sep="\t", index=False)
    rerecord(out, "splits.tsv")
    assert "another split" in verify(out).line


def test_predictions_of_other_folds_are_caught(out: Path) -> None:
    table = pd.read_csv(out / "predictions.tsv", sep="\t", dtype=str)
    table["fold"] = "0"
    table.to_csv(out / "predictions.tsv", sep="\t", index=False)
    rerecord(out, "predictions.tsv")
    assert "folds that did not test" in verify(out).line


def test_other_weights_are_caught(out: Path) -> None:
    file = out / "model" / "model.safetensors"
    tensors = load_file(file)
    name = next(iter(tensors))
    tensors[name] = tensors[name] + 1e-4
    save_file(tensors, file)
    rerecord(out, "model/model.safetensors")
    assert verify(out).problems == ("the weights in model/ are not the recorded ones",)


def test_a_changed_prepared_run_is_caught_and_a_missing_one_noted(out: Path) -> None:
    folder = out / "work" / "store" / "sub-01_task-test_run-1"
    data = np.load(folder / "data.npy")
    data[0, 0] += 1
    np.save(folder / "data.npy", data)
    assert verify(out).problems == ("prepared runs changed: sub-01_task-test_run-1",)
    shutil.rmtree(out / "work")
    found = verify(out)
    assert found.holds
    assert found.notes == ("8 of 8 prepared runs are gone: not checked",)


def test_other_inputs_than_those_hashed_are_caught(out: Path) -> None:
    path = out / "record.json"
    record = json.loads(path.read_text())
    record["inputs"].popitem()
    path.write_text(json.dumps(record))
    assert "the inputs listed" in verify(out).line


def test_versions_that_differ_are_named_and_forgiven(out: Path) -> None:
    path = out / "record.json"
    record = json.loads(path.read_text())
    record["versions"]["torch"] = "1.0"
    path.write_text(json.dumps(record))
    found = verify(out)
    assert found.holds
    assert "versions differ: torch 1.0 →" in found.line


def test_what_cannot_be_read_is_a_problem_not_a_crash(out: Path) -> None:
    (out / "metrics.json").write_text("{")
    (out / "splits.tsv").unlink()
    line = verify(out).line
    assert "metrics cannot be checked" in line
    assert "splits cannot be checked" in line
    assert "\n" not in line


@pytest.mark.parametrize("content", [None, "{", "{}", "[]"])
def test_a_folder_without_a_record_ends_in_one_line(
    tmp_path: Path, content: str | None, capsys: pytest.CaptureFixture
) -> None:
    if content is not None:
        (tmp_path / "record.json").write_text(content)
    with pytest.raises(InputError):
        verify(tmp_path)
    assert run_command(["verify", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
