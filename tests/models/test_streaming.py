"""Streams give the logits of the batch form, from a state that does not grow."""

import math

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from boldformer.errors import InputError
from boldformer.models import create, list_models
from boldformer.models.encoding import TokenModel
from boldformer.models.streaming import TokenStream, WindowStream, open_stream

SHAPE = (9, 10, 8)
TOKEN_MODELS = ("cnn3d", "hybrid", "transformer")


def build(name="hybrid", volume_shape=SHAPE, n_times=8, **parameters):
    torch.manual_seed(0)
    model = create(
        name, n_outputs=3, n_times=n_times, volume_shape=volume_shape, **parameters
    )
    # A linear path and attention scores start at zero; trained ones do not.
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.02)
    return model


def run_of(n_volumes, volume_shape=SHAPE, seed=0):
    """Volumes at irregular times of an origin hours ago, some of them lost."""
    rng = np.random.default_rng(seed)
    volumes = rng.normal(size=(n_volumes, *volume_shape)).astype(np.float32)
    steps_s = rng.uniform(0.7, 2.5, size=n_volumes)
    steps_s[n_volumes // 2] += 2.0
    return volumes, 9000.0 + steps_s.cumsum()


def batch_logits(model, volumes, times_s):
    with torch.inference_mode():
        return model(
            torch.from_numpy(volumes)[None],
            torch.from_numpy((times_s - times_s[0]).astype(np.float32)),
        )[0]


def check_every_window(model, stream, volumes, times_s):
    for i, (volume, time_s) in enumerate(zip(volumes, times_s, strict=True)):
        logits = stream.push(volume, time_s)
        if i + 1 < stream.n_times:
            assert logits is None
            continue
        window = slice(i + 1 - stream.n_times, i + 1)
        expected = batch_logits(model, volumes[window], times_s[window])
        torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("n_times", [1, 3, 7, 8])
@pytest.mark.parametrize("name", list_models())
def test_every_window_has_the_logits_of_the_batch_form(name, n_times):
    model = build(name)
    check_every_window(model, open_stream(model, n_times), *run_of(17))


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    name=st.sampled_from(TOKEN_MODELS),
    n_times=st.integers(1, 12),
    frames_per_token=st.integers(1, 5),
    lost=st.sets(st.integers(0, 19), max_size=6),
)
def test_any_window_and_any_lost_volumes(name, n_times, frames_per_token, lost):
    model = build(name, (5, 6, 4), frames_per_token=frames_per_token)
    volumes, times_s = run_of(20, (5, 6, 4))
    kept = [i for i in range(20) if i not in lost]
    check_every_window(model, open_stream(model, n_times), volumes[kept], times_s[kept])


def test_volumes_with_several_channels():
    model = build("hybrid", in_channels=2)
    volumes = np.random.default_rng(0).normal(size=(11, 2, *SHAPE)).astype(np.float32)
    check_every_window(model, open_stream(model), volumes, 2.0 * np.arange(11))
    linear = build("linear", in_channels=2)
    check_every_window(linear, open_stream(linear), volumes, 2.0 * np.arange(11))


def test_without_the_linear_path():
    model = build("hybrid", linear_skip=False)
    check_every_window(model, open_stream(model), *run_of(12))


@pytest.mark.parametrize("name", list_models())
def test_the_form_follows_the_model(name):
    model = build(name)
    wanted = TokenStream if isinstance(model, TokenModel) else WindowStream
    assert type(open_stream(model)) is wanted


@pytest.mark.parametrize(("n_times", "most"), [(8, 1), (32, 1), (10, 2), (3, 1)])
def test_a_volume_is_encoded_once_however_long_the_window(n_times, most, monkeypatch):
    model = build("hybrid")
    stream, encode, calls = open_stream(model, n_times), model.encode, []
    monkeypatch.setattr(
        model, "encode", lambda x: calls.append(len(x)) or encode(x), raising=True
    )
    for volume, time_s in zip(*run_of(n_times + 5), strict=True):
        calls.clear()
        stream.push(volume, time_s)
        assert sum(calls) <= most
    assert sum(calls) == most


@pytest.mark.parametrize("name", ["hybrid", "linear"])
def test_what_is_kept_does_not_grow(name):
    stream = open_stream(build(name), 6)
    sizes = []
    for volume, time_s in zip(*run_of(60), strict=True):
        stream.push(volume, time_s)
        sizes.append(stream.n_bytes)
    assert sizes[5] > 0
    assert set(sizes[5:]) == {sizes[5]}
    assert stream.n_frames == 6


def test_tokens_can_be_counted():
    stream = open_stream(build("hybrid"), 10)
    counts = []
    for volume, time_s in zip(*run_of(14), strict=True):
        stream.push(volume, time_s)
        counts.append(stream.n_tokens)
    assert counts == [0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 7, 7, 7, 7]


@pytest.mark.parametrize("name", ["hybrid", "linear"])
def test_reset_begins_anew(name):
    model = build(name)
    stream = open_stream(model, 5)
    for volume, time_s in zip(*run_of(9, seed=1), strict=True):
        stream.push(volume, time_s)
    stream.reset()
    assert (stream.n_frames, stream.n_bytes) == (0, 0)
    check_every_window(model, stream, *run_of(9))


def test_the_callers_memory_may_be_written_again():
    model = build("hybrid")
    volumes, times_s = run_of(8)
    stream, buffer = open_stream(model), np.empty(SHAPE, np.float32)
    for volume, time_s in zip(volumes, times_s, strict=True):
        buffer[...] = volume
        logits = stream.push(buffer, time_s)
    torch.testing.assert_close(
        logits, batch_logits(model, volumes, times_s), rtol=1e-5, atol=1e-5
    )


def test_a_training_model_is_put_into_evaluation():
    model = build("hybrid").train()
    stream = open_stream(model, 2)
    assert not model.training
    (first, second), _ = run_of(2)
    stream.push(first, 0.0)
    logits = stream.push(torch.from_numpy(second).double(), 2.0)
    assert logits.shape == (3,)
    assert not logits.requires_grad


BAD = np.zeros(SHAPE, np.float32)
BAD[0, 0, 0] = np.nan


@pytest.mark.parametrize("name", ["hybrid", "linear"])
@pytest.mark.parametrize(
    ("volume", "time_s", "message"),
    [
        (np.zeros((4, 4, 4)), 1e6, r"wanted shape \(9, 10, 8\).*\(4, 4, 4\)"),
        (BAD, 1e6, "not finite"),
        (np.zeros(SHAPE), 0.0, "not later than the last"),
        (np.zeros(SHAPE), math.nan, "not later than the last"),
        (np.zeros(SHAPE), math.inf, "not later than the last"),
    ],
)
def test_a_refused_volume_leaves_no_trace(name, volume, time_s, message):
    model = build(name)
    volumes, times_s = run_of(12)
    stream = open_stream(model, 5)
    for i in range(6):
        stream.push(volumes[i], times_s[i])
    with pytest.raises(InputError, match=message):
        stream.push(volume, time_s)
    for i in range(6, 12):
        logits = stream.push(volumes[i], times_s[i])
    expected = batch_logits(model, volumes[7:], times_s[7:])
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)


def test_an_impossible_window_is_refused():
    with pytest.raises(InputError, match="at least 1"):
        open_stream(build(), 0)
