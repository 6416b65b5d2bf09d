"""What models share that encode each group of frames by itself, then mix in time."""

from __future__ import annotations

from torch import Tensor, nn

from boldformer.errors import InputError
from boldformer.models.attention import Pooling, TimeTransformer
from boldformer.models.base import DecoderModel
from boldformer.models.frames import frame_times, group_frames
from boldformer.models.linear import LinearReadout, window_mean

# Shape suffixes: B windows  T frames  G groups of frames  N volumes (B·G)
# C channels  P positions  E width of a position's token  D width  X, Y, Z voxels
# K classes

NETWORK, LINEAR_PATH = "network_alone", "linear_path"
"""Names of the parts of a model with a linear skip path."""


class TokenModel(DecoderModel):
    """Base of models that make one token of each group of frames.

    Shapes: windows (B, T, X, Y, Z) → groups of frames (B, G, X, Y, Z), averaged →
    `encode` each by itself (B, G, width) → `mix` (B, width) → logits (B, n_outputs).

    A subclass sets `frames_per_token` and `width` and calls `reset_head`. Since no
    token depends on another volume than its own, a stream encodes each only once.

    Attributes
    ----------
    frames_per_token : int
        Frames averaged to one volume before it is encoded.
    width : int
        Features of a token and of a window.
    t_r : float
        Seconds between frames where no times are given.
    linear_skip : bool
        Whether a linear path leads from the window mean to the logits.
    skip : LinearReadout or None
        That path.
    """

    frames_per_token: int
    width: int
    t_r: float = 2.0
    linear_skip: bool = False
    skip: LinearReadout | None

    def encode(self, x_NCXYZ: Tensor) -> Tensor:
        """Tokens of volumes, (N, C, X, Y, Z) to (N, width)."""
        raise NotImplementedError

    def mix(self, tokens_BGD: Tensor, times_BG: Tensor, real_BG: Tensor) -> Tensor:
        """Features of windows from their tokens, (B, G, width) to (B, width).

        Parameters
        ----------
        tokens_BGD : Tensor
        times_BG : Tensor
            Seconds since the window's first frame.
        real_BG : Tensor of bool
            False for padding.
        """
        raise NotImplementedError

    def forward(self, x_BTXYZ: Tensor, times_s: Tensor | None = None) -> Tensor:
        """Logits, (B, T, X, Y, Z) to (B, n_outputs); see `DecoderModel.forward`."""
        logits_BK = super().forward(x_BTXYZ, times_s)
        if self.skip is None:
            return logits_BK
        return logits_BK + self._skip_logits(self.skip, x_BTXYZ, times_s)

    def part_logits(
        self, x_BTXYZ: Tensor, times_s: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Logits of the network and of the skip path, where that has been fitted."""
        if self.skip is None or not self.skip.weight.any():
            return {}
        return {
            NETWORK: super().forward(x_BTXYZ, times_s),
            LINEAR_PATH: self._skip_logits(self.skip, x_BTXYZ, times_s),
        }

    def _skip_logits(
        self, skip: LinearReadout, x_BTXYZ: Tensor, times_s: Tensor | None
    ) -> Tensor:
        return skip(window_mean(self._check_input(x_BTXYZ), times_s))

    def forward_features(
        self, x_BTXYZ: Tensor, times_s: Tensor | None = None
    ) -> Tensor:
        """Features of windows, (B, T, X, Y, Z) to (B, width), without the skip path."""
        return self.averaged_features(*self.average_frames(x_BTXYZ, times_s))

    def average_frames(
        self, x_BTXYZ: Tensor, times_s: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Average groups of `frames_per_token` frames; see `DecoderModel`."""
        x_BTCXYZ = self._check_input(x_BTXYZ)
        x_BGCXYZ, times_BG, real_BG = group_frames(
            x_BTCXYZ, *frame_times(x_BTCXYZ, times_s, self.t_r), self.frames_per_token
        )
        times_BG = times_BG.masked_fill(~real_BG, float("nan"))
        x_BGXYZ = x_BGCXYZ.squeeze(2) if x_BTXYZ.ndim == 5 else x_BGCXYZ
        return x_BGXYZ, times_BG

    def averaged_features(
        self, x_BGXYZ: Tensor, times_s: Tensor | None = None
    ) -> Tensor:
        """Features of averaged groups, (B, G, X, Y, Z) to (B, width)."""
        if times_s is None:
            raise InputError("groups of frames need their times")
        x_NCXYZ = self._check_input(x_BGXYZ).flatten(0, 1)
        tokens_BGD = self.encode(x_NCXYZ).unflatten(0, times_s.shape)
        return self.mix(tokens_BGD, times_s.nan_to_num(nan=0.0), ~times_s.isnan())

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


class GridModel(TokenModel):
    """Base of token models that attend: over a grid in space, then over time.

    Shapes: volumes (N, C, X, Y, Z) → `place` (N, P, E), one token a position →
    `pooling` (N, width) → `time` (B, width).

    A subclass gives `place` and sets the attributes.

    Attributes
    ----------
    grid_shape : tuple of int
        Positions along each axis.
    pooling : Pooling
        Sums the tokens of the positions.
    time : TimeTransformer
        Mixes the tokens of a window.
    """

    has_attention = True
    grid_shape: tuple[int, int, int]
    pooling: Pooling
    time: TimeTransformer

    def place(self, x_NCXYZ: Tensor) -> Tensor:
        """Tokens of the grid's positions, (N, C, X, Y, Z) to (N, P, E)."""
        raise NotImplementedError

    def encode(self, x_NCXYZ: Tensor) -> Tensor:
        """Tokens of volumes, (N, C, X, Y, Z) to (N, width)."""
        return self.pooling(self.place(x_NCXYZ))

    def mix(self, tokens_BGD: Tensor, times_BG: Tensor, real_BG: Tensor) -> Tensor:
        """Features of windows from their tokens, (B, G, width) to (B, width)."""
        return self.time(tokens_BGD, times_BG, real_BG)[0]

    def attention(
        self, x_BTXYZ: Tensor, times_s: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Return mean maps over space (B, G, gx, gy, gz) and over time (B, G, G)."""
        x_BGXYZ, times_BG = self.average_frames(x_BTXYZ, times_s)
        tokens_NPE = self.place(self._check_input(x_BGXYZ).flatten(0, 1))
        space_NP = self.pooling.weights(tokens_NPE).mean(dim=1)
        pooled_BGD = self.pooling(tokens_NPE).unflatten(0, times_BG.shape)
        real_BG, times_BG = ~times_BG.isnan(), times_BG.nan_to_num(nan=0.0)
        return {
            "space": space_NP.reshape(*times_BG.shape, *self.grid_shape),
            "time": self.time(pooled_BGD, times_BG, real_BG)[1],
        }
