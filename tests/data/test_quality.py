"""Measures of a run are what their formulas say, and find what was planted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from boldformer.data import quality
from boldformer.errors import InputError

finite = st.floats(-100, 100, width=32)


def noise(n_times: int = 200, n_voxels: int = 50, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n_times, n_voxels)).astype(np.float32)


@given(n_voxels=st.integers(1, 9))
def test_a_measure_by_blocks_is_the_measure(n_voxels: int) -> None:
    data = noise(20, n_voxels)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quality, "_BLOCK", 3)
        found = quality.by_blocks(lambda block: block[[2, 0]], data)
    np.testing.assert_array_equal(found, data[[2, 0]])


# --- temporal signal-to-noise ratio -----------------------------------------------


def test_tsnr_is_mean_over_residual_sd() -> None:
    data = 500 + 10 * noise(120, 20)
    time = np.arange(120.0)
    residuals = [y - np.polyval(np.polyfit(time, y, 1), time) for y in data.T]
    expected = data.mean(axis=0) / np.std(residuals, axis=1, ddof=2)
    np.testing.assert_allclose(quality.temporal_snr(data), expected, rtol=1e-4)


def test_tsnr_finds_the_planted_ratio_whatever_the_drift() -> None:
    drift = np.linspace(-200, 200, 2000, dtype=np.float32)[:, None]
    data = 1000 + drift + 10 * noise(2000, 100)
    assert quality.temporal_snr(data).mean() == pytest.approx(100, rel=0.01)


def test_tsnr_does_not_change_with_the_scale_of_the_image() -> None:
    data = 800 + 5 * noise(60, 10)
    np.testing.assert_allclose(
        quality.temporal_snr(7 * data), quality.temporal_snr(data), rtol=1e-3
    )


def test_tsnr_of_a_constant_voxel_is_zero() -> None:
    data = 1000 + noise(50, 2)
    data[:, 0] = 1234.5
    snr = quality.temporal_snr(data)
    assert snr[0] == 0
    assert snr[1] > 0


def test_tsnr_needs_three_volumes() -> None:
    with pytest.raises(InputError, match="at least 3 volumes; received 2"):
        quality.temporal_snr(np.ones((2, 4)))


# --- framewise displacement -------------------------------------------------------


def test_fd_adds_translations_and_arcs_on_a_sphere() -> None:
    motion = np.zeros((3, 6))
    motion[1] = [0.1, -0.2, 0.3, 0.001, -0.002, 0.003]
    motion[2] = motion[1]
    displacement = quality.framewise_displacement(motion)
    assert np.isnan(displacement[0])
    np.testing.assert_allclose(displacement[1:], [0.6 + 50 * 0.006, 0])
    smaller = quality.framewise_displacement(motion, radius_mm=40)
    assert smaller[1] == pytest.approx(0.6 + 40 * 0.006)


@given(
    motion=npst.arrays(float, (7, 6), elements=finite),
    start=npst.arrays(float, 6, elements=finite),
)
def test_fd_knows_changes_only(motion: np.ndarray, start: np.ndarray) -> None:
    displacement = quality.framewise_displacement(motion)[1:]
    assert (displacement >= 0).all()
    moved = quality.framewise_displacement(motion + start)[1:]
    np.testing.assert_allclose(moved, displacement, atol=1e-8)
    backwards = quality.framewise_displacement(motion[::-1])[1:]
    np.testing.assert_allclose(backwards[::-1], displacement, atol=1e-8)


def test_fd_wants_six_parameters() -> None:
    with pytest.raises(InputError, match="three translations and three rotations"):
        quality.framewise_displacement(np.zeros((5, 12)))


# --- DVARS ------------------------------------------------------------------------


@given(data=npst.arrays(np.float32, (6, 4), elements=finite))
def test_dvars_is_the_rms_change(data: np.ndarray) -> None:
    found = quality.dvars(data)
    assert np.isnan(found[0])
    expected = np.sqrt(np.mean(np.diff(data.astype(float), axis=0) ** 2, axis=1))
    np.testing.assert_allclose(found[1:], expected, rtol=1e-5, atol=1e-5)


def test_dvars_test_finds_the_planted_spike_and_little_else() -> None:
    data = 100 + noise(200, 3000)
    data[90] += 1.5
    test = quality.dvars_test(data)
    # A spike changes the volume it is in and the one after.
    assert np.flatnonzero(test.outlier).tolist() == [90, 91]
    assert np.nanmedian(test.relative) == pytest.approx(1, abs=1e-6)
    assert test.relative[90] == pytest.approx(np.sqrt(1 + 1.5**2 / 2), rel=0.1)
    # D² grows from 2 by 2.25, a quarter of that over a variance of one.
    assert test.excess_percent[90] == pytest.approx(100 * 2.25 / 4, rel=0.1)


def test_dvars_test_keeps_its_level_on_clean_noise() -> None:
    runs = [quality.dvars_test(noise(150, 3000, seed)) for seed in range(20)]
    p_values = np.concatenate([run.p_value[1:] for run in runs])
    assert 0.03 < (p_values < 0.05).mean() < 0.08
    assert sum(run.outlier.any() for run in runs) <= 2


def test_dvars_test_does_not_change_with_the_scale_of_the_data() -> None:
    data = noise(80, 60)
    data[40] += 3
    one, other = quality.dvars_test(data), quality.dvars_test(50 * data)
    np.testing.assert_allclose(one.p_value, other.p_value, atol=1e-6)
    np.testing.assert_array_equal(one.outlier, other.outlier)


def test_dvars_test_finds_nothing_in_a_constant_run() -> None:
    test = quality.dvars_test(np.ones((20, 5)))
    assert not test.outlier.any()
    assert np.isnan(test.relative).all()


# --- carpet plot ------------------------------------------------------------------


def test_voxels_are_ordered_by_what_they_share() -> None:
    shared = np.sin(np.arange(200) / 5)[:, None]
    weights = np.array([[0.0, 4.0, 1.0, -4.0, 8.0]])
    data = 100 + noise(200, 5) + shared * weights
    data = np.concatenate([data, np.full((200, 1), 50)], axis=1)
    order = quality.global_order(data)
    assert order[:3].tolist() == [4, 1, 2]
    assert order[-1] == 5


@given(
    data=npst.arrays(np.float32, (9, 6), elements=finite),
    n_rows=st.integers(1, 8),
)
def test_a_carpet_is_finite_and_holds_every_volume(
    data: np.ndarray, n_rows: int
) -> None:
    order = quality.global_order(data)
    assert sorted(order.tolist()) == list(range(6))
    picture = quality.carpet(data, order, n_rows)
    assert picture.shape == (min(n_rows, 6), 9)
    assert np.isfinite(picture).all()


def test_rows_of_a_carpet_are_z_scores_without_trend() -> None:
    data = 500 + 9 * noise(100, 8) + np.linspace(0, 80, 100)[:, None]
    picture = quality.carpet(data, np.arange(8), 8)
    np.testing.assert_allclose(picture.std(axis=1, ddof=1), 1, rtol=1e-3)
    slopes = np.polyfit(np.arange(100), picture.T, 1)[0]
    np.testing.assert_allclose(slopes, 0, atol=1e-5)
    halved = quality.carpet(data, np.arange(8), 4)
    np.testing.assert_allclose(halved[0], picture[:2].mean(axis=0), atol=1e-4)


def test_columns_of_a_carpet_are_means_over_all_voxels() -> None:
    """What alternates from frame to frame does so in the data, not in the picture."""
    data = 500 + 9 * noise(100, 30)
    data += 6 * (-1.0) ** np.arange(100)[:, None]
    whole = quality.carpet(data, np.arange(30), 30).mean(axis=0)
    picture = quality.carpet(data, quality.global_order(data), 5)
    np.testing.assert_allclose(picture.mean(axis=0), whole, atol=1e-5)
    assert np.corrcoef(whole[1:], whole[:-1])[0, 1] < -0.8
