"""Transfer between small data sets: planted truth, refusals, outputs."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from boldformer import open_dataset
from boldformer.cli import run_command
from boldformer.config import DataConfig, EvaluationConfig, ModelConfig, RunConfig
from boldformer.data.cohort import read_cohort
from boldformer.data.groups import shuffle_within
from boldformer.errors import InputError, LeakageError, OutputExistsError
from boldformer.evaluation.transfer_learners import LinearTransfer
from boldformer.studies.transfer import TransferSettings, run_transfer
from boldformer.studies.transfer_sites import read_sites

MakeBids = Callable[..., Path]
SETTINGS = TransferSettings(
    run=RunConfig(
        model=ModelConfig("linear"), evaluation=EvaluationConfig(n_resamples=50)
    ),
    alignments=("none", "site"),
    shots=("1", "1run", "50"),
)


def write_sites(write: MakeBids, root: Path) -> list[Path]:
    slow = {"t_r": 2.0, "n_times": 64}
    fast = {"t_r": 1.5, "n_times": 86}
    return [
        write(root / "slow", subjects=3, preprocessed=True, seed=1, **slow),
        write(root / "fast", subjects=3, preprocessed=True, seed=2, **fast),
    ]


@pytest.fixture(scope="module")
def sites(write_bids: MakeBids, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_sites(write_bids, tmp_path_factory.mktemp("sites"))


def transfer(
    train: list[Path], test: Path | None, out: Path, **changes: object
) -> pd.DataFrame:
    table = run_transfer(
        [DataConfig(path=str(path)) for path in train],
        None if test is None else DataConfig(path=str(test)),
        out,
        replace(SETTINGS, **changes),  # type: ignore[arg-type]
        progress=False,
    )
    return pd.read_csv(table, sep="\t", dtype={"shots": str})


@pytest.fixture(scope="module")
def finished(sites: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("finished") / "out"
    transfer(sites, None, out)
    return out


def rows_of(table: pd.DataFrame, setting: str, alignment: str = "none") -> pd.DataFrame:
    chosen = (table["setting"] == setting) & (table["alignment"] == alignment)
    return table[chosen]


def shuffle_labels(root: Path) -> None:
    rng = np.random.default_rng(0)
    for file in root.rglob("*_events.tsv"):
        events = pd.read_csv(file, sep="\t")
        events["trial_type"] = rng.permutation(events["trial_type"])
        events.to_csv(file, sep="\t", index=False)


def test_outputs(finished: Path) -> None:
    names = {path.name for path in finished.glob("[!.]*")}
    assert names == {"transfer.tsv", "transfer.json", "transfer.md", "figures", "work"}
    figures = {path.name for path in (finished / "figures").iterdir()}
    assert figures == {"transfer.svg", "transfer.png"}
    record = json.loads((finished / "transfer.json").read_text())
    assert record["classes"] == ["left", "right"]
    assert record["window"]["t_r"] == [1.5, 2.0]
    assert record["window"]["step_s"] == 2.0
    assert record["alignments"]["site"]["transductive"] is True
    assert record["alignments"]["none"]["transductive"] is False
    assert {row["minus"] for row in record["differences"]} == {
        "shots alone",
        "zero-shot",
        "alignment none",
    }
    assert "intervals are unreliable" in (finished / "transfer.md").read_text()


def test_a_shared_effect_transfers_both_ways(finished: Path) -> None:
    table = pd.read_csv(finished / "transfer.tsv", sep="\t", dtype={"shots": str})
    assert set(table["test"]) == {"slow", "fast"}
    zero = rows_of(table, "zero-shot")
    assert (zero["low"] > 0.5).all()
    assert (zero["train"] != zero["test"]).all()
    assert (zero["alignment_sees"] == "nothing of the test").all()
    site = rows_of(table, "zero-shot", "site")
    assert (site["alignment_sees"] == "unlabelled test windows").all()
    # Fifty blocks of each class are in no run: there is no such row.
    assert set(rows_of(table, "few-shot")["shots"]) == {"1", "1run"}
    assert (table["audit"] == "no leak").all()
    assert (table["n_subjects"] == 3).all()


def test_shuffled_training_labels_leave_zero_shot_at_chance(
    sites: list[Path], tmp_path: Path
) -> None:
    opened = [open_dataset(path) for path in sites]
    prepare = functools.partial(read_cohort, progress=False)
    read = read_sites(opened, SETTINGS, tmp_path, prepare)
    source, target = (read.part == index for index in range(2))
    means, table = read.windows.means(), read.windows.table[source]
    groups = table["subject"].to_numpy(dtype=str)
    runs = np.unique(table["recording"], return_inverse=True)[1]
    rng = np.random.default_rng(0)
    accuracy = []
    for _ in range(40):
        shuffled = read.targets[source][shuffle_within(runs, rng)]
        learner = LinearTransfer(means[source], shuffled, groups, means[target])
        accuracy.append((learner.zero_shot() == read.targets[target]).mean())
    # The effect is so large that one shuffle gets nearly all windows right, or wrong:
    # chance is the mean over shuffles, three standard errors of a coin being 0.24.
    assert abs(np.mean(accuracy) - 0.5) < 0.24


def test_zero_shot_is_the_same_whatever_the_labels_of_the_test_site(
    sites: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[np.ndarray] = []
    plain = LinearTransfer.zero_shot

    def spy(self: LinearTransfer) -> np.ndarray:
        seen.append(self.decoder.coef_)
        return plain(self)

    monkeypatch.setattr(LinearTransfer, "zero_shot", spy)
    copy = tmp_path / "fast"
    shutil.copytree(sites[1], copy)
    shuffle_labels(copy)
    for number, test in enumerate((sites[1], copy)):
        transfer([sites[0]], test, tmp_path / f"out{number}", alignments=("coral",))
    np.testing.assert_array_equal(seen[0], seen[1])


def test_the_same_subjects_on_both_sides_are_refused(
    sites: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(LeakageError, match="subject"):
        transfer([sites[0]], sites[0], tmp_path / "out")
    assert not (tmp_path / "out" / "transfer.tsv").exists()


def test_other_subjects_of_the_same_folder_are_another_site(
    sites: list[Path], tmp_path: Path
) -> None:
    table = run_transfer(
        [DataConfig(path=str(sites[0]), participants=("01", "02"))],
        DataConfig(path=str(sites[0]), participants=("03",)),
        tmp_path / "out",
        SETTINGS,
        progress=False,
    )
    assert set(pd.read_csv(table, sep="\t")["test"]) == {"slow (part 2)"}


def test_a_subject_copied_under_another_name_is_refused(
    make_bids: MakeBids, tmp_path: Path
) -> None:
    one = make_bids("one", subjects=2, seed=1, preprocessed=True)
    two = make_bids("two", subjects=2, seed=2, preprocessed=True)
    for file in sorted(one.rglob("sub-01*")):
        if file.is_file():
            target = two / file.relative_to(one)
            copied = Path(str(target).replace("sub-01", "sub-77"))
            copied.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copied)
    with pytest.raises(LeakageError, match="content"):
        transfer([one], two, tmp_path / "out")
    allowed = replace(
        SETTINGS.run, evaluation=EvaluationConfig(n_resamples=50, allow_leakage=True)
    )
    table = transfer([one], two, tmp_path / "out", run=allowed)
    assert (table["audit"] == "LEAKY").all()
    assert "**LEAKY" in (tmp_path / "out" / "transfer.md").read_text()


def test_long_subject_names_mean_the_same_person_everywhere(
    make_bids: MakeBids, tmp_path: Path
) -> None:
    roots = [
        make_bids(name, subjects=2, seed=seed, preprocessed=True)
        for seed, name in enumerate("ab")
    ]
    for root in roots:
        for file in sorted(root.rglob("*sub-01*"), reverse=True):
            file.rename(file.with_name(file.name.replace("sub-01", "sub-100307")))
    with pytest.raises(LeakageError, match="100307"):
        transfer([roots[0]], roots[1], tmp_path / "out")


def test_a_network_is_tuned_on_shots(sites: list[Path], tmp_path: Path) -> None:
    run = replace(SETTINGS.run, model=ModelConfig("cnn3d"))
    run = replace(run, training=replace(run.training, max_epochs=2))
    out = tmp_path / "out"
    changes = {"run": run, "shots": ("1run",), "tuning_epochs": 1}
    table = transfer([sites[0]], sites[1], out, alignments=("run",), **changes)
    assert set(table.loc[table["setting"] == "few-shot", "model"]) == {"cnn3d"}
    assert set(table.loc[table["setting"] == "within-subject", "model"]) == {"linear"}
    with pytest.raises(InputError, match="window means"):
        transfer([sites[0]], sites[1], tmp_path / "x", run=run, alignments=("coral",))


def test_other_files_and_results_are_kept(finished: Path, sites: list[Path]) -> None:
    with pytest.raises(OutputExistsError, match="--overwrite"):
        transfer(sites, None, finished)
    with pytest.raises(InputError, match="the output folder is the input"):
        transfer(sites, None, sites[0])


def test_the_command(sites: list[Path], tmp_path: Path) -> None:
    own = tmp_path / "slow.toml"
    own.write_text(f'path = "{sites[0]}"\nparticipants = ["01", "02"]\n')
    out = tmp_path / "out"
    command = ["transfer", str(own), str(out), "--test", str(sites[1]), "--quiet"]
    more = ["--align=none", "--shots=1", "--n-resamples=20", "--n-jobs=1"]
    assert run_command([*command, *more]) == 0
    record = json.loads((out / "transfer.json").read_text())
    assert record["datasets"] == {"slow": 32, "fast": 48}
    assert run_command([*command, *more]) == 2
    leak = ["transfer", str(sites[0]), str(tmp_path / "x"), f"--test={sites[0]}"]
    assert run_command([*leak, "--quiet", "--n-jobs=1"]) == 3


@pytest.mark.parametrize("more", [[], ["--leave-one-out", "--test=a"]])
def test_one_of_test_and_leave_one_out_is_needed(
    more: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["transfer", "a", "b", "out", *more]) == 2
    assert "--leave-one-out" in capsys.readouterr().err


def test_one_data_set_cannot_be_left_out(sites: list[Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="two or more"):
        transfer([sites[0]], None, tmp_path / "out")
