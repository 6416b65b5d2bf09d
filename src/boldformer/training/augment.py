"""Augmentation of whole windows in batched torch: draw first, then apply."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

# Shape suffixes: B windows  T frames  X, Y, Z voxels  K classes


@dataclass(frozen=True)
class Augmentation:
    """How windows are varied in training.

    There are no left-right flips: they would turn a left hand into a right one.

    Parameters
    ----------
    shift_voxels : int
        Largest shift of a window along each axis; all its frames move together.
    gain : float
        Standard deviation of a window's relative amplitude.
    noise : float
        Standard deviation of noise added to each voxel and frame, in units of the
        normalised signal.
    mixup : float
        Parameter of the symmetric beta distribution from which the share of a second
        window is drawn; 0 mixes nothing.

    References
    ----------
    Zhang, H. et al. (2018). mixup: beyond empirical risk minimization. ICLR.
    """

    shift_voxels: int = 0
    gain: float = 0.0
    noise: float = 0.0
    mixup: float = 0.0


@dataclass(frozen=True)
class Draw:
    """One drawn augmentation of a batch; applying it again gives the same result.

    Parameters
    ----------
    shifts : Tensor of int, shape (batch, 3)
        Voxels along each axis.
    gains : Tensor, shape (batch,)
        Factors on the signal.
    partners : Tensor of int, shape (batch,)
        Which window is mixed in.
    share : float
        Weight of the window itself; its partner has the rest.
    noise_sd : float
        Standard deviation of the noise.
    noise_seed : int
        Seed of the noise.
    """

    shifts: Tensor
    gains: Tensor
    partners: Tensor
    share: float
    noise_sd: float
    noise_seed: int


def draw(augmentation: Augmentation, n_windows: int, seed: int) -> Draw:
    """Draw an augmentation for a batch of `n_windows`, from `seed` alone."""
    generator = np.random.default_rng(seed)
    reach = augmentation.shift_voxels
    shifts = generator.integers(-reach, reach, (n_windows, 3), endpoint=True)
    gains = generator.normal(1.0, augmentation.gain, n_windows)
    partners = generator.permutation(n_windows)
    share = 1.0
    if augmentation.mixup > 0:
        share = generator.beta(augmentation.mixup, augmentation.mixup)
    return Draw(
        shifts=torch.from_numpy(shifts),
        gains=torch.from_numpy(gains).float(),
        partners=torch.from_numpy(partners),
        share=max(share, 1 - share),
        noise_sd=augmentation.noise,
        noise_seed=int(generator.integers(2**62)),
    )


def apply(drawn: Draw, x_BTXYZ: Tensor) -> Tensor:
    """Augment windows, (B, T, X, Y, Z) to the same shape; the input is not changed."""
    x_BTXYZ = shift(x_BTXYZ, drawn.shifts)
    if drawn.share < 1:
        mixed = x_BTXYZ[drawn.partners.to(x_BTXYZ.device)]
        x_BTXYZ = torch.lerp(mixed, x_BTXYZ, drawn.share)
    if not torch.equal(drawn.gains, torch.ones_like(drawn.gains)):
        x_BTXYZ = x_BTXYZ * drawn.gains.to(x_BTXYZ)[:, None, None, None, None]
    if drawn.noise_sd > 0:
        generator = torch.Generator(x_BTXYZ.device).manual_seed(drawn.noise_seed)
        noise = torch.empty_like(x_BTXYZ).normal_(generator=generator)
        x_BTXYZ = x_BTXYZ + drawn.noise_sd * noise
    return x_BTXYZ


def apply_to_targets(drawn: Draw, targets_BK: Tensor) -> Tensor:
    """Mix targets, or anything with a row a window, as `apply` mixes the windows."""
    if drawn.share == 1:
        return targets_BK
    mixed_BK = targets_BK[drawn.partners.to(targets_BK.device)]
    return torch.lerp(mixed_BK, targets_BK, drawn.share)


def shift(x_BTXYZ: Tensor, shifts: Tensor) -> Tensor:
    """Move windows by whole voxels; what comes in at the border is zero.

    Parameters
    ----------
    x_BTXYZ : Tensor, shape (batch, n_times, x, y, z)
    shifts : Tensor of int, shape (batch, 3)
        Voxels towards higher indices along x, y and z.
    """
    if not shifts.any():
        return x_BTXYZ
    moved = torch.zeros_like(x_BTXYZ)
    for target, source, steps in zip(moved, x_BTXYZ, shifts.tolist(), strict=True):
        spans = [
            _overlap(step, size)
            for step, size in zip(steps, x_BTXYZ.shape[2:], strict=True)
        ]
        into = (slice(None), *(span[0] for span in spans))
        out_of = (slice(None), *(span[1] for span in spans))
        target[into] = source[out_of]
    return moved


def _overlap(step: int, size: int) -> tuple[slice, slice]:
    """Slices to write to and read from when an axis of `size` moves by `step`."""
    step = max(-size, min(size, step))
    if step >= 0:
        return slice(step, size), slice(0, size - step)
    return slice(0, size + step), slice(-step, size)
