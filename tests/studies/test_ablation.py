"""`boldformer ablate` on small data: one fit an arm and fold, kept, judged, written."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from boldformer.cli import run_command
from boldformer.config import (
    DataConfig,
    EvaluationConfig,
    ModelConfig,
    RunConfig,
    TrainingConfig,
)
from boldformer.errors import (
    BoldFormerError,
    InputError,
    LeakageError,
    OutputExistsError,
)
from boldformer.evaluation.experiment import Experiment
from boldformer.evaluation.metrics import SCORES
from boldformer.studies import ablation_fits
from boldformer.studies.ablation import AblationSettings, run_ablation
from boldformer.studies.ablation_outputs import WRITTEN

MakeBids = Callable[..., Path]
# Small enough to train in a blink.
TINY = {"width": 8, "stem_channels": 2, "out_channels": 4, "n_heads": 2}


@pytest.fixture(scope="module")
def dataset(write_bids: MakeBids, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "bids"
    return write_bids(root, subjects=3, runs=1, preprocessed=True)


def settings(dataset: Path, **changes: object) -> AblationSettings:
    run = RunConfig(
        data=DataConfig(path=str(dataset)),
        model=ModelConfig("hybrid", TINY),
        training=TrainingConfig(max_epochs=1, device="cpu", precision="32"),
        evaluation=EvaluationConfig(n_resamples=50),
    )
    base = AblationSettings(run, ("linear",), ("no_centring", "one_frame"))
    return replace(base, **changes)  # type: ignore[arg-type]


def evaluated(given: AblationSettings, **changes: object) -> AblationSettings:
    evaluation = replace(given.run.evaluation, **changes)  # type: ignore[arg-type]
    return replace(given, run=replace(given.run, evaluation=evaluation))


def ablate(out: Path, given: AblationSettings, **options: object) -> pd.DataFrame:
    path = run_ablation(given, out, progress=False, **options)  # type: ignore[arg-type]
    return pd.read_csv(path, sep="\t", na_values="n/a")


@pytest.fixture(scope="module")
def finished(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("finished") / "out"
    ablate(out, settings(dataset))
    return out


def read(out: Path) -> tuple[pd.DataFrame, dict]:
    table = pd.read_csv(out / "ablation.tsv", sep="\t", na_values="n/a")
    return table, json.loads((out / "ablation.json").read_text())


def test_outputs(finished: Path) -> None:
    assert {path.name for path in finished.glob("[!.]*")} == {*WRITTEN, "work"}
    figures = {path.name for path in (finished / "figures").iterdir()}
    assert figures == {"ablation.svg", "ablation.png"}
    page = (finished / "ablation.html").read_text()
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")
    assert "LEAKY" not in page
    table, record = read(finished)
    for sentence in record["sentences"]:
        assert sentence.split(",")[0] in page
    for name in table["arm"]:
        assert f"<th>{name}</th>" in page


def test_columns(finished: Path) -> None:
    table, record = read(finished)
    assert table["arm"].tolist() == ["hybrid", "linear", "no_centring", "one_frame"]
    ends = ("", "_low", "_high")
    wanted = {f"{score}{end}" for score in SCORES for end in ends}
    wanted |= {
        f"minus_{other}{end}"
        for other in ("hybrid", "linear")
        for end in (*ends, "_p", "_p_holm", "_reading")
    }
    wanted |= {"training_accuracy", "parameters", "mac_per_window", "seconds", "n_fits"}
    wanted |= {"arm", "description", "model", "audit", "failed"}
    assert set(table) == wanted
    assert (table["n_fits"] == 3).all()
    rows = table.set_index("arm")
    gap = rows["balanced_accuracy"] - rows.at["hybrid", "balanced_accuracy"]
    others = [name for name in rows.index if name != "hybrid"]
    np.testing.assert_allclose(
        rows["minus_hybrid"].loc[others], gap.loc[others], atol=2e-4
    )
    assert np.isnan(rows.at["hybrid", "minus_hybrid"])
    assert rows.at["one_frame", "mac_per_window"] < rows.at["hybrid", "mac_per_window"]
    assert len(record["comparisons"]) == 2 * (3 + 3)
    assert record["best_linear"] == "linear"


def test_arms_share_folds_and_stores(finished: Path) -> None:
    _, record = read(finished)
    stores = sorted(path.name for path in (finished / "work").glob("store-*"))
    # Raw volumes have one of their own.
    assert len(stores) == len(record["inputs"]) == 2
    hashes = {arm["name"]: arm["pipeline_hash"] for arm in record["arms"]}
    assert hashes["hybrid"] == hashes["linear"] == hashes["one_frame"]
    assert hashes["no_centring"] != hashes["hybrid"]
    frames = {arm["name"]: arm["n_times"] for arm in record["arms"]}
    assert frames["one_frame"] == 1 < frames["hybrid"] == frames["linear"]
    assert record["split"]["n_folds"] == 3
    splits = pd.read_csv(finished / "splits.tsv", sep="\t")
    assert splits["fold"].nunique() == 3


def test_an_interrupted_ablation_goes_on(
    dataset: Path,
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[str] = []
    fit = Experiment.fit

    def count(experiment: Experiment, *rest: object, **more: object) -> object:
        if len(made) == 5:
            raise KeyboardInterrupt
        made.append(experiment.model.name)
        return fit(experiment, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Experiment, "fit", count)
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        ablate(out, settings(dataset))
    assert {path.name for path in out.glob("[!.]*")} == {"work"}
    monkeypatch.setattr(Experiment, "fit", fit)
    made.clear()
    counted: list[str] = []

    def again(experiment: Experiment, *rest: object, **more: object) -> object:
        counted.append(experiment.model.name)
        return fit(experiment, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Experiment, "fit", again)
    table = ablate(out, settings(dataset))
    assert len(counted) == 4 * 3 - 5
    whole, _ = read(finished)
    pd.testing.assert_frame_equal(
        table.drop(columns="seconds"), whole.drop(columns="seconds")
    )


def test_finished_fits_serve_more_arms(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    ablate(out, settings(dataset, arms=("none",)))
    fitted: list[str] = []
    fit = ablation_fits.fit_fold
    before = {p: p.stat().st_mtime_ns for p in out.rglob("fold.json")}
    monkeypatch.setattr(
        ablation_fits,
        "fit_fold",
        lambda experiment, *rest, **more: (
            fitted.append(experiment.model.name) or fit(experiment, *rest, **more)
        ),
    )
    given = settings(dataset, arms=("no_dropconnect",))
    table = ablate(out, given, overwrite=True)
    assert table["arm"].tolist() == ["hybrid", "linear", "no_dropconnect"]
    assert len(fitted) == 9
    assert {p: p.stat().st_mtime_ns for p in before} == before


def test_several_processes_find_the_same(
    dataset: Path, finished: Path, tmp_path: Path
) -> None:
    table = ablate(tmp_path / "out", settings(dataset, arms=()), n_jobs=2)
    whole = read(finished)[0].iloc[:2]
    columns = ["arm", "parameters", "mac_per_window", "n_fits"]
    pd.testing.assert_frame_equal(table[columns], whole[columns])
    linear = table["arm"] == "linear"
    assert table.loc[linear, "accuracy"].item() == pytest.approx(
        whole.loc[linear, "accuracy"].item()
    )


def test_repeats_train_with_other_seeds(dataset: Path, tmp_path: Path) -> None:
    given = evaluated(settings(dataset, models=(), arms=()), repeats=2)
    out = tmp_path / "out"
    table = ablate(out, given)
    assert table["n_fits"].tolist() == [6]
    _, record = read(out)
    assert record["split"]["repeats"] == 2
    hashes = [fit["model_hash"] for fit in record["arms"][0]["fits"]]
    assert len(set(hashes)) == 6


def test_progress_is_told_fit_by_fit(
    dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="boldformer"):
        ablate(tmp_path / "out", settings(dataset, arms=()))
    lines = [m for m in caplog.messages if " of 6: " in m]
    assert len(lines) == 6
    assert lines[0].startswith("1 of 6: hybrid, fold 1: accuracy")
    assert lines[1].startswith("2 of 6: linear, fold 1: accuracy")
    assert all("left" in line for line in lines)


def test_an_arm_that_diverges_does_not_stop_the_others(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = ablation_fits.fit_fold

    def fail(experiment, fold, place, **options):  # type: ignore[no-untyped-def]
        if "one_frame" in str(place) and fold.index == 1:
            raise BoldFormerError("training diverged")
        return fit(experiment, fold, place, **options)

    monkeypatch.setattr(ablation_fits, "fit_fold", fail)
    out = tmp_path / "out"
    table = ablate(out, settings(dataset, arms=("one_frame",))).set_index("arm")
    assert "diverged" in table.at["one_frame", "failed"]
    assert np.isnan(table.at["one_frame", "accuracy"])
    assert np.isfinite(table.at["linear", "accuracy"])
    assert "one_frame could not be trained" in read(out)[1]["sentences"][0]
    assert "training diverged" in (out / "ablation.html").read_text()


def test_without_the_hybrid_there_is_nothing(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise BoldFormerError("training diverged")

    monkeypatch.setattr(ablation_fits, "fit_fold", fail)
    with pytest.raises(BoldFormerError, match=r"hybrid cannot be trained.*diverged"):
        ablate(tmp_path / "out", settings(dataset, arms=()))


def test_foreign_and_finished_folders_are_refused(
    dataset: Path, finished: Path, tmp_path: Path
) -> None:
    (tmp_path / "ablation.tsv").touch()
    with pytest.raises(OutputExistsError, match="other files"):
        ablate(tmp_path, settings(dataset), overwrite=True)
    assert (tmp_path / "ablation.tsv").exists()
    with pytest.raises(OutputExistsError, match="--overwrite"):
        ablate(finished, settings(dataset))


def test_a_model_that_cannot_be_built_names_its_arm(
    dataset: Path, tmp_path: Path
) -> None:
    given = settings(dataset, arms=())
    odd = replace(given.run, model=ModelConfig("hybrid", TINY | {"n_heads": 3}))
    with pytest.raises(InputError, match="the arm 'hybrid' cannot be built"):
        ablate(tmp_path / "out", replace(given, run=odd))


def test_a_leak_stops_or_marks_everything(make_bids: MakeBids, tmp_path: Path) -> None:
    root = make_bids(subjects=2, runs=1, preprocessed=True)
    for file in sorted(root.rglob("sub-02*")):
        if file.is_file():
            twin = root / str(file.relative_to(root)).replace("sub-02", "sub-03")
            twin.parent.mkdir(parents=True, exist_ok=True)
            twin.write_bytes(file.read_bytes())
    given = settings(root, arms=())
    with pytest.raises(LeakageError, match="content"):
        ablate(tmp_path / "out", given)
    out = tmp_path / "allowed"
    table = ablate(out, evaluated(given, allow_leakage=True))
    assert set(table["audit"]) == {"LEAKY"}
    _, record = read(out)
    assert record["leaky"]
    assert all(sentence.startswith("LEAKY: ") for sentence in record["sentences"])
    assert "LEAKY" in (out / "figures" / "ablation.svg").read_text()
    page = (out / "ablation.html").read_text()
    assert page.count('class="leaky">LEAKY') == 2 * len(table)


def test_command(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "out"
    options = ["--models", "linear", "--arms", "none", "--quiet", "--epochs", "1"]
    options += ["--model-parameter", "width=8", "--model_parameter", "n_heads=2"]
    options += ["--n-resamples", "20", "--folds", "loo", "--device", "cpu"]
    assert run_command(["ablate", str(dataset), str(out), *options]) == 0
    assert capsys.readouterr().out.strip() == str(out / "ablation.tsv")
    table, record = read(out)
    assert table["arm"].tolist() == ["hybrid", "linear"]
    assert record["arms"][0]["model"]["parameters"] == {"width": 8, "n_heads": 2}
    assert (
        run_command(["ablate", str(dataset), str(out), "--arms", "no_centering"]) == 2
    )
    assert "'no_centring'" in capsys.readouterr().err
