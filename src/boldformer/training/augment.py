"""Augmentation of whole windows in batched torch: draw first, then apply."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from boldformer.config import TrainingConfig
from boldformer.errors import InputError
from boldformer.training.devices import local_seed, mix_seed
from boldformer.training.warps import (
    control_field,
    resample,
    rotations,
    shift,
    spread,
)

# Shape suffixes: B windows  T frames  X, Y, Z voxels  K classes

# A window, (n_times, x, y, z), to another one of the same shape; every TorchIO
# transform is such a function. Its randomness must be torch's.
Transform = Callable[[Tensor], Tensor]

# What one seed of a window is used for.
_WARP, _FIELD, _NOISE, _TRANSFORM = range(4)


@dataclass(frozen=True)
class Augmentation:
    """How windows are varied in training; everything is off by default.

    Parameters
    ----------
    shift_voxels : int
        Largest shift of a window along each axis; all its frames move together.
    rotation_deg : float
        Standard deviation of each component of a rotation vector, in degrees.
    zoom : float
        Standard deviation of the relative size along each axis.
    warp_voxels : float
        Standard deviation of elastic displacements along each axis, in voxels, at the
        control points between which they are interpolated.
    flip_x : bool
        Mirror every other window along its first axis. It turns a left hand into a
        right one: see `refuse_sides`.
    gain, field : float
        Standard deviations of a window's relative amplitude, and of the logarithm of a
        factor that varies smoothly over space.
    noise : float
        Standard deviation of noise added to each voxel and frame, in units of the
        normalised signal.
    frame_drop : float
        Probability that a frame is left out.
    time_jitter : int
        Most frames by which a window starts later or ends sooner.
    mixup : float
        Parameter of the symmetric beta distribution from which the share of a second
        window is drawn; 0 mixes nothing.

    References
    ----------
    Zhang, H. et al. (2018). mixup: beyond empirical risk minimization. ICLR.
    """

    shift_voxels: int = 0
    rotation_deg: float = 0.0
    zoom: float = 0.0
    warp_voxels: float = 0.0
    flip_x: bool = False
    gain: float = 0.0
    field: float = 0.0
    noise: float = 0.0
    frame_drop: float = 0.0
    time_jitter: int = 0
    mixup: float = 0.0

    @classmethod
    def from_config(cls, config: TrainingConfig) -> Self:
        """Pick the settings of augmentation out of those of a training.

        Raises
        ------
        InputError
            For a negative strength or a probability of 1.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        values = {name: getattr(config, name) for name in names}
        for name, value in values.items():
            below = 1.0 if name == "frame_drop" else math.inf
            if not 0 <= value < below:
                raise InputError(
                    f"{name} is out of range",
                    wanted=f"0 or more, below {below}",
                    received=repr(value),
                )
        return cls(**values)


NO_AUGMENTATION: dict[str, Any] = dataclasses.asdict(Augmentation())
"""Settings of a training that leaves its windows as they are."""


