"""DropConnect and the volume encoder."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from boldformer.models.layers import (
    DropConnectConv3d,
    DropConnectLinear,
    VolumeEncoder,
    drop_connect,
    halve,
)


def test_drop_connect_zeroes_the_right_share_and_keeps_the_expectation():
    torch.manual_seed(0)
    n = 400_000
    dropped = drop_connect(torch.ones(n), 0.17, training=True)
    share = (dropped == 0).float().mean().item()
    # Four standard errors of a binomial share.
    assert share == pytest.approx(0.17, abs=4 * (0.17 * 0.83 / n) ** 0.5)
    assert dropped.mean().item() == pytest.approx(1.0, abs=5e-3)
    assert dropped.unique().tolist() == pytest.approx([0.0, 1 / 0.83], rel=1e-4)


def test_drop_connect_drops_weights_independently():
    torch.manual_seed(0)
    kept = drop_connect(torch.ones(400_000), 0.17, training=True) > 0
    for lag in (1, 2, 3, 4, 8):
        both = (kept[lag:] & kept[:-lag]).float().mean().item()
        assert both == pytest.approx(0.83**2, abs=4e-3)


def test_drop_connect_leaves_weights_alone_at_inference():
    weight = torch.randn(7, 5)
    assert drop_connect(weight, 0.5, training=False) is weight
    assert drop_connect(weight, 0.0, training=True) is weight


@pytest.mark.parametrize(
    ("layer", "x"),
    [
        (DropConnectLinear(30, 4, drop_prob=0.3), torch.randn(2, 30)),
        (
            DropConnectConv3d(2, 3, (6, 6, 6), (2, 1, 2), drop_prob=0.3),
            torch.randn(2, 2, 6, 6, 6),
        ),
    ],
)
def test_mean_output_in_training_is_the_output_at_inference(layer, x):
    torch.manual_seed(0)
    with torch.no_grad():
        outputs = torch.stack([layer.train()(x) for _ in range(4000)])
        expected = layer.eval()(x)
    error = outputs.std(0) / 4000**0.5
    assert ((outputs.mean(0) - expected).abs() < 6 * error + 1e-6).all()


def test_dropped_weights_get_no_gradient():
    torch.manual_seed(0)
    weight = torch.ones(1000, requires_grad=True)
    dropped = drop_connect(weight, 0.5, training=True)
    dropped.sum().backward()
    assert torch.equal(weight.grad == 0, dropped == 0)


@settings(max_examples=25, deadline=None)
@given(st.tuples(*[st.integers(1, 40)] * 3), st.integers(2, 12))
def test_encoder_takes_any_volume_to_the_grid_it_announces(volume_shape, max_grid):
    encoder = VolumeEncoder(
        volume_shape,
        in_channels=1,
        stem_channels=4,
        out_channels=4,
        max_grid=max_grid,
        n_blocks=1,
        drop_prob=0.1,
    )
    grid = encoder(torch.zeros(1, 1, *volume_shape))
    assert grid.shape == (1, encoder.out_channels, *encoder.grid_shape)
    assert max(encoder.grid_shape) <= max_grid


def test_a_response_lands_in_the_matching_part_of_the_grid():
    torch.manual_seed(0)
    encoder = VolumeEncoder(
        (32, 32, 32),
        in_channels=1,
        stem_channels=4,
        out_channels=4,
        max_grid=8,
        n_blocks=0,
        drop_prob=0.0,
    ).eval()
    quiet, loud = torch.zeros(1, 1, 32, 32, 32), torch.zeros(1, 1, 32, 32, 32)
    loud[..., 25:27, 5:7, 13:15] = 1.0
    change = (encoder(loud) - encoder(quiet))[0].abs().sum(0)
    place = (change == change.max()).nonzero()[0]
    assert (place - torch.tensor([6, 1, 3])).abs().max() <= 1


def test_halve_keeps_short_axes():
    assert halve((40, 20, 1), at_least=8) == ((2, 2, 1), (20, 10, 1))
