"""Parcel perceptron: means over parcels of the brain into two linear layers."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from boldformer.errors import InputError
from boldformer.models.base import DecoderModel
from boldformer.models.layers import DropConnectLinear
from boldformer.models.linear import window_mean
from boldformer.models.parcels import N_PARCELS, box_parcels, parcellate
from boldformer.models.registry import register

# Shape suffixes: B windows  T frames  C channels  V voxels  P parcels  D width
# X, Y, Z voxels


@register("parcel_mlp")
class ParcelMLP(DecoderModel):
    """Multilayer perceptron on the means of some 400 parcels.

    Shapes: windows (B, T, X, Y, Z) → mean of the real frames (B, X·Y·Z) → parcel means
    (B, n_parcels), standardised over the training windows → features (B, width) →
    logits (B, n_outputs). Any number of frames may be read; their order plays no part.

    Parcels are made from the places of voxels alone. A new model cuts the whole volume
    into boxes; `set_brain` divides the brain alone. Which parcel a voxel is in is kept
    with the weights.

    Parameters
    ----------
    n_outputs, n_times, volume_shape, in_channels
        See `DecoderModel`.
    n_parcels : int
        Parcels at most.
    width : int
        Features.
    drop_prob : float
        DropConnect probability of the first layer's weights.

    References
    ----------
    Rumelhart, D. E. et al. (1986). Learning representations by back-propagating errors.
    Nature 323, 533-536.
    Wan, L. et al. (2013). Regularization of neural networks using DropConnect. ICML.
    """

    parcel_of_voxel: Tensor

    def __init__(
        self,
        *,
        n_outputs: int,
        n_times: int,
        volume_shape: tuple[int, int, int],
        in_channels: int = 1,
        n_parcels: int = N_PARCELS,
        width: int = 128,
        drop_prob: float = 0.17,
    ) -> None:
        super().__init__(
            n_outputs=n_outputs,
            n_times=n_times,
            volume_shape=volume_shape,
            in_channels=in_channels,
        )
        self.n_parcels, self.width, self.drop_prob = n_parcels, width, drop_prob
        boxes = torch.from_numpy(box_parcels(self.volume_shape, n_parcels))
        self.register_buffer("parcel_of_voxel", boxes)
        n_means = self.in_channels * n_parcels
        self.standardise = Standardise(n_means)
        self.hidden = DropConnectLinear(n_means, width, drop_prob=drop_prob)
        self.reset_head(self.n_outputs)

    def in_words(self) -> str:
        """See `DecoderModel`."""
        return (
            f"a multilayer perceptron ({self.width} hidden units, DropConnect of "
            f"{self.drop_prob:g}; Wan et al., 2013) on the means of at most "
            f"{self.n_parcels} parcels"
        )

    def set_brain(
        self,
        mask_XYZ: np.ndarray,
        voxel_size_mm: tuple[float, float, float] = (1.0, 1.0, 1.0),
    ) -> None:
        """Divide the voxels of a mask into parcels, before training.

        Parameters
        ----------
        mask_XYZ : ndarray of bool, shape (x, y, z)
            Voxels of the brain; the others count for nothing from then on.
        voxel_size_mm : tuple of float
            Edge lengths of a voxel.

        Raises
        ------
        InputError
            For a mask of another shape, or without any voxel.
        """
        mask_XYZ = np.asarray(mask_XYZ, dtype=bool)
        if mask_XYZ.shape != self.volume_shape or not mask_XYZ.any():
            raise InputError(
                "the mask does not fit the model",
                wanted=f"voxels of the brain in a volume of {self.volume_shape}",
                received=f"{mask_XYZ.sum()} voxels in one of {mask_XYZ.shape}",
            )
        parcels = np.full(mask_XYZ.shape, self.n_parcels)
        parcels[mask_XYZ] = parcellate(mask_XYZ, voxel_size_mm, self.n_parcels)
        self.parcel_of_voxel.copy_(torch.from_numpy(parcels.ravel()))

    def forward_features(
        self, x_BTXYZ: Tensor, times_s: Tensor | None = None
    ) -> Tensor:
        """Features of windows, (B, T, X, Y, Z) to (B, width)."""
        mean_BV = window_mean(self._check_input(x_BTXYZ), times_s)
        mean_BCV = mean_BV.unflatten(1, (self.in_channels, -1))
        return F.relu(self.hidden(self.standardise(self._parcel_means(mean_BCV))))

    def forward_head(self, features_BD: Tensor) -> Tensor:
        """Logits of features, (B, width) to (B, n_outputs)."""
        return self.head(features_BD)

    def reset_head(self, n_outputs: int) -> None:
        """Replace the head by a new one for `n_outputs` classes."""
        self.n_outputs = n_outputs
        self.head = nn.Linear(self.width, n_outputs)

    def _parcel_means(self, mean_BCV: Tensor) -> Tensor:
        """Average voxels within parcels, (B, C, V) to (B, C · n_parcels)."""
        # Sums over hundreds of voxels, and counts of them, are beyond 16 bits.
        mean_BCV = mean_BCV.float()
        # One parcel more takes what lies outside the brain.
        n_voxels = mean_BCV.new_zeros(self.n_parcels + 1).scatter_add(
            0, self.parcel_of_voxel, torch.ones_like(mean_BCV[0, 0])
        )
        parcel_BCV = self.parcel_of_voxel.expand_as(mean_BCV)
        sums_BCP = mean_BCV.new_zeros(
            *mean_BCV.shape[:2], self.n_parcels + 1
        ).scatter_add(2, parcel_BCV, mean_BCV)
        means_BCP = sums_BCP / n_voxels.clamp(min=1)
        return means_BCP[..., :-1].flatten(1)


class Standardise(nn.Module):
    """Subtract each feature's mean and divide by its SD, both over training windows.

    Mean and variance are of all windows that were seen in training so far, also for
    the batch at hand: unlike batch statistics they do not suffer from small batches,
    and are the same at evaluation. A feature that never varied is only centred.

    Parameters
    ----------
    n_features : int

    References
    ----------
    Chan, T. F. et al. (1983). Algorithms for computing the sample variance. The
    American Statistician 37, 242-247.
    """

    count: Tensor
    mean: Tensor
    variance: Tensor

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("variance", torch.zeros(n_features))

    def forward(self, x_BP: Tensor) -> Tensor:
        """Standardise (B, n_features)."""
        if self.training:
            self._add(x_BP.detach().float())
        sd_P = self.variance.sqrt()
        sd_P = torch.where(sd_P > torch.finfo(sd_P.dtype).eps, sd_P, 1.0)
        return (x_BP - self.mean) / sd_P

    @torch.no_grad()
    def _add(self, x_BP: Tensor) -> None:
        """Take a batch into mean and variance."""
        share = len(x_BP) / (self.count + len(x_BP))
        variance_P, mean_P = torch.var_mean(x_BP, dim=0, correction=0)
        gap_P = mean_P - self.mean
        between_P = share * (1 - share) * gap_P.square()
        self.variance.lerp_(variance_P, share).add_(between_P)
        self.mean.lerp_(mean_P, share)
        self.count += len(x_BP)