@dataclass(frozen=True)
class Draw:
    """One drawn augmentation of a batch; applying it again gives the same result.

    Parameters
    ----------
    shifts : Tensor of int, shape (batch, 3)
        Voxels along each axis.
    turns_deg : Tensor, shape (batch, 3)
        Rotation vectors in degrees.
    zooms : Tensor, shape (batch, 3)
        Factors on the size along each axis.
    flips : Tensor of bool, shape (batch,)
        Which windows are mirrored.
    gains : Tensor, shape (batch,)
        Factors on the signal.
    left_out : Tensor of bool, shape (batch, n_times)
        Frames that are not to be seen.
    partners : Tensor of int, shape (batch,)
        Which window is mixed in.
    seeds : Tensor of int, shape (batch,)
        Seeds of each window's displacements, field, noise and transform.
    share : float
        Weight of the window itself; its partner has the rest.
    warp_sd, field_sd, noise_sd : float
        Strengths of displacements (voxels), field (log) and noise.
    """

    shifts: Tensor
    turns_deg: Tensor
    zooms: Tensor
    flips: Tensor
    gains: Tensor
    left_out: Tensor
    partners: Tensor
    seeds: Tensor
    share: float
    warp_sd: float
    field_sd: float
    noise_sd: float

    def piece(self, start: int, stop: int) -> Self:
        """Draw of windows `start` to `stop`, which are mixed among themselves."""
        rows: dict[str, Any] = {
            name: value[start:stop] if isinstance(value, Tensor) else value
            for name, value in vars(self).items()
        }
        rows["partners"] = rows["partners"].argsort().argsort()
        return type(self)(**rows)

    def averaged(self, n_times: int, n_groups: int) -> Self:
        """Draw that does to averages of frames what this one does to the frames.

        All that is done to a window is linear and the same for all its frames, but for
        the noise, of which less is left in an average.
        """
        noise_sd = self.noise_sd * math.sqrt(n_groups / n_times)
        return dataclasses.replace(self, noise_sd=noise_sd)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and numbers, ready for JSON."""
        return {
            name: value.tolist() if isinstance(value, Tensor) else value
            for name, value in vars(self).items()
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Read what `to_dict` gave."""
        fields: dict[str, Any] = {
            name: torch.tensor(value) if isinstance(value, list) else value
            for name, value in values.items()
        }
        return cls(**fields)


def draw(augmentation: Augmentation, n_windows: int, n_times: int, seed: int) -> Draw:
    """Draw an augmentation for a batch of `n_windows`, from `seed` alone."""
    generator = np.random.default_rng(seed)
    reach = augmentation.shift_voxels
    shifts = generator.integers(-reach, reach, (n_windows, 3), endpoint=True)
    gains = generator.normal(1.0, augmentation.gain, n_windows)
    partners = generator.permutation(n_windows)
    share = 1.0
    if augmentation.mixup > 0:
        share = generator.beta(augmentation.mixup, augmentation.mixup)
    turns_deg = generator.normal(0.0, augmentation.rotation_deg, (n_windows, 3))
    zooms = np.exp(generator.normal(0.0, augmentation.zoom, (n_windows, 3)))
    flips = generator.random(n_windows) < 0.5 * augmentation.flip_x
    dropped = generator.random((n_windows, n_times)) < augmentation.frame_drop
    reach = augmentation.time_jitter
    late = generator.integers(-reach, reach, (n_windows, 1), endpoint=True)
    frames = np.arange(n_times)
    cut = (frames < late) | (frames >= n_times + late)
    return Draw(
        shifts=torch.from_numpy(shifts),
        turns_deg=torch.from_numpy(turns_deg).float(),
        zooms=torch.from_numpy(zooms).float(),
        flips=torch.from_numpy(flips),
        gains=torch.from_numpy(gains).float(),
        left_out=torch.from_numpy(dropped | cut),
        partners=torch.from_numpy(partners),
        seeds=torch.from_numpy(generator.integers(2**62, size=n_windows)),
        share=max(share, 1 - share),
        warp_sd=augmentation.warp_voxels,
        field_sd=augmentation.field,
        noise_sd=augmentation.noise,
    )


def apply(drawn: Draw, x_BTXYZ: Tensor, transform: Transform | None = None) -> Tensor:
    """Augment windows.

    Parameters
    ----------
    drawn : Draw
        What to do.
    x_BTXYZ : Tensor, shape (batch, n_times, x, y, z)
        Not changed.
    transform : callable, optional
        A function of one window, (n_times, x, y, z), such as a TorchIO transform, whose
        channels the frames are. It is called after the window was moved and before
        another one is mixed in, under a seed of the window's own.

    Returns
    -------
    Tensor, shape (batch, n_times, x, y, z)

    Raises
    ------
    InputError
        When the transform gives something else than a window of the same shape.
    """
    x_BTXYZ = _move(drawn, x_BTXYZ)
    if transform is not None:
        x_BTXYZ = _transform(transform, x_BTXYZ, _seeds(drawn, _TRANSFORM))
    if drawn.share < 1:
        mixed = x_BTXYZ[drawn.partners.to(x_BTXYZ.device)]
        x_BTXYZ = torch.lerp(mixed, x_BTXYZ, drawn.share)
    if not torch.equal(drawn.gains, torch.ones_like(drawn.gains)):
        x_BTXYZ = x_BTXYZ * drawn.gains.to(x_BTXYZ)[:, None, None, None, None]
    if drawn.field_sd > 0:
        control = control_field(_volume(x_BTXYZ), _seeds(drawn, _FIELD), 1)
        field = spread(drawn.field_sd * control.to(x_BTXYZ), _volume(x_BTXYZ))
        x_BTXYZ = x_BTXYZ * field.movedim(-1, 1).exp()
    if drawn.noise_sd > 0:
        x_BTXYZ = x_BTXYZ + drawn.noise_sd * _noise(x_BTXYZ, _seeds(drawn, _NOISE))
    return x_BTXYZ


