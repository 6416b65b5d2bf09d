"""DropConnect and the volume encoder."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from boldformer.errors import InputError
from boldformer.models.layers import (
    Conv3d,
    DropConnectConv3d,
    DropConnectLinear,
    Dropping,
    VolumeEncoder,
    drop_connect,
    halve,
    set_drop_kind,
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


def drawn_weights(layer, n_draws):
    """Weights that a layer in training uses in some calls, (n_draws, n_weights).

    Seen from outside, through its outputs for inputs that are one in a single place.
    """
    if isinstance(layer, DropConnectLinear):
        impulses = torch.eye(layer.in_features)
        outputs = [layer(impulses).T for _ in range(n_draws)]
    else:
        # A kernel of 3 laid over an impulse in the middle comes out mirrored.
        impulses = torch.zeros(layer.in_channels, layer.in_channels, 5, 5, 5)
        for channel, volume in enumerate(impulses):
            volume[channel, 2, 2, 2] = 1.0
        outputs = [
            layer(impulses)[..., 1:4, 1:4, 1:4].flip(2, 3, 4).transpose(0, 1)
            for _ in range(n_draws)
        ]
    return torch.stack(outputs).flatten(1)


def unbiased(layer):
    torch.nn.init.uniform_(layer.weight, 0.5, 1.5)
    torch.nn.init.zeros_(layer.bias)
    return layer.train()


@pytest.mark.parametrize("drop_prob", [0.17, 0.5])
@pytest.mark.parametrize(
    "make",
    [
        lambda p: DropConnectLinear(20, 6, drop_prob=p),
        lambda p: DropConnectConv3d(2, 3, (5, 5, 5), (1, 1, 1), drop_prob=p),
    ],
    ids=["linear", "conv"],
)
def test_the_weights_of_a_layer_drop_as_bernoulli_variables_do(make, drop_prob):
    torch.manual_seed(0)
    layer, n_draws = unbiased(make(drop_prob)), 4000
    with torch.no_grad():
        used = drawn_weights(layer, n_draws)
        weight = layer.weight.flatten()
        torch.testing.assert_close(drawn_weights(layer.eval(), 1)[0], weight)
    kept = (used != 0).float()
    keep = 1 - drop_prob
    # Each weight by itself is kept as often as it should: five standard errors.
    error = (keep * drop_prob / n_draws) ** 0.5
    assert (kept.mean(0) - keep).abs().max() < 5 * error
    # Those kept are scaled alike; so mean and variance are those of w m / (1 - p).
    torch.testing.assert_close(
        used, kept * weight / keep, rtol=1e-4, atol=1e-6, check_stride=False
    )
    torch.testing.assert_close(used.mean(0), weight, rtol=6 * error / keep, atol=0)
    variance = weight**2 * drop_prob / keep
    assert used.var(0).sum().item() == pytest.approx(variance.sum().item(), rel=0.05)
    # Pairs of weights, and one weight in two calls, drop independently.
    correlation = torch.corrcoef(kept.T).fill_diagonal_(0)
    assert correlation.abs().max() < 6 / n_draws**0.5
    later = torch.corrcoef(torch.stack([kept[1:].flatten(), kept[:-1].flatten()]))
    assert later[0, 1].abs() < 5 / kept.numel() ** 0.5


def test_one_mask_serves_the_whole_batch():
    torch.manual_seed(0)
    layer = DropConnectLinear(30, 4, drop_prob=0.5).train()
    x = torch.randn(1, 30)
    together = layer(x.expand(5, 30))
    torch.testing.assert_close(together, together[:1].expand(5, 4))
    assert (layer(x) - together[:1]).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("layer", "x"),
    [
        (DropConnectLinear(30, 400, drop_prob=0.3), torch.randn(50, 30)),
        (
            DropConnectConv3d(2, 8, (12, 12, 12), (1, 1, 1), drop_prob=0.3),
            torch.randn(2, 2, 12, 12, 12),
        ),
    ],
    ids=["linear", "conv"],
)
def test_dropout_drops_outputs_in_place_of_weights(layer, x):
    torch.manual_seed(0)
    set_drop_kind(layer, "outputs")
    with torch.no_grad():
        dropped, whole = layer.train()(x), layer.eval()(x)
    kept = dropped != 0
    error = (0.3 * 0.7 / kept.numel()) ** 0.5
    assert kept.float().mean().item() == pytest.approx(0.7, abs=5 * error)
    torch.testing.assert_close(dropped[kept], whole[kept] / 0.7)
    set_drop_kind(layer, "weights")
    assert (layer.train()(x) != 0).all()


def test_the_kind_of_dropping_reaches_every_layer_and_has_a_name():
    encoder = VolumeEncoder(
        (16, 16, 16),
        in_channels=1,
        stem_channels=4,
        out_channels=4,
        max_grid=4,
        n_blocks=1,
        drop_prob=0.1,
    )
    set_drop_kind(encoder, "outputs")
    kinds = [m.drop_kind for m in encoder.modules() if isinstance(m, Dropping)]
    assert kinds == ["outputs"] * 3
    with pytest.raises(InputError, match="unknown drop_kind"):
        set_drop_kind(encoder, "both")


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


@pytest.mark.parametrize(
    ("volume_shape", "stride"), [((2, 3, 2), 1), ((2, 3, 7), 1), ((9, 5, 1), 2)]
)
def test_short_maps_have_true_gradients_in_bfloat16(
    volume_shape: tuple[int, int, int], stride: int
) -> None:
    torch.manual_seed(0)
    conv = Conv3d(64, 64, 3, stride, padding=1)
    x = torch.randn(8, 64, *volume_shape)
    gradients = []
    for bf16 in (False, True):
        conv.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = conv(x).float().square().mean()
        loss.backward()
        assert conv.weight.grad is not None
        gradients.append(conv.weight.grad.clone())
    true, low = gradients
    assert (low - true).norm() < 0.05 * true.norm()
