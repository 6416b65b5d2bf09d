"""Temperature scaling keeps answers, mends confidence, and abstention is counted."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, log_loss

from boldformer.evaluation.calibration import (
    abstention,
    calibration_report,
    log_probabilities,
    temper,
)
from boldformer.training.linear_decoder import fit_temperature


def overconfident(n=400, factor=4.0, seed=0):
    """Probabilities with logits `factor` times those the labels were drawn from."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, 3))
    honest = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    y = np.array([rng.choice(3, p=row) for row in honest])
    sharp = np.exp(factor * logits)
    return y, sharp / sharp.sum(axis=1, keepdims=True), honest


@given(st.floats(0.05, 20), st.integers(0, 1000))
def test_a_temperature_can_be_taken_back_and_keeps_every_answer(temperature, seed):
    p = np.random.default_rng(seed).dirichlet(np.ones(4), size=5)
    changed = temper(p, temperature)
    np.testing.assert_allclose(changed.sum(axis=1), 1)
    assert (changed.argmax(axis=1) == p.argmax(axis=1)).all()
    if temperature > 0.3:  # below, small probabilities sink under the smallest number
        np.testing.assert_allclose(temper(changed, 1 / temperature), p, atol=1e-6)


def test_every_window_has_the_temperature_of_its_fold():
    p = np.array([[0.8, 0.2], [0.8, 0.2], [np.nan, np.nan]])
    out = temper(p, np.array([1.0, 2.0, 1.0]))
    np.testing.assert_allclose(out[0], p[0])
    np.testing.assert_allclose(out[1], np.sqrt(p[1]) / np.sqrt(p[1]).sum())
    assert np.isnan(out[2]).all()


def test_a_zero_probability_stays_finite():
    assert np.isfinite(log_probabilities(np.array([[1.0, 0.0]]))).all()


def test_what_made_a_decoder_overconfident_is_found_and_undone():
    y, sharp, honest = overconfident()
    half = len(y) // 2
    temperature = fit_temperature(log_probabilities(sharp[:half]), y[:half])
    assert temperature == pytest.approx(4.0, rel=0.35)
    after = temper(sharp[half:], temperature)
    report = calibration_report(y[half:], sharp[half:], after, [temperature])
    for score in ("brier", "log_loss", "ece"):
        assert report["after"][score] < report["before"][score]
    assert report["after"]["log_loss"] == pytest.approx(
        log_loss(y[half:], after, labels=range(3))
    )
    assert report["after"]["log_loss"] == pytest.approx(
        log_loss(y[half:], honest[half:], labels=range(3)), abs=0.03
    )
    assert calibration_report(y, sharp, None, ())["after"] is None


def test_declining_answers_the_surest_windows():
    y, sharp, _ = overconfident()
    rows = abstention(y, sharp)
    assert [row["declined"] for row in rows] == [0.0, 0.1, 0.2, 0.3, 0.5]
    order = np.argsort(-sharp.max(axis=1), kind="stable")
    for row in rows:
        kept = order[: round(row["coverage"] * len(y))]
        assert row["coverage"] >= 1 - row["declined"] - 1e-9
        right = accuracy_score(y[kept], sharp[kept].argmax(axis=1))
        assert row["accuracy"] == pytest.approx(right)
    assert rows[0]["coverage"] == 1
    assert rows[-1]["accuracy"] > rows[0]["accuracy"]


def test_equally_sure_windows_are_declined_together():
    p = np.array([[0.9, 0.1]] * 4)
    rows = abstention(np.array([0, 0, 1, 1]), p)
    assert {row["coverage"] for row in rows} == {1.0}
    assert {row["accuracy"] for row in rows} == {0.5}
