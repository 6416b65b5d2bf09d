"""DeepBrain has the released sizes and reads windows of any timing."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from boldformer.models import DeepBrain
from boldformer.models.deepbrain import BatchNorm, halved, resample_frames

NAN = float("nan")


def test_parameters_and_operations_are_the_released_ones():
    with torch.device("meta"):
        model = DeepBrain(n_outputs=7, n_times=27, volume_shape=(75, 93, 81)).eval()
        window = torch.empty(1, 27, 75, 93, 81)
    with FlopCounterMode(display=False) as counter:
        model(window)
    assert sum(p.numel() for p in model.parameters()) == 3_982_177
    assert round(counter.get_total_flops() / 2e9, 2) == 12.43


@pytest.mark.parametrize(
    "volume_shape", [(1, 1, 1), (40, 20, 1), (17, 16, 15), (64, 64, 34)]
)
def test_the_last_kernel_is_the_whole_map(volume_shape):
    with torch.device("meta"):
        model = DeepBrain(n_outputs=2, n_times=1, volume_shape=volume_shape).eval()
        stem, blocks, last = model.encoder
        grid = blocks(stem(torch.empty(1, 1, *volume_shape)))
    assert tuple(grid.shape[2:]) == halved(volume_shape) == last.kernel_size


def test_frames_and_channels_all_have_their_own_weights():
    model = DeepBrain(n_outputs=2, n_times=5, volume_shape=(9, 9, 9), in_channels=2)
    assert model.encoder[0][0].in_channels == 10
    x = torch.randn(2, 5, 2, 9, 9, 9)
    assert not torch.allclose(model.eval()(x), model(x.flip(1)))


def ramp(times_s):
    """Two voxels that grow linearly in time, (1, T, 1, 2, 1, 1)."""
    values = torch.stack([times_s, 3 - 2 * times_s], dim=-1)
    return values[None, :, None, :, None, None]


@given(
    st.lists(st.floats(0.1, 5.0), min_size=1, max_size=12),
    st.integers(2, 9),
    st.floats(-50, 50),
)
def test_what_is_linear_in_time_stays_so(gaps_s, n_times, start_s):
    times_s = torch.tensor([0.0, *gaps_s]).cumsum(0)
    read = resample_frames(ramp(times_s), times_s + start_s, n_times)
    wanted = ramp(torch.linspace(0, float(times_s[-1]), n_times))
    torch.testing.assert_close(read, wanted, rtol=1e-3, atol=1e-3)


def test_frames_at_the_wanted_times_are_read_as_they_are():
    x = torch.randn(2, 6, 1, 3, 2, 2)
    torch.testing.assert_close(resample_frames(x, None, 6), x)
    torch.testing.assert_close(resample_frames(x, 0.72 * torch.arange(6), 6), x)


@pytest.mark.parametrize("place", [0, 2, 4])
def test_padding_counts_for_nothing_wherever_it_is(place):
    times_s = torch.tensor([3.0, 4.0, 7.0, 8.0])
    x = torch.randn(1, 4, 1, 2, 2, 2)
    padded = torch.cat([x[:, :place], 1e6 * torch.ones_like(x), x[:, place:]], dim=1)
    padded_s = torch.cat([times_s[:place], torch.full((4,), NAN), times_s[place:]])
    torch.testing.assert_close(
        resample_frames(padded, padded_s, 5), resample_frames(x, times_s, 5)
    )


def test_a_single_frame_is_read_in_the_middle_and_repeated():
    x = torch.randn(1, 3, 1, 2, 2, 2)
    torch.testing.assert_close(resample_frames(x, None, 1), x[:, 1:2])
    torch.testing.assert_close(
        resample_frames(x[:, :1], None, 4), x[:, :1].expand(-1, 4, -1, -1, -1, -1)
    )


def test_a_window_of_padding_alone_is_zero():
    read = resample_frames(torch.ones(1, 2, 1, 1, 1, 1), torch.tensor([NAN, NAN]), 3)
    assert not read.any()


def test_batch_norm_falls_back_on_running_statistics_for_one_value():
    norm, one = BatchNorm(4), torch.randn(1, 4, 1, 1, 1)
    torch.testing.assert_close(norm(one), one, rtol=1e-4, atol=1e-4)
    many = torch.randn(2, 4, 3, 1, 1)
    torch.testing.assert_close(norm(many), torch.nn.BatchNorm3d(4)(many))
