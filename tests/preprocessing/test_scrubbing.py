"""Scrubbing: which volumes, and what stands in their place."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nilearn.signal import clean

from boldformer.errors import InputError
from boldformer.preprocessing.filtering import butterworth
from boldformer.preprocessing.scrubbing import (
    hold_frames,
    interpolate_frames,
    scrub_frames,
)

marks = st.lists(st.booleans(), min_size=12, max_size=40).map(np.array)


def smooth_series(n_times: int) -> np.ndarray:
    time = np.arange(n_times)[:, None]
    return 100 + 10 * np.sin(time / 4 + np.arange(5))


def test_frames_that_moved_more_are_scrubbed() -> None:
    moved = np.array([np.nan, 0.2, 0.5, 0.51, 3.0, 0.0])
    assert scrub_frames(moved, 0.5).tolist() == [False, False, False, True, True, False]
    with pytest.raises(InputError, match="fd_mm above 0"):
        scrub_frames(moved, 0)


def test_interpolation_equals_nilearns() -> None:
    rng = np.random.default_rng(0)
    data = 100 + 10 * rng.standard_normal((90, 6))
    bad = rng.random(90) < 0.15
    bad[[0, -1]] = False
    # nilearn 0.14 forgets a frame where the one as far from the other end is bad too.
    bad &= ~bad[::-1]
    # It interpolates before it filters, and drops the frames afterwards.
    theirs = clean(
        data,
        t_r=2.0,
        low_pass=0.1,
        sample_mask=~bad,
        standardize=None,
        detrend=False,
        filter="butterworth",
    )
    ours = butterworth(interpolate_frames(data, bad), 2.0, low_pass_hz=0.1)
    np.testing.assert_allclose(ours[~bad], theirs, rtol=1e-4)
    careless = butterworth(data, 2.0, low_pass_hz=0.1)
    assert np.abs(careless[~bad] - theirs).max() > 1


@given(marks)
def test_bad_frames_are_never_looked_at(bad: np.ndarray) -> None:
    if bad.all():
        bad[3] = False
    data = smooth_series(len(bad))
    spoilt = data.copy()
    spoilt[bad] = np.nan
    result = interpolate_frames(spoilt, bad)
    assert np.isfinite(result).all()
    np.testing.assert_array_equal(result[~bad], data[~bad])
    if not bad[0]:
        assert np.isfinite(hold_frames(spoilt, bad)).all()


@given(marks)
def test_ends_hold_the_nearest_good_frame(bad: np.ndarray) -> None:
    bad[5] = False
    data = smooth_series(len(bad))
    good = np.flatnonzero(~bad)
    result = interpolate_frames(data, bad)
    for time in range(good[0]):
        np.testing.assert_allclose(result[time], data[good[0]])
    for time in range(good[-1], len(bad)):
        np.testing.assert_allclose(result[time], data[good[-1]])


def test_a_line_is_restored_across_a_gap() -> None:
    positions = np.array([0, 1, 2, 7, 8, 9, 20, 21])
    line = 5.0 + 2.0 * positions[:, None]
    spoilt = line.copy()
    spoilt[[2, 4]] = 1e6
    bad = np.isin(np.arange(8), [2, 4])
    np.testing.assert_allclose(interpolate_frames(spoilt, bad, positions), line)


def test_a_run_without_a_good_frame_is_refused() -> None:
    with pytest.raises(InputError, match="every volume is scrubbed"):
        interpolate_frames(np.zeros((4, 2)), np.ones(4, dtype=bool))


def test_holding_repeats_the_last_good_frame() -> None:
    data = np.arange(7.0)[:, None]
    bad = np.array([True, False, True, True, False, False, True])
    assert hold_frames(data, bad)[:, 0].tolist() == [0, 1, 1, 1, 4, 5, 5]
    np.testing.assert_array_equal(hold_frames(data, None), data)
