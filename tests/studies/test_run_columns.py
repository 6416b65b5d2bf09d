"""Both columns on the same folds; what was not run says so; they are never mixed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from boldformer import config
from boldformer.studies import run_decoding
from boldformer.studies.run_columns import OtherColumn, columns_table
from boldformer.studies.verification import verify


def run(root: Path, out: Path, **sections: dict) -> dict:
    values: dict = {
        "data": {"path": str(root)},
        # With a penalty of its own it is not the baseline of the same kind.
        "model": {"name": "linear", "parameters": {"C": 10.0}},
        "evaluation": {"n_resamples": 20, "linear_permutations": 0},
    }
    for name, section in sections.items():
        values[name] = {**values.get(name, {}), **section}
    settings = config.from_dict(config.RunConfig, values)
    run_decoding(settings, out, progress=False)
    return json.loads((out / "metrics.json").read_text())


def cells(metrics: dict) -> dict[tuple[str, str], dict]:
    found = metrics["columns"]["cells"]
    return {(cell["decoder"], cell["mode"]): cell for cell in found}


def test_both_decoders_stand_in_both_columns_unless_asked_not_to(
    make_bids: Callable[..., Path], tmp_path: Path
) -> None:
    # Long enough for running means to settle, which short runs end before.
    root = make_bids(subjects=3, runs=1, n_times=180, n_blocks=24)
    shorter = cells(run(root, tmp_path / "a", evaluation={"causal_decoder": False}))
    assert shorter["linear", "causal"]["scores"] is None
    assert "--no-causal-decoder" in shorter["linear", "causal"]["reason"]
    svm = [shorter["linear_svm", mode] for mode in ("transductive", "causal")]
    assert svm[0]["pipeline_hash"] != svm[1]["pipeline_hash"]
    assert all(cell["scores"]["accuracy"]["value"] > 0.8 for cell in svm)

    by_default = run(root, tmp_path / "b")
    both = cells(by_default)
    assert both["linear", "causal"]["n_windows"] > 0
    assert {gap["decoder"] for gap in by_default["columns"]["gaps"]} == {
        "linear",
        "linear_svm",
    }
    # The linear model is the linear SVM, so that its causal column is, too.
    for metric in ("accuracy", "balanced_accuracy"):
        ours, theirs = (
            both[name, "causal"]["scores"][metric]["value"]
            for name in ("linear", "linear_svm")
        )
        assert ours == pytest.approx(theirs, abs=0.03)
    assert verify(tmp_path / "b").holds


def test_a_causal_run_has_the_same_cells_the_other_way_round(
    make_bids: Callable[..., Path], tmp_path: Path
) -> None:
    root = make_bids(subjects=3, runs=1)
    whole = run(root, tmp_path / "a")
    causal = run(root, tmp_path / "b", preprocessing={"causal": True})
    assert whole["preprocessing"]["mode"] == "transductive"
    assert causal["preprocessing"]["mode"] == "causal"
    for mode in ("transductive", "causal"):
        one, other = cells(whole)["linear_svm", mode], cells(causal)["linear_svm", mode]
        assert one["pipeline_hash"] == other["pipeline_hash"]
        if one["n_windows"] == other["n_windows"]:
            assert one["scores"] == other["scores"]
    assert cells(causal)["linear", "causal"]["scores"] is not None
    name = "linear_svm_transductive_predictions.tsv"
    assert (tmp_path / "b" / "columns" / name).exists()


def test_the_future_of_a_run_has_no_part_in_the_causal_column(
    make_bids: Callable[..., Path],
    change_image: Callable[[Path, Callable], None],
    tmp_path: Path,
) -> None:
    """A jump late in a run changes earlier windows of the whole-run column only."""
    root = make_bids(subjects=3, runs=1, n_times=90)

    def probabilities(out: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
        run(root, out)
        files = ("predictions.tsv", "columns/linear_svm_causal_predictions.tsv")
        whole, causal = (pd.read_csv(out / f, sep="\t", dtype=str) for f in files)
        early = causal["onset"].astype(float) < 60
        return whole[whole["window"].isin(causal["window"][early])], causal[early]

    before = probabilities(tmp_path / "a")
    test_only = root / "sub-03" / "func" / "sub-03_task-test_run-1_bold.nii.gz"

    def jump(data: np.ndarray) -> np.ndarray:
        data[..., 80:] += 300 * np.random.default_rng(0).random((*data.shape[:3], 1))
        return data

    change_image(test_only, jump)
    after = probabilities(tmp_path / "b")
    same = []
    for one, other in zip(before, after, strict=True):
        mine, theirs = (t[t["subject"].astype(int) == 3] for t in (one, other))
        columns = [c for c in mine if c.startswith("probability_")]
        same.append(
            np.array_equal(mine[columns].to_numpy(), theirs[columns].to_numpy())
        )
    assert same == [False, True]


def test_steps_written_out_causally_have_no_other_column(
    make_bids: Callable[..., Path], tmp_path: Path
) -> None:
    steps = [
        {"step": "drop_volumes", "dummy_scans": 2},
        {"step": "brain_mask"},
        {"step": "zscore", "causal": True},
    ]
    metrics = run(
        make_bids(subjects=2, runs=1), tmp_path / "out", preprocessing={"steps": steps}
    )
    assert metrics["preprocessing"]["mode"] == "causal"
    other = cells(metrics)["linear_svm", "transductive"]
    assert other["scores"] is None
    assert "one form only" in other["reason"]


def test_windows_that_one_column_lacks_are_left_out_of_the_gap() -> None:
    y = np.array([0, 1, 0, 1, 0, 1])
    right, wrong = np.eye(2)[y], np.eye(2)[1 - y]
    lacking = wrong.copy()
    lacking[0] = np.nan
    other = OtherColumn("causal", "b", {"linear_svm": lacking}, {"hybrid": "no"})
    groups = np.array(list("aabbcc"))
    results = SimpleNamespace(
        targets=y, groups=groups, events=np.arange(6), widening=1.0
    )
    found = columns_table(
        {"hybrid": right, "linear_svm": right},
        other,
        results,
        config.EvaluationConfig(n_resamples=20),
        "transductive",
        "a",
    )
    counts = [cell.get("n_windows") for cell in found["cells"]]
    assert counts == [6, None, 6, 5]
    assert found["cells"][1]["reason"] == "no"
    assert [gap["n_windows"] for gap in found["gaps"]] == [5, 5]
    assert found["gaps"][0]["difference"] == pytest.approx(1.0)
    # With three units no p-value can be small: nothing is claimed.
    assert {gap["reading"] for gap in found["gaps"]} == {"too few units"}


def test_a_decoder_that_is_a_baseline_is_fitted_and_shown_once(
    make_bids: Callable[..., Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    evaluation = {"causal_decoder": False}
    metrics = run(
        make_bids(subjects=3, runs=1),
        out,
        model={"parameters": {}},
        evaluation=evaluation,
    )
    assert "linear_svm" not in metrics["scores"]
    assert "logistic" in metrics["scores"]
    assert {row["b"] for row in metrics["comparisons"]} == set(metrics["scores"]) - {
        "linear"
    }
    # Its other column costs little, and there is no other to stand for it.
    assert {name for name, _ in cells(metrics)} == {"linear"}
    assert cells(metrics)["linear", "causal"]["scores"] is not None
    assert not (out / "baselines" / "linear_svm_predictions.tsv").exists()
    assert "linear − linear" not in (out / "report.html").read_text()
    assert verify(out).holds


def test_maps_in_no_order_are_not_prepared_the_other_way(
    make_bids: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cohort = SimpleNamespace(
        windows=SimpleNamespace(
            table=pd.DataFrame({"timing": ["map", "map"]}),
            pipeline=[{"step": "brain_mask"}, {"step": "zscore"}],
        )
    )

    def never(*_: object) -> None:
        raise AssertionError("prepared")

    found = OtherColumn.of(
        cohort, None, config.RunConfig(), never, tmp_path, progress=False
    )
    assert "no order" in found.reasons["hybrid"]
