"""Transformer only: patches of a volume as tokens, attention over space, then time."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from boldformer.models.attention import (
    AttentionBlock,
    LocationPooling,
    TimeTransformer,
    check_heads,
)
from boldformer.models.encoding import GridModel
from boldformer.models.registry import register

# Shape suffixes: B windows  T frames  G groups of frames  N volumes (B·G)
# P patches  E patch width  D width  C channels  X, Y, Z voxels


@register("transformer")
class Transformer(GridModel):
    """Attention half of the hybrid as a full model, without convolutions.

    Shapes: windows (B, T, X, Y, Z) → groups of frames (B, G, X, Y, Z) → patches
    (B·G, P, patch_width) → self-attention over patches → `LocationPooling` to one token
    a group (B, G, width) → `TimeTransformer` → features (B, width) → logits
    (B, n_outputs). Any number and spacing of frames is read.

    Parameters
    ----------
    n_outputs, n_times, volume_shape, in_channels
        See `DecoderModel`.
    frames_per_token : int
        Frames averaged to one volume before it is cut into patches.
    width, patch_width : int
        Features of a token in time and of a patch.
    patches_per_axis : int
        Patches along the longest axis; every axis is cut into patches of that size,
        zero-padded to a multiple of it, and an axis shorter than a patch is one patch.
    n_space_layers, n_layers, n_heads : int
        Blocks over patches, blocks over time, heads of both.
    n_space_heads : int
        Heads of the location-keeping pooling.
    drop_prob : float
        DropConnect probability of the attention and pooling weights.
    t_r : float
        Seconds between frames where no times are given.

    References
    ----------
    Dosovitskiy, A. et al. (2021). An image is worth 16x16 words. ICLR.
    Arnab, A. et al. (2021). ViViT: a video vision transformer. ICCV (space, then time).
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
        patch_width: int = 96,
        patches_per_axis: int = 8,
        n_space_layers: int = 1,
        n_layers: int = 1,
        n_heads: int = 4,
        n_space_heads: int = 2,
        drop_prob: float = 0.17,
        t_r: float = 2.0,
    ) -> None:
        super().__init__(
            n_outputs=n_outputs,
            n_times=n_times,
            volume_shape=volume_shape,
            in_channels=in_channels,
        )
        check_heads(patch_width, n_heads)
        self.frames_per_token, self.width, self.t_r = frames_per_token, width, t_r
        self.patch_width, self.patches_per_axis = patch_width, patches_per_axis
        self.drop_prob = drop_prob
        self.n_space_layers, self.n_layers = n_space_layers, n_layers
        self.n_heads, self.n_space_heads = n_heads, n_space_heads
        size = math.ceil(max(self.volume_shape) / patches_per_axis)
        self.patch_shape = tuple(min(size, axis) for axis in self.volume_shape)
        gx, gy, gz = (
            math.ceil(axis / patch)
            for axis, patch in zip(self.volume_shape, self.patch_shape, strict=True)
        )
        self.grid_shape = (gx, gy, gz)
        n_patches = math.prod(self.grid_shape)
        self.embed = nn.Linear(in_channels * math.prod(self.patch_shape), patch_width)
        self.position = nn.Parameter(0.02 * torch.randn(n_patches, patch_width))
        self.space = nn.ModuleList(
            AttentionBlock(patch_width, n_heads, drop_prob=drop_prob)
            for _ in range(n_space_layers)
        )
        self.pooling = LocationPooling(
            n_patches, patch_width, width, n_heads=n_space_heads, drop_prob=drop_prob
        )
        self.time = TimeTransformer(
            width, n_heads=n_heads, n_layers=n_layers, drop_prob=drop_prob
        )
        self.reset_head(self.n_outputs)

    def in_words(self) -> str:
        """See `DecoderModel`."""
        return (
            "a Transformer without convolutions: frames are averaged in groups of "
            f"{self.frames_per_token} and cut into patches, {self.patches_per_axis} "
            f"along the longest axis (Dosovitskiy et al., 2021), which pass through "
            f"{self.n_space_layers} block(s) over space and {self.n_layers} over time "
            f"of {self.n_heads} heads (Vaswani et al., 2017), {self.width} features; "
            f"DropConnect of {self.drop_prob:g} (Wan et al., 2013)"
        )

    def place(self, x_NCXYZ: Tensor) -> Tensor:
        """Tokens of patches that attended to each other, to (N, P, patch_width)."""
        tokens_NPE = self.embed(_patches(x_NCXYZ, self.patch_shape)) + self.position
        all_NP = torch.ones_like(tokens_NPE[..., 0], dtype=torch.bool)
        for block in self.space:
            tokens_NPE, _ = block(tokens_NPE, all_NP)
        return tokens_NPE

    def upsample(self, maps: Tensor) -> Tensor:
        """Resample maps to voxels; the grid may reach beyond the volume's end."""
        axes = zip(self.grid_shape, self.patch_shape, strict=True)
        covered = [n_patches * patch for n_patches, patch in axes]
        voxels = nn.functional.interpolate(maps, size=covered, mode="trilinear")
        x, y, z = self.volume_shape
        return voxels[..., :x, :y, :z]


def _patches(x_NCXYZ: Tensor, patch_shape: tuple[int, ...]) -> Tensor:
    """Cut volumes into patches, (N, C, X, Y, Z) to (N, P, C · px · py · pz)."""
    padding: list[int] = []
    for axis, patch in zip(x_NCXYZ.shape[:1:-1], patch_shape[::-1], strict=True):
        padding += [0, -axis % patch]
    x_NCXYZ = nn.functional.pad(x_NCXYZ, padding)
    px, py, pz = patch_shape
    blocks = x_NCXYZ.unfold(2, px, px).unfold(3, py, py).unfold(4, pz, pz)
    return blocks.permute(0, 2, 3, 4, 1, 5, 6, 7).flatten(4).flatten(1, 3)
