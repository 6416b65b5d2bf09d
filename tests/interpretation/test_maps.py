"""Maps point to what a model uses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from boldformer.data.store import Grid
from boldformer.errors import InputError
from boldformer.interpretation.maps import class_maps, methods_for, to_image
from boldformer.models import create
from boldformer.training.source import ArrayWindows

SHAPE = (6, 5, 4)


def linear_model() -> torch.nn.Module:
    """A model that looks at one voxel, for its class 1."""
    model = create("linear", n_outputs=2, n_times=3, volume_shape=SHAPE)
    weight = torch.zeros(2, *SHAPE)
    weight[1, 2, 3, 1] = 2.0
    model.readout.set_weights(weight, torch.zeros(2))
    return model


def test_saliency_is_weight_times_signal() -> None:
    x = np.random.default_rng(0).standard_normal((7, 3, *SHAPE)).astype(np.float32)
    targets = np.array([1, 1, 0, 1, 0, 1, 1])
    sums, counts = class_maps(linear_model(), ArrayWindows(x), targets, "saliency")
    assert counts.tolist() == [2, 5]
    assert not sums[0].any()
    expected = np.zeros(SHAPE)
    # The gradient of a mean over three frames is a third of the weight.
    expected[2, 3, 1] = 2.0 / 3 * x[targets == 1, :, 2, 3, 1].sum()
    np.testing.assert_allclose(sums[1], expected, rtol=1e-5)


def test_attention_is_relative_to_an_even_spread() -> None:
    model = create("hybrid", n_outputs=2, n_times=3, volume_shape=(16, 16, 16))
    x = np.random.default_rng(0).standard_normal((4, 3, 16, 16, 16)).astype(np.float32)
    sums, counts = class_maps(
        model, ArrayWindows(x), np.array([0, 1, 0, 1]), "attention"
    )
    for total, count in zip(sums, counts, strict=True):
        assert (total / count).min() >= -1
        assert abs((total / count).mean()) < 0.1


def test_methods_depend_on_the_model() -> None:
    assert methods_for(linear_model()) == ["saliency"]
    with pytest.raises(InputError, match="no attention"):
        class_maps(
            linear_model(),
            ArrayWindows(np.zeros((1, 3, *SHAPE), np.float32)),
            np.array([0]),
            "attention",
        )
    with pytest.raises(InputError, match="unknown method"):
        class_maps(linear_model(), ArrayWindows(np.zeros((1, 3, *SHAPE))), [0], "x")


def test_an_image_lies_where_the_box_was() -> None:
    affine = np.array([[-2.0, 0, 0, 90], [0, 2, 0, -126], [0, 0, 2, -72], [0, 0, 0, 1]])
    grid = Grid.from_arrays((10, 10, 10), affine, "MNI152NLin2009cAsym")
    box = (slice(2, 8), slice(1, 6), slice(5, 9))
    mask = np.ones(SHAPE, dtype=bool)
    mask[0] = False
    values = np.random.default_rng(0).random(SHAPE)
    image = to_image(values, grid, box, mask)
    data = image.get_fdata()
    np.testing.assert_allclose(data[3:8, 1:6, 5:9], values[1:], rtol=1e-6)
    assert np.count_nonzero(data) == mask.sum()
    np.testing.assert_array_equal(image.affine, affine)
    assert image.header["sform_code"] == 4
