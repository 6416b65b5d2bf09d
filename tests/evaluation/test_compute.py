"""The counter agrees with counts by hand, real passes and published figures."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from boldformer.errors import InputError
from boldformer.evaluation.compute import (
    PeakMemory,
    compute_of,
    count_macs,
    peak_bytes,
)
from boldformer.models import DecoderModel, create, list_models

SMALL = (12, 14, 11)
FULL = (100, 100, 100)


class Probe(DecoderModel):
    """Any function of windows, to be counted."""

    def __init__(
        self, function: Callable[[Tensor], Tensor], volume_shape=(4, 4, 4)
    ) -> None:
        super().__init__(n_outputs=2, n_times=2, volume_shape=volume_shape)
        self.function = function

    def forward(self, x_BTXYZ: Tensor, times_s: Tensor | None = None) -> Tensor:
        return self.function(x_BTXYZ)


def build(name: str, n_times: int = 8, volume_shape=SMALL, n_outputs: int = 4):
    return create(name, n_outputs=n_outputs, n_times=n_times, volume_shape=volume_shape)


class Convolution(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Conv3d(2, 6, (3, 2, 1), stride=2, padding=(1, 0, 0)))


class Grouped(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Conv3d(2, 6, 3, padding=1, groups=2))


class Dense(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Flatten(1), nn.Linear(128, 5))


class Attention(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2)[:, None]
        return F.scaled_dot_product_attention(tokens, tokens, tokens)


class Einsum(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("btv,bsv->bts", x.flatten(2), x.flatten(2))


class Encoder(nn.Module):
    """The layer that torch fuses into one operation in evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(64, 4, 10, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.flatten(2))


