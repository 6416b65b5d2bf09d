"""Which frames a window reads, and what resampling in time keeps."""

from __future__ import annotations

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from boldformer.preprocessing.frame_alignment import (
    frames_covering,
    frames_from,
    overlap_weights,
)

repetition = st.sampled_from([0.5, 0.72, 1.0, 1.5, 2.0, 3.0])


@given(repetition, repetition, st.floats(0, 20), st.integers(1, 12))
def test_the_mean_over_time_is_kept(
    t_r: float, step_s: float, start_s: float, n_steps: int
) -> None:
    """Resampling a piecewise constant signal keeps its integral over the window."""
    times = t_r * np.arange(200)
    end_s = start_s + n_steps * step_s
    assume(end_s < times[-1])
    first, count = frames_covering(times, t_r, start_s, end_s) or (0, 0)
    assert count > 0
    read = times[first : first + count]
    weights = overlap_weights(read, t_r, start_s, step_s, n_steps)
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)
    values = np.random.default_rng(0).standard_normal(count)
    fine = start_s + (np.arange(4000) + 0.5) / 4000 * (end_s - start_s)
    expected = values[np.clip(((fine - read[0]) / t_r).astype(int), 0, count - 1)]
    np.testing.assert_allclose((weights @ values).mean(), expected.mean(), atol=0.02)


@given(repetition, st.integers(0, 50), st.integers(1, 20))
def test_equal_steps_are_the_frames_themselves(
    t_r: float, first: int, n_steps: int
) -> None:
    times = t_r * np.arange(80)
    found = frames_covering(times, t_r, first * t_r, (first + n_steps) * t_r)
    assert found == (first, n_steps)
    assert frames_from(times, t_r, first * t_r, n_steps) == first
    weights = overlap_weights(
        times[first : first + n_steps], t_r, first * t_r, t_r, n_steps
    )
    np.testing.assert_allclose(weights, np.eye(n_steps), atol=1e-5)


@given(repetition, st.floats(0, 100))
def test_the_first_frame_is_the_next_one_acquired(t_r: float, start_s: float) -> None:
    times = t_r * np.arange(300)
    first = frames_from(times, t_r, start_s, 3)
    assert first is not None
    assert -1e-3 <= (times[first] - start_s) / t_r < 1


def test_outside_the_run_and_across_gaps_there_is_nothing() -> None:
    times = np.array([0.0, 2, 4, 10, 12, 14])
    assert frames_from(times, 2.0, -3.0, 1) is None
    assert frames_from(times, 2.0, 0.0, 4) is None
    assert frames_from(times, 2.0, 5.0, 1) is None
    assert frames_from(times, 2.0, 9.0, 3) == 3
    assert frames_from(times, 2.0, 12.0, 3) is None
    assert frames_covering(times, 2.0, -1.0, 3.0) is None
    assert frames_covering(times, 2.0, 1.0, 5.0) == (0, 3)
    assert frames_covering(times, 2.0, 3.0, 11.0) is None
    assert frames_covering(times, 2.0, 6.5, 9.0) is None
    assert frames_covering(times, 2.0, 11.0, 17.0) is None
