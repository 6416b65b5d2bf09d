"""Layers over space: DropConnect on weights, residual blocks, the volume encoder."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from boldformer.errors import InputError

# Shape suffixes:
#   N volumes (batch x frames)   C channels   X, Y, Z voxels


def drop_connect(weight: Tensor, drop_prob: float, training: bool) -> Tensor:
    """Zero single weights at random while training, keeping their expectation.

    One mask is drawn per call and shared by the batch.

    Parameters
    ----------
    weight : Tensor, any shape
    drop_prob : float
        Probability that a weight is zeroed, in steps of 1/65536; those left are scaled
        by ``1 / (1 - drop_prob)``, so that nothing changes at inference.
    training : bool
        Whether to drop at all.

    References
    ----------
    Wan, L. et al. (2013). Regularization of neural networks using DropConnect. ICML.
    """
    if not training or drop_prob == 0:
        return weight
    # Sixteen random bits a weight: five times faster on a CPU than a dropout call,
    # which would take longer than the layer it regularises.
    words = torch.empty(
        -(-weight.numel() // 4), dtype=torch.int64, device=weight.device
    ).random_(-(2**63), None)
    bits = words.view(torch.int16)[: weight.numel()].view(weight.shape)
    n_dropped = round(drop_prob * 2**16)
    kept = bits >= n_dropped - 2**15
    return weight * (kept * (2**16 / (2**16 - n_dropped)))


class Dropping(nn.Module):
    """Base of layers that drop something while training (see `set_drop_kind`).

    Attributes
    ----------
    drop_prob : float
        Probability that a weight, or an output, is zeroed.
    drop_kind : {"weights", "outputs"}
        DropConnect, or dropout in its place.
    """

    drop_prob: float
    drop_kind: str = "weights"

    def drop_weights(self, weight: Tensor) -> Tensor:
        """Return the weights with some of them zeroed by DropConnect."""
        if self.drop_kind == "outputs":
            return weight
        return drop_connect(weight, self.drop_prob, self.training)

    def drop_outputs(self, x: Tensor) -> Tensor:
        """Return the outputs with some of them zeroed by dropout."""
        if self.drop_kind == "weights":
            return x
        return F.dropout(x, self.drop_prob, self.training)


def set_drop_kind(model: nn.Module, drop_kind: str) -> None:
    """Choose for all layers of a model what drops while it is trained.

    Parameters
    ----------
    model : nn.Module
        Its `Dropping` layers are changed.
    drop_kind : {"weights", "outputs"}
        DropConnect of weights, one mask for the whole batch, or dropout of the layers'
        outputs, each for itself, with the same probability.

    Raises
    ------
    InputError
        For another kind.

    References
    ----------
    Srivastava, N. et al. (2014). Dropout: a simple way to prevent neural networks from
    overfitting. JMLR 15.
    Wan, L. et al. (2013). Regularization of neural networks using DropConnect. ICML.
    """
    if drop_kind not in ("weights", "outputs"):
        raise InputError(
            "unknown drop_kind",
            wanted="'weights' (DropConnect) or 'outputs' (dropout)",
            received=repr(drop_kind),
        )
    for module in model.modules():
        if isinstance(module, Dropping):
            module.drop_kind = drop_kind


class DropConnectLinear(Dropping, nn.Linear):
    """Linear layer, (..., in) to (..., out), whose weights drop while training."""

    def __init__(
        self, in_features: int, out_features: int, *, drop_prob: float = 0.0
    ) -> None:
        super().__init__(in_features, out_features)
        self.drop_prob = drop_prob

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to (..., in_features)."""
        weight = self.drop_weights(self.weight)
        return self.drop_outputs(F.linear(x, weight, self.bias))


# Axis of a map up to which convolutions keep to 32 bits on a CPU.
_SHORT = 2


class Conv3d(nn.Conv3d):
    """3-D convolution, NCXYZ to NCXYZ, whose gradients can be trusted in bfloat16.

    Where an axis of the map has one or two voxels, bfloat16 kernels for CPUs return
    weight gradients of infinity or of anything else. Such maps are small: under
    autocast they are computed in 32 bits.

    References
    ----------
    https://github.com/pytorch/pytorch/issues/169688
    """

    def _conv_forward(
        self, input: Tensor, weight: Tensor, bias: Tensor | None
    ) -> Tensor:
        short = min(input.shape[2:]) <= _SHORT
        if short and input.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
            with torch.autocast("cpu", enabled=False):
                return super()._conv_forward(input.float(), weight, bias)
        return super()._conv_forward(input, weight, bias)


