"""Hybrid: convolutions for space, attention that keeps location, attention for time."""

from __future__ import annotations

import math

from torch import Tensor, nn

from boldformer.models.attention import LocationPooling, TimeTransformer
from boldformer.models.base import DecoderModel, frame_times, group_frames
from boldformer.models.layers import VolumeEncoder
from boldformer.models.linear import LinearReadout, window_mean
from boldformer.models.registry import register

# Shape suffixes: B windows  T frames  G groups of frames  C channels  P positions
# D width  K classes  X, Y, Z voxels


@register("hybrid")
class Hybrid(DecoderModel):
    """3-D CNN over space, location-keeping attention, Transformer over time.

    Shapes: windows (B, T, X, Y, Z) → groups of frames (B, G, X, Y, Z) → token grids
    (B·G, out_channels, gx, gy, gz) → one token a group (B, G, width) → features
    (B, width) → logits (B, n_outputs).

    1. Frames are averaged in groups of `frames_per_token`.
    2. Every averaged volume is encoded by itself (`VolumeEncoder`).
    3. `LocationPooling` sums the grid's position-coded tokens with attention weights
       and a value projection of each place: where a response is decides the class.
    4. Tokens get their time in seconds, so any TR, number and spacing of frames is
       read, and attend to each other; their mean goes to the head.
    5. A linear skip path leads from the window mean to the logits. Training may set it
       to the closed-form linear decoder of the training windows, so that the network
       learns what that leaves.

    Parameters
    ----------
    n_outputs, n_times, volume_shape, in_channels
        See `DecoderModel`.
    frames_per_token : int
        Frames averaged to one volume before it is encoded.
    width : int
        Features of a token.
    stem_channels, out_channels : int
        Channels after the first convolution, and of the token grid.
    max_grid : int
        Longest axis of the token grid.
    n_blocks : int
        Residual blocks on the token grid.
    n_layers, n_heads : int
        Transformer blocks over time and their heads.
    n_space_heads : int
        Heads of the attention over space.
    drop_prob : float
        DropConnect probability of the weights of the encoder, pooling and blocks.
    linear_skip : bool
        Whether to add the linear path.
    t_r : float
        Seconds between frames where no times are given.

    References
    ----------
    Vaswani, A. et al. (2017). Attention is all you need. NeurIPS.
    Wan, L. et al. (2013). Regularization of neural networks using DropConnect. ICML.
    Wu, Y. & He, K. (2018). Group normalization. ECCV.
    Cheng, H.-T. et al. (2016). Wide & deep learning for recommender systems. DLRS.
    """

    has_attention = True

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
        n_layers: int = 1,
        n_heads: int = 4,
        n_space_heads: int = 2,
        drop_prob: float = 0.17,
        linear_skip: bool = True,
        t_r: float = 2.0,
    ) -> None:
        super().__init__(
            n_outputs=n_outputs,
            n_times=n_times,
            volume_shape=volume_shape,
            in_channels=in_channels,
        )
        self.frames_per_token, self.width, self.t_r = frames_per_token, width, t_r
        self.stem_channels, self.out_channels = stem_channels, out_channels
        self.max_grid, self.n_blocks, self.n_layers = max_grid, n_blocks, n_layers
        self.n_heads, self.n_space_heads = n_heads, n_space_heads
        self.drop_prob, self.linear_skip = drop_prob, linear_skip
        self.encoder = VolumeEncoder(
            self.volume_shape,
            in_channels=in_channels,
            stem_channels=stem_channels,
            out_channels=out_channels,
            max_grid=max_grid,
            n_blocks=n_blocks,
            drop_prob=drop_prob,
        )
        self.pooling = LocationPooling(
            math.prod(self.encoder.grid_shape),
            self.encoder.out_channels,
            width,
            n_heads=n_space_heads,
            drop_prob=drop_prob,
        )
        self.time = TimeTransformer(
            width, n_heads=n_heads, n_layers=n_layers, drop_prob=drop_prob
        )
        self.reset_head(self.n_outputs)

    def forward(self, x_BTXYZ: Tensor, times_s: Tensor | None = None) -> Tensor:
        """Logits, (B, T, X, Y, Z) to (B, n_outputs); see `DecoderModel.forward`."""
        logits_BK = super().forward(x_BTXYZ, times_s)
        if self.skip is None:
            return logits_BK
        return logits_BK + self.skip(window_mean(self._check_input(x_BTXYZ), times_s))

    def forward_features(
        self, x_BTXYZ: Tensor, times_s: Tensor | None = None
    ) -> Tensor:
        """Features of windows, (B, T, X, Y, Z) to (B, width), without the skip path."""
        tokens_NPC, times_BG, real_BG = self._tokens(x_BTXYZ, times_s)
        pooled_BGD = self.pooling(tokens_NPC).unflatten(0, times_BG.shape)
        return self.time(pooled_BGD, times_BG, real_BG)[0]

    def forward_head(self, features_BD: Tensor) -> Tensor:
        """Logits of features, (B, width) to (B, n_outputs), without the skip path."""
        return self.head(features_BD)

    def reset_head(self, n_outputs: int) -> None:
        """Replace the head, and the skip path, by new ones for `n_outputs` classes."""
        self.n_outputs = n_outputs
        self.head = nn.Linear(self.width, n_outputs)
        x, y, z = self.volume_shape
        self.skip = (
            LinearReadout(n_outputs, self.in_channels * x * y * z)
            if self.linear_skip
            else None
        )

    def attention(
        self, x_BTXYZ: Tensor, times_s: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Return mean maps over space (B, G, gx, gy, gz) and over time (B, G, G)."""
        tokens_NPC, times_BG, real_BG = self._tokens(x_BTXYZ, times_s)
        space_NP = self.pooling.weights(tokens_NPC).mean(dim=1)
        pooled_BGD = self.pooling(tokens_NPC).unflatten(0, times_BG.shape)
        space = space_NP.reshape(*times_BG.shape, *self.encoder.grid_shape)
        return {"space": space, "time": self.time(pooled_BGD, times_BG, real_BG)[1]}

    def _tokens(
        self, x_BTXYZ: Tensor, times_s: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Token grids (B·G, P, C) of the groups, their times and which are real."""
        x_BTCXYZ = self._check_input(x_BTXYZ)
        x_BGCXYZ, times_BG, real_BG = group_frames(
            x_BTCXYZ, *frame_times(x_BTCXYZ, times_s, self.t_r), self.frames_per_token
        )
        grid_NCXYZ = self.encoder(x_BGCXYZ.flatten(0, 1))
        return grid_NCXYZ.flatten(2).transpose(1, 2), times_BG, real_BG
