"""Frames of a window: their times, groups of them, and means over the real ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# Shape suffixes: B windows in a batch    T frames in a window    C channels
#   X, Y, Z voxels    V values of a volume    G groups of N frames each    D features


def frame_times(
    x_BTCXYZ: Tensor, times_s: Tensor | None, t_r: float
) -> tuple[Tensor, Tensor]:
    """Seconds since a window's first frame, and which frames are real.

    Parameters
    ----------
    x_BTCXYZ : Tensor, shape (batch, n_times, ...)
        Windows; only their first two sizes are read.
    times_s : Tensor, shape (n_times,) or (batch, n_times), optional
        Seconds; NaN marks padding.
    t_r : float
        Seconds between frames where `times_s` is not given.

    Returns
    -------
    times_BT : Tensor, shape (batch, n_times)
        Seconds, 0 for padding.
    real_BT : Tensor of bool, shape (batch, n_times)
    """
    n_batch, n_times = x_BTCXYZ.shape[:2]
    if times_s is None:
        times_s = torch.arange(n_times, device=x_BTCXYZ.device) * t_r
    times_BT = times_s.to(x_BTCXYZ.device, torch.float32).expand(n_batch, n_times)
    real_BT = ~times_BT.isnan()
    start_B1 = times_BT.nan_to_num(nan=float("inf")).amin(dim=1, keepdim=True)
    return (times_BT - start_B1).nan_to_num(nan=0.0), real_BT


def group_frames(
    x_BTCXYZ: Tensor, times_BT: Tensor, real_BT: Tensor, n_frames: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Average each `n_frames` frames in a row, real ones only.

    A response lasts longer than a frame and a frame is mostly noise: averaged before
    the first nonlinearity it keeps its signal, and there is less to compute.

    Returns
    -------
    x : Tensor, shape (batch, ceil(n_times / n_frames), in_channels, x, y, z)
    times : Tensor, shape (batch, ceil(n_times / n_frames))
        Mean time of the averaged frames.
    real : Tensor of bool, of the same shape
        Whether there was any real frame.
    """
    if n_frames == 1:
        return x_BTCXYZ, times_BT, real_BT
    x_BTV, missing = x_BTCXYZ.flatten(2), -x_BTCXYZ.shape[1] % n_frames
    if missing:
        x_BTV = nn.functional.pad(x_BTV, (0, 0, 0, missing))
        times_BT = nn.functional.pad(times_BT, (0, missing))
        real_BT = nn.functional.pad(real_BT, (0, missing), value=False)
    real_BGN = real_BT.unflatten(1, (-1, n_frames))
    share_BGN = real_BGN / real_BGN.sum(dim=2, keepdim=True).clamp(min=1)
    x_BGNV = x_BTV.unflatten(1, (-1, n_frames))
    x_BGV = torch.einsum("bgnv,bgn->bgv", x_BGNV, share_BGN.to(x_BGNV.dtype))
    times_BG = (times_BT.unflatten(1, (-1, n_frames)) * share_BGN).sum(dim=2)
    return x_BGV.unflatten(2, x_BTCXYZ.shape[2:]), times_BG, real_BGN.any(dim=2)


def masked_mean(x_BTD: Tensor, real_BT: Tensor) -> Tensor:
    """Mean over the real frames: (batch, n_times, d) to (batch, d)."""
    weight_BT = real_BT.to(x_BTD.dtype)
    total_B1 = weight_BT.sum(dim=1, keepdim=True).clamp(min=1.0)
    return torch.einsum("btd,bt->bd", x_BTD, weight_BT / total_B1)
