"""Parcels, their means and their scale over training windows."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from boldformer.errors import InputError
from boldformer.models import ParcelMLP
from boldformer.models.parcel_mlp import Standardise
from boldformer.models.parcels import box_parcels, parcel_means, parcellate

SHAPE = (9, 10, 8)


def perceptron(**parameters):
    torch.manual_seed(0)
    return ParcelMLP(n_outputs=3, n_times=4, volume_shape=SHAPE, **parameters)


def brain():
    mask = np.zeros(SHAPE, dtype=bool)
    mask[2:8, 1:9, 2:7] = True
    return mask


def seen(model, x):
    """Parcel means that the model's first layer is given."""
    with torch.no_grad():
        model(x)
        return model._parcel_means(x.mean(1).flatten(1)[:, None])


@given(st.tuples(*[st.integers(1, 14)] * 3), st.integers(1, 60))
def test_boxes_are_like_and_not_too_many(volume_shape, n_parcels):
    counts = np.bincount(box_parcels(volume_shape, n_parcels))
    assert len(counts) <= n_parcels
    assert counts.min() > 0
    assert counts.sum() == np.prod(volume_shape)
    # An axis is cut into pieces that differ by one voxel at most.
    assert counts.max() <= 8 * counts.min()


def test_a_common_volume_has_some_400_boxes():
    assert 300 <= box_parcels((91, 109, 91)).max() + 1 <= 400


def test_features_are_the_means_of_the_baseline_s_parcels():
    model, mask = perceptron(n_parcels=12), brain()
    model.set_brain(mask, (2.0, 2.0, 3.0))
    x = torch.randn(5, 4, *SHAPE) * torch.from_numpy(mask)
    values = x.mean(1).numpy()[:, mask]
    wanted = parcel_means(values, parcellate(mask, (2.0, 2.0, 3.0), 12))
    assert wanted.shape == (5, 12)
    np.testing.assert_allclose(seen(model, x), wanted, atol=1e-6)


def test_outside_of_the_brain_counts_for_nothing():
    model, mask = perceptron(n_parcels=12).eval(), torch.from_numpy(brain())
    model.set_brain(brain())
    x = torch.randn(2, 4, *SHAPE)
    torch.testing.assert_close(model(x), model(torch.where(mask, x, 100.0)))


def test_large_parcels_are_averaged_rightly_in_16_bits():
    model, x = perceptron(n_parcels=1).eval(), torch.full((1, 4, *SHAPE), 0.5)
    with torch.autocast("cpu", torch.bfloat16):
        assert seen(model, x.bfloat16()).item() == 0.5


def test_parcels_travel_with_the_weights():
    model = perceptron(n_parcels=12).eval()
    model.set_brain(brain())
    again = ParcelMLP.from_config(model.get_config()).eval()
    x = torch.randn(2, 4, *SHAPE)
    assert not torch.equal(again.parcel_of_voxel, model.parcel_of_voxel)
    again.load_state_dict(model.state_dict())
    assert torch.equal(again(x), model(x))


@pytest.mark.parametrize("mask", [np.ones((3, 3, 3)), np.zeros(SHAPE)])
def test_a_mask_that_does_not_fit_is_refused(mask):
    with pytest.raises(InputError, match="mask does not fit"):
        perceptron().set_brain(mask)


@given(st.lists(st.integers(1, 7), min_size=1, max_size=6))
def test_scale_is_that_of_all_training_windows(batch_sizes):
    batches = [3 + 2 * torch.randn(size, 5) for size in batch_sizes]
    layer, everything = Standardise(5).train(), torch.cat(batches)
    for batch in batches:
        layer(batch)
    torch.testing.assert_close(layer.mean, everything.mean(0), rtol=1e-4, atol=1e-4)
    variance = everything.var(0, correction=0)
    torch.testing.assert_close(layer.variance, variance, rtol=1e-4, atol=1e-4)


def test_evaluation_keeps_the_scale_and_a_constant_stays_finite():
    layer = Standardise(2).train()
    layer(torch.tensor([[1.0, 7.0], [3.0, 7.0]]))
    layer.eval()
    assert layer(torch.tensor([[4.0, 7.0]])).tolist() == [[2.0, 0.0]]
    assert layer.count == 2


def test_several_channels_have_their_own_means():
    model = perceptron(in_channels=2, n_parcels=20)
    assert model(torch.randn(2, 4, 2, *SHAPE)).shape == (2, 3)
    assert model.hidden.in_features == 40