class DropConnectConv3d(Dropping, Conv3d):
    """3-D convolution, NCXYZ to NCXYZ, whose weights drop while training.

    Stride 2 comes with a kernel of 4 and stride 1 with one of 3, both padded by 1; an
    axis too short for its kernel gets a kernel of 1. Strides are per axis.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        volume_shape: tuple[int, int, int],
        strides: tuple[int, int, int],
        *,
        drop_prob: float = 0.0,
    ) -> None:
        kx, ky, kz = (
            4 if stride == 2 else 3 if size >= 3 else 1
            for size, stride in zip(volume_shape, strides, strict=True)
        )
        super().__init__(
            in_channels,
            out_channels,
            kernel_size=(kx, ky, kz),
            stride=strides,
            padding=(min(kx - 1, 1), min(ky - 1, 1), min(kz - 1, 1)),
        )
        self.drop_prob = drop_prob

    def forward(self, x_NCXYZ: Tensor) -> Tensor:
        """Convolve (N, in_channels, x, y, z)."""
        weight = self.drop_weights(self.weight)
        return self.drop_outputs(self._conv_forward(x_NCXYZ, weight, self.bias))


def halve(
    volume_shape: tuple[int, int, int], at_least: int
) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Strides that halve every axis of `at_least` voxels or more, and what is left.

    Returns
    -------
    strides, volume_shape : tuple of int
    """
    sx, sy, sz = (2 if size >= at_least else 1 for size in volume_shape)
    x, y, z = volume_shape
    return (sx, sy, sz), (x // sx, y // sy, z // sz)


def stage_channels(
    n_stages: int, stem_channels: int, out_channels: int
) -> tuple[int, ...]:
    """Channels after each of the stages that halve a volume.

    The last gives `out_channels`, the one before it `stem_channels`, and each one
    before that half as many as the next: eight times the voxels cost twice as much, not
    eight times. A single stage gives `stem_channels`.
    """
    if n_stages == 1:
        return (stem_channels,)
    finer = [max(1, stem_channels >> step) for step in range(n_stages - 1)]
    return (*finer[::-1], out_channels)


def group_norm(channels: int) -> nn.GroupNorm:
    """GroupNorm over groups of about eight channels.

    References
    ----------
    Wu, Y. & He, K. (2018). Group normalization. ECCV.
    """
    return nn.GroupNorm(math.gcd(channels, max(1, channels // 8)), channels)


class ConvStage(nn.Module):
    """Convolution, GroupNorm, GELU: NCXYZ to NCXYZ, axes divided by their strides.

    References
    ----------
    Wu, Y. & He, K. (2018). Group normalization. ECCV.
    Hendrycks, D. & Gimpel, K. (2016). Gaussian error linear units. arXiv:1606.08415.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        volume_shape: tuple[int, int, int],
        strides: tuple[int, int, int],
        *,
        drop_prob: float,
    ) -> None:
        super().__init__()
        self.conv = DropConnectConv3d(
            in_channels, out_channels, volume_shape, strides, drop_prob=drop_prob
        )
        self.norm = group_norm(out_channels)

    def forward(self, x_NCXYZ: Tensor) -> Tensor:
        """Map (N, in_channels, x, y, z) to (N, out_channels, ...)."""
        return F.gelu(self.norm(self.conv(x_NCXYZ)))


class ResidualBlock(nn.Module):
    """GroupNorm, GELU and a convolution beside a shortcut, NCXYZ to the same shape.

    References
    ----------
    He, K. et al. (2016). Identity mappings in deep residual networks. ECCV.
    """

    def __init__(
        self, channels: int, volume_shape: tuple[int, int, int], *, drop_prob: float
    ) -> None:
        super().__init__()
        self.norm = group_norm(channels)
        self.conv = DropConnectConv3d(
            channels, channels, volume_shape, (1, 1, 1), drop_prob=drop_prob
        )

    def forward(self, x_NCXYZ: Tensor) -> Tensor:
        """Map (N, channels, x, y, z) to the same shape."""
        return x_NCXYZ + self.conv(F.gelu(self.norm(x_NCXYZ)))


def _halvings(
    volume_shape: tuple[int, int, int], max_grid: int
) -> tuple[list[tuple[int, int, int]], list[tuple[int, int, int]]]:
    """Shapes from a volume's to the token grid's, and the strides between them."""
    strides, shape = halve(volume_shape, at_least=8)
    shapes, steps = [volume_shape, shape], [strides]
    while max(shape) > max_grid:
        strides, shape = halve(shape, at_least=max_grid + 1)
        shapes.append(shape)
        steps.append(strides)
    return shapes, steps


class VolumeEncoder(nn.Module):
    """Convolutions from a volume to a coarse grid of tokens that keep their place.

    Stride-2 convolutions halve every axis until none is longer than `max_grid`, but
    once at least; residual blocks follow at that size. The convolutions are full ones:
    the backward pass of depthwise ones takes longer on a CPU. Each volume is encoded by
    itself.

    Parameters
    ----------
    volume_shape : tuple of int
        ``(x, y, z)``; axes down to a single voxel are taken.
    in_channels : int
        Values per voxel.
    stem_channels, out_channels : int
        Channels before and after the last halving (see `stage_channels`).
    max_grid : int
        Longest axis of the token grid.
    n_blocks : int
        Residual blocks on the token grid.
    drop_prob : float
        DropConnect probability.

    Attributes
    ----------
    grid_shape : tuple of int
        Shape of the token grid.
    """

    def __init__(
        self,
        volume_shape: tuple[int, int, int],
        *,
        in_channels: int,
        stem_channels: int,
        out_channels: int,
        max_grid: int,
        n_blocks: int,
        drop_prob: float,
    ) -> None:
        super().__init__()
        shapes, steps = _halvings(volume_shape, max_grid)
        widths = stage_channels(len(steps), stem_channels, out_channels)
        stages: list[nn.Module] = [
            ConvStage(before, after, shape, strides, drop_prob=drop_prob)
            for before, after, shape, strides in zip(
                (in_channels, *widths), widths, shapes, steps, strict=False
            )
        ]
        channels, shape = widths[-1], shapes[-1]
        stages += [
            ResidualBlock(channels, shape, drop_prob=drop_prob) for _ in range(n_blocks)
        ]
        self.stages = nn.Sequential(*stages)
        self.grid_shape = shape
        self.out_channels = channels

    def forward(self, x_NCXYZ: Tensor) -> Tensor:
        """Encode (N, in_channels, x, y, z) to (N, out_channels, gx, gy, gz)."""
        return self.stages(x_NCXYZ)
