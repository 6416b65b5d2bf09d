"""Location-keeping pooling and attention over time."""

import pytest
import torch

from boldformer.errors import InputError
from boldformer.models.attention import (
    AttentionBlock,
    LocationPooling,
    TimeEncoding,
    TimeTransformer,
)


def test_pooling_starts_as_a_linear_layer_of_the_flattened_grid():
    torch.manual_seed(0)
    pooling = LocationPooling(10, 3, 8, n_heads=2, drop_prob=0.0)
    tokens = torch.randn(4, 10, 3)
    flat = torch.einsum("nf,hfe->nhe", tokens.flatten(1), pooling.value).flatten(1)
    torch.testing.assert_close(pooling(tokens), flat)


def test_pooling_keeps_location():
    torch.manual_seed(0)
    pooling = LocationPooling(10, 3, 8, n_heads=2, drop_prob=0.0)
    tokens = torch.randn(1, 10, 3)
    assert not torch.allclose(pooling(tokens), pooling(tokens.flip(1)))


def test_scores_move_the_weights_where_they_point():
    pooling = LocationPooling(5, 2, 4, n_heads=1, drop_prob=0.0)
    with torch.no_grad():
        pooling.score_position[3] = 10.0
    weights = pooling.weights(torch.zeros(1, 5, 2))
    assert weights.shape == (1, 1, 5)
    assert weights[0, 0].argmax() == 3
    assert weights[0, 0, 3] > 0.99


def test_time_is_in_seconds_not_in_frames():
    encoding = TimeEncoding(8)
    fast = encoding(0.5 * torch.arange(9.0)[None])
    slow = encoding(2.0 * torch.arange(3.0)[None])
    torch.testing.assert_close(fast[:, ::4], slow)


def test_padding_is_not_attended_to():
    torch.manual_seed(0)
    block = AttentionBlock(8, 2, drop_prob=0.0)
    real = torch.tensor([[True, True, False]])
    x = torch.randn(1, 3, 8)
    other = x.clone()
    other[:, 2] = 50.0
    a, weights = block(x, real)
    b, _ = block(other, real)
    torch.testing.assert_close(a[:, :2], b[:, :2])
    assert (weights[..., 2] == 0).all()


def test_order_matters_to_the_time_transformer():
    torch.manual_seed(0)
    transformer = TimeTransformer(8, n_heads=2, n_layers=1, drop_prob=0.0).eval()
    x, times = torch.randn(1, 4, 8), 2.0 * torch.arange(4.0)[None]
    real = torch.ones(1, 4, dtype=torch.bool)
    forwards, _ = transformer(x, times, real)
    backwards, _ = transformer(x.flip(1), times, real)
    assert not torch.allclose(forwards, backwards, atol=1e-4)


@pytest.mark.parametrize("n_heads", [0, 3])
def test_heads_that_do_not_divide_are_refused(n_heads):
    with pytest.raises(InputError, match="heads do not divide"):
        TimeTransformer(8, n_heads=n_heads, n_layers=1, drop_prob=0.0)
