"""Eight bits: how much is lost, and that nothing else is."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from boldformer.data.store import ZSCORE_SCALE, Grid, quantise


def test_zscores_lose_under_two_percent_of_their_spread() -> None:
    data = np.random.default_rng(0).standard_normal((500, 200)).astype(np.float32)
    stored, levels = quantise(data, zscored=True)
    assert levels is None
    error = stored * ZSCORE_SCALE - data
    assert np.abs(error).max() <= ZSCORE_SCALE / 2 + 1e-6
    assert 0.017 < error.std() < 0.019


def test_extreme_zscores_are_clipped_not_wrapped() -> None:
    stored, _ = quantise(np.array([[100.0, -100.0]]), zscored=True)
    assert stored.tolist() == [[127, -127]]


@given(
    hnp.arrays(
        np.float64,
        st.tuples(st.integers(2, 20), st.integers(1, 5)),
        elements=st.floats(-1e5, 1e5, width=32),
    )
)
def test_any_level_comes_back_within_half_a_step(data: np.ndarray) -> None:
    stored, levels = quantise(data, zscored=False)
    assert levels is not None
    back = stored * levels[1].astype(float) + levels[0]
    step = np.abs(data - data.mean(axis=0)).max(axis=0) / 127
    assert (np.abs(back - data) <= step / 2 + 1e-6 * np.abs(data).max() + 1e-9).all()


def test_grids_agree_to_a_thousandth_of_a_millimetre() -> None:
    affine = np.diag([3.0, 3.0, 4.0, 1.0])
    grid = Grid.from_arrays((4, 5, 6), affine, "MNI")
    near, far = affine.copy(), affine.copy()
    near[0, 3] += 1e-4
    far[0, 3] += 1
    assert grid.agrees_with(Grid.from_arrays((4, 5, 6), near))
    assert not grid.agrees_with(Grid.from_arrays((4, 5, 6), far))
    assert not grid.agrees_with(Grid.from_arrays((4, 5, 7), affine))
    assert grid.voxel_size_mm == (3.0, 3.0, 4.0)
