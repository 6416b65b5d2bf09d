"""Repeats, fixed splits, families and fits that see what they must not, end to end."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from boldformer.cli import run_command
from boldformer.data.audit.fit_log import FitLog
from boldformer.evaluation.experiment import Experiment
from boldformer.studies.verification import verify

MakeBids = Callable[..., Path]
FAST = ["--model=linear", "--n-resamples=20", "--quiet", "--n-jobs=1"]
LEAK = 3


def metrics_of(out: Path) -> dict:
    return json.loads((out / "metrics.json").read_text())


def table_of(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, sep="\t", dtype={"subject": str})


def checks_of(metrics: dict) -> dict[str, str]:
    return {check["name"]: check["verdict"] for check in metrics["audit"]["checks"]}


def test_every_repeat_is_kept_scored_and_verified(
    make_bids: MakeBids, tmp_path: Path
) -> None:
    root, out = make_bids(subjects=4, runs=1), tmp_path / "out"
    command = ["run", str(root), str(out), "--folds=2", "--repeats=3", "--calibrate"]
    assert run_command([*command, *FAST]) == 0
    metrics, table = metrics_of(out), table_of(out / "predictions.tsv")
    assert metrics["protocol"]["n_repeats"] == 3
    assert metrics["protocol"]["n_folds"] == len(metrics["folds"]) == 6
    assert metrics["protocol"]["interval"]["n_units"] == 4
    tested = table.groupby("window")["repeat"].apply(sorted)
    assert tested.tolist() == [[0, 1, 2]] * metrics["n_windows"]
    assert (table["fold"] // 2 == table["repeat"]).all()
    for name in ("linear", "nuisance"):
        file = (
            "predictions.tsv"
            if name == "linear"
            else f"baselines/{name}_predictions.tsv"
        )
        rows = table_of(out / file)
        right = (rows["label"] == rows["predicted"]).groupby(rows["repeat"]).mean()
        scored = [part["balanced_accuracy"][name] for part in metrics["repeats"]]
        np.testing.assert_allclose(scored, right)  # classes are equally frequent
        score = metrics["scores"][name]["balanced_accuracy"]["value"]
        assert score == pytest.approx(np.mean(scored))
    causal = table_of(out / "columns" / "linear_causal_predictions.tsv")
    assert set(causal["repeat"]) == {0, 1, 2}
    assert verify(out).holds
    metrics["repeats"][1]["balanced_accuracy"]["linear"] = 0.01
    (out / "metrics.json").write_text(json.dumps(metrics))
    assert "repeats[1].balanced_accuracy.linear does not follow" in verify(out).line


def test_predictions_that_were_dropped_are_missed(
    make_bids: MakeBids, tmp_path: Path
) -> None:
    root, out = make_bids(subjects=2, runs=2), tmp_path / "out"
    asked = ["--split-unit=run", "--folds=loo", *FAST]
    assert run_command(["run", str(root), str(out), *asked]) == 0
    metrics = metrics_of(out)
    assert (metrics["protocol"]["unit"], metrics["protocol"]["n_folds"]) == ("run", 4)
    protocol = FitLog.read(out / "protocol.tsv")
    declared = {use.what for use in protocol}
    assert {"linear: linear weights", "nuisance", "logistic: inner folds"} <= declared
    assert "other column, linear: linear weights" in declared
    kinds = ("fitting", "stopping", "selection")
    given = {name: checks_of(metrics)[name] for name in kinds}
    assert given == dict.fromkeys(kinds, "clean") | {"stopping": "not checked"}

    protocol.record("nuisance", np.arange(metrics["n_windows"]), fold=0)
    protocol.write(out / "protocol.tsv")
    assert "protocol.tsv: the nuisance saw windows outside" in verify(out).line
    for file in (out / "predictions.tsv", *out.glob("baselines/*.tsv")):
        table_of(file)[1:].to_csv(file, sep="\t", index=False)
    assert "predictions.tsv lacks windows that were tested" in verify(out).line


def test_a_fit_that_stops_early_on_test_groups_is_caught(
    make_bids: MakeBids, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All windows are handed to the fit, which holds out those to be tested."""
    root, out = make_bids(subjects=3, runs=1), tmp_path / "out"
    honest = Experiment.fit
    given: list[np.ndarray] = []

    def peeking(
        self: Experiment, rows: np.ndarray, *args: Path, **kwargs: bool
    ) -> tuple:
        everything = np.arange(len(self.windows))
        given.append(~np.isin(everything, rows))
        return honest(self, everything, *args, **kwargs)

    monkeypatch.setattr(Experiment, "fit", peeking)
    monkeypatch.setattr(
        "boldformer.training.fit.held_out_groups", lambda *a, **k: given[-1]
    )
    command = ["run", str(root), str(out), "--model=cnn3d", "--epochs=1", *FAST[1:]]
    assert run_command(command) == LEAK
    assert not (out / "metrics.json").exists()
    assert not (out / "report.html").exists()
    stops = [u for u in FitLog.read(out / "protocol.tsv") if u.purpose == "stop"]
    columns = ("", "other column, ")
    assert sorted(use.what for use in stops) == sorted(
        3 * [f"{column}cnn3d: early stopping" for column in columns]
    )

    assert run_command([*command, "--allow-leakage"]) == 2  # other settings
    assert run_command([*command, "--allow-leakage", "--overwrite"]) == 0
    metrics = metrics_of(out)
    assert metrics["protocol"]["leaky"]
    assert checks_of(metrics)["stopping"] == "leak"


