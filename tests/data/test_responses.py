"""Responses to events are what was planted, whatever the level and the order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from nilearn.signal import clean

from boldformer.data import responses

finite = st.floats(-100, 100, width=32)


def noise(n_times: int = 200, n_voxels: int = 50, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n_times, n_voxels)).astype(np.float32)


def test_percent_signal_is_what_nilearn_makes_of_it() -> None:
    drift = np.linspace(0, 90, 200)[:, None]
    data = (1000 + drift + 20 * noise()).astype(np.float32)
    expected = clean(
        data.astype(float),
        detrend=True,
        filter="cosine",
        high_pass=1 / 128,
        t_r=2.0,
        standardize="psc",
    )
    spread = responses.to_percent(data, 2.0, 1 / 128)
    np.testing.assert_allclose(data, expected, atol=2e-3)
    np.testing.assert_allclose(spread, data.std(axis=0), rtol=1e-5)


@pytest.mark.parametrize(
    ("t_r", "expected"),
    [(2.0, [-4, -2, 0, 2, 4, 6]), (3.0, [-3, 0, 3, 6]), (5.0, [-5, 0, 5])],
)
def test_lags_are_whole_repetition_times(t_r: float, expected: list[float]) -> None:
    np.testing.assert_allclose(responses.event_lags(t_r, 4.0, 5.0), expected)


def test_events_that_leave_the_run_are_not_usable() -> None:
    onsets = np.array([0.0, 4.0, 10.0, 28.0, 29.0])
    usable = responses.usable_events(onsets, 20, 2.0, -4.0, 10.0)
    np.testing.assert_array_equal(usable, [False, True, True, True, False])


def test_average_finds_the_planted_response_exactly() -> None:
    onsets, shape = np.array([10.0, 40.0, 70.0]), np.array([0.0, 1, 3, 2, 0])
    data = np.full((50, 3), 100, dtype=np.float32)
    for onset in onsets.astype(int) // 2:
        data[onset : onset + 5, 1] += shape
    lags = responses.event_lags(2.0, 4.0, 8.0)
    average = responses.average_events(data, onsets, 2.0, lags)
    np.testing.assert_allclose(average.mean[2:, 1], shape, atol=1e-5)
    np.testing.assert_allclose(average.mean[:, [0, 2]], 0, atol=1e-5)
    assert responses.peak_response(average)[1] == pytest.approx(3)
    assert responses.window_mean(average, 2, 6)[1] == pytest.approx(2)
    assert responses.window_mean(average, 4.5, 5.0)[1] == pytest.approx(3)


def test_an_average_is_that_of_the_single_events() -> None:
    data, onsets = 100 + noise(), np.array([11.0, 77.3, 140.0, 250.9])
    lags = responses.event_lags(2.0, 4.0, 20.0)
    each = np.stack(list(responses.locked_events(data, onsets, 2.0, lags)))
    average = responses.average_events(data, onsets, 2.0, lags)
    np.testing.assert_allclose(average.mean, each.mean(axis=0), atol=1e-4)


def test_onsets_between_frames_are_interpolated() -> None:
    ramp = np.arange(40, dtype=np.float32)[:, None]
    lags = responses.event_lags(2.0, 4.0, 10.0)
    (response,) = responses.locked_events(ramp, np.array([21.4]), 2.0, lags)
    np.testing.assert_allclose(response[:, 0], lags / 2 + 1.5, atol=1e-5)


def test_lags_past_the_end_do_not_count() -> None:
    lags = responses.event_lags(2.0, 4.0, 20.0)
    average = responses.average_events(noise(30), np.array([10.0, 50.0]), 2.0, lags)
    np.testing.assert_array_equal(average.n_events, np.where(lags <= 8, 2, 1))
    assert np.isfinite(average.mean).all()
    nowhere = responses.average_events(noise(30), np.array([50.0]), 2.0, lags)
    assert np.isnan(nowhere.mean[lags > 8]).all()
    assert np.isfinite(nowhere.mean[lags <= 8]).all()


@given(level=npst.arrays(np.float32, 50, elements=finite), onset=st.floats(8, 60))
def test_a_response_does_not_know_the_level(level: np.ndarray, onset: float) -> None:
    lags = responses.event_lags(2.0, 4.0, 12.0)
    onsets = np.array([onset])
    (plain,) = responses.locked_events(noise(60), onsets, 2.0, lags)
    (raised,) = responses.locked_events(noise(60) + level, onsets, 2.0, lags)
    np.testing.assert_allclose(raised, plain, atol=1e-3)
    np.testing.assert_allclose(plain[lags < 0].mean(axis=0), 0, atol=1e-5)


def test_windowed_mean_takes_the_frames_in_the_windows_once() -> None:
    data = np.arange(30, dtype=np.float32)[:, None]
    mean = responses.windowed_mean(data, np.array([10.0, 12.0]), 2.0, 4.0, 8.0)
    assert mean[0] == np.mean([7, 8, 9, 10])
    assert responses.windowed_mean(data, np.array([90.0]), 2.0, 4.0, 8.0)[0] == 0
