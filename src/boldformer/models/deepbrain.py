"""DeepBrain: a residual 3-D CNN that reads the frames of a window as channels."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from boldformer.models.base import DecoderModel
from boldformer.models.frames import frame_times
from boldformer.models.layers import Conv3d
from boldformer.models.registry import register

# Shape suffixes: B windows  T frames given  N frames read  C channels  V values of a
# frame  X, Y, Z voxels  K classes

# Channels and stride of each residual block, as released.
BLOCKS = (
    (32, 1),
    (32, 1),
    (64, 2),
    (64, 1),
    (64, 2),
    (64, 1),
    (128, 2),
    (128, 1),
)
WIDTH = 64


@register("deepbrain")
class DeepBrain(DecoderModel):
    """DeepBrain as released, the frames of a window being its channels.

    Shapes: windows (B, T, X, Y, Z) → frames read (B, n_times, X, Y, Z) → 1³ convolution
    to 3 channels → 3³ convolution of stride 2 to 24 → eight residual blocks (B, 128,
    gx, gy, gz) → convolution with the kernel of the whole map (B, 64) → linear 64 →
    logits (B, n_outputs). With 27 frames of 75×93×81 voxels and 7 classes it has
    3,982,177 parameters and takes 12.43 GMAC a window.

    A frame has its own weights, so the number of frames is fixed: windows of another
    length or repetition time are resampled linearly to `n_times` frames that divide the
    time between the first and the last real frame evenly. Without times, windows of
    `n_times` frames are read as they are. BatchNorm is kept as released, although it
    suffers in small batches.

    Parameters
    ----------
    n_outputs, n_times, volume_shape, in_channels
        See `DecoderModel`. Any volume shape is read; the last kernel takes the shape
        of the map that reaches it.
    drop_prob : float
        Dropout probability before the head.

    References
    ----------
    Wang, X. et al. (2020). Decoding and mapping task states of the human brain via
    deep learning. Human Brain Mapping 41, 1505-1519.
    He, K. et al. (2016). Deep residual learning for image recognition. CVPR.
    """

    def __init__(
        self,
        *,
        n_outputs: int,
        n_times: int,
        volume_shape: tuple[int, int, int],
        in_channels: int = 1,
        drop_prob: float = 0.5,
    ) -> None:
        super().__init__(
            n_outputs=n_outputs,
            n_times=n_times,
            volume_shape=volume_shape,
            in_channels=in_channels,
        )
        self.drop_prob = drop_prob
        stem = nn.Sequential(
            *conv_norm_relu(self.n_times * self.in_channels, 3, kernel_size=1),
            *conv_norm_relu(3, 24, kernel_size=3, stride=2, padding=1),
        )
        blocks, channels = residual_blocks(24, BLOCKS)
        whole_map = halved(self.volume_shape)
        self.encoder = nn.Sequential(
            stem, blocks, Conv3d(channels, WIDTH, kernel_size=whole_map)
        )
        self.hidden = nn.Sequential(
            nn.Flatten(), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Dropout(drop_prob)
        )
        self.reset_head(self.n_outputs)

    def in_words(self) -> str:
        """See `DecoderModel`."""
        return (
            "DeepBrain as released (Wang et al., 2020), a residual 3-D convolutional "
            f"network whose input channels are the {self.n_times} frames of a window, "
            f"with dropout of {self.drop_prob:g} before its head"
        )

    def forward_features(
        self, x_BTXYZ: Tensor, times_s: Tensor | None = None
    ) -> Tensor:
        """Features of windows, (B, T, X, Y, Z) to (B, 64)."""
        x_BTCXYZ = self._check_input(x_BTXYZ)
        if times_s is not None or x_BTCXYZ.shape[1] != self.n_times:
            x_BTCXYZ = resample_frames(x_BTCXYZ, times_s, self.n_times)
        return self.hidden(self.encoder(x_BTCXYZ.flatten(1, 2)))

    def forward_head(self, features_BD: Tensor) -> Tensor:
        """Logits of features, (B, 64) to (B, n_outputs)."""
        return self.head(features_BD)

    def reset_head(self, n_outputs: int) -> None:
        """Replace the head by a new one for `n_outputs` classes."""
        self.n_outputs = n_outputs
        self.head = nn.Linear(WIDTH, n_outputs)


class BatchNorm(nn.BatchNorm3d):
    """BatchNorm that stands a single value a channel while training.

    A batch of one window whose map has shrunk to one voxel has no variance; it is
    normalised by the running statistics, as at evaluation, where torch would raise.

    References
    ----------
    Ioffe, S. & Szegedy, C. (2015). Batch normalization. ICML.
    """

    def forward(self, x_BCXYZ: Tensor) -> Tensor:
        """Normalise every channel of (B, C, x, y, z)."""
        if self.training and x_BCXYZ.numel() == x_BCXYZ.shape[1]:
            return F.batch_norm(
                x_BCXYZ,
                self.running_mean,
                self.running_var,
                self.weight,
                self.bias,
                eps=self.eps,
            )
        return super().forward(x_BCXYZ)


class ShortcutBlock(nn.Module):
    """Two 3³ convolutions beside a shortcut, (B, C, x, y, z) to (B, C', x', y', z').

    The shortcut is a 1³ convolution where the shape changes.

    References
    ----------
    He, K. et al. (2016). Deep residual learning for image recognition. CVPR.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            *conv_norm_relu(
                in_channels, out_channels, kernel_size=3, stride=stride, padding=1
            ),
            Conv3d(out_channels, out_channels, kernel_size=3, padding=1),
            BatchNorm(out_channels),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(
                Conv3d(in_channels, out_channels, kernel_size=1, stride=stride),
                BatchNorm(out_channels),
            )

    def forward(self, x_BCXYZ: Tensor) -> Tensor:
        """Map (B, in_channels, x, y, z), axes divided by the stride and rounded up."""
        return F.relu(self.branch(x_BCXYZ) + self.shortcut(x_BCXYZ))


