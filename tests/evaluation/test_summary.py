"""The verdict says in plain words what the numbers carry, and no more."""

import json

import numpy as np
import pytest

from boldformer.config import EvaluationConfig
from boldformer.errors import InputError
from boldformer.evaluation.summary import summarise

LABELS = ["arm", "hand", "leg", "tongue"]
CONFIG = EvaluationConfig(n_resamples=200)


def predictions(y, skill, seed):
    logits = np.random.default_rng(seed).normal(size=(len(y), 4))
    logits[np.arange(len(y)), y] += skill
    p = np.exp(logits)
    return p / p.sum(axis=1, keepdims=True)


def judged(n_groups=16, skill=2.0, linear=1.0, trained=0.95, unit="subject", **changes):
    y = np.tile(np.arange(4), 6 * n_groups)
    decoders = {
        "hybrid": predictions(y, skill, 0),
        "linear_svm": predictions(y, linear, 1),
        "nuisance": predictions(y, 0.0, 2),
        "majority": np.tile([0.4, 0.2, 0.2, 0.2], (len(y), 1)),
    }
    arguments = {
        "y_true": y,
        "probabilities": decoders,
        "training_accuracy": {"hybrid": [trained, trained]},
        "groups": np.repeat([f"{g:02d}" for g in range(n_groups)], 24),
        "labels": LABELS,
        "config": CONFIG,
        "decoder": "hybrid",
        "unit": unit,
    }
    return summarise(**(arguments | changes))


def text(summary):
    return " ".join(summary["verdict"]["sentences"])


def test_a_good_decoder_beats_everything():
    summary = judged()
    verdict = summary["verdict"]
    assert verdict["beats_chance"]
    assert verdict["beats_nuisance"]
    assert verdict["beats_linear"]
    score = summary["scores"]["hybrid"]["balanced_accuracy"]
    assert f"{score['value']:.2f} (95 % interval {score['low']:.2f}" in text(summary)
    assert "16 subjects; chance is 0.25" in text(summary)
    assert "beats the linear SVM" in text(summary)
    assert "unreliable" not in text(summary)


def test_a_decoder_no_better_than_the_linear_one_is_told_so():
    summary = judged(skill=1.0, linear=1.05)
    assert summary["verdict"]["beats_nuisance"]
    assert not summary["verdict"]["beats_linear"]
    assert "is not shown to beat the linear SVM" in text(summary)


def test_a_worse_decoder_is_called_worse():
    assert "is worse than the linear SVM" in text(judged(skill=0.7, linear=3.0))


def test_a_decoder_of_noise_beats_nothing():
    summary = judged(skill=0.0, linear=0.0, trained=0.3)
    flags = [summary["verdict"][f"beats_{x}"] for x in ("chance", "nuisance", "linear")]
    assert flags == [False, False, False]
    assert "is not shown to beat chance" in text(summary)
    assert "is not shown to beat nuisance signals alone" in text(summary)
    assert "hardly learned" in text(summary)


def test_few_units_are_called_unreliable_and_one_claims_nothing():
    assert "only 3 runs the intervals are unreliable" in text(judged(3, unit="run"))
    assert "Whether it beats chance cannot be told from 3 runs" in text(
        judged(3, unit="run")
    )
    alone = judged(1, unit="run")
    assert alone["verdict"]["beats_chance"] is False
    assert "With 1 run there is no interval" in text(alone)
    assert alone["scores"]["hybrid"]["accuracy"]["low"] is None
    json.dumps(alone, allow_nan=False)


@pytest.mark.parametrize("n_groups", [5, 6, 16])
def test_a_claim_needs_the_interval_and_the_corrected_p(n_groups):
    """Three comparisons: with six units no corrected p is below 6 / 64."""
    summary = judged(n_groups, skill=2.5)
    for row in summary["comparisons"]:
        both = row["low"] > 0 and row["p_holm"] <= 0.05
        assert (row["reading"] == "better") == both
        assert (row["reading"] == "too few units") == (n_groups < 8)
    beats = summary["verdict"]["beats"]
    assert beats["nuisance"] == (n_groups == 16)
    told = f"Whether it beats nuisance signals alone cannot be told from {n_groups}"
    assert (told in text(summary)) == (n_groups < 8)
    assert summary["verdict"]["beats_chance"] == (n_groups > 5)


def test_without_resamples_nothing_is_claimed_and_no_unit_is_blamed():
    summary = judged(config=EvaluationConfig(n_resamples=0))
    assert {row["reading"] for row in summary["comparisons"]} == {"no interval"}
    assert "No interval was asked for: nothing is claimed" in text(summary)
    assert "cannot be told from" not in text(summary)


