"""Recursive residuals: what the past predicts is gone, and the noise is even."""

from __future__ import annotations

import numpy as np
import pytest

from boldformer.errors import InputError
from boldformer.preprocessing import recursive
from boldformer.preprocessing.recursive import recursive_residuals
from boldformer.preprocessing.temporal import power_drifts

N_TIMES, N_VOXELS = 232, 400
RNG = np.random.default_rng(0)
NOISE = RNG.standard_normal((N_TIMES, N_VOXELS))
CONFOUNDS = np.cumsum(RNG.standard_normal((N_TIMES, 6)), axis=0)
DRIFT = power_drifts(2.0 * np.arange(N_TIMES), 1)
REGRESSORS = np.concatenate([DRIFT, CONFOUNDS], axis=1)
EFFECT = REGRESSORS @ RNG.standard_normal((7, N_VOXELS))


def test_residuals_are_scaled_errors_of_least_squares(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recursive, "_PRIOR_VOLUMES", 1e-9)
    data = 1000 + NOISE + EFFECT
    result = recursive_residuals(data, REGRESSORS)
    design = np.column_stack([np.ones(N_TIMES), REGRESSORS])
    for time in (20, 100, 231):
        past, x = design[:time], design[time]
        fitted, *_ = np.linalg.lstsq(past, data[:time], rcond=None)
        leverage = x @ np.linalg.solve(past.T @ past, x)
        expected = (data[time] - x @ fitted) / np.sqrt(1 + leverage)
        np.testing.assert_allclose(result[time], expected, rtol=1e-4, atol=1e-5)


def test_drifts_and_confounds_go_and_noise_stays() -> None:
    result = recursive_residuals(1000 + NOISE + EFFECT, REGRESSORS)
    late = slice(100, None)
    correlation = np.corrcoef(result[late].ravel(), NOISE[late].ravel())[0, 1]
    assert correlation > 0.93
    for regressor in REGRESSORS[late].T:
        left = np.corrcoef(regressor, result[late].T)[0, 1:]
        assert np.abs(left).mean() < 0.15


def test_early_volumes_are_no_noisier_than_late_ones() -> None:
    result = recursive_residuals(1000 + NOISE, REGRESSORS)
    assert not result[0].any()
    spread = result.std(axis=1)
    assert spread.max() < 1.2
    assert spread[20:].min() > 0.8


def test_units_and_offsets_of_confounds_do_not_matter() -> None:
    data = 1000 + NOISE + EFFECT
    other = REGRESSORS * np.array([1, 1e-3, 1e3, 1, 20, -1, 1]) + 700 * np.arange(7)
    ours = recursive_residuals(data, REGRESSORS)
    np.testing.assert_allclose(recursive_residuals(data, other), ours, atol=1e-6)


def test_a_confound_that_says_nothing_does_no_harm() -> None:
    data = 1000 + NOISE + EFFECT
    more = np.column_stack([REGRESSORS, np.full(N_TIMES, 3.0)])
    np.testing.assert_allclose(
        recursive_residuals(data, more), recursive_residuals(data, REGRESSORS)
    )


def test_bad_volumes_teach_nothing() -> None:
    data = 1000 + NOISE + EFFECT
    good = RNG.random(N_TIMES) > 0.2
    good[0] = True
    spoilt = data.copy()
    spoilt[~good] += 500
    np.testing.assert_allclose(
        recursive_residuals(spoilt, REGRESSORS, good)[good],
        recursive_residuals(data[good], REGRESSORS[good]),
        atol=1e-8,
    )


def test_unusable_regressors_are_refused() -> None:
    with pytest.raises(InputError, match="differ in length"):
        recursive_residuals(NOISE, REGRESSORS[:5])
    broken = REGRESSORS.copy()
    broken[7, 2] = np.nan
    with pytest.raises(InputError, match="NaN"):
        recursive_residuals(NOISE, broken)
