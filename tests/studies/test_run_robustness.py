"""Shuffles and learning curves of a run: as many as stated, and why there are none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from boldformer import config
from boldformer.cli import run_command
from boldformer.studies import run_decoding


def run(root: Path, out: Path, **evaluation: object) -> dict:
    values = {
        "data": {"path": str(root)},
        "model": {"name": "linear", "parameters": {"C": 10.0}},
        "evaluation": {"n_resamples": 20, **evaluation},
    }
    settings = config.from_dict(config.RunConfig, values)
    run_decoding(settings, out, progress=False)
    return json.loads((out / "metrics.json").read_text())


def test_both_decoders_are_tested_and_trained_on_fewer_when_asked(
    make_bids: Callable[..., Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    metrics = run(
        make_bids(subjects=4, runs=1),
        out,
        linear_permutations=19,
        n_permutations=3,
        learning_curve=True,
        calibrate=True,
    )
    svm, ours = metrics["permutation"]
    assert (svm["n_permutations"], ours["n_permutations"]) == (19, 3)
    assert svm["score"] > 0.8
    assert svm["null_mean"] == pytest.approx(0.5, abs=0.15)
    assert ours["p_value"] >= 1 / 4
    score = metrics["scores"]["linear"]["balanced_accuracy"]["value"]
    assert ours["score"] == pytest.approx(score)
    table = pd.read_csv(out / "permutations.tsv", sep="\t")
    assert table["decoder"].value_counts().to_dict() == {"ridge": 19, "linear": 3}
    mean = table.loc[table["decoder"] == "ridge", "balanced_accuracy"].mean()
    assert svm["null_mean"] == pytest.approx(mean)

    curves = metrics["learning_curve"]["decoders"]
    assert [point["n_groups"] for point in curves["linear"]] == [1, 2, 3]
    assert curves["linear"][-1]["value"] == pytest.approx(score)
    points = pd.read_csv(out / "learning_curve.tsv", sep="\t")
    assert len(points) == len(curves["linear"]) + len(curves["linear_svm"])
    assert len(metrics["calibration"]["linear"]["temperatures"]) == 4
    assert metrics["calibration"]["linear"]["after"] is not None
    assert run_command(["verify", str(out)]) == 0


def test_off_and_impossible_are_said_to_be_so(
    make_bids: Callable[..., Path], tmp_path: Path
) -> None:
    root = make_bids(subjects=4, runs=2)
    for file in root.rglob("*_events.tsv"):
        events = pd.read_csv(file, sep="\t")
        events["trial_type"] = "left" if "run-1" in file.name else "right"
        events.to_csv(file, sep="\t", index=False)
    metrics = run(root, tmp_path / "a", n_permutations=2)
    assert [test["n_permutations"] for test in metrics["permutation"]] == [0, 0]
    assert "shuffled within runs" in metrics["permutation"][0]["reason"]
    assert "every run holds one class" in metrics["permutation"][1]["reason"]
    svm = metrics["calibration"]["linear_svm"]
    assert len(svm["temperatures"]) == 4
    assert metrics["calibration"]["linear"]["after"] is None
    off = run(root, tmp_path / "b", linear_permutations=0)
    assert off["permutation"][0]["reason"] == "off"


def test_a_run_that_tells_the_class_is_told_by_its_mean_image(
    make_bids: Callable[..., Path],
    change_image: Callable[[Path, Callable], None],
    tmp_path: Path,
) -> None:
    """One class a run, and a scanner setting that goes with it: no task is decoded."""
    root = make_bids(subjects=5, runs=2)
    half = np.zeros((9, 10, 8, 1))
    half[:, :5] = 200.0
    for file in root.rglob("*_events.tsv"):
        events = pd.read_csv(file, sep="\t")
        events["trial_type"] = "left" if "run-1" in file.name else "right"
        events.to_csv(file, sep="\t", index=False)
    for file in root.rglob("*run-1_bold.nii.gz"):
        change_image(file, lambda data: data + half * (data > 500))
    metrics = run(root, tmp_path / "out", allow_leakage=True)
    assert metrics["scores"]["run_mean"]["balanced_accuracy"]["value"] > 0.9
    assert not metrics["verdict"]["beats"]["run_mean"]
    said = " ".join(metrics["verdict"]["sentences"])
    assert "the mean image of the run alone" in said
    assert "It beats the mean image" not in said
