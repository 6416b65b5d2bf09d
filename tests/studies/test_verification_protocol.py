"""Folds, audit and settings: what was asked for, what was done, and what is said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from boldformer.studies.verification import verify


def test_another_split_is_caught(plain: Any) -> None:
    def move(table: pd.DataFrame) -> None:
        table.loc[table.index[table["set"] == "train"][0], "set"] = "test"

    plain.table("splits.tsv", move)
    assert "another split" in verify(plain.out).line


def test_predictions_of_other_folds_are_caught(plain: Any) -> None:
    plain.table("predictions.tsv", lambda table: table.assign(fold="0"))
    assert "folds that did not test" in verify(plain.out).line


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda m: m["protocol"].update(leaky=True),
            "protocol.leaky does not follow from audit.verdict",
        ),
        (
            lambda m: m["audit"].update(verdict="clean"),
            "audit.verdict is not the worst of its checks",
        ),
        (
            lambda m: m["protocol"].update(n_folds=400),
            "protocol.n_folds does not follow from splits.tsv",
        ),
        (
            lambda m: m["protocol"].update(n_repeats=10),
            "protocol.n_repeats does not follow from splits.tsv",
        ),
        (
            lambda m: m["protocol"].update(unit="run"),
            "protocol.unit does not follow from splits.tsv",
        ),
        (
            lambda m: m["protocol"].update(scheme="Ten times over."),
            "protocol.scheme is not what run.toml asks for",
        ),
        (
            lambda m: m["protocol"].update(seed=7),
            "protocol.seed is not what run.toml asks for",
        ),
        (
            lambda m: m["window"].update(length_s=80.0),
            "model/decoder.json.window.length_s is not what metrics.json says",
        ),
        (
            lambda m: m["window"].update(delay_s=2.0),
            "window.delay_s is not what run.toml asks for",
        ),
        (
            lambda m: m["model"].update(name="hybrid"),
            "model.name is not what run.toml asks for",
        ),
        (
            lambda m: m["preprocessing"].update(mode="causal"),
            "preprocessing.mode is not that of preprocessing.steps",
        ),
        (
            lambda m: m["preprocessing"]["steps"].pop(),
            "preprocessing.steps are not what run.toml asks for",
        ),
        (
            lambda m: m["preprocessing"].update(hash="0"),
            "preprocessing.hash is not that of preprocessing.steps",
        ),
        (
            lambda m: m["columns"]["cells"][1].update(pipeline_hash="0"),
            "the causal column is not prepared as run.toml asks",
        ),
        (
            lambda m: m["model"].update(n_parameters=10**9),
            "model.n_parameters is not that of model/",
        ),
        (
            lambda m: m["compute"].update(n_parameters=10**9),
            "compute.n_parameters is not that of model/",
        ),
        (
            lambda m: m["model"]["config"].update(C=3.0),
            "model.config.C is not that of model/",
        ),
    ],
)
def test_what_metrics_say_is_what_was_done(
    plain: Any, change: Callable[[dict], object], said: str
) -> None:
    plain.metrics(change)
    assert said in verify(plain.out).problems


@pytest.mark.parametrize(
    ("section", "values", "said"),
    [
        ("model", {"name": "hybrid"}, "model.name is not what run.toml asks for"),
        ("model", {"parameters": {"C": 3.0}}, "model.config.C is not what"),
        ("training", {"seed": 7}, "records.seed.training is not what"),
        ("evaluation", {"seed": 7}, "records.seed.evaluation is not what"),
        ("evaluation", {"folds": 2}, "splits.tsv holds other folds than run.toml"),
        ("evaluation", {"unit": "run"}, "protocol.unit is not what run.toml"),
        ("evaluation", {"n_resamples": 60}, "protocol.interval.n_resamples does not"),
        ("evaluation", {"level": 0.9}, "protocol.interval.level does not"),
        ("evaluation", {"linear_permutations": 99}, "run.toml asks for 99 shuffles"),
        ("evaluation", {"learning_curve": True}, "learning curves of other decoders"),
        ("data", {"labels": ["left", "foot"]}, "labels are not what run.toml"),
        ("window", {"length_s": 30.0}, "window.length_s is not what run.toml"),
        ("window", {"delay_s": 1.0}, "window.delay_s is not what run.toml"),
        ("window", {"step_s": 1.0}, "window.step_s is not what run.toml"),
        ("window", {"stride_s": 4.0}, "window.stride_s is not what run.toml"),
        ("preprocessing", {"high_pass_hz": 0.0}, "preprocessing.steps are not what"),
        ("preprocessing", {"causal": True}, "preprocessing.steps are not what"),
    ],
)
def test_other_settings_are_caught(
    plain: Any, section: str, values: dict, said: str
) -> None:
    plain.settings(section, **values)
    assert said in verify(plain.out).line


def test_a_grid_that_is_gone_is_noted(plain: Any) -> None:
    plain.settings("preprocessing", grid_like=str(plain.out / "no.nii.gz"))
    found = verify(plain.out)
    assert found.holds
    assert found.notes == (
        "the image of grid_like is not there: steps are not checked",
    )


def test_the_decoder_that_is_shared_is_the_one_described(plain: Any) -> None:
    plain.edit("model/decoder.json", lambda d: d["classes"].reverse())
    assert verify(plain.out).problems == (
        "model/decoder.json.classes[0] is not what metrics.json says",
    )


def test_a_fit_to_test_windows_cannot_be_called_a_warning(plain: Any) -> None:
    def soften(metrics: dict) -> None:
        for check in metrics["audit"]["checks"]:
            if check["name"] == "fitting":
                check["verdict"] = "warning"

    plain.table("protocol.tsv", lambda t: t.assign(windows="0-63", n_windows="64"))
    assert "saw windows outside training" in verify(plain.out).line
    plain.metrics(soften)
    assert "audit: fitting is warning, the tables say leak" in verify(plain.out).line


def test_a_leak_that_was_not_allowed_is_a_contradiction(plain: Any) -> None:
    def leak(metrics: dict) -> None:
        metrics["audit"]["checks"][0]["verdict"] = "leak"
        metrics["audit"]["verdict"] = "leak"
        metrics["protocol"]["leaky"] = True

    plain.metrics(leak)
    assert verify(plain.out).problems == (
        "run.toml does not allow the leak that the audit found",
    )


def test_a_run_on_both_sides_is_found_in_the_tables(plain: Any) -> None:
    def rename(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(subject="01", group="01")

    plain.table("predictions.tsv", rename)
    assert "audit: subject is clean, the tables say leak" in verify(plain.out).line