def conv_norm_relu(
    in_channels: int,
    out_channels: int,
    *,
    kernel_size: int | tuple[int, int, int],
    stride: int = 1,
    padding: int = 0,
) -> list[nn.Module]:
    """Convolution, BatchNorm and ReLU, to be put into an ``nn.Sequential``."""
    return [
        Conv3d(in_channels, out_channels, kernel_size, stride, padding),
        BatchNorm(out_channels),
        nn.ReLU(),
    ]


def residual_blocks(
    in_channels: int, blocks: tuple[tuple[int, int], ...]
) -> tuple[nn.Sequential, int]:
    """Residual blocks in a row, each given as (channels, stride), and their channels.

    Returns
    -------
    blocks : nn.Sequential
        (B, in_channels, x, y, z) to (B, channels, x', y', z').
    channels : int
        Of the last block.
    """
    stages = nn.Sequential()
    for channels, stride in blocks:
        stages.append(ShortcutBlock(in_channels, channels, stride))
        in_channels = channels
    return stages, in_channels


def halved(shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """Shape that the stem's stride and those of the blocks leave of a volume."""
    n_strides = 1 + sum(stride == 2 for _, stride in BLOCKS)
    x, y, z = (-(-size // 2**n_strides) for size in shape)
    return x, y, z


def resample_frames(x_BTCXYZ: Tensor, times_s: Tensor | None, n_times: int) -> Tensor:
    """Read a window at `n_times` evenly spaced times, linearly between real frames.

    The times divide the span from the first to the last real frame evenly; a single
    one lies in its middle. Padding counts for nothing, frames need no even spacing.

    Parameters
    ----------
    x_BTCXYZ : Tensor, shape (batch, n_frames, ...)
    times_s : Tensor, shape (n_frames,) or (batch, n_frames), optional
        Seconds from any origin, NaN for padding; evenly spaced frames by default.
    n_times : int
        Frames wanted.

    Returns
    -------
    Tensor, shape (batch, n_times, ...)
    """
    times_BT, real_BT = frame_times(x_BTCXYZ, times_s, t_r=1.0)
    share = torch.linspace(0, 1, n_times) if n_times > 1 else torch.tensor([0.5])
    span_B11 = times_BT.amax(dim=1)[:, None, None]
    at_BN1 = span_B11 * share.to(x_BTCXYZ.device)[:, None]
    weights_BNT = _neighbour_weights(at_BN1, times_BT[:, None], real_BT[:, None])
    read_BNV = weights_BNT.to(x_BTCXYZ.dtype) @ x_BTCXYZ.flatten(2)
    return read_BNV.unflatten(2, x_BTCXYZ.shape[2:])


def _neighbour_weights(at_BN1: Tensor, times_B1T: Tensor, real_B1T: Tensor) -> Tensor:
    """Weights (B, N, T) of the real frames just before and after each time."""
    never = float("inf")
    before_BNT = (real_B1T & (times_B1T <= at_BN1)).float()
    after_BNT = real_B1T & (times_B1T >= at_BN1)
    lower_BN1 = (before_BNT * (times_B1T + 1)).argmax(dim=2, keepdim=True)
    upper_BN1 = torch.where(after_BNT, times_B1T, never).argmin(dim=2, keepdim=True)
    times_BNT = times_B1T.expand_as(before_BNT)
    start_BN1 = times_BNT.gather(2, lower_BN1)
    gap_BN1 = times_BNT.gather(2, upper_BN1) - start_BN1
    way_BN1 = (at_BN1 - start_BN1) / gap_BN1.where(gap_BN1 > 0, 1.0)
    weights_BNT = torch.zeros_like(before_BNT).scatter(2, lower_BN1, 1 - way_BN1)
    weights_BNT = weights_BNT.scatter_add(2, upper_BN1, way_BN1)
    return weights_BNT * real_B1T
