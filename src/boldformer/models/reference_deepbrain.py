"""Altered DeepBrain of the reference system, which reads single volumes."""

from __future__ import annotations

import math

from torch import Tensor, nn

from boldformer.models.base import DecoderModel
from boldformer.models.deepbrain import (
    BLOCKS,
    WIDTH,
    conv_norm_relu,
    halved,
    residual_blocks,
)
from boldformer.models.layers import Conv3d
from boldformer.models.reference import mean_of_volumes
from boldformer.models.registry import register

# Shape suffixes: B windows  T frames  N volumes (B·T)  D features  X, Y, Z voxels

LAST_KERNEL = 5


@register("reference_deepbrain")
class ReferenceDeepBrain(DecoderModel):
    """The reference system's altered DeepBrain, as near as its figures lead.

    Shapes: windows (B, T, X, Y, Z) → single volumes (B·T, 1, X, Y, Z) → 3³ convolution
    to 3 channels, without padding → 3³ convolution of stride 2 to 32 → the released
    residual blocks but for the first (B·T, 128, gx, gy, gz) → 5³ convolution to 64,
    without padding, flattened → linear 64 → mean over the real frames (B, 64) → logits
    (B, n_outputs).

    What was altered is not published; only 3.6 million parameters, 14.49 GMAC a volume
    of 100³ and 464-465 GMAC for 32 volumes are known. The released network, reading one
    volume, would have 5.3 million and 20.9 GMAC. This is a reconstruction: among
    networks at most four changes away from the released one (other kernels, padding or
    channels of the first two convolutions; blocks removed, added or of another stride
    or width; another last kernel or global average; no shortcut convolutions) none
    meets all three figures, which do not agree with each other either (32 × 14.49 is
    463.7). This one has 3.59 million parameters and takes 14.51 GMAC a volume, 0.13 %
    more than published, and 464.3 GMAC for 32.

    Like the reference, it classifies single volumes; ``n_times=1`` is its own form. A
    window's features are the mean of those of its frames, which the head, being linear,
    turns into the mean of their logits.

    Parameters
    ----------
    n_outputs, n_times, volume_shape, in_channels
        See `DecoderModel`. Any volume shape is read; kernels without padding shrink to
        the map that reaches them.
    drop_prob : float
        Dropout probability before the head.

    References
    ----------
    Wang, X. et al. (2020). Decoding and mapping task states of the human brain via
    deep learning. Human Brain Mapping 41, 1505-1519.
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
        blocks, channels = residual_blocks(32, BLOCKS[1:])
        first, shape = _fitted(3, self.volume_shape)
        last, shape = _fitted(LAST_KERNEL, halved(shape))
        self.encoder = nn.Sequential(
            *conv_norm_relu(self.in_channels, 3, kernel_size=first),
            *conv_norm_relu(3, 32, kernel_size=3, stride=2, padding=1),
            blocks,
            Conv3d(channels, WIDTH, kernel_size=last),
            nn.Flatten(),
            nn.Linear(WIDTH * math.prod(shape), WIDTH),
            nn.ReLU(),
            nn.Dropout(drop_prob),
        )
        self.reset_head(self.n_outputs)

    def in_words(self) -> str:
        """See `DecoderModel`."""
        return (
            "an altered DeepBrain (after Wang et al., 2020) that reads single volumes, "
            "and scores a window by the mean over its frames; dropout of "
            f"{self.drop_prob:g} before the head"
        )

    def forward_features(
        self, x_BTXYZ: Tensor, times_s: Tensor | None = None
    ) -> Tensor:
        """Mean features of the frames, (B, T, X, Y, Z) to (B, 64)."""
        return mean_of_volumes(self.encoder, self._check_input(x_BTXYZ), times_s)

    def forward_head(self, features_BD: Tensor) -> Tensor:
        """Logits of features, (B, 64) to (B, n_outputs)."""
        return self.head(features_BD)

    def reset_head(self, n_outputs: int) -> None:
        """Replace the head by a new one for `n_outputs` classes."""
        self.n_outputs = n_outputs
        self.head = nn.Linear(WIDTH, n_outputs)


def _fitted(
    size: int, shape: tuple[int, int, int]
) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Kernel of `size` or of the whole axis, and what it leaves without padding."""
    kx, ky, kz = (min(size, axis) for axis in shape)
    x, y, z = shape
    return (kx, ky, kz), (x - kx + 1, y - ky + 1, z - kz + 1)
