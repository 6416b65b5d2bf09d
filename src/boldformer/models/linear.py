"""Linear model: one weight per voxel and class on the mean volume of a window."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from boldformer.errors import InputError
from boldformer.models.base import DecoderModel
from boldformer.models.frames import frame_times, masked_mean
from boldformer.models.registry import register

# Shape suffixes: B windows  T frames  V voxels x channels  K classes


class LinearReadout(nn.Module):
    """Logits linear in the voxels of a window's mean volume.

    The weights start at zero; `set_weights` puts in a closed-form solution.

    Parameters
    ----------
    n_outputs, n_voxels : int
        Classes, and voxels (times channels) of a volume.
    """

    def __init__(self, n_outputs: int, n_voxels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(n_outputs, n_voxels))
        self.bias = nn.Parameter(torch.zeros(n_outputs))

    def forward(self, mean_BV: Tensor) -> Tensor:
        """Logits of mean volumes, (B, n_voxels) to (B, n_outputs)."""
        # In 32 bits under autocast too: a sum over 100,000 voxels, and no cost.
        with torch.autocast(mean_BV.device.type, enabled=False):
            return nn.functional.linear(mean_BV.float(), self.weight, self.bias)

    @torch.no_grad()
    def set_weights(self, weight: Tensor, bias: Tensor) -> None:
        """Copy weights (n_outputs, x, y, z) or (n_outputs, n_voxels) and biases in."""
        self.weight.copy_(weight.reshape(self.weight.shape))
        self.bias.copy_(bias)


@register("linear")
class Linear(DecoderModel):
    """Linear decoder of the window mean: (B, T, X, Y, Z) to (B, n_outputs).

    The weights are those of a support-vector machine or a logistic regression fitted
    in the dual, scaled so that the softmax of the logits is the decoder's
    probability. Any number of frames may be read.

    Parameters
    ----------
    n_outputs, n_times, volume_shape, in_channels
        See `DecoderModel`.
    loss : {"svm", "logistic"}
        What the weights minimise.
    C : float or "auto"
        Inverse strength of regularisation; "auto" chooses it on training groups.

    References
    ----------
    Cortes, C. & Vapnik, V. (1995). Support-vector networks. Machine Learning 20.
    Platt, J. (1999). Probabilistic outputs for support vector machines. Advances in
    Large Margin Classifiers.
    """

    solver = "linear"

    def __init__(
        self,
        *,
        n_outputs: int,
        n_times: int,
        volume_shape: tuple[int, int, int],
        in_channels: int = 1,
        loss: str = "svm",
        C: float | str = "auto",
    ) -> None:
        super().__init__(
            n_outputs=n_outputs,
            n_times=n_times,
            volume_shape=volume_shape,
            in_channels=in_channels,
        )
        penalty = C == "auto" or (not isinstance(C, str) and C > 0)
        if loss not in ("svm", "logistic") or not penalty:
            raise InputError(
                "unusable settings of the linear model",
                wanted="loss 'svm' or 'logistic', and C 'auto' or above 0",
                received=f"loss={loss!r}, C={C!r}",
            )
        self.loss = loss
        self.C = C
        self.reset_head(self.n_outputs)

    def forward_features(
        self, x_BTXYZ: Tensor, times_s: Tensor | None = None
    ) -> Tensor:
        """Mean volume, (B, T, X, Y, Z) to (B, channels · X · Y · Z)."""
        return window_mean(self._check_input(x_BTXYZ), times_s)

    def forward_head(self, features_BD: Tensor) -> Tensor:
        """Logits of mean volumes, (B, V) to (B, n_outputs)."""
        return self.readout(features_BD)

    def in_words(self) -> str:
        """See `DecoderModel`."""
        machine = {"svm": "support vector machine", "logistic": "logistic regression"}
        return (
            f"a linear {machine[self.loss]} on the mean volume of a window, one weight "
            "a class for each voxel that is kept"
        )

    def reset_head(self, n_outputs: int) -> None:
        """Start again from zero weights for `n_outputs` classes."""
        self.n_outputs = n_outputs
        x, y, z = self.volume_shape
        self.readout = LinearReadout(n_outputs, self.in_channels * x * y * z)


def window_mean(x_BTCXYZ: Tensor, times_s: Tensor | None = None) -> Tensor:
    """Mean of a window's real frames, (B, T, C, X, Y, Z) to (B, C · X · Y · Z)."""
    _, real_BT = frame_times(x_BTCXYZ, times_s, t_r=1.0)
    return masked_mean(x_BTCXYZ.flatten(2), real_BT)
