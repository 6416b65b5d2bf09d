"""`boldformer leakage` on small data: leaks are there, marked, and gone where due."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from boldformer.cli import run_command
from boldformer.config import DataConfig, EvaluationConfig, RunConfig, TrainingConfig
from boldformer.errors import InputError, LeakageError, OutputExistsError
from boldformer.evaluation.experiment import Experiment
from boldformer.studies import leakage_fits
from boldformer.studies.leakage import LeakageSettings, run_leakage

MakeBids = Callable[..., Path]
SCHEMES = ["volume", "block", "run", "subject"]


@pytest.fixture(scope="module")
def dataset(write_bids: MakeBids, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "bids"
    return write_bids(root, subjects=3, preprocessed=True)


def settings(dataset: Path, **changes: object) -> LeakageSettings:
    run = RunConfig(
        data=DataConfig(path=str(dataset)),
        training=TrainingConfig(max_epochs=2, batch_size=16, device="cpu"),
        evaluation=EvaluationConfig(n_resamples=50),
    )
    base = LeakageSettings(run=run, models=("linear",), linear_shuffles=3)
    return replace(base, **changes)  # type: ignore[arg-type]


def measure(out: Path, given: LeakageSettings, **options: bool) -> pd.DataFrame:
    table = run_leakage(given, out, progress=False, **options)
    return pd.read_csv(table, sep="\t", na_values="n/a")


@pytest.fixture(scope="module")
def finished(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("finished") / "out"
    models = ("cnn3d", "linear")
    measure(out, settings(dataset, models=models, network_shuffles=1))
    return out


def read(out: Path) -> pd.DataFrame:
    return pd.read_csv(out / "leakage.tsv", sep="\t", na_values="n/a")


def test_outputs(finished: Path) -> None:
    names = {path.name for path in finished.glob("[!.]*")}
    assert names == {
        "leakage.tsv",
        "leakage.json",
        "leakage.html",
        "splits",
        "figures",
        "work",
    }
    figures = {path.name for path in (finished / "figures").iterdir()}
    assert figures == {"leakage.svg", "leakage.png"}
    splits = {path.stem for path in (finished / "splits").iterdir()}
    assert splits == set(SCHEMES)


def test_only_the_subject_wise_split_is_not_leaky(finished: Path) -> None:
    table = read(finished)
    verdicts = table.groupby("scheme")["audit"].unique()
    assert verdicts.map(list).to_dict() == {
        "volume": ["LEAKY"],
        "block": ["LEAKY"],
        "run": ["LEAKY"],
        "subject": ["no leak"],
    }
    shared = table.drop_duplicates("scheme").set_index("scheme")["shared"]
    assert shared["volume"] == "subject, run, block"
    assert shared["block"] == "subject, run"
    assert shared["run"] == "subject"


def test_every_leaky_number_is_marked_everywhere(finished: Path) -> None:
    record = json.loads((finished / "leakage.json").read_text())
    assert record["leaky"] is True
    assert all("audit" in row for row in record["scores"])
    page = (finished / "leakage.html").read_text()
    n_leaky = int((read(finished)["audit"] == "LEAKY").sum())
    assert page.count('class="leaky">LEAKY') == n_leaky
    assert "<script" not in page
    assert "LEAKY" in (finished / "figures" / "leakage.svg").read_text()


def test_the_budget_is_the_same_under_every_split(finished: Path) -> None:
    table = read(finished)
    assert table["n_train"].nunique() == table["n_folds"].nunique() == 1
    assert table["n_tested"].nunique() == 1
    networks = table[table["model"] == "cnn3d"]
    assert networks["n_steps"].nunique() == 1
    record = json.loads((finished / "leakage.json").read_text())
    sizes = {n for scheme in record["schemes"].values() for n in scheme["n_train"]}
    assert len(sizes) == 1
    assert networks["n_steps"].iloc[0] == 2 * int(np.ceil(sizes.pop() / 16))


def test_gap_is_to_the_subject_wise_score(finished: Path) -> None:
    table = read(finished)
    rows = table[table["labels"] == "true"]
    for _, own in rows.groupby(["model", "preprocessing"]):
        honest = own.loc[own["scheme"] == "subject", "balanced_accuracy"].item()
        leaky = own[own["scheme"] != "subject"]
        expected = leaky["balanced_accuracy"] - honest
        np.testing.assert_allclose(leaky["gap"], expected, atol=1.1e-4)
    assert rows.loc[rows["scheme"] == "subject", "gap"].isna().all()
    blocks = rows.set_index("scheme")["block_balanced_accuracy"]
    assert blocks["volume"].isna().all()
    assert blocks["subject"].notna().all()


def test_a_finished_fit_is_not_made_again(
    finished: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("fitted again")

    before = (finished / "leakage.tsv").read_bytes()
    monkeypatch.setattr(leakage_fits, "solve_fold", fail)
    monkeypatch.setattr(Experiment, "fit", fail)
    given = settings(dataset, models=("cnn3d", "linear"), network_shuffles=1)
    measure(finished, given, overwrite=True)
    assert (finished / "leakage.tsv").read_bytes() == before
    other = replace(given.run, training=TrainingConfig(max_epochs=1, device="cpu"))
    copy = shutil.copytree(finished, tmp_path / "copy")
    with pytest.raises(AssertionError, match="fitted again"):
        measure(copy, replace(given, run=other), overwrite=True)


def test_foreign_and_finished_folders_are_refused(
    dataset: Path, finished: Path, tmp_path: Path
) -> None:
    (tmp_path / "leakage.tsv").touch()
    with pytest.raises(OutputExistsError, match="other files"):
        measure(tmp_path, settings(dataset), overwrite=True)
    assert (tmp_path / "leakage.tsv").exists()
    with pytest.raises(OutputExistsError, match="--overwrite"):
        measure(finished, settings(dataset))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schemes": ("volume", "block")}, "unusable ways to split"),
        ({"schemes": ("subject", "frame")}, "unusable ways to split"),
        ({"models": ("linear:blurred",)}, "unknown preprocessing"),
        ({"models": ("liner",)}, "did you mean 'linear'"),
        ({"models": ("linear", "linear:raw")}, "twice"),
        ({"folds": 4}, "4 folds cannot be made of 3 subjects"),
    ],
)
def test_bad_requests(
    dataset: Path, tmp_path: Path, changes: dict, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        measure(tmp_path / "out", settings(dataset, **changes))


def test_a_copied_subject_stops_even_the_honest_split(
    make_bids: MakeBids, tmp_path: Path
) -> None:
    root = make_bids(subjects=2, preprocessed=True)
    for file in sorted(root.rglob("sub-02*")):
        if file.is_file():
            name = str(file.relative_to(root)).replace("sub-02", "sub-03")
            twin = root / name
            twin.parent.mkdir(parents=True, exist_ok=True)
            twin.write_bytes(file.read_bytes())
    with pytest.raises(LeakageError, match="content"):
        measure(tmp_path / "out", settings(root))
    assert not (tmp_path / "out" / "leakage.tsv").exists()


def test_command(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "out"
    options = ["--models", "linear:raw", "--linear-shuffles", "1", "--quiet"]
    options += ["--stride", "4", "--n-resamples", "20", "--n-jobs", "1"]
    assert run_command(["leakage", str(dataset), str(out), *options]) == 0
    assert capsys.readouterr().out.strip() == str(out / "leakage.tsv")
    assert set(read(out)["preprocessing"]) == {"raw"}
