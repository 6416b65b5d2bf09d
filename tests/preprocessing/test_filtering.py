"""Filters along time against nilearn and scipy, and what they pass."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nilearn.signal import butterworth as nilearn_butterworth
from scipy.ndimage import gaussian_filter1d
from scipy.signal import butter, sosfilt, sosfilt_zi

from boldformer.errors import InputError
from boldformer.preprocessing.filtering import (
    butterworth,
    causal_butterworth,
    causal_smooth_time,
    gaussian_sd,
    half_gaussian,
    smooth_time,
)

BANDS = [
    {"low_pass_hz": 0.1},
    {"high_pass_hz": 0.01},
    {"high_pass_hz": 0.01, "low_pass_hz": 0.1},
    {"high_pass_hz": 0.02, "order": 2},
]


def noise(n_times: int = 150, seed: int = 0) -> np.ndarray:
    return 500 + 10 * np.random.default_rng(seed).standard_normal((n_times, 9))


@pytest.mark.parametrize("band", BANDS)
def test_butterworth_equals_nilearns(band: dict[str, Any]) -> None:
    data = noise()
    theirs = nilearn_butterworth(
        data,
        sampling_rate=1 / 2.0,
        low_pass=band.get("low_pass_hz"),
        high_pass=band.get("high_pass_hz"),
        order=band.get("order", 5),
        copy=True,
    )
    ours = butterworth(data, 2.0, **band)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_single_precision_loses_nothing_that_matters() -> None:
    data = noise()
    single = butterworth(data.astype(np.float32), 2.0, high_pass_hz=0.01)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, butterworth(data, 2.0, 0.01), atol=1e-3)


def test_many_voxels_are_filtered_as_few_are() -> None:
    data = np.random.default_rng(0).standard_normal((60, 5000)).astype(np.float32)
    for function in (butterworth, causal_butterworth):
        whole = function(data, 2.0, low_pass_hz=0.1)
        np.testing.assert_array_equal(
            whole[:, 4090:4100], function(data[:, 4090:4100], 2.0, low_pass_hz=0.1)
        )


@pytest.mark.parametrize("band", BANDS)
def test_the_causal_filter_equals_scipys(band: dict[str, Any]) -> None:
    data = noise()
    cut_offs = [band[k] for k in ("high_pass_hz", "low_pass_hz") if k in band]
    one_sided = "low" if "low_pass_hz" in band else "high"
    kind = "bandpass" if len(cut_offs) == 2 else one_sided
    order = band.get("order", 5)
    sections = butter(order, np.squeeze(cut_offs), kind, output="sos", fs=0.5)
    theirs, _ = sosfilt(
        sections, data, axis=0, zi=sosfilt_zi(sections)[:, :, None] * data[0]
    )
    ours = causal_butterworth(data, 2.0, **band)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-8)


@settings(max_examples=20)
@given(st.floats(-1000, 1000))
def test_a_constant_passes_low_and_not_high(level: float) -> None:
    data = np.full((80, 2), level)
    for function in (butterworth, causal_butterworth):
        low = function(data, 2.0, low_pass_hz=0.1)
        np.testing.assert_allclose(low, data, atol=1e-6 + 1e-6 * abs(level))
        high = function(data, 2.0, high_pass_hz=0.02)
        np.testing.assert_allclose(high, 0, atol=1e-6 + 1e-6 * abs(level))


@pytest.mark.parametrize("function", [butterworth, causal_butterworth])
def test_settings_name_what_is_removed(function: Any) -> None:
    time = 2.0 * np.arange(400)[:, None]
    slow, fast = np.sin(2 * np.pi * 0.005 * time), np.sin(2 * np.pi * 0.15 * time)
    middle = slice(150, 250)
    high = function(slow + fast, 2.0, high_pass_hz=0.04)[middle]
    low = function(slow + fast, 2.0, low_pass_hz=0.04)[middle]
    assert np.std(high) == pytest.approx(np.std(fast), rel=0.05)
    assert np.ptp(low) > 1
    assert np.abs(np.diff(low, axis=0)).max() < 0.1  # nothing fast is left


def test_the_causal_filter_takes_a_lost_volume_for_a_repeat() -> None:
    data = noise(40)
    held = np.insert(data, 21, data[20], axis=0)
    positions = np.delete(np.arange(41), 21)
    with_gap = causal_butterworth(data, 2.0, low_pass_hz=0.1, positions=positions)
    expected = np.delete(causal_butterworth(held, 2.0, low_pass_hz=0.1), 21, axis=0)
    np.testing.assert_allclose(with_gap, expected)


@pytest.mark.parametrize(
    ("band", "message"),
    [
        ({}, "above 0"),
        ({"low_pass_hz": -0.1}, "above 0"),
        ({"low_pass_hz": 0.01, "high_pass_hz": 0.1}, "no frequency"),
        ({"low_pass_hz": 0.25}, "below 0.25 Hz"),
        ({"low_pass_hz": 0.1, "order": 0}, "1 or more"),
    ],
)
def test_unusable_cut_offs_are_refused(band: dict[str, Any], message: str) -> None:
    for function in (butterworth, causal_butterworth):
        with pytest.raises(InputError, match=message):
            function(noise(), 2.0, **band)


def test_a_run_too_short_for_the_filter_is_refused() -> None:
    assert np.isfinite(butterworth(noise(19), 2.0, low_pass_hz=0.1)).all()
    with pytest.raises(InputError, match="more than 18 volumes"):
        butterworth(noise(18), 2.0, low_pass_hz=0.1)


def test_smoothing_in_time_equals_scipys() -> None:
    data = noise()
    theirs = gaussian_filter1d(data, 6.0 / 2.0 / 2.3548200450309493, 0, mode="nearest")
    np.testing.assert_allclose(smooth_time(data, 2.0, 6.0), theirs, rtol=1e-4)


@given(st.floats(1.0, 30.0))
def test_the_width_is_the_width_at_half_maximum(fwhm_s: float) -> None:
    sd = gaussian_sd(fwhm_s)
    lags = np.array([-1e-9, 0.0, fwhm_s / 2, 5 * sd])
    np.testing.assert_allclose(half_gaussian(lags, sd), [0, 1, 0.5, 0], rtol=1e-9)


def test_causal_smoothing_is_the_mean_of_what_exists() -> None:
    data = np.random.default_rng(0).standard_normal((30, 3))
    positions = np.concatenate([np.arange(10), np.arange(12, 32)])
    result = causal_smooth_time(data, 2.0, 8.0, positions)
    for time in range(30):
        weights = half_gaussian(2.0 * (positions[time] - positions), gaussian_sd(8.0))
        expected = np.average(data, axis=0, weights=weights)
        np.testing.assert_allclose(result[time], expected)
    flat = np.full((30, 3), 7.0)
    np.testing.assert_allclose(causal_smooth_time(flat, 2.0, 8.0, positions), flat)


def test_a_width_of_nothing_is_refused() -> None:
    for function in (smooth_time, causal_smooth_time):
        with pytest.raises(InputError, match="fwhm_s above 0"):
            function(noise(), 2.0, 0.0)
