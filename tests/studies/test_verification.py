"""Tampering with any part of a result is caught, and named in one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from boldformer.cli import run_command
from boldformer.errors import InputError
from boldformer.studies.verification import verify


def test_an_untouched_result_holds(plain: Any, capsys: pytest.CaptureFixture) -> None:
    assert run_command(["verify", str(plain.out)]) == 0
    assert capsys.readouterr().out == f"{plain.out}: the result holds\n"


def test_an_untouched_result_with_all_that_can_be_asked_holds(full: Any) -> None:
    found = verify(full.out)
    assert found.holds, found.line
    assert found.notes == ()


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
        "set_aside.tsv",
        "history.tsv",
        "maps/maps.tsv",
        "model/decoder.json",
        "model/model.safetensors",
        "report.html",
        "figures/confusion.svg",
    ],
)
def test_every_file_of_the_result_is_covered(
    plain: Any, file: str, capsys: pytest.CaptureFixture
) -> None:
    with (plain.out / file).open("ab") as stream:
        stream.write(b"\n")
    assert run_command(["verify", str(plain.out)]) == 1
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert "does NOT hold" in said
    assert f"{file} changed" in said


def test_missing_and_new_files_are_named(plain: Any) -> None:
    (plain.out / "baselines" / "nuisance_predictions.tsv").unlink()
    (plain.out / "model" / "more.safetensors").write_text("")
    (plain.out / "figures" / "confusion.png").unlink()
    (plain.out / "figures" / "better.png").write_text("")
    line = verify(plain.out).line
    assert "baselines/nuisance_predictions.tsv missing" in line
    assert "model/more.safetensors new" in line
    assert "figures/confusion.png missing" in line
    assert "figures/better.png new" in line


def test_figures_and_report_may_be_built_again(plain: Any) -> None:
    record = (plain.out / "record.json").read_bytes()
    (plain.out / "report.html").write_text("of an earlier version")
    (plain.out / "report.json").unlink()
    shutil.rmtree(plain.out / "figures")
    assert "report.json missing (boldformer report builds" in verify(plain.out).line
    assert run_command(["report", str(plain.out)]) == 0
    assert verify(plain.out).holds
    assert (plain.out / "record.json").read_bytes() == record


def test_a_report_of_other_numbers_is_caught(plain: Any) -> None:
    before = (plain.out / "metrics.json").read_text()
    better = before.replace('"beats_chance": false', '"beats_chance": true')
    (plain.out / "metrics.json").write_text(better)
    assert run_command(["report", str(plain.out)]) == 0
    (plain.out / "metrics.json").write_text(before)
    assert verify(plain.out).problems == (
        "report.html was drawn from another metrics.json",
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: m["records"].update(model_hash="0"), "model_hash differs"),
        (lambda m: m["protocol"].update(split_hash="0"), "the split named in"),
        (lambda m: m["preprocessing"].update(hash="0"), "the pipeline named in"),
    ],
)
def test_hashes_in_metrics_are_those_of_the_record(
    plain: Any, change: Callable[[dict], None], said: str
) -> None:
    plain.metrics(change)
    assert said in verify(plain.out).line


def test_other_weights_are_caught(plain: Any) -> None:
    file = plain.out / "model" / "model.safetensors"
    tensors = load_file(file)
    name = next(iter(tensors))
    tensors[name] = tensors[name] + 1e-4
    save_file(tensors, file)
    plain.cover("model/model.safetensors")
    assert verify(plain.out).problems == (
        "the weights in model/ are not the recorded ones",
    )


def test_versions_that_differ_are_named_and_forgiven(plain: Any) -> None:
    plain.edit("record.json", lambda record: record["versions"].update(torch="1.0"))
    found = verify(plain.out)
    assert found.holds
    assert "versions differ: torch 1.0 →" in found.line


def test_what_cannot_be_read_is_a_problem_not_a_crash(plain: Any) -> None:
    (plain.out / "metrics.json").write_text("{")
    (plain.out / "splits.tsv").unlink()
    (plain.out / "report.json").write_text("[]")
    line = verify(plain.out).line
    assert "scores, folds, calibration" in line
    assert "splits cannot be checked (FileNotFoundError" in line
    assert "report cannot be checked" in line
    assert "\n" not in line


@pytest.mark.parametrize(
    "content", [{}, [], {"decoder": "linear"}, {"decoder": 3, "labels": None}]
)
def test_metrics_that_say_nothing_are_a_problem_not_a_crash(
    plain: Any, content: object
) -> None:
    (plain.out / "metrics.json").write_text(json.dumps(content))
    plain.cover("metrics.json")
    found = verify(plain.out)
    assert not found.holds
    assert "\n" not in found.line


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
