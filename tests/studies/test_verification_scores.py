"""Every number is computed again: none can be changed, record or not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from boldformer.studies.verification import verify

Change = Callable[[dict], object]


def setting(path: str, value: Any) -> Change:
    """Set what lies under a path such as ``folds.0.accuracy``."""

    def change(metrics: dict) -> None:
        place: Any = metrics
        *above, last = [int(k) if k.isdigit() else k for k in path.split(".")]
        for key in above:
            place = place[key]
        assert place[last] != value
        place[last] = value

    return change


def flip_a_prediction(table: pd.DataFrame) -> None:
    left, right = (name for name in table if name.startswith("probability_"))
    table.loc[0, [left, right]] = table.loc[0, [right, left]].to_numpy()
    others = set(table["predicted"]) - {table.loc[0, "predicted"]}
    table.loc[0, "predicted"] = others.pop()


@pytest.mark.parametrize(
    "file", ["predictions.tsv", "baselines/linear_svm_predictions.tsv"]
)
def test_a_better_prediction_is_caught(plain: Any, file: str) -> None:
    plain.table(file, flip_a_prediction)
    assert "does not follow from the predictions" in verify(plain.out).line


def test_a_better_prediction_of_the_other_column_is_caught(plain: Any) -> None:
    plain.table("columns/linear_svm_causal_predictions.tsv", flip_a_prediction)
    (problem,) = verify(plain.out).problems
    assert problem.startswith("columns.cells[3].scores")


def test_the_other_column_of_other_windows_is_caught(plain: Any) -> None:
    def change(table: pd.DataFrame) -> None:
        table.loc[0, "label"] = "right" if table.loc[0, "label"] == "left" else "left"

    plain.table("columns/linear_causal_predictions.tsv", change)
    assert "is of other windows than predictions.tsv" in verify(plain.out).line


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("scores.linear.accuracy.value", 0.99),
        ("scores.linear.mcc.low", 0.9),
        ("scores.linear.training_accuracy.value", 0.4),
        ("comparisons.0.p_holm", 0.001),
        ("verdict.beats_linear", True),
        ("groups.0.accuracy.linear", 0.01),
        ("repeats.0.balanced_accuracy.linear", 0.01),
        ("protocol.interval.level", 0.9),
        ("protocol.interval.n_resamples", 1000),
        ("protocol.interval.n_units", 40),
        ("protocol.interval.unit", "run"),
        ("protocol.interval.widening", 1.0),
        ("per_class.left.f1", 0.01),
        ("per_class.right.n_windows", 1000),
        ("multilabel", {"subset_accuracy": 1.0}),
        ("abstention.1.accuracy", 0.01),
        ("abstention.4.coverage", 0.999),
        ("folds.0.accuracy", 0.01),
        ("folds.1.n_train", 1000),
        ("folds.2.n_test", 1000),
        ("folds.3.test_groups.0", "07"),
        ("compute.training_seconds", 1e6),
        ("calibration.linear.before.brier", 0.9),
        ("calibration.nuisance.before.ece", 0.001),
        ("columns.cells.3.scores.accuracy.value", 0.01),
        ("columns.cells.3.scores.accuracy.low", 0.01),
        ("columns.cells.0.scores.balanced_accuracy.high", 0.01),
        ("columns.cells.1.n_windows", 1000),
        ("columns.gaps.0.difference", 0.9),
        ("columns.gaps.3.low", 0.9),
        ("dataset.n_subjects", 40),
        ("dataset.n_runs", 80),
    ],
)
def test_numbers_are_computed_again(plain: Any, path: str, value: object) -> None:
    plain.metrics(setting(path, value))
    (problem,) = verify(plain.out).problems
    steps = path.split(".")
    listed = "".join(f"[{k}]" if k.isdigit() else f".{k}" for k in steps)
    assert problem == f"{listed[1:]} does not follow from the predictions"


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("chance", 0.1, "chance is not one over the number of labels"),
        ("n_windows", 640, "n_windows is not the number of windows"),
        ("labels", ["right", "left"], "labels are not the classes of predictions.tsv"),
        (
            "windows_per_label",
            {"left": 30, "right": 34},
            "windows_per_label.left does not follow from the predictions",
        ),
        (
            "preprocessing.causal_twin_available",
            False,
            "preprocessing.causal_twin_available does not follow from columns/",
        ),
        (
            "set_aside",
            [{"what": "sub-09", "reason": "it did not suit"}],
            "set_aside does not follow from set_aside.tsv",
        ),
    ],
)
def test_what_was_decoded_is_counted_again(
    plain: Any, path: str, value: object, said: str
) -> None:
    plain.metrics(setting(path, value))
    assert said in verify(plain.out).line


def test_the_sentences_of_the_verdict_are_written_again(plain: Any) -> None:
    plain.metrics(setting("verdict.sentences.1", "It beats everything."))
    assert "verdict.sentences[1] does not follow" in verify(plain.out).line


def test_words_and_keys_of_another_version_are_forgiven(plain: Any) -> None:
    plain.metrics(setting("verdict.sentences.1", "It beats chance, we said then."))
    plain.metrics(lambda metrics: metrics["verdict"].pop("beats"))
    plain.metrics(lambda metrics: metrics["protocol"].update(scheme="By subject."))
    plain.edit("record.json", setting("versions.boldformer", "0.0.9"))
    found = verify(plain.out)
    assert found.holds, found.line
    assert "versions differ: boldformer 0.0.9" in found.line
    plain.metrics(setting("verdict.beats_linear", True))
    assert "verdict.beats_linear does not follow" in verify(plain.out).line


def test_a_key_that_goes_is_missed(plain: Any) -> None:
    plain.metrics(lambda metrics: metrics["verdict"].pop("beats"))
    assert "verdict does not follow from the predictions" in verify(plain.out).problems


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("calibration.linear.after.ece", 0.9),
        ("calibration.linear.after", None),
        ("calibration.linear_svm.before.log_loss", 0.001),
        ("calibration.linear_svm.after.brier", 0.9),
    ],
)
def test_calibration_is_computed_again(full: Any, path: str, value: object) -> None:
    full.metrics(setting(path, value))
    assert verify(full.out).problems == (
        f"{path} does not follow from the predictions",
    )


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("calibration.linear.temperatures.0", "calibration.linear.temperatures[0]"),
        ("folds.0.temperature", "calibration.linear.temperatures[0]"),
        ("calibration.linear_svm.temperatures.2", "calibration.linear_svm.before."),
    ],
)
def test_temperatures_are_those_that_were_used(full: Any, path: str, said: str) -> None:
    full.metrics(setting(path, 5.0))
    (problem,) = verify(full.out).problems
    assert problem.startswith(said)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("permutation.0.p_value", 0.001),
        ("permutation.0.null_mean", 0.1),
        ("permutation.0.null_95", 0.1),
        ("permutation.0.n_permutations", 1000),
        ("permutation.1.p_value", 0.001),
        ("permutation.1.score", 0.123),
        ("permutation.1.null_95", 0.1),
    ],
)
def test_permutation_tests_are_computed_again(
    full: Any, path: str, value: object
) -> None:
    full.metrics(setting(path, value))
    listed = path.replace(".0.", "[0].").replace(".1.", "[1].")
    assert verify(full.out).problems == (
        f"{listed} does not follow from permutations.tsv",
    )


def test_shuffles_that_were_left_out_are_missed(full: Any) -> None:
    def keep(table: pd.DataFrame) -> pd.DataFrame:
        return table[table["decoder"] != "linear"]

    full.table("permutations.tsv", keep)
    assert "permutation[1] does not follow" in verify(full.out).line

    def count(metrics: dict) -> None:
        metrics["permutation"][0] |= {"n_permutations": 8}

    def fewer(table: pd.DataFrame) -> pd.DataFrame:
        return table[table["permutation"] != "8"]

    full.table("permutations.tsv", fewer)
    full.metrics(count)
    assert "run.toml asks for 9 shuffles of ridge, not 8" in verify(full.out).line


def test_a_score_of_shuffled_labels_cannot_be_changed(plain: Any) -> None:
    def change(table: pd.DataFrame) -> None:
        table.loc[0, "balanced_accuracy"] = "0.9"

    plain.table("permutations.tsv", change)
    assert "does not follow from permutations.tsv" in verify(plain.out).line


@pytest.mark.parametrize("name", ["linear", "linear_svm"])
def test_learning_curves_are_those_of_the_table(full: Any, name: str) -> None:
    full.metrics(setting(f"learning_curve.decoders.{name}.1.low", 0.123))
    (problem,) = verify(full.out).problems
    assert problem.startswith("learning_curve[")
    assert problem.endswith(".low does not follow from learning_curve.tsv")


def test_a_changed_table_of_learning_curves_is_caught(plain: Any) -> None:
    def change(table: pd.DataFrame) -> None:
        table.loc[0, "balanced_accuracy"] = "0.123"

    plain.table("learning_curve.tsv", change)
    assert "learning_curve[0].balanced_accuracy does not" in verify(plain.out).line


def test_a_learning_curve_that_was_asked_for_cannot_go(full: Any) -> None:
    full.metrics(lambda m: m["learning_curve"]["decoders"].pop("linear"))
    full.table("learning_curve.tsv", lambda t: t[t["decoder"] != "linear"])
    assert verify(full.out).problems == (
        "run.toml asks for learning curves of other decoders",
    )
