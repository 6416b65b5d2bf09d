"""Hybrid: convolutions for space, attention that keeps location, attention for time."""

from __future__ import annotations

import math

from torch import Tensor, nn

from boldformer.errors import InputError
from boldformer.models.attention import (
    ContentPooling,
    GlobalPooling,
    LocationPooling,
    Pooling,
    TimeTransformer,
)
from boldformer.models.encoding import GridModel
from boldformer.models.layers import VolumeEncoder, set_drop_kind
from boldformer.models.registry import register

# Shape suffixes: B windows  T frames  G groups of frames  C channels  P positions
# D width  K classes  X, Y, Z voxels


_POOLED = {
    "location": "by attention of {} heads that keeps places apart",
    "content": "by attention of {} heads that does not know places",
    "global": "by a global average",
}


@register("hybrid")
class Hybrid(GridModel):
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
        Channels before the last halving (half as many before each earlier one), and of
        the token grid.
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
    drop_kind : {"weights", "outputs"}
        DropConnect, or dropout of the same layers' outputs in its place.
    space_pooling : {"location", "content", "global"}
        How the grid becomes one token: by `LocationPooling`; by attention that does not
        know places (`ContentPooling`); by averaging over the grid (`GlobalPooling`).
    norm : {"group", "batch"}
        Normalisation in the encoder: GroupNorm or BatchNorm.
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
        drop_kind: str = "weights",
        space_pooling: str = "location",
        norm: str = "group",
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
        self.drop_prob, self.drop_kind = drop_prob, drop_kind
        self.space_pooling, self.norm = space_pooling, norm
        self.linear_skip = linear_skip
        self.encoder = VolumeEncoder(
            self.volume_shape,
            in_channels=in_channels,
            stem_channels=stem_channels,
            out_channels=out_channels,
            max_grid=max_grid,
            n_blocks=n_blocks,
            drop_prob=drop_prob,
        )
        self.grid_shape = self.encoder.grid_shape
        if _choice("norm", norm, ("group", "batch")) == "batch":
            _use_batch_norm(self.encoder)
        self.pooling = self._make_pooling()
        self.time = TimeTransformer(
            width, n_heads=n_heads, n_layers=n_layers, drop_prob=drop_prob
        )
        self.reset_head(self.n_outputs)
        set_drop_kind(self, drop_kind)

    def in_words(self) -> str:
        """See `DecoderModel`."""
        x, y, z = self.grid_shape
        drop = f"DropConnect of {self.drop_prob:g} (Wan et al., 2013)"
        if self.drop_kind != "weights":
            drop = f"dropout of {self.drop_prob:g}"
        blocks = f" and {self.n_blocks} residual block(s)" if self.n_blocks else ""
        return (
            "a hybrid of a 3-D convolutional network and a Transformer: frames are "
            f"averaged in groups of {self.frames_per_token}, each average is encoded "
            f"by 3-D convolutions{blocks} ({self.out_channels} channels on a grid of "
            f"{x} × {y} × {z}), its grid is summed to {self.width} features "
            f"{_POOLED[self.space_pooling].format(self.n_space_heads)}, and "
            f"{self.n_layers} Transformer block(s) of {self.n_heads} heads (Vaswani "
            f"et al., 2017) mix the groups in time; {drop}"
        )

    def place(self, x_NCXYZ: Tensor) -> Tensor:
        """Tokens of the grid's positions, (N, C, X, Y, Z) to (N, P, out_channels)."""
        return self.encoder(x_NCXYZ).flatten(2).transpose(1, 2)

    def _make_pooling(self) -> Pooling:
        kind = _choice(
            "space_pooling", self.space_pooling, ("location", "content", "global")
        )
        n_channels, n_heads = self.encoder.out_channels, self.n_space_heads
        if kind == "global":
            return GlobalPooling(n_channels, self.width, drop_prob=self.drop_prob)
        if kind == "content":
            return ContentPooling(
                n_channels, self.width, n_heads=n_heads, drop_prob=self.drop_prob
            )
        return LocationPooling(
            math.prod(self.grid_shape),
            n_channels,
            self.width,
            n_heads=n_heads,
            drop_prob=self.drop_prob,
        )


def _use_batch_norm(module: nn.Module) -> None:
    """Put BatchNorm in the place of every GroupNorm."""
    for name, child in module.named_children():
        if isinstance(child, nn.GroupNorm):
            setattr(module, name, nn.BatchNorm3d(child.num_channels))
        else:
            _use_batch_norm(child)


def _choice(name: str, value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise InputError(
            f"unknown {name}",
            wanted=f"one of {', '.join(choices)}",
            received=repr(value),
        )
    return value
