"""Attention that keeps location, and attention over time in seconds."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from boldformer.errors import InputError
from boldformer.models.frames import masked_mean
from boldformer.models.layers import DropConnectLinear, Dropping

# Shape suffixes:
#   N volumes (batch x frames)   B windows   T frames   P positions   H heads
#   C channels   D width of a frame's token   E width of one head


class Pooling(Dropping):
    """Base of layers that sum the tokens of a grid into one for each volume."""

    def weights(self, tokens_NPC: Tensor) -> Tensor:
        """Attention weights, shape (N, heads, positions), summing to one."""
        raise NotImplementedError

    def forward(self, tokens_NPC: Tensor) -> Tensor:
        """Pool tokens, (N, positions, in_channels) to (N, out_features)."""
        raise NotImplementedError


class LocationPooling(Pooling):
    """Attention over positions in which every position keeps its own value weights.

    Head h of a volume's token is the sum over positions p of ``A_hp · W_hp z_p``:
    attention weights A from content and position, and a value projection W that
    belongs to the place. A starts at one everywhere, where the layer equals a linear
    layer on the flattened grid; plain attention pooling, with one projection for all
    places, would lose where a response was.

    Parameters
    ----------
    n_positions, in_channels : int
        Size of the token grid.
    out_features : int
        Width of the pooled token.
    n_heads : int
        Heads; each pools ``out_features / n_heads`` features with its own weights A.
    drop_prob : float
        DropConnect probability of the value weights.

    References
    ----------
    Vaswani, A. et al. (2017). Attention is all you need. NeurIPS.
    """

    def __init__(
        self,
        n_positions: int,
        in_channels: int,
        out_features: int,
        *,
        n_heads: int,
        drop_prob: float,
    ) -> None:
        super().__init__()
        check_heads(out_features, n_heads)
        self.drop_prob = drop_prob
        self.position = nn.Parameter(torch.zeros(n_positions, in_channels))
        self.score = nn.Linear(in_channels, n_heads, bias=False)
        self.score_position = nn.Parameter(torch.zeros(n_positions, n_heads))
        fan_in = n_positions * in_channels
        self.value = nn.Parameter(
            torch.randn(n_heads, fan_in, out_features // n_heads) / math.sqrt(fan_in)
        )
        self.bias = nn.Parameter(torch.zeros(out_features))
        nn.init.zeros_(self.score.weight)

    def weights(self, tokens_NPC: Tensor) -> Tensor:
        """Attention weights, shape (N, heads, positions), summing to one."""
        score_NPH = self.score(tokens_NPC + self.position) + self.score_position
        return score_NPH.float().softmax(dim=1).transpose(1, 2)

    def forward(self, tokens_NPC: Tensor) -> Tensor:
        """Pool tokens, (N, positions, in_channels) to (N, out_features)."""
        weights_HNP = self.weights(tokens_NPC).transpose(0, 1)
        weights_HNP = (weights_HNP * tokens_NPC.shape[1]).to(tokens_NPC.dtype)
        placed_NPC = tokens_NPC + self.position
        weighted_HNPC = weights_HNP.unsqueeze(-1) * placed_NPC
        value = self.drop_weights(self.value)
        pooled_HNE = torch.bmm(weighted_HNPC.flatten(2), value)
        return self.drop_outputs(pooled_HNE.transpose(0, 1).flatten(1) + self.bias)


class ContentPooling(Pooling):
    """Attention over positions that knows what a token holds, but not where it is.

    Head h of a volume's token is ``W_h · sum over p of A_hp z_p``: attention weights A
    from content alone, equal at first, and one value projection W for all places.

    Parameters
    ----------
    in_channels, out_features : int
        Width of a position's token and of the pooled one.
    n_heads : int
        Heads; each pools ``out_features / n_heads`` features with its own weights A.
    drop_prob : float
        DropConnect probability of the value weights.

    References
    ----------
    Ilse, M. et al. (2018). Attention-based deep multiple instance learning. ICML.
    """

    def __init__(
        self, in_channels: int, out_features: int, *, n_heads: int, drop_prob: float
    ) -> None:
        super().__init__()
        check_heads(out_features, n_heads)
        self.drop_prob = drop_prob
        self.score = nn.Linear(in_channels, n_heads, bias=False)
        self.value = nn.Parameter(
            torch.randn(n_heads, in_channels, out_features // n_heads)
            / math.sqrt(in_channels)
        )
        self.bias = nn.Parameter(torch.zeros(out_features))
        nn.init.zeros_(self.score.weight)

    def weights(self, tokens_NPC: Tensor) -> Tensor:
        """Attention weights, shape (N, heads, positions), summing to one."""
        return self.score(tokens_NPC).float().softmax(dim=1).transpose(1, 2)

    def forward(self, tokens_NPC: Tensor) -> Tensor:
        """Pool tokens, (N, positions, in_channels) to (N, out_features)."""
        mean_NHC = self.weights(tokens_NPC).to(tokens_NPC.dtype) @ tokens_NPC
        value = self.drop_weights(self.value)
        pooled_HNE = torch.bmm(mean_NHC.transpose(0, 1), value)
        return self.drop_outputs(pooled_HNE.transpose(0, 1).flatten(1) + self.bias)


class GlobalPooling(Pooling):
    """Global average pooling and a linear layer: all positions weigh the same.

    Parameters
    ----------
    in_channels, out_features : int
        Width of a position's token and of the pooled one.
    drop_prob : float
        DropConnect probability of the linear layer.

    References
    ----------
    Lin, M. et al. (2014). Network in network. ICLR.
    """

    def __init__(
        self, in_channels: int, out_features: int, *, drop_prob: float
    ) -> None:
        super().__init__()
        self.drop_prob = drop_prob
        self.value = DropConnectLinear(in_channels, out_features, drop_prob=drop_prob)

    def weights(self, tokens_NPC: Tensor) -> Tensor:
        """Equal weights, shape (N, 1, positions)."""
        n_volumes, n_positions, _ = tokens_NPC.shape
        return tokens_NPC.new_full((n_volumes, 1, n_positions), 1 / n_positions)

    def forward(self, tokens_NPC: Tensor) -> Tensor:
        """Pool tokens, (N, positions, in_channels) to (N, out_features)."""
        return self.value(tokens_NPC.mean(dim=1))


class TimeEncoding(nn.Module):
    """Encode time in seconds, so that recordings of any TR share one code.

    Sines and cosines of periods from 4 s to 512 s, mixed by a linear layer.

    Parameters
    ----------
    out_features : int
        Width of the code.

    References
    ----------
    Vaswani, A. et al. (2017). Attention is all you need. NeurIPS.
    """

    rate: Tensor

    def __init__(self, out_features: int, n_periods: int = 8) -> None:
        super().__init__()
        periods_s = 4.0 * 2.0 ** torch.arange(n_periods)
        self.register_buffer("rate", 2 * math.pi / periods_s, persistent=False)
        self.mix = nn.Linear(2 * n_periods, out_features, bias=False)

    def forward(self, times_BT: Tensor) -> Tensor:
        """Encode seconds, (B, T) to (B, T, out_features)."""
        angle = times_BT.unsqueeze(-1) * self.rate
        return self.mix(torch.cat([angle.sin(), angle.cos()], dim=-1))


class AttentionBlock(nn.Module):
    """Pre-norm Transformer block, (B, T, D) to (B, T, D), that shows its attention.

    Parameters
    ----------
    width, n_heads : int
        Size of a token and number of heads.
    drop_prob : float
        DropConnect probability.

    References
    ----------
    Vaswani, A. et al. (2017). Attention is all you need. NeurIPS.
    Touvron, H. et al. (2021). Going deeper with image transformers. ICCV (LayerScale).
    """

    def __init__(self, width: int, n_heads: int, *, drop_prob: float) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norm_attention = nn.LayerNorm(width)
        self.qkv = DropConnectLinear(width, 3 * width, drop_prob=drop_prob)
        self.out = DropConnectLinear(width, width, drop_prob=drop_prob)
        self.norm_mlp = nn.LayerNorm(width)
        self.expand = DropConnectLinear(width, 2 * width, drop_prob=drop_prob)
        self.contract = DropConnectLinear(2 * width, width, drop_prob=drop_prob)
        # Small branches: at the start the block is close to the identity, which keeps
        # averaging over noisy frames linear.
        self.scale_attention = nn.Parameter(torch.full((width,), 0.1))
        self.scale_mlp = nn.Parameter(torch.full((width,), 0.1))

    def forward(self, x_BTD: Tensor, real_BT: Tensor) -> tuple[Tensor, Tensor]:
        """Attend among the real tokens.

        Returns
        -------
        x_BTD : Tensor
        weights_BTT : Tensor
            Mean attention over heads: row draws on column.
        """
        qkv = self.qkv(self.norm_attention(x_BTD)).unflatten(-1, (3, self.n_heads, -1))
        q_BHTE, k_BHTE, v_BHTE = qkv.permute(2, 0, 3, 1, 4)
        score_BHTT = q_BHTE @ k_BHTE.transpose(-1, -2) / math.sqrt(q_BHTE.shape[-1])
        score_BHTT = score_BHTT.float().masked_fill(
            ~real_BT[:, None, None, :], -math.inf
        )
        weights_BHTT = score_BHTT.softmax(dim=-1)
        mixed = (weights_BHTT.to(v_BHTE.dtype) @ v_BHTE).transpose(1, 2).flatten(2)
        x_BTD = x_BTD + self.scale_attention * self.out(mixed)
        hidden = F.gelu(self.expand(self.norm_mlp(x_BTD)))
        return x_BTD + self.scale_mlp * self.contract(hidden), weights_BHTT.mean(1)


class TimeTransformer(nn.Module):
    """Features of a window from one token a frame, (B, T, D) to (B, D).

    Frames get a code of their time in seconds and attend to each other; the mean over
    the real frames is normalised.

    Parameters
    ----------
    width, n_heads, n_layers : int
        Size of a token, heads and blocks.
    drop_prob : float
        DropConnect probability.
    """

    def __init__(
        self, width: int, *, n_heads: int, n_layers: int, drop_prob: float
    ) -> None:
        super().__init__()
        check_heads(width, n_heads)
        self.encoding = TimeEncoding(width)
        self.blocks = nn.ModuleList(
            AttentionBlock(width, n_heads, drop_prob=drop_prob) for _ in range(n_layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(
        self, frames_BTD: Tensor, times_BT: Tensor, real_BT: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Mix frames.

        Parameters
        ----------
        frames_BTD : Tensor
            One token a frame.
        times_BT : Tensor
            Seconds since the window's first frame.
        real_BT : Tensor of bool
            False for padding.

        Returns
        -------
        features_BD : Tensor
        weights_BTT : Tensor
            Attention over time, averaged over heads and blocks.
        """
        frames_BTD = frames_BTD + self.encoding(times_BT)
        maps = []
        for block in self.blocks:
            frames_BTD, weights_BTT = block(frames_BTD, real_BT)
            maps.append(weights_BTT)
        return self.norm(masked_mean(frames_BTD, real_BT)), torch.stack(maps).mean(0)


def check_heads(width: int, n_heads: int) -> None:
    """Raise an InputError when `width` does not divide into `n_heads` heads."""
    if n_heads < 1 or width % n_heads:
        raise InputError(
            "the heads do not divide the width",
            wanted="a width that is a multiple of the number of heads",
            received=f"width {width}, {n_heads} heads",
        )
