"""The contract every decoder model keeps: shapes, features, head, attention, config."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from boldformer.errors import InputError
from boldformer.models.streaming import Stream, WindowStream

# Shape suffixes, here and in every model file:
#   B windows in a batch    T frames in a window    C channels    X, Y, Z voxels
#   K classes               D features of a window       V values of a volume
#   G groups of N frames each


class DecoderModel(nn.Module):
    """Base of every model that turns a window of volumes into one score per class.

    A subclass names its constructor arguments, all by keyword, and keeps each as an
    attribute of the same name: `get_config` reads them back.

    Parameters
    ----------
    n_outputs : int
        Number of classes.
    n_times : int
        Frames in a window. A model reads other numbers of frames where its docstring
        does not say otherwise.
    volume_shape : tuple of int
        ``(x, y, z)`` of every volume.
    in_channels : int
        Values per voxel and frame; 1 for BOLD.

    Attributes
    ----------
    solver : {"gradient", "linear"}
        How the weights are found: by gradient descent, or in closed form from window
        means.
    has_attention : bool
        Whether `attention` returns maps.
    """

    solver: ClassVar[str] = "gradient"
    has_attention: ClassVar[bool] = False

    def __init__(
        self,
        *,
        n_outputs: int,
        n_times: int,
        volume_shape: tuple[int, int, int],
        in_channels: int = 1,
    ) -> None:
        super().__init__()
        self.n_outputs = _at_least(n_outputs, 2, "n_outputs")
        self.n_times = _at_least(n_times, 1, "n_times")
        self.in_channels = _at_least(in_channels, 1, "in_channels")
        if len(volume_shape) != 3 or min(volume_shape) < 1:
            raise InputError(
                "volume_shape is not a volume",
                wanted="three positive integers (x, y, z)",
                received=repr(volume_shape),
            )
        x, y, z = (int(size) for size in volume_shape)
        self.volume_shape = (x, y, z)

    def forward(self, x_BTXYZ: Tensor, times_s: Tensor | None = None) -> Tensor:
        """Score each class for each window.

        Parameters
        ----------
        x_BTXYZ : Tensor, shape (batch, n_times, x, y, z)
            Normalised BOLD windows; ``(batch, n_times, in_channels, x, y, z)`` when
            `in_channels` is not 1.
        times_s : Tensor, shape (n_times,) or (batch, n_times), optional
            Time of each frame in seconds, from any origin. A frame whose time is NaN
            is padding and counts for nothing.

        Returns
        -------
        Tensor, shape (batch, n_outputs)
            Logits.
        """
        return self.forward_head(self.forward_features(x_BTXYZ, times_s))

    def forward_features(
        self, x_BTXYZ: Tensor, times_s: Tensor | None = None
    ) -> Tensor:
        """Features of each window before the head, shape (batch, n_features)."""
        raise NotImplementedError

    def forward_head(self, features_BD: Tensor) -> Tensor:
        """Logits from features: (batch, n_features) to (batch, n_outputs)."""
        raise NotImplementedError

    def reset_head(self, n_outputs: int) -> None:
        """Replace the head by a new one for `n_outputs` classes; keep the rest."""
        raise NotImplementedError

    def average_frames(
        self, x_BTXYZ: Tensor, times_s: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Do what the model does first, where that only averages frames.

        ``averaged_features(*average_frames(x, t))`` equals ``forward_features(x, t)``.
        What is linear and the same for all frames, as moving a window is, may come
        between the two, and costs less there than before.

        Returns
        -------
        x : Tensor, shape (batch, n_groups, x, y, z)
            The windows themselves where frames are not averaged.
        times_s : Tensor, shape (batch, n_groups), or None
            Seconds; NaN for padding.
        """
        return x_BTXYZ, times_s

    def averaged_features(
        self, x_BGXYZ: Tensor, times_s: Tensor | None = None
    ) -> Tensor:
        """Features of what `average_frames` gives, to (B, width)."""
        return self.forward_features(x_BGXYZ, times_s)

    def attention(
        self, x_BTXYZ: Tensor, times_s: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Attention maps of each window, for models that attend.

        Returns
        -------
        dict of Tensor
            ``"space"``, shape (batch, n_tokens, gx, gy, gz): weights on the model's
            token grid that sum to one over a volume; `upsample` brings them to
            `volume_shape`. ``"time"``, shape (batch, n_tokens, n_tokens): how much
            each token in time (row) draws on each other one. A token stands for
            `frames_per_token` frames.

        Raises
        ------
        InputError
            When the model has no attention.
        """
        raise InputError(
            f"{type(self).__name__} has no attention",
            wanted="a model whose has_attention is True",
            fix="use another attribution method for this model",
        )

    def stream(self, n_times: int | None = None) -> Stream:
        """Decode a run volume by volume.

        The logits are those of `forward` on the last `n_times` volumes.

        Parameters
        ----------
        n_times : int, optional
            Volumes of a window; the model's own number by default.

        Returns
        -------
        Stream
            With the model in evaluation mode. Models that encode volumes by themselves
            encode each only once (`TokenStream`); the others read the whole window at
            every volume (`WindowStream`).
        """
        return WindowStream(self, n_times)

    def upsample(self, maps: Tensor) -> Tensor:
        """Resample maps on the token grid to voxels, keeping their mean.

        Parameters
        ----------
        maps : Tensor, shape (batch, n_tokens, gx, gy, gz)

        Returns
        -------
        Tensor, shape (batch, n_tokens, x, y, z)
        """
        return nn.functional.interpolate(
            maps, size=self.volume_shape, mode="trilinear", align_corners=False
        )

    def set_brain(self, mask_XYZ: np.ndarray) -> None:
        """Tell the model which voxels hold brain, before it is trained.

        Most models find out; one that divides the brain into parcels needs to know.

        Parameters
        ----------
        mask_XYZ : ndarray of bool, shape (x, y, z)
        """

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, ready for JSON."""
        names = inspect.signature(type(self)).parameters
        values = {name: getattr(self, name) for name in names}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Build an untrained model from what `get_config` returned."""
        return cls(**config)

    def _check_input(self, x: Tensor) -> Tensor:
        """Return the windows as (batch, n_times, in_channels, x, y, z)."""
        received = tuple(x.shape)
        if self.in_channels == 1 and x.ndim == 5:
            x = x.unsqueeze(2)
        if x.ndim != 6 or tuple(x.shape[2:]) != (self.in_channels, *self.volume_shape):
            channels = "" if self.in_channels == 1 else f"{self.in_channels}, "
            sizes = ", ".join(str(size) for size in self.volume_shape)
            raise InputError(
                f"{type(self).__name__} cannot read this batch",
                wanted=f"shape (batch, n_times, {channels}{sizes})",
                received=f"shape {received}",
                fix="prepare the recording with the model's volume_shape",
            )
        return x


def frame_times(
    x_BTCXYZ: Tensor, times_s: Tensor | None, t_r: float
) -> tuple[Tensor, Tensor]:
    """Seconds since a window's first frame, and which frames are real.

    Parameters
    ----------
    x_BTCXYZ : Tensor, shape (batch, n_times, ...)
        Windows; only their first two sizes are read.
    times_s : Tensor, shape (n_times,) or (batch, n_times), optional
        Seconds; NaN marks padding.
    t_r : float
        Seconds between frames where `times_s` is not given.

    Returns
    -------
    times_BT : Tensor, shape (batch, n_times)
        Seconds, 0 for padding.
    real_BT : Tensor of bool, shape (batch, n_times)
    """
    n_batch, n_times = x_BTCXYZ.shape[:2]
    if times_s is None:
        times_s = torch.arange(n_times, device=x_BTCXYZ.device) * t_r
    times_BT = times_s.to(x_BTCXYZ.device, torch.float32).expand(n_batch, n_times)
    real_BT = ~times_BT.isnan()
    start_B1 = times_BT.nan_to_num(nan=float("inf")).amin(dim=1, keepdim=True)
    return (times_BT - start_B1).nan_to_num(nan=0.0), real_BT


def group_frames(
    x_BTCXYZ: Tensor, times_BT: Tensor, real_BT: Tensor, n_frames: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Average each `n_frames` frames in a row, real ones only.

    A response lasts longer than a frame and a frame is mostly noise: averaged before
    the first nonlinearity it keeps its signal, and there is less to compute.

    Returns
    -------
    x : Tensor, shape (batch, ceil(n_times / n_frames), in_channels, x, y, z)
    times : Tensor, shape (batch, ceil(n_times / n_frames))
        Mean time of the averaged frames.
    real : Tensor of bool, of the same shape
        Whether there was any real frame.
    """
    if n_frames == 1:
        return x_BTCXYZ, times_BT, real_BT
    x_BTV, missing = x_BTCXYZ.flatten(2), -x_BTCXYZ.shape[1] % n_frames
    if missing:
        x_BTV = nn.functional.pad(x_BTV, (0, 0, 0, missing))
        times_BT = nn.functional.pad(times_BT, (0, missing))
        real_BT = nn.functional.pad(real_BT, (0, missing), value=False)
    real_BGN = real_BT.unflatten(1, (-1, n_frames))
    share_BGN = real_BGN / real_BGN.sum(dim=2, keepdim=True).clamp(min=1)
    x_BGNV = x_BTV.unflatten(1, (-1, n_frames))
    x_BGV = torch.einsum("bgnv,bgn->bgv", x_BGNV, share_BGN.to(x_BGNV.dtype))
    times_BG = (times_BT.unflatten(1, (-1, n_frames)) * share_BGN).sum(dim=2)
    return x_BGV.unflatten(2, x_BTCXYZ.shape[2:]), times_BG, real_BGN.any(dim=2)


def masked_mean(x_BTD: Tensor, real_BT: Tensor) -> Tensor:
    """Mean over the real frames: (batch, n_times, d) to (batch, d)."""
    weight_BT = real_BT.to(x_BTD.dtype)
    total_B1 = weight_BT.sum(dim=1, keepdim=True).clamp(min=1.0)
    return torch.einsum("btd,bt->bd", x_BTD, weight_BT / total_B1)


def _at_least(value: int, low: int, name: str) -> int:
    if isinstance(value, bool) or int(value) != value or value < low:
        raise InputError(
            f"{name} is out of range",
            wanted=f"an integer of at least {low}",
            received=repr(value),
        )
    return int(value)
