"""Smooth fields and coloured series."""

import numpy as np
import pytest

from boldformer.preprocessing.gaussian import FWHM_PER_SIGMA
from boldformer.simulation.fields import SmoothField, pink


@pytest.mark.parametrize("fwhm_mm", [4.0, 12.0, 40.0])
def test_a_field_has_unit_variance_up_to_its_edges(fwhm_mm):
    field = SmoothField((6, 9, 7), fwhm_mm, 4.0)
    drawn = field.draw(np.random.default_rng(0), 6000)
    assert drawn.shape == (6000, 6, 9, 7)
    assert drawn.dtype == np.float32
    np.testing.assert_allclose(drawn.std(axis=0), 1.0, atol=0.06)


@pytest.mark.parametrize("axis", [1, 2, 3])
@pytest.mark.parametrize("fwhm_mm", [12.0, 30.0])
def test_neighbours_correlate_as_the_kernel_says(axis, fwhm_mm):
    field = SmoothField((8, 7, 9), fwhm_mm, 4.0)
    drawn = field.draw(np.random.default_rng(1), 2000)
    here = np.take(drawn, range(drawn.shape[axis] - 1), axis=axis)
    there = np.take(drawn, range(1, drawn.shape[axis]), axis=axis)
    # White noise smoothed by a Gaussian of deviation s correlates as exp(-d²/4s²).
    expected = np.exp(-(4.0**2) / (4 * (fwhm_mm / FWHM_PER_SIGMA) ** 2))
    assert np.mean(here * there) == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize("n_times", [200, 201])
def test_pink_series_have_unit_variance_and_no_mean(n_times):
    white = np.random.default_rng(0).standard_normal((n_times, 400), dtype=np.float32)
    series = pink(white, knee_hz=0.01, t_r=2.0)
    assert series.shape == white.shape
    assert series.dtype == np.float32
    np.testing.assert_allclose(series.mean(axis=0), 0.0, atol=1e-5)
    assert np.mean(series**2) == pytest.approx(1.0, abs=0.05)


def test_pink_power_falls_with_frequency_above_the_knee():
    white = np.random.default_rng(0).standard_normal((400, 2000), dtype=np.float32)
    series = pink(white, exponent=1.0, knee_hz=0.02, t_r=2.0)
    power = (np.abs(np.fft.rfft(series, axis=0)) ** 2).mean(axis=1)
    hz = np.fft.rfftfreq(400, 2.0)
    above = hz > 0.03
    slope = np.polyfit(np.log(hz[above]), np.log(power[above]), 1)[0]
    assert slope == pytest.approx(-1.0, abs=0.05)
    flat = (hz > 0) & (hz < 0.02)
    assert power[flat].std() / power[flat].mean() < 0.15
