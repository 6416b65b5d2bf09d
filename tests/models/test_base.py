"""Times, grouping of frames and the contract's own checks."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from boldformer.errors import InputError
from boldformer.models.frames import frame_times, group_frames, masked_mean
from boldformer.models.linear import Linear


def test_times_default_to_the_repetition_time():
    times, real = frame_times(torch.zeros(2, 4, 1), None, t_r=1.5)
    assert times.tolist() == [[0.0, 1.5, 3.0, 4.5]] * 2
    assert real.all()


def test_times_start_at_the_first_real_frame_of_each_window():
    given_s = torch.tensor([[10.0, 12.0, float("nan")], [5.0, 6.0, 7.0]])
    times, real = frame_times(torch.zeros(2, 3, 1), given_s, t_r=1.0)
    assert times.tolist() == [[0.0, 2.0, 0.0], [0.0, 1.0, 2.0]]
    assert real.tolist() == [[True, True, False], [True, True, True]]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 9), st.integers(1, 5))
def test_grouping_averages_runs_of_frames(n_times, n_frames):
    x = torch.randn(2, n_times, 1, 2, 2, 2)
    times, real = frame_times(x, None, t_r=2.0)
    grouped, grouped_times, kept = group_frames(x, times, real, n_frames)
    parts = x.split(n_frames, dim=1)
    expected = torch.stack([part.mean(1) for part in parts], dim=1)
    torch.testing.assert_close(grouped, expected)
    mean_times = [part.mean(1) for part in times.split(n_frames, dim=1)]
    torch.testing.assert_close(grouped_times, torch.stack(mean_times, dim=1))
    assert kept.all()


def test_a_group_of_padding_is_padding():
    x = torch.randn(1, 4, 1, 2, 2, 2)
    times_s = torch.tensor([0.0, 2.0, float("nan"), float("nan")])
    _, _, real = group_frames(x, *frame_times(x, times_s, t_r=2.0), 2)
    assert real.tolist() == [[True, False]]


def test_masked_mean_skips_padding():
    x = torch.tensor([[[1.0], [3.0], [99.0]]])
    assert masked_mean(x, torch.tensor([[True, True, False]])).item() == 2.0


@pytest.mark.parametrize(
    ("size", "value"),
    [("n_outputs", 1), ("n_times", 0), ("volume_shape", (4, 4)), ("in_channels", 0)],
)
def test_impossible_sizes_are_refused(size, value):
    sizes = {"n_outputs": 2, "n_times": 4, "volume_shape": (4, 4, 4), size: value}
    with pytest.raises(InputError, match=size):
        Linear(**sizes)


def test_several_channels_need_a_channel_axis():
    model = Linear(n_outputs=2, n_times=3, volume_shape=(4, 4, 4), in_channels=2)
    assert model(torch.zeros(1, 3, 2, 4, 4, 4)).shape == (1, 2)
    with pytest.raises(InputError, match="wanted shape"):
        model(torch.zeros(1, 3, 4, 4, 4))
