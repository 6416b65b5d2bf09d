"""Windows in memory."""

import numpy as np
import pytest

from boldformer.errors import InputError
from boldformer.training.source import ArrayWindows, gather_means


def source(dtype=np.float32):
    array = np.random.default_rng(0).normal(size=(5, 4, 3, 3, 2)).astype(dtype)
    mask = np.ones((3, 3, 2), dtype=bool)
    mask[0, 0] = False
    return array, mask, ArrayWindows(array, mask)


def test_batches_and_means_agree():
    array, mask, windows = source(np.float16)
    rows = np.array([3, 1])
    assert windows.shape == array.shape
    assert windows.batch(rows).dtype == np.float32
    expected = array[rows].astype(np.float32).mean(1)[:, mask]
    np.testing.assert_allclose(windows.means(rows), expected, rtol=1e-3, atol=1e-4)


def test_unmask_is_the_inverse_of_masking():
    _, mask, windows = source()
    weights = np.random.default_rng(1).normal(size=(2, mask.sum()))
    volumes = windows.unmask(weights)
    np.testing.assert_array_equal(volumes[:, mask], weights)
    assert (volumes[:, ~mask] == 0).all()


def test_means_are_gathered_in_chunks():
    _, _, windows = source()
    rows = np.arange(5)
    np.testing.assert_array_equal(
        gather_means(windows, rows, chunk=2), windows.means(rows)
    )


def test_wrong_arrays_are_refused():
    array, mask, _ = source()
    with pytest.raises(InputError, match="not windows"):
        ArrayWindows(array[0])
    with pytest.raises(InputError, match="different grids"):
        ArrayWindows(array, mask[:2])
