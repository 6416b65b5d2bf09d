"""Steps on masked data: against nilearn and scipy, and their own properties."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from nilearn.glm.first_level import make_first_level_design_matrix
from nilearn.signal import clean, standardize_signal
from scipy.signal import detrend
from scipy.stats import zscore as scipy_zscore

from boldformer.errors import InputError
from boldformer.preprocessing.normalisation import (
    centre,
    percent_signal_change,
    zscore,
)
from boldformer.preprocessing.regression import regress_out
from boldformer.preprocessing.temporal import (
    cosine_drifts,
    count_non_steady,
    polynomial_drifts,
    power_drifts,
)

runs = hnp.arrays(
    np.float64,
    st.tuples(st.integers(12, 40), st.integers(1, 6)),
    elements=st.floats(-100, 100, width=32),
)


def noise(n_times: int = 120, n_voxels: int = 30, seed: int = 0) -> np.ndarray:
    return 500 + 10 * np.random.default_rng(seed).standard_normal((n_times, n_voxels))


def test_zscore_equals_scipy() -> None:
    data = noise()
    np.testing.assert_allclose(zscore(data), scipy_zscore(data, ddof=1), rtol=1e-4)


@given(runs)
def test_zscore_is_standard_or_zero(data: np.ndarray) -> None:
    result = zscore(data)
    assert np.isfinite(result).all()
    spread = result.std(axis=0, ddof=1)
    assert np.all(np.isclose(spread, 1, atol=1e-6) | (spread == 0))


@given(runs, st.floats(0.5, 20), st.floats(-50, 50))
def test_zscore_ignores_gain_and_offset(
    data: np.ndarray, gain: float, offset: float
) -> None:
    varied = data + np.random.default_rng(0).standard_normal(data.shape)
    np.testing.assert_allclose(
        zscore(gain * varied + offset), zscore(varied), atol=1e-6
    )


def test_a_constant_voxel_becomes_zero_in_single_precision() -> None:
    data = noise().astype(np.float32)
    data[:, 3] = 12345.678
    assert not zscore(data)[:, 3].any()


@given(runs)
def test_centre_leaves_differences_alone(data: np.ndarray) -> None:
    centred = centre(data)
    np.testing.assert_allclose(centred.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(
        np.diff(centred, axis=0), np.diff(data, axis=0), atol=1e-9
    )


def test_percent_signal_change_equals_nilearns() -> None:
    data = noise() * np.where(np.arange(30) % 3, 1.0, -1.0)
    theirs = standardize_signal(data, standardize="psc")
    np.testing.assert_allclose(percent_signal_change(data), theirs, rtol=1e-4)
    single = percent_signal_change(data.astype(np.float32))
    np.testing.assert_allclose(single, theirs, atol=1e-4)


@given(runs)
def test_percent_of_no_mean_is_zero(data: np.ndarray) -> None:
    swinging = np.concatenate([data, -data])
    assert not percent_signal_change(swinging).any()
    assert np.isfinite(percent_signal_change(data)).all()


@pytest.mark.parametrize("step", [centre, zscore, percent_signal_change])
def test_frames_that_do_not_count_change_no_statistic(step: Callable) -> None:
    data = noise()
    good = np.random.default_rng(1).random(120) > 0.2
    data[~good] += 300
    np.testing.assert_allclose(step(data, good)[good], step(data[good]), atol=1e-9)
    np.testing.assert_array_equal(step(data, np.ones(120, dtype=bool)), step(data))


def test_linear_detrending_equals_scipy() -> None:
    data = noise() + np.linspace(0, 50, 120)[:, None]
    ours = centre(regress_out(data, polynomial_drifts(120, 1)))
    np.testing.assert_allclose(ours, detrend(data, axis=0), rtol=1e-4, atol=1e-8)


def test_cosine_drifts_equal_nilearns() -> None:
    n_times, t_r, cutoff = 150, 1.5, 1 / 100
    times = np.arange(n_times) * t_r
    theirs = make_first_level_design_matrix(
        times, drift_model="cosine", high_pass=cutoff
    ).filter(like="drift")
    ours = cosine_drifts(n_times, t_r, cutoff)
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs.to_numpy(), rtol=1e-4, atol=1e-10)


def test_cleaning_equals_nilearn() -> None:
    data, confounds = noise(), np.random.default_rng(1).standard_normal((120, 5))
    regressors = np.concatenate([cosine_drifts(120, 2.0, 1 / 128), confounds], axis=1)
    ours = zscore(regress_out(data, regressors))
    theirs = clean(
        data,
        confounds=confounds,
        t_r=2.0,
        high_pass=1 / 128,
        filter="cosine",
        detrend=False,
        standardize="zscore_sample",
        standardize_confounds=True,
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


@settings(max_examples=30)
@given(runs, st.integers(0, 2**31))
def test_what_is_left_is_orthogonal_to_the_regressors(
    data: np.ndarray, seed: int
) -> None:
    regressors = np.random.default_rng(seed).standard_normal((len(data), 3))
    left = centre(regress_out(data, regressors))
    scale = np.linalg.norm(data) * np.linalg.norm(regressors) + 1
    assert np.abs(regressors.T @ left).max() <= 1e-9 * scale


def test_regressing_keeps_means_and_is_idempotent() -> None:
    data, regressors = noise(), noise(120, 4, 1)
    once = regress_out(data, regressors)
    np.testing.assert_allclose(once.mean(axis=0), data.mean(axis=0))
    np.testing.assert_allclose(regress_out(once, regressors), once)


def test_collinear_and_constant_regressors_do_no_harm() -> None:
    data, one = noise(), noise(120, 1, 1)
    doubled = np.concatenate([one, 2 * one, np.full((120, 1), 7.0)], axis=1)
    np.testing.assert_allclose(regress_out(data, doubled), regress_out(data, one))


def test_frames_that_do_not_count_are_left_out_of_the_fit() -> None:
    data, regressors = noise(), noise(120, 4, 1)
    good = np.random.default_rng(2).random(120) > 0.2
    spoilt = data.copy()
    spoilt[~good] += 300
    result = regress_out(spoilt, regressors, good)
    np.testing.assert_allclose(result[good], regress_out(data[good], regressors[good]))
    # The same fit is taken from the frames that do not count.
    removed = regress_out(data, regressors, good) - data
    np.testing.assert_allclose((result - spoilt)[~good], removed[~good])
    design = np.column_stack([np.ones(120), regressors])
    fitted, *_ = np.linalg.lstsq(design, removed, rcond=None)
    np.testing.assert_allclose(design @ fitted, removed, atol=1e-8)


def test_powers_of_time_span_the_polynomials() -> None:
    powers = np.column_stack([np.ones(90), power_drifts(1.5 * np.arange(90), 3)])
    drifts = polynomial_drifts(90, 3)
    fitted, *_ = np.linalg.lstsq(powers, drifts, rcond=None)
    np.testing.assert_allclose(powers @ fitted, drifts, atol=1e-9)
    assert power_drifts(np.arange(5.0), -1).shape == (5, 0)


@pytest.mark.parametrize(
    ("regressors", "message"),
    [
        (np.zeros((5, 1)), "differ in length"),
        (np.full((120, 1), np.nan), "NaN"),
        (np.random.default_rng(0).standard_normal((120, 119)), "more regressors"),
    ],
)
def test_unusable_regressors_are_refused(regressors: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        regress_out(noise(), regressors)


def test_non_steady_volumes_are_counted_at_the_start_only() -> None:
    signal = 1000 + np.random.default_rng(0).standard_normal(100)
    assert count_non_steady(signal) == 0
    signal[:3] += [400, 150, 60]
    signal[30] += 400
    assert count_non_steady(signal) == 3


def test_a_flat_signal_has_no_outliers() -> None:
    assert count_non_steady(np.full(50, 3.0)) == 0
