"""Reference: the published hybrid of large convolutions and a Transformer."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from boldformer.models.base import DecoderModel
from boldformer.models.frames import frame_times, masked_mean
from boldformer.models.layers import Conv3d
from boldformer.models.registry import register

# Shape suffixes: B windows  T frames  N volumes (B·T)  C channels  P positions
# D width  X, Y, Z voxels

# Channels, kernel and stride of each convolution.
CONVOLUTIONS = ((32, 7, 2), (64, 7, 2), (128, 20, 1))
WIDTH = 128
N_LAYERS, N_HEADS, FEED_FORWARD = 6, 8, 2048


@register("reference")
class Reference(DecoderModel):
    """Published hybrid, kept with its flaws so that its figures can be checked.

    Shapes: windows (B, T, X, Y, Z) → single volumes (B·T, 1, X, Y, Z) → convolutions
    of 7³ and 7³, stride 2, and 20³, each with InstanceNorm and ReLU (B·T, 128, ...) →
    global average (B·T, 128, 1, 1, 1) → query/key/value attention over the one position
    left → Transformer encoder over a sequence of length 1 (B·T, 128) → mean over the
    real frames (B, 128) → logits (B, n_outputs). At 100³ and 4 classes it has 70.4
    million parameters and takes 8.17 GMAC a volume, 261.6 GMAC for 32 volumes: the
    published "262G" is this, in multiply-adds of a batch.

    The published recipe classifies single volumes; ``n_times=1`` is its own form. A
    window's logits are the mean of those of its frames (the head is linear, so the
    features are averaged).

    Neither attention attends to anything: the softmax over one position is 1 whatever
    the query and key, which therefore never get a gradient. `has_attention` is False
    since there are no maps to show. Global averaging throws away where a response was.
    The published "DropConnect" zeroed outputs of the softmax, weights of nothing; it is
    left out, and the softmax is the loss's.

    The publication leaves some sizes open. Convolutions without padding are the only
    ones that come to 8.17 GMAC. A feed-forward width of 2048 (torch's default) gives
    69.8 million parameters; the rest are taken for 3³ kernels of the attention block,
    with an eighth of the channels for query and key (70.36 million). A seventh encoder
    layer, stored and never run, would come to 70.4 million just as well.

    Parameters
    ----------
    n_outputs, n_times, volume_shape, in_channels
        See `DecoderModel`. Any volume shape is read: a kernel larger than the map that
        reaches it becomes the whole map, and a single voxel is not normalised.
    drop_prob : float
        Dropout probability before the head.

    References
    ----------
    Vaswani, A. et al. (2017). Attention is all you need. NeurIPS.
    Zhang, H. et al. (2019). Self-attention generative adversarial networks. ICML.
    Ulyanov, D. et al. (2016). Instance normalization. arXiv:1607.08022.
    """

    def __init__(
        self,
        *,
        n_outputs: int,
        n_times: int,
        volume_shape: tuple[int, int, int],
        in_channels: int = 1,
        drop_prob: float = 0.25,
    ) -> None:
        super().__init__(
            n_outputs=n_outputs,
            n_times=n_times,
            volume_shape=volume_shape,
            in_channels=in_channels,
        )
        self.drop_prob = drop_prob
        self.convolutions = _convolutions(self.in_channels, self.volume_shape)
        self.attend = PositionAttention(WIDTH)
        layer = nn.TransformerEncoderLayer(
            WIDTH,
            N_HEADS,
            FEED_FORWARD,
            # Not F.relu, which would be run in one fused call at evaluation: exporters
            # and counters of operations do not know that.
            activation=torch.relu,
            batch_first=True,
        )
        self.transformer = nn.TransformerEncoder(
            layer, N_LAYERS, enable_nested_tensor=False
        )
        self.dropout = nn.Dropout(drop_prob)
        self.reset_head(self.n_outputs)

    def in_words(self) -> str:
        """See `DecoderModel`."""
        return (
            "a published hybrid kept with its flaws: single volumes pass three 3-D "
            "convolutions, a global average and a Transformer encoder over a sequence "
            "of length 1, and a window is scored by the mean over its frames; dropout "
            f"of {self.drop_prob:g} before the head"
        )

    def forward_features(
        self, x_BTXYZ: Tensor, times_s: Tensor | None = None
    ) -> Tensor:
        """Mean features of the frames, (B, T, X, Y, Z) to (B, 128)."""
        return mean_of_volumes(self._encode, self._check_input(x_BTXYZ), times_s)

    def forward_head(self, features_BD: Tensor) -> Tensor:
        """Logits of features, (B, 128) to (B, n_outputs)."""
        return self.head(features_BD)

    def reset_head(self, n_outputs: int) -> None:
        """Replace the head by a new one for `n_outputs` classes."""
        self.n_outputs = n_outputs
        self.head = nn.Linear(WIDTH, n_outputs)

    def _encode(self, x_NCXYZ: Tensor) -> Tensor:
        """Features of single volumes, (N, C, X, Y, Z) to (N, 128)."""
        map_NDXYZ = self.convolutions(x_NCXYZ)
        pooled_ND111 = self.attend(map_NDXYZ.mean(dim=(2, 3, 4), keepdim=True))
        sequence_N1D = pooled_ND111.flatten(2).transpose(1, 2)
        return self.dropout(self.transformer(sequence_N1D).squeeze(1))


class PositionAttention(nn.Module):
    """Self-attention among the voxels of a map, (N, D, x, y, z) to the same shape.

    ``y = x + gamma · softmax(q kᵀ) v`` with query, key and value from 3³ convolutions
    and gamma 0 at the start.

    References
    ----------
    Zhang, H. et al. (2019). Self-attention generative adversarial networks. ICML.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = Conv3d(channels, channels // 8, kernel_size=3, padding=1)
        self.key = Conv3d(channels, channels // 8, kernel_size=3, padding=1)
        self.value = Conv3d(channels, channels, kernel_size=3, padding=1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x_NDXYZ: Tensor) -> Tensor:
        """Attend from every voxel to every voxel."""
        query, key, value = (
            layer(x_NDXYZ).flatten(2) for layer in (self.query, self.key, self.value)
        )
        weights_NPP = (query.transpose(1, 2) @ key).softmax(dim=-1)
        mixed_NDP = value @ weights_NPP.transpose(1, 2)
        return x_NDXYZ + self.gamma * mixed_NDP.reshape(x_NDXYZ.shape)


def mean_of_volumes(
    encode: Callable[[Tensor], Tensor], x_BTCXYZ: Tensor, times_s: Tensor | None
) -> Tensor:
    """Encode every frame by itself and average over the real ones.

    Parameters
    ----------
    encode : callable
        (B·T, C, X, Y, Z) to (B·T, D).
    x_BTCXYZ : Tensor, shape (batch, n_times, in_channels, x, y, z)
    times_s : Tensor, optional
        See `DecoderModel.forward`.

    Returns
    -------
    Tensor, shape (batch, D)
    """
    _, real_BT = frame_times(x_BTCXYZ, times_s, t_r=1.0)
    features_ND = encode(x_BTCXYZ.flatten(0, 1))
    return masked_mean(features_ND.unflatten(0, real_BT.shape), real_BT)


def _convolutions(channels: int, volume_shape: tuple[int, int, int]) -> nn.Sequential:
    """Convolutions without padding, whose kernels fit the maps they meet."""
    layers, shape = nn.Sequential(), volume_shape
    for out_channels, size, stride in CONVOLUTIONS:
        kx, ky, kz = (min(size, axis) for axis in shape)
        layers.append(Conv3d(channels, out_channels, (kx, ky, kz), stride))
        x, y, z = shape
        shape = (
            (x - kx) // stride + 1,
            (y - ky) // stride + 1,
            (z - kz) // stride + 1,
        )
        if math.prod(shape) > 1:
            layers.append(nn.InstanceNorm3d(out_channels))
        layers.append(nn.ReLU())
        channels = out_channels
    return layers
