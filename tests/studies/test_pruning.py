"""Pruning a run: honest folds, a curve to compute again, a smaller decoder."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from boldformer import Decoder, config, open_dataset
from boldformer.cli import run_command
from boldformer.config import ModelConfig
from boldformer.data.audit.fit_log import FitLog
from boldformer.errors import InputError
from boldformer.evaluation.compute import count_macs
from boldformer.models import DecoderModel, create
from boldformer.studies import pruning_fits, run_decoding
from boldformer.studies.pruning import PruningSettings, prune_run
from boldformer.studies.pruning_fits import channels_for
from boldformer.training.channel_pruning import Channels, channels_of

SIZES = {"stem_channels": 8, "out_channels": 12, "width": 8, "max_grid": 3}
SETTINGS = PruningSettings(target_macs=0.5, steps=2, epochs=1, scratch=True)


def decode(root: Path, out: Path) -> Path:
    values = {
        "data": {"path": str(root)},
        "model": {"name": "hybrid", "parameters": SIZES},
        "training": {"max_epochs": 2, "device": "cpu", "precision": "32"},
        "evaluation": {"n_resamples": 20, "linear_permutations": 0},
    }
    run_decoding(config.from_dict(config.RunConfig, values), out, progress=False)
    return out


def hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(f): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


@pytest.fixture(scope="module")
def run(
    tmp_path_factory: pytest.TempPathFactory, write_bids: Callable[..., Path]
) -> Path:
    root = write_bids(tmp_path_factory.mktemp("prune") / "bids", subjects=3, runs=1)
    return decode(root, root.parent / "run")


@pytest.fixture(scope="module")
def pruned(run: Path) -> tuple[Path, pd.DataFrame]:
    before = hashes(run)
    out = run.parent / "pruned"
    table = prune_run(run, out, SETTINGS, progress=False)
    assert hashes(run) == before, "the run was changed"
    return out, pd.read_csv(table, sep="\t")


def test_the_curve_is_of_smaller_and_smaller_networks(
    pruned: tuple[Path, pd.DataFrame],
) -> None:
    _, curve = pruned
    expected = [("unpruned", 0), ("pruned", 1), ("pruned", 2), ("from scratch", 2)]
    found = list(zip(curve["network"], curve["step"], strict=True))
    assert found == expected
    assert curve["mac_share"][0] == 1
    assert 0.6 < curve["mac_share"][1] <= 0.75
    assert curve["mac_share"][2] == curve["mac_share"][3] <= 0.5
    assert (curve["parameters"].diff()[1:3] < 0).all()
    assert (curve["forward_s"] > 0).all()
    assert curve["difference"][0] == 0
    gap = curve["accuracy"] - curve["accuracy"][0]
    np.testing.assert_allclose(curve["difference"], gap, atol=1e-12)


def test_scores_are_those_of_the_predictions_and_the_first_are_the_runs(
    run: Path, pruned: tuple[Path, pd.DataFrame]
) -> None:
    out, curve = pruned
    predictions = pd.read_csv(out / "predictions.tsv", sep="\t", dtype={"subject": str})
    right = predictions["predicted"] == predictions["label"]
    scores = right.groupby([predictions["network"], predictions["step"]]).mean()
    for row in curve.itertuples():
        assert scores[row.network, row.step] == pytest.approx(row.accuracy)
    metrics = json.loads((run / "metrics.json").read_text())
    assert curve["accuracy"][0] == metrics["scores"]["hybrid"]["accuracy"]["value"]
    ours = predictions[predictions["network"] == "unpruned"].sort_values("window")
    theirs = pd.read_csv(run / "predictions.tsv", sep="\t")
    columns = [name for name in theirs if name.startswith("probability_")]
    np.testing.assert_array_equal(ours[columns], theirs[columns])


def test_nothing_but_training_windows_was_used(
    run: Path, pruned: tuple[Path, pd.DataFrame]
) -> None:
    splits = pd.read_csv(run / "splits.tsv", sep="\t")
    protocol = FitLog.read(pruned[0] / "protocol.tsv")
    training = {
        fold: set(rows.loc[rows["set"] == "train", "window"])
        for fold, rows in splits.groupby("fold")
    }
    assert {use.fold for use in protocol} == set(training)
    assert all(set(use.rows) <= training[use.fold] for use in protocol)
    chosen = [use.what for use in protocol if use.purpose == "select"]
    assert chosen.count("pruned: channels of step 2") == len(training)


def test_what_is_given_to_pruning_and_training_is_the_training_side(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    for name in ("prune", "fit_model"):
        original = getattr(pruning_fits, name)

        def watched(model, windows, *rest, _original=original, **more):  # type: ignore[no-untyped-def]
            seen.append(frozenset(windows.table["window"]))
            return _original(model, windows, *rest, **more)

        monkeypatch.setattr(pruning_fits, name, watched)
    prune_run(run, tmp_path / "out", PruningSettings(0.8, 1, 1), progress=False)
    splits = pd.read_csv(run / "splits.tsv", sep="\t")
    rows = splits[splits["set"] == "train"].groupby("fold")["window"]
    sides = [frozenset(windows) for _, windows in rows]
    everything = frozenset(splits["window"])
    expected = [side for side in [*sides, everything] for _ in range(2)]
    assert seen == expected


def test_the_decoder_is_a_smaller_one_of_the_same_kind(
    run: Path, pruned: tuple[Path, pd.DataFrame]
) -> None:
    out, curve = pruned
    decoder = Decoder.load(out / "model")
    last = curve.iloc[2]
    sizes = Channels(int(last["stem_channels"]), int(last["out_channels"]))
    assert channels_of(decoder.model_) == sizes
    whole = Decoder.load(run / "model").model_
    n_times = whole.n_times
    share = count_macs(decoder.model_, 1, n_times) / count_macs(whole, 1, n_times)
    assert share == pytest.approx(last["mac_share"])
    given = decoder.predict_proba(open_dataset(str(run.parent / "bids")))
    np.testing.assert_allclose(given.sum(axis=1), 1)
    card = (out / "model" / "README.md").read_text()
    record = json.loads((out / "pruning.json").read_text())
    assert record["verdict"] in card
    assert not record["leaky"]
    for suffix in ("svg", "png"):
        assert (out / "figures" / f"pruning.{suffix}").stat().st_size > 1000


def test_finished_steps_are_not_taken_again(
    run: Path,
    pruned: tuple[Path, pd.DataFrame],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out, curve = pruned
    monkeypatch.setattr(pruning_fits, "prune", None)
    table = prune_run(run, out, SETTINGS, overwrite=True, progress=False)
    again = pd.read_csv(table, sep="\t").drop(columns="forward_s")
    pd.testing.assert_frame_equal(again, curve.drop(columns="forward_s"))
    copy = shutil.copytree(out, tmp_path / "copy")
    other = PruningSettings(0.4, 2, 1)
    with pytest.raises(TypeError):
        prune_run(run, copy, other, overwrite=True, progress=False)


def small_cnn(channels: Channels) -> DecoderModel:
    sizes = SIZES | asdict(channels)
    return create("cnn3d", n_outputs=2, n_times=4, volume_shape=(20, 18, 16), **sizes)


def test_sizes_are_the_largest_that_fit() -> None:
    model, shares = small_cnn(Channels(8, 12)), [0.9, 0.6, 0.59, 0.3]
    whole = count_macs(model, 1, 4)
    sizes = channels_for(model, shares, 4)
    for share, channels in zip(shares, sizes, strict=True):
        assert count_macs(small_cnn(channels), 1, 4) <= share * whole
        more = channels.out_channels + 1
        larger = small_cnn(Channels(round(8 * more / 12), more))
        assert count_macs(larger, 1, 4) > share * whole


def test_less_than_a_channel_is_refused() -> None:
    with pytest.raises(InputError, match="so few multiply-adds"):
        channels_for(small_cnn(Channels(8, 12)), [0.5, 0.001], 4)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--target-macs", "1.2"], "target_macs is out of range"),
        (["--steps", "0"], "a step and an epoch"),
        (["--epochs", "0"], "a step and an epoch"),
    ],
)
def test_impossible_wishes_are_one_line(
    arguments: list[str],
    expected: str,
    run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = str(tmp_path / "out")
    assert run_command(["prune", str(run), out, *arguments, "--quiet"]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert expected in said[0]


def test_other_folders_are_refused(
    run: Path,
    pruned: tuple[Path, pd.DataFrame],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_command(["prune", str(tmp_path), str(tmp_path / "o"), "--quiet"]) == 2
    assert "not the folder of a finished run" in capsys.readouterr().err
    assert run_command(["prune", str(run), str(run), "--quiet"]) == 2
    assert "the output folder is the input" in capsys.readouterr().err
    assert run_command(["prune", str(run), str(pruned[0]), "--quiet"]) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_a_model_without_channels_is_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    linear = tmp_path / "linear"
    shutil.copytree(run, linear, ignore=shutil.ignore_patterns("folds"))
    settings = replace(config.load(run / "run.toml"), model=ModelConfig("linear"))
    (linear / "run.toml").write_text(config.to_toml(settings))
    assert run_command(["prune", str(linear), str(tmp_path / "o"), "--quiet"]) == 2
    assert "hybrid or cnn3d" in capsys.readouterr().err