def apply_to_targets(drawn: Draw, targets_BK: Tensor) -> Tensor:
    """Mix targets, or anything with a row a window, as `apply` mixes the windows."""
    if drawn.share == 1:
        return targets_BK
    mixed_BK = targets_BK[drawn.partners.to(targets_BK.device)]
    return torch.lerp(mixed_BK, targets_BK, drawn.share)


def apply_to_times(drawn: Draw, times_s: Tensor) -> Tensor:
    """Mark the frames that are left out by times that are NaN.

    Parameters
    ----------
    drawn : Draw
        What to do.
    times_s : Tensor, shape (n_times,) or (batch, n_times)
        Seconds; NaN for padding.

    Returns
    -------
    Tensor, of the same shape where no frame is left out, else (batch, n_times)
        A window that would be left without any frame keeps all of them.
    """
    if not drawn.left_out.any():
        return times_s
    times_BT = times_s.expand(drawn.left_out.shape)
    seen_BT = times_BT.masked_fill(drawn.left_out.to(times_s.device), float("nan"))
    empty_B1 = seen_BT.isnan().all(dim=1, keepdim=True)
    return torch.where(empty_B1, times_BT, seen_BT)


def _move(drawn: Draw, x_BTXYZ: Tensor) -> Tensor:
    """Everything that changes where things are, in one interpolation or none."""
    if drawn.flips.any():
        flips = drawn.flips.to(x_BTXYZ.device)[:, None, None, None, None]
        x_BTXYZ = torch.where(flips, x_BTXYZ.flip(2), x_BTXYZ)
    warped = drawn.warp_sd > 0
    if not warped and not drawn.turns_deg.any() and (drawn.zooms == 1).all():
        return shift(x_BTXYZ, drawn.shifts)
    displacements = None
    if warped:
        seeds = _seeds(drawn, _WARP)
        displacements = drawn.warp_sd * control_field(_volume(x_BTXYZ), seeds, 3)
    turns = rotations(drawn.turns_deg)
    return resample(x_BTXYZ, turns, drawn.zooms, drawn.shifts, displacements)


def _transform(transform: Transform, x_BTXYZ: Tensor, seeds: list[int]) -> Tensor:
    rows = []
    for window, seed in zip(x_BTXYZ.cpu(), seeds, strict=True):
        with local_seed(seed):
            row = transform(window.clone())
        if not isinstance(row, Tensor) or row.shape != window.shape:
            raise InputError(
                "a transform must give a window of the same shape",
                wanted=f"a tensor of shape {tuple(window.shape)}",
                received=f"{type(row).__name__} {tuple(getattr(row, 'shape', ()))}",
            )
        rows.append(row)
    return torch.stack(rows).to(x_BTXYZ)


def _noise(x_BTXYZ: Tensor, seeds: list[int]) -> Tensor:
    noise = torch.empty_like(x_BTXYZ)
    generator = torch.Generator(x_BTXYZ.device)
    for row, seed in zip(noise, seeds, strict=True):
        row.normal_(generator=generator.manual_seed(seed))
    return noise


def _seeds(drawn: Draw, purpose: int) -> list[int]:
    return [mix_seed(seed, purpose) for seed in drawn.seeds.tolist()]


def _volume(x_BTXYZ: Tensor) -> tuple[int, int, int]:
    x, y, z = x_BTXYZ.shape[2:]
    return x, y, z
