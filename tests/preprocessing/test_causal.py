"""Causal twins against what their formulas say of planted runs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boldformer.errors import InputError
from boldformer.preprocessing.base import CausalStep, Frame, RunContext, replay
from boldformer.preprocessing.causal import (
    CausalCentre,
    CausalClean,
    CausalPercentSignalChange,
    CausalScrub,
    CausalZscore,
)
from boldformer.preprocessing.moments import RunningMoments

T_R = 2.0
DATA = 500 + 10 * np.random.default_rng(0).standard_normal((80, 6))


def played(twin: CausalStep, data: np.ndarray = DATA, **context: object) -> np.ndarray:
    return replay(twin, data, RunContext(T_R, **context))


@pytest.mark.parametrize("memory_s", [0.0, 30.0])
def test_moments_are_weighted_means_over_the_past(memory_s: float) -> None:
    moments, weights = RunningMoments(T_R, memory_s), np.zeros(0)
    rate = 1 - np.exp(-T_R / memory_s) if memory_s else 0.0
    for time, volume in enumerate(DATA):
        moments.add(volume)
        new = max(rate, 1 / (time + 1))
        weights = np.append(weights * (1 - new), new)
        past = DATA[: time + 1]
        mean = weights @ past
        np.testing.assert_allclose(moments.mean(volume), mean)
        if time:
            variance = weights @ (past - mean) ** 2 / (1 - weights @ weights)
            np.testing.assert_allclose(moments.spread(), np.sqrt(variance))


def test_a_volume_after_a_gap_counts_for_the_lost_ones() -> None:
    lost, repeated = RunningMoments(T_R, 20.0), RunningMoments(T_R, 20.0)
    for volume in DATA:
        lost.add(volume)
        repeated.add(volume)
    lost.add(DATA[3] + 40, n_missed=2)
    for _ in range(3):
        repeated.add(DATA[3] + 40)
    np.testing.assert_allclose(lost.mean(DATA[0]), repeated.mean(DATA[0]))


@settings(max_examples=25)
@given(st.integers(0, 2**31), st.floats(0.0, 0.5))
def test_a_volume_is_judged_by_the_good_ones_before_it(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    data, bad = 500 + 10 * rng.standard_normal((40, 4)), rng.random(40) < share
    centred = played(CausalCentre(T_R), data, bad=bad)
    percent = played(CausalPercentSignalChange(T_R), data, bad=bad)
    scores = played(CausalZscore(T_R), data, bad=bad)
    for time in range(40):
        past = data[:time][~bad[:time]]
        if len(past) == 0:
            assert not centred[time].any()
            assert not percent[time].any()
        else:
            mean = past.mean(axis=0)
            np.testing.assert_allclose(centred[time], data[time] - mean, atol=1e-8)
            expected = 100 * (data[time] / mean - 1)
            np.testing.assert_allclose(percent[time], expected, atol=1e-8)
        if len(past) < 5:
            assert not scores[time].any()
        else:
            expected = (data[time] - past.mean(axis=0)) / past.std(axis=0, ddof=1)
            np.testing.assert_allclose(scores[time], expected, rtol=1e-6)


def test_the_warm_up_is_the_number_of_volumes_seen_before() -> None:
    for warm_up in (2, 5, 12):
        scores = played(CausalZscore(T_R, warm_up=warm_up))
        assert np.flatnonzero(scores.any(axis=1))[0] == warm_up


def test_a_constant_voxel_gives_zero_and_a_voxel_without_mean_too() -> None:
    flat = np.tile(np.float32([12345.678, 0.0]), (30, 1))
    for twin in (CausalCentre(T_R), CausalPercentSignalChange(T_R), CausalZscore(T_R)):
        assert not played(twin, flat).any()


def test_a_step_of_the_level_decays_with_the_memory() -> None:
    data = DATA.copy()
    data[30:] += 50
    fading = played(CausalZscore(T_R, memory_s=10.0), data)
    keeping = played(CausalZscore(T_R), data)
    assert fading[30].min() > 2
    assert np.abs(fading[60:].mean()) < 0.2
    assert keeping[60:].mean() > 0.4


def test_a_linear_drift_is_removed() -> None:
    drift = np.linspace(0, 200, 80)[:, None]
    with_drift = played(CausalClean(T_R, detrend_order=1), DATA + drift)
    without = played(CausalClean(T_R, detrend_order=1), DATA)
    assert np.abs(with_drift - without)[40:].max() < 5
    only_mean = played(CausalClean(T_R, detrend_order=0), DATA + drift)
    assert only_mean[60:].mean() > 50


def test_cleaning_ignores_confounds_it_was_not_asked_for() -> None:
    confounds = np.random.default_rng(1).standard_normal((80, 2))
    ignored = played(CausalClean(T_R), confounds=confounds)
    np.testing.assert_array_equal(ignored, played(CausalClean(T_R)))
    used = played(CausalClean(T_R, confounds=["motion"]), confounds=confounds)
    assert np.abs(used - ignored).max() > 0.1


def test_cleaning_refuses_confounds_that_change_in_number_or_are_not_finite() -> None:
    twin = CausalClean(T_R, confounds=["motion"])
    twin.update(DATA[0], Frame(confounds=np.zeros(3)))
    with pytest.raises(InputError, match="changed within the run"):
        twin.update(DATA[1], Frame(confounds=np.zeros(4)))
    with pytest.raises(InputError, match="NaN"):
        twin.update(DATA[1], Frame(confounds=np.full(3, np.nan)))


def test_a_cosine_filter_is_refused_with_what_to_use() -> None:
    with pytest.raises(InputError, match="'filter'"):
        CausalClean(T_R, high_pass_hz=0.01)


def test_scrubbing_holds_a_copy_of_the_last_good_volume() -> None:
    twin = CausalScrub(T_R, fd_mm=0.5)
    volume = DATA[0].copy()
    twin.update(volume, Frame())
    volume[:] = 0
    np.testing.assert_array_equal(twin.update(DATA[1], Frame(bad=True)), DATA[0])


def test_a_negative_memory_is_refused() -> None:
    with pytest.raises(InputError, match="memory_s of 0 or more"):
        CausalZscore(T_R, memory_s=-1.0)
    with pytest.raises(InputError, match="no standard deviation"):
        RunningMoments(T_R).spread()