def test_an_interval_above_0_is_no_claim_where_the_corrected_p_is_large():
    """Two units of ten carry the whole difference."""
    y = np.tile(np.arange(2), 100)
    groups = np.repeat(np.arange(10), 20)
    ours = np.where(np.isin(groups, [0, 1, 2, 3]) | (y == 0), y, 0)
    decoders = {"hybrid": np.eye(2)[ours], "nuisance": np.eye(2)[np.zeros(200, int)]}
    summary = summarise(
        y, decoders, {}, groups, LABELS[:2], CONFIG, decoder="hybrid", unit="subject"
    )
    row = next(r for r in summary["comparisons"] if r["metric"] == "balanced_accuracy")
    assert row["low"] > 0
    assert row["p_holm"] > 0.05
    assert row["reading"] == "undecided"
    assert "is not shown to beat nuisance" in text(summary)


def test_the_content_is_as_documented_and_goes_to_json():
    summary = judged()
    json.dumps(summary, allow_nan=False)
    assert set(summary["scores"]) == {"hybrid", "linear_svm", "nuisance", "majority"}
    scores = summary["scores"]["hybrid"]
    estimate = {"value", "low", "high"}
    assert set(scores) == {
        *("accuracy", "balanced_accuracy", "macro_f1", "mcc", "roc_auc", "prc_auc"),
        *("training_accuracy", "recall"),
    }
    assert set(scores["recall"]) == set(LABELS)
    assert set(scores["recall"]["arm"]) == set(scores["mcc"]) == estimate
    assert scores["training_accuracy"] == {"value": 0.95, "low": None, "high": None}
    assert summary["scores"]["nuisance"]["training_accuracy"]["value"] is None
    keys = {"a", "b", "metric", "difference", "low", "high", "p_value", "p_holm"}
    keys |= {"reading"}
    assert all(set(row) == keys for row in summary["comparisons"])
    assert summary["interval"] == {
        "unit": "subject",
        "n_units": 16,
        "level": 0.95,
        "n_resamples": 200,
        "widening": 1.0,
    }
    group = summary["groups"][3]
    assert (group["group"], group["n_windows"]) == ("03", 24)
    assert set(group["accuracy"]) == set(summary["scores"])
    mean = np.mean([g["accuracy"]["hybrid"] for g in summary["groups"]])
    assert mean == pytest.approx(scores["accuracy"]["value"])


def test_differences_are_those_of_the_scores_and_p_values_are_corrected():
    summary = judged()
    for row in summary["comparisons"]:
        a, b = (summary["scores"][row[side]][row["metric"]]["value"] for side in "ab")
        assert row["difference"] == pytest.approx(a - b)
        assert row["p_value"] <= row["p_holm"] <= 1


def test_untested_windows_are_left_out():
    y = np.tile(np.arange(4), 24)
    p = predictions(y, 2.0, 0)
    missing = p.copy()
    missing[:24] = np.nan
    groups = np.repeat(list("abcd"), 24)
    settings = {"labels": LABELS, "config": CONFIG, "decoder": "hybrid"}
    kept = summarise(y, {"hybrid": missing}, {}, groups, **settings)
    assert [g["group"] for g in kept["groups"]] == ["b", "c", "d"]
    assert kept["verdict"]["beats_linear"] is None
    assert kept["comparisons"] == []
    with pytest.raises(InputError, match="same windows"):
        summarise(y, {"hybrid": missing, "nuisance": p}, {}, groups, **settings)


def test_a_real_effect_of_known_size_lies_within_its_interval():
    """The decoder is right for 70 of 100 windows, by construction, in the long run."""
    inside = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        y = rng.integers(0, 4, 480)
        given = np.where(rng.random(480) < 0.7, y, (y + rng.integers(1, 4, 480)) % 4)
        p = 0.1 + 0.6 * np.eye(4)[given]
        summary = summarise(
            y,
            {"hybrid": p},
            {},
            np.repeat(np.arange(20), 24),
            LABELS,
            CONFIG,
            decoder="hybrid",
        )
        accuracy = summary["scores"]["hybrid"]["accuracy"]
        inside += accuracy["low"] <= 0.7 <= accuracy["high"]
    assert inside >= 17


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"decoder": "cnn"}, "no predictions of the decoder 'cnn'"),
        ({"groups": np.zeros(5)}, "do not fit together"),
    ],
)
def test_what_does_not_fit_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        judged(**changes)
