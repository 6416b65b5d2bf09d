"""Scaling of voxels at the edge of what numbers can hold."""

import numpy as np
import pytest

from boldformer.preprocessing.normalisation import zscore


def test_values_too_small_to_be_told_apart_become_zero():
    data = np.zeros((9, 2), dtype=np.float32)
    data[4, 0] = 1e-45
    data[:, 1] = np.arange(9)
    found = zscore(data)
    assert np.isfinite(found).all()
    assert not found[:, 0].any()
    assert found[:, 1].std(ddof=1) == pytest.approx(1)
