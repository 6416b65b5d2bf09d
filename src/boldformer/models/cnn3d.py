"""CNN only: the hybrid's encoder, its grid flattened, the mean over time."""

from __future__ import annotations

import math

from torch import Tensor, nn

from boldformer.models.encoding import TokenModel
from boldformer.models.frames import masked_mean
from boldformer.models.layers import DropConnectLinear, VolumeEncoder
from boldformer.models.registry import register

# Shape suffixes: B windows  T frames  G groups of frames  N volumes (B·G)
# C channels  D width  X, Y, Z voxels


@register("cnn3d")
class CNN3d(TokenModel):
    """Convolutional half of the hybrid as a full model, without attention.

    Shapes: windows (B, T, X, Y, Z) → groups of frames (B, G, X, Y, Z) → flattened token
    grids (B·G, C · gx · gy · gz) → (B, G, width) → mean (B, width) → logits
    (B, n_outputs). The flattened grid keeps location, which global pooling would throw
    away. Any number of frames may be
    read; their order plays no part.

    Parameters
    ----------
    n_outputs, n_times, volume_shape, in_channels
        See `DecoderModel`.
    frames_per_token : int
        Frames averaged to one volume before it is encoded.
    width : int
        Features of an encoded volume.
    stem_channels, out_channels : int
        Channels before the last halving (half as many before each earlier one), and of
        the token grid.
    max_grid : int
        Longest axis of the token grid.
    n_blocks : int
        Residual blocks on the token grid.
    drop_prob : float
        DropConnect probability of every weight but the head's.

    References
    ----------
    Wang, X. et al. (2020). Decoding and mapping task states of the human brain via
    deep learning. Human Brain Mapping 41 (volumetric CNN for fMRI).
    """

    def __init__(
        self,
        *,
        n_outputs: int,
        n_times: int,
        volume_shape: tuple[int, int, int],
        in_channels: int = 1,
        frames_per_token: int = 4,
        width: int = 64,
        stem_channels: int = 16,
        out_channels: int = 32,
        max_grid: int = 13,
        n_blocks: int = 0,
        drop_prob: float = 0.17,
    ) -> None:
        super().__init__(
            n_outputs=n_outputs,
            n_times=n_times,
            volume_shape=volume_shape,
            in_channels=in_channels,
        )
        self.frames_per_token, self.width = frames_per_token, width
        self.max_grid, self.n_blocks, self.drop_prob = max_grid, n_blocks, drop_prob
        self.stem_channels, self.out_channels = stem_channels, out_channels
        self.encoder = VolumeEncoder(
            self.volume_shape,
            in_channels=in_channels,
            stem_channels=stem_channels,
            out_channels=out_channels,
            max_grid=max_grid,
            n_blocks=n_blocks,
            drop_prob=drop_prob,
        )
        n_flat = self.encoder.out_channels * math.prod(self.encoder.grid_shape)
        self.flat = DropConnectLinear(n_flat, width, drop_prob=drop_prob)
        self.norm = nn.LayerNorm(width)
        self.reset_head(self.n_outputs)

    def in_words(self) -> str:
        """See `DecoderModel`."""
        x, y, z = self.encoder.grid_shape
        return (
            "a 3-D convolutional network: frames are averaged in groups of "
            f"{self.frames_per_token}, each average is encoded by 3-D convolutions "
            f"({self.encoder.out_channels} channels on a grid of {x} × {y} × {z}) and "
            f"flattened to {self.width} features, whose mean over the window is read "
            f"out; DropConnect of {self.drop_prob:g} (Wan et al., 2013)"
        )

    def encode(self, x_NCXYZ: Tensor) -> Tensor:
        """Tokens of volumes, (N, C, X, Y, Z) to (N, width)."""
        return self.flat(self.encoder(x_NCXYZ).flatten(1))

    def mix(self, tokens_BGD: Tensor, times_BG: Tensor, real_BG: Tensor) -> Tensor:
        """Features of windows, (B, G, width) to (B, width): the normalised mean."""
        return self.norm(masked_mean(tokens_BGD, real_BG))