def test_a_split_file_is_followed_and_gated(
    make_bids: MakeBids, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    root, out, file = make_bids(subjects=4, runs=1), tmp_path / "a", tmp_path / "s.tsv"
    file.write_text(
        "subject\tset\nsub-01\ttest\nsub-02\ttest\nsub-03\ttrain\nsub-04\ttrain\n"
    )
    command = ["run", str(root)]
    assert run_command([*command, str(out), f"--split={file}", *FAST]) == 0
    metrics, table = metrics_of(out), table_of(out / "predictions.tsv")
    assert set(table["subject"]) == {"01", "02"}
    assert metrics["protocol"]["n_folds"] == 1
    assert metrics["protocol"]["interval"]["n_units"] == 2
    assert verify(out).holds

    # What a run wrote fixes the split of another one, even with fewer recordings.
    again = [*command, str(tmp_path / "b"), f"--split={out / 'splits.tsv'}", *FAST]
    assert run_command(again) == 0
    assert metrics_of(tmp_path / "b")["scores"] == metrics["scores"]
    few = [*command, str(tmp_path / "c"), "--participant-label=01,03", *again[3:]]
    capsys.readouterr()
    assert run_command(few) == 2
    (said,) = capsys.readouterr().err.strip().splitlines()
    assert "made for other windows" in said
    assert run_command([*again, "--overwrite", "--folds=2"]) == 2
    assert "nothing to divide" in capsys.readouterr().err

    splits = table_of(out / "splits.tsv")
    leaky = splits.assign(set=np.where(splits.index % 2, "train", "test"))
    leaky.to_csv(file, sep="\t", index=False)
    assert (
        run_command([*command, str(tmp_path / "d"), f"--split={file}", *FAST]) == LEAK
    )
    assert not (tmp_path / "d" / "metrics.json").exists()


@pytest.mark.parametrize("column", ["family", "Family_ID"])
def test_families_stay_together_and_are_caught_when_separated(
    make_bids: MakeBids, tmp_path: Path, column: str
) -> None:
    root, out = make_bids(subjects=5, runs=1), tmp_path / "out"
    (root / "participants.tsv").write_text(
        f"participant_id\t{column}\nsub-01\tx\nsub-02\ty\nsub-03\tn/a\n"
        "sub-04\tx\nsub-05\ty\n"
    )
    assert run_command(["run", str(root), str(out), *FAST]) == 0
    metrics, splits = metrics_of(out), table_of(out / "splits.tsv")
    assert metrics["protocol"]["n_folds"] == 3
    assert (
        metrics["protocol"]["interval"] | {"unit": "family", "n_units": 3}
        == (metrics["protocol"]["interval"])
    )
    sides = splits.groupby(["fold", "subject"])["set"].first().unstack()
    assert (sides["01"] == sides["04"]).all()
    assert (sides["02"] == sides["05"]).all()

    file = tmp_path / "split.tsv"
    file.write_text("subject\tset\n01\ttest\n02\ttrain\n03\ttrain\n04\ttrain\n")
    found = tmp_path / "found"
    audited = ["audit", str(root), f"--split={file}", f"--out={found}", "--quiet"]
    assert run_command(audited) == LEAK
    checks = json.loads((found / "audit.json").read_text())["checks"]
    assert {c["name"] for c in checks if c["verdict"] == "leak"} == {"family"}
    command = ["run", str(root), str(tmp_path / "no"), f"--split={file}", *FAST]
    assert run_command(command) == LEAK
