"""Smooth random fields in space and coloured random series in time."""

from __future__ import annotations

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from boldformer.preprocessing.gaussian import FWHM_PER_SIGMA

Floats = NDArray[np.float32]


class SmoothField:
    """Draws random volumes of a given smoothness, of unit variance everywhere.

    A field is a sum of Gaussian bumps with random heights on a lattice no wider than
    one standard deviation of the bump. A Gaussian is separable, so three small matrix
    products make a volume; heights may be coloured in time beforehand, since smoothing
    in space and filtering in time commute.

    Parameters
    ----------
    shape : tuple of int
        ``(x, y, z)`` of a volume.
    fwhm_mm : float
        Full width at half maximum of the smoothing kernel.
    voxel_size_mm : float
        Edge of a voxel.
    """

    def __init__(
        self, shape: tuple[int, ...], fwhm_mm: float, voxel_size_mm: float
    ) -> None:
        sigma = fwhm_mm / FWHM_PER_SIGMA / voxel_size_mm
        self.bases = [_bumps(side, sigma) for side in shape]
        self.lattice_shape = tuple(basis.shape[1] for basis in self.bases)

    def heights(self, rng: np.random.Generator, n: int) -> Floats:
        """Draw white heights of the bumps, ``(n, *lattice_shape)``."""
        return rng.standard_normal((n, *self.lattice_shape), dtype=np.float32)

    def volumes(self, heights: Floats) -> Floats:
        """Sum the bumps: ``(n, *lattice_shape)`` to ``(n, x, y, z)``."""
        field = heights
        for basis in self.bases:
            # The axis just summed goes last, so three turns restore the order.
            field = np.tensordot(field, basis, axes=(1, 1))
        return field

    def draw(self, rng: np.random.Generator, n: int) -> Floats:
        """Draw `n` independent volumes, ``(n, x, y, z)``."""
        return self.volumes(self.heights(rng, n))


def _bumps(side: int, sigma: float) -> Floats:
    spacing = max(1.0, sigma)
    margin = 3.0 * sigma
    n_centres = int(np.ceil((side - 1 + 2 * margin) / spacing)) + 1
    centres = np.linspace(-margin, side - 1 + margin, n_centres)
    distance = (np.arange(side)[:, None] - centres) / max(sigma, 0.2)
    bumps = np.exp(-0.5 * distance**2)
    bumps /= np.linalg.norm(bumps, axis=1, keepdims=True)
    return bumps.astype(np.float32)


def pink(white: Floats, *, exponent: float = 1.0, knee_hz: float, t_r: float) -> Floats:
    """Colour white series along their first axis to a ``1/f`` power spectrum.

    Parameters
    ----------
    white : array, (n_times, ...)
        Series of unit variance.
    exponent : float
        Slope of the power spectrum above the knee.
    knee_hz : float
        Below this frequency the spectrum is flat, so that variance stays finite.
    t_r : float
        Sampling interval in seconds.

    Returns
    -------
    array, (n_times, ...)
        Series of unit expected variance without a mean.
    """
    n_times = len(white)
    frequencies = scipy.fft.rfftfreq(n_times, t_r)
    gain = np.maximum(frequencies, knee_hz) ** (-exponent / 2.0)
    gain[0] = 0.0
    gain /= np.sqrt(np.mean(np.r_[gain, gain[1 : (n_times + 1) // 2]] ** 2))
    spectrum = scipy.fft.rfft(white, axis=0)
    spectrum *= gain.astype(np.float32).reshape(-1, *[1] * (white.ndim - 1))
    return scipy.fft.irfft(spectrum, n_times, axis=0).astype(np.float32, copy=False)