class Pointwise(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (x.exp() * x).softmax(dim=-1).mean(dim=2)


BY_HAND = {
    # out positions 2·2·2, kernel 3·2·1
    Convolution: 6 * 2 * 8 * 6,
    Grouped: 6 * 1 * 64 * 27,
    Dense: 128 * 5,
    Attention: 2 * (2 * 2 * 64),
    Einsum: 2 * 2 * 64,
    # for each of 2 tokens: query, key, value, out; two of the feed-forward; attention
    Encoder: 2 * (4 * 64**2 + 2 * 64 * 10 + 2 * 2 * 64),
    Pointwise: 0,
}


@pytest.mark.parametrize("layer", BY_HAND, ids=lambda layer: layer.__name__)
@pytest.mark.parametrize("n_batch", [1, 3])
def test_counts_by_hand(layer: type[nn.Module], n_batch: int) -> None:
    assert count_macs(Probe(layer()), n_batch, 2) == n_batch * BY_HAND[layer]


@pytest.mark.parametrize("frozen", [False, True])
def test_the_fused_encoder_layer_is_counted_in_a_frozen_model(frozen: bool) -> None:
    model = Probe(Encoder()).requires_grad_(not frozen).eval()
    assert count_macs(model, 1, 2) == BY_HAND[Encoder]


@pytest.mark.parametrize("name", list_models())
def test_counts_are_those_of_the_real_forward_pass(name: str) -> None:
    model = build(name).eval()
    # With gradients and by MATH, torch fuses nothing into operations it cannot count.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(torch.randn(3, 8, *SMALL))
    assert count_macs(model, 3, 8) == counter.get_total_flops() // 2 > 0


@pytest.mark.parametrize("name", list_models())
@pytest.mark.parametrize("training", [False, True])
def test_memory_is_that_of_the_real_step(name: str, training: bool) -> None:
    model = build(name).train(training)
    x, memory = torch.randn(3, 8, *SMALL), PeakMemory()
    with memory, torch.set_grad_enabled(training):
        logits = model(x)
        if training:
            F.cross_entropy(logits, logits.argmax(dim=1)).backward()
    assert peak_bytes(model, 3, 8, training=training) == memory.peak > 0
    model.zero_grad()
    assert peak_bytes(model, 3, 8, training=training) == memory.peak


@pytest.mark.parametrize("name", list_models())
def test_a_batch_costs_its_windows(name: str) -> None:
    model = build(name)
    assert count_macs(model, 5, 8) == 5 * count_macs(model, 1, 8)


def test_a_window_larger_than_any_memory_is_counted() -> None:
    model = build("hybrid", volume_shape=FULL)
    n_times = 10**7  # forty terabytes
    assert count_macs(model, 1, n_times) > n_times * 10**8
    assert peak_bytes(model, 1, n_times) > n_times * 10**6


# --- memory -----------------------------------------------------------------------


def test_memory_by_hand() -> None:
    size = 4 * 2 * 64
    cases = {
        size: lambda x: x * 2,
        2 * size: lambda x: (x * 2) + 1,
        2.0 * size: lambda x: ((x * 2) + 1) * 3,  # the first is let go by then
        1.0 * size: lambda x: (x * 2).add_(1).flatten(1)[:, :5],  # nothing new
        0: lambda x: x.flatten(1),
    }
    for expected, function in cases.items():
        assert peak_bytes(Probe(function), 1, 2) == expected
    held = [torch.ones(5)]
    assert peak_bytes(Probe(lambda x: x * held[0].sum()), 1, 2) == size + 4


def test_training_keeps_activations_and_makes_gradients() -> None:
    model = Probe(nn.Sequential(nn.Flatten(1), nn.Linear(128, 300), nn.Linear(300, 2)))
    hidden, weights = 4 * 300, 4 * (128 * 300 + 300 + 300 * 2 + 2)
    assert peak_bytes(model, 1, 2) < 2 * hidden
    trained = peak_bytes(model, 1, 2, training=True)
    assert hidden + weights <= trained <= 1.1 * (2 * hidden + weights)


def test_memory_is_let_go() -> None:
    memory = PeakMemory()
    with memory:
        for _ in range(5):
            torch.ones(1000)
    assert memory.peak == 4000


# --- runs -------------------------------------------------------------------------


@given(st.integers(1, 60), st.integers(1, 30), st.floats(0.3, 4))
@settings(max_examples=20, deadline=None)
def test_windows_cover_a_run_once(n_times: int, frames: int, t_r: float) -> None:
    compute = compute_of(
        build("linear", frames, (3, 4, 5)),
        n_times=n_times,
        window_frames=frames,
        t_r=t_r,
    )
    read = (compute.n_windows - 1) * compute.window_frames + compute.last_frames
    assert read == n_times
    assert 1 <= compute.last_frames <= frames

    def by_hand(n_frames: int) -> int:
        # The mean, which is a product where there is more than one frame to average,
        # and a weight a voxel and class.
        return 60 * ((n_frames if n_frames > 1 else 0) + 4)

    full, last = (compute.n_windows - 1) * by_hand(frames), compute.last_frames
    assert compute.mac_per_window == by_hand(frames)
    assert compute.mac_per_run == full + by_hand(last)
    assert compute.mac_per_volume * n_times == pytest.approx(compute.mac_per_run)
    assert compute.mac_per_second * t_r == pytest.approx(compute.mac_per_volume)


def test_the_model_is_left_as_it_is() -> None:
    for training in (True, False):
        model = build("deepbrain").train(training)
        before = {key: value.clone() for key, value in model.state_dict().items()}
        random = torch.get_rng_state()
        compute_of(model, n_times=20, window_frames=8)
        assert torch.equal(random, torch.get_rng_state())
        assert model.training is training
        assert all(parameter.grad is None for parameter in model.parameters())
        for key, value in model.state_dict().items():
            assert torch.equal(value, before[key]), key
    assert torch.backends.mha.get_fastpath_enabled()


def test_a_closed_form_needs_no_training_memory() -> None:
    compute = compute_of(build("linear"), n_times=8, window_frames=8)
    assert compute.training_bytes is None


@pytest.mark.parametrize(
    "wrong",
    [{"n_times": 0}, {"window_frames": -1}, {"t_r": math.nan}, {"batch_size": 0}],
)
def test_sizes_must_be_positive(wrong: dict) -> None:
    sizes = {"n_times": 8, "window_frames": 8} | wrong
    with pytest.raises(InputError, match=next(iter(wrong))):
        compute_of(build("linear"), **sizes)


# --- published figures ------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("reference", 261e9, 262e9), ("reference_deepbrain", 464e9, 465e9)],
)
def test_published_flops_are_macs_of_32_volumes(
    name: str, low: float, high: float
) -> None:
    assert low <= count_macs(build(name, 1, FULL), 32, 1) <= high


def test_released_deepbrain() -> None:
    model = build("deepbrain", 27, (75, 93, 81), n_outputs=7)
    compute = compute_of(model, n_times=232, window_frames=27)
    assert compute.parameters == 3_982_177
    assert round(compute.mac_per_window / 1e9, 2) == 12.43
    assert (compute.n_windows, compute.last_frames) == (9, 16)


def test_a_run_of_released_deepbrain_in_whole_windows_only() -> None:
    mac = count_macs(build("deepbrain", 27, FULL), 1, 27)
    assert round(2 * 8 * mac / 1e9) == 336


def test_hybrid_takes_a_twentieth_of_the_reference() -> None:
    compute = compute_of(build("hybrid", 8, FULL), n_times=232, window_frames=8)
    assert compute.mac_per_volume <= 8.17e9 / 20
    assert 2 * compute.mac_per_run <= 100e9
