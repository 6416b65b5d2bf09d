"""The hybrid's switches: pooling over space, normalisation, what drops."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from boldformer.errors import InputError
from boldformer.models import get_model
from boldformer.models.attention import ContentPooling, GlobalPooling
from boldformer.models.hybrid import Hybrid
from boldformer.models.layers import Dropping

SHAPE = (10, 12, 9)
SWITCHES = [
    {"space_pooling": "content"},
    {"space_pooling": "global"},
    {"norm": "batch"},
    {"drop_kind": "outputs"},
]


def build(**parameters):
    torch.manual_seed(0)
    return Hybrid(n_outputs=3, n_times=6, volume_shape=SHAPE, **parameters)


def windows(n=4):
    return torch.randn(n, 6, *SHAPE)


@pytest.mark.parametrize("switch", SWITCHES)
def test_every_switch_trains_and_comes_back_from_its_config(switch):
    model, x = build(**switch), windows()
    F.cross_entropy(model(x), torch.tensor([0, 1, 2, 0])).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    again = get_model("hybrid").from_config(model.get_config())
    again.load_state_dict(model.state_dict())
    assert again.get_config() == model.get_config()
    assert torch.equal(again.eval()(x), model.eval()(x))


@pytest.mark.parametrize("switch", SWITCHES)
def test_a_switch_makes_another_model(switch):
    x = windows()
    torch.manual_seed(1)
    plain = build().train()(x)
    torch.manual_seed(1)
    assert not torch.allclose(build(**switch).train()(x), plain)


@pytest.mark.parametrize("switch", SWITCHES[:2])
def test_attention_maps_sum_to_one(switch):
    maps = build(**switch).eval().attention(windows())
    assert maps["space"].shape[:2] == maps["time"].shape[:2]
    totals = maps["space"].sum((2, 3, 4))
    torch.testing.assert_close(totals, torch.ones_like(totals))


def test_batch_norm_takes_the_place_of_every_group_norm():
    modules = list(build(norm="batch", n_blocks=1).modules())
    assert any(isinstance(module, nn.BatchNorm3d) for module in modules)
    assert not any(isinstance(module, nn.GroupNorm) for module in modules)


@pytest.mark.parametrize("drop_kind", ["weights", "outputs"])
def test_every_layer_drops_the_same_kind(drop_kind):
    layers = [
        m for m in build(drop_kind=drop_kind).modules() if isinstance(m, Dropping)
    ]
    assert {layer.drop_kind for layer in layers} == {drop_kind}


def test_location_pooling_alone_knows_where_a_token_is():
    torch.manual_seed(0)
    tokens = torch.randn(2, 10, 3)
    order = torch.randperm(10)
    for pooling in (
        ContentPooling(3, 8, n_heads=2, drop_prob=0.0),
        GlobalPooling(3, 8, drop_prob=0.0),
    ):
        torch.testing.assert_close(pooling(tokens), pooling(tokens[:, order]))


def test_content_pooling_starts_as_global_pooling_and_moves_with_its_scores():
    torch.manual_seed(0)
    pooling = ContentPooling(3, 8, n_heads=2, drop_prob=0.0)
    tokens = torch.randn(2, 10, 3)
    mean = torch.einsum("nc,hce->nhe", tokens.mean(1), pooling.value).flatten(1)
    torch.testing.assert_close(pooling(tokens), mean)
    with torch.no_grad():
        pooling.score.weight[0, 0] = 50.0
    chosen = pooling.weights(tokens)[:, 0].argmax(dim=1)
    assert torch.equal(chosen, tokens[..., 0].argmax(dim=1))


@pytest.mark.parametrize(
    ("switch", "message"),
    [
        ({"space_pooling": "max"}, "unknown space_pooling.*location"),
        ({"norm": "layer"}, "unknown norm.*group"),
        ({"drop_kind": "none"}, "unknown drop_kind"),
    ],
)
def test_an_unknown_switch_is_refused(switch, message):
    with pytest.raises(InputError, match=message):
        build(**switch)
