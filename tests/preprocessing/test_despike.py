"""Despiking: spikes are squashed, and nothing else is touched."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import median_abs_deviation

from boldformer.errors import InputError
from boldformer.preprocessing.base import RunContext, replay
from boldformer.preprocessing.causal import CausalDespike
from boldformer.preprocessing.despike import despike

CUTS = st.tuples(st.floats(0.5, 4), st.floats(0.1, 4)).map(lambda c: (c[0], sum(c)))


def noise(seed: int = 0, n_times: int = 200) -> np.ndarray:
    return 500 + 10 * np.random.default_rng(seed).standard_normal((n_times, 8))


@given(st.integers(0, 2**31), CUTS)
def test_no_value_exceeds_the_limit_and_the_order_stays(
    seed: int, cuts: tuple[float, float]
) -> None:
    data = noise(seed)
    data[::9] += 100 * np.random.default_rng(seed).standard_normal((23, 8))
    start, limit = cuts
    result = despike(data, start, limit)
    median = np.median(data, axis=0)
    spread = median_abs_deviation(data, axis=0, scale="normal")
    score, before = np.abs(result - median) / spread, np.abs(data - median) / spread
    assert score.max() <= limit * (1 + 1e-5)
    inside = before <= start * (1 - 1e-4)
    np.testing.assert_allclose(result[inside], data[inside])
    assert np.all(score <= before + 1e-9)
    ranked = np.take_along_axis(result, np.argsort(data, axis=0), axis=0)
    assert np.all(np.diff(ranked, axis=0) >= -1e-9)


def test_a_planted_spike_goes_and_its_neighbours_stay() -> None:
    data = noise()
    spiked = data.copy()
    spiked[70, 3] += 1000
    result = despike(spiked)
    assert abs(result[70, 3] - 500) < 45
    others = np.arange(200) != 70
    clean = despike(data)
    assert np.abs(result[others, 3] - clean[others, 3]).max() < 1
    np.testing.assert_array_equal(np.delete(result, 3, 1), np.delete(clean, 3, 1))


def test_a_voxel_that_hardly_varies_stays_as_it_is() -> None:
    data = np.full((50, 2), 7.0)
    data[3, 1] = 9.0
    np.testing.assert_array_equal(despike(data), data)


def test_frames_that_do_not_count_do_not_widen_the_gate() -> None:
    data = noise()
    good = np.arange(200) >= 120
    data[~good] *= 3
    result = despike(data, good=good)
    np.testing.assert_array_equal(result[good], despike(data[good]))


def test_the_causal_form_squashes_a_spike_and_forgets_it() -> None:
    data = noise(n_times=150)
    spiked = data.copy()
    spiked[100] += 1000
    run = RunContext(2.0)
    result = replay(CausalDespike(2.0), spiked, run)
    without = replay(CausalDespike(2.0), data, run)
    assert np.abs(result[100] - 500).max() < 70
    np.testing.assert_array_equal(result[:100], without[:100])
    assert np.abs(result[101:] - without[101:]).max() < 10


def test_the_causal_form_follows_a_step_of_the_level() -> None:
    data = noise(n_times=300)
    data[100:] += 300
    result = replay(CausalDespike(2.0), data, RunContext(2.0))
    assert np.abs(result[100] - data[100]).min() > 200
    np.testing.assert_allclose(result[150:], data[150:], atol=15)


@pytest.mark.parametrize(("start", "limit"), [(0, 4), (4, 2.5), (3, 3)])
def test_unusable_cuts_are_refused(start: float, limit: float) -> None:
    with pytest.raises(InputError, match="0 < start < limit"):
        despike(noise(), start, limit)
    with pytest.raises(InputError, match="0 < start < limit"):
        CausalDespike(2.0, start, limit)
