"""The contract every decoder model keeps: shapes, features, head, attention, config."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar, Self

import numpy as np
from torch import Tensor, nn

from boldformer.errors import InputError

# Shape suffixes, here and in every model file:
#   B windows in a batch    T frames in a window    C channels    X, Y, Z voxels
#   K classes               D features of a window       V values of a volume


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

    def part_logits(
        self, x_BTXYZ: Tensor, times_s: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Logits of the parts that `forward` adds up, by name; none where it is one."""
        return {}

    def in_words(self) -> str:
        """Say what the model is, with its sizes, to follow "the decoder was"."""
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


def _at_least(value: int, low: int, name: str) -> int:
    if isinstance(value, bool) or int(value) != value or value < low:
        raise InputError(
            f"{name} is out of range",
            wanted=f"an integer of at least {low}",
            received=repr(value),
        )
    return int(value)
