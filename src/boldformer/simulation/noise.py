"""Everything in a recording that is neither anatomy, task nor movement."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft

from boldformer.simulation.anatomy import Anatomy, Template
from boldformer.simulation.fields import Floats, SmoothField, pink
from boldformer.simulation.spec import CohortSpec

# Thermal and local noise: percent of the baseline in grey matter.
NOISE_PERCENT = 1.0
# (kernel FWHM in mm, share of the noise variance); the first is AR(1) in time, the
# others, of neural and vascular origin, have 1/f spectra.
FINE = (5.0, 0.78)
SLOW = ((10.0, 0.15), (25.0, 0.07))
AUTOCORRELATION = 0.25
KNEE_HZ = 0.01

CARDIAC_PERCENT = 0.6
RESPIRATORY_PERCENT = 0.4
SYSTEMIC_PERCENT = 0.3
DRIFT_PERCENT = 1.0
SLOWEST_DRIFTS = 3


@dataclass(frozen=True)
class Physiology:
    """Series that many voxels share, and how strongly each voxel follows them.

    Attributes
    ----------
    series : array, (n_times, n_components)
        Time courses; those of heart, breath and systemic have unit variance.
    maps : array, (n_components, x, y, z)
        Percent of the baseline per unit.
    breathing : array, (n_times,)
        The respiratory course, which also moves the head.
    """

    series: Floats
    maps: Floats
    breathing: Floats


def draw_noise(
    rng: np.random.Generator, template: Template, anatomy: Anatomy, spec: CohortSpec
) -> Floats:
    """Draw spatially smooth, temporally autocorrelated noise.

    Returns
    -------
    array, (n_times, n_head)
        Percent of the baseline in the voxels of ``template.head``.
    """
    noise = _draw_fine(rng, template, spec.n_volumes)
    for fwhm_mm, share in SLOW:
        field = SmoothField(template.shape, fwhm_mm, template.voxel_size_mm)
        heights = field.heights(rng, spec.n_volumes)
        heights = pink(heights, knee_hz=KNEE_HZ, t_r=spec.t_r)
        heights *= np.float32(np.sqrt(share))
        for row in range(spec.n_volumes):
            noise[row] += field.volumes(heights[row : row + 1])[0][template.head]
    strength = 0.8 * anatomy.white + 1.0 * anatomy.grey + 1.4 * anatomy.fluid
    outside = np.clip(1.0 - anatomy.white - anatomy.grey - anatomy.fluid, 0, 1)
    percent = spec.noise_scale * NOISE_PERCENT
    noise *= (percent * (strength + 2.0 * outside))[template.head]
    return noise


def _draw_fine(rng: np.random.Generator, template: Template, n_volumes: int) -> Floats:
    fwhm_mm, share = FINE
    field = SmoothField(template.shape, fwhm_mm, template.voxel_size_mm)
    noise = np.empty((n_volumes, int(template.head.sum())), dtype=np.float32)
    memory = np.float32(AUTOCORRELATION)
    fresh = np.float32(np.sqrt(1.0 - AUTOCORRELATION**2))
    for row in range(n_volumes):
        noise[row] = field.draw(rng, 1)[0][template.head]
        if row:
            noise[row] *= fresh
            noise[row] += memory * noise[row - 1]
    noise *= np.float32(np.sqrt(share))
    return noise


def draw_physiology(
    rng: np.random.Generator, template: Template, anatomy: Anatomy, spec: CohortSpec
) -> Physiology:
    """Draw heart beat, breathing, slow systemic fluctuation and drift.

    Heart beat and breathing are far faster than a volume and appear at the frequency
    to which the repetition time folds them; their rates wander, so the fold does too.
    """
    heart = _folded(rng, spec, rate_hz=rng.normal(1.1, 0.12), wander_hz=0.02)
    breath = _folded(rng, spec, rate_hz=rng.normal(0.28, 0.04), wander_hz=0.01)
    white = rng.standard_normal((spec.n_volumes, 2), dtype=np.float32)
    systemic = pink(white, exponent=1.5, knee_hz=0.02, t_r=spec.t_r)
    drifts = _drifts(spec.n_volumes)
    uneven = SmoothField(template.shape, 40.0, template.voxel_size_mm)
    spread = np.exp(0.5 * uneven.draw(rng, 6)) * template.head
    edge = 4.0 * anatomy.grey * anatomy.fluid
    maps = [
        CARDIAC_PERCENT * spread[0] * (anatomy.fluid + 0.2 * anatomy.grey),
        CARDIAC_PERCENT * spread[1] * (anatomy.fluid + 0.2 * anatomy.grey),
        RESPIRATORY_PERCENT * spread[2] * (0.5 + edge),
        RESPIRATORY_PERCENT * spread[3] * (0.5 + edge),
        SYSTEMIC_PERCENT * spread[4] * (0.3 * anatomy.white + anatomy.grey),
        SYSTEMIC_PERCENT * spread[5] * (0.3 + anatomy.fluid),
    ]
    wide = SmoothField(template.shape, 60.0, template.voxel_size_mm)
    drift_maps = DRIFT_PERCENT * wide.draw(rng, drifts.shape[1])
    return Physiology(
        series=np.hstack([heart, breath, systemic, drifts]),
        maps=np.concatenate([np.stack(maps), drift_maps]).astype(np.float32),
        breathing=breath[:, 0],
    )


def _folded(
    rng: np.random.Generator, spec: CohortSpec, *, rate_hz: float, wander_hz: float
) -> Floats:
    """Sample sine and cosine of a wandering phase once a volume: (n_times, 2)."""
    wander = wander_hz * pink(
        rng.standard_normal(spec.n_volumes, dtype=np.float32),
        exponent=1.5,
        knee_hz=0.01,
        t_r=spec.t_r,
    )
    cycles = np.cumsum((rate_hz + wander.astype(float)) * spec.t_r) + rng.random()
    phase = 2.0 * np.pi * cycles
    both = np.sqrt(2.0) * np.stack([np.sin(phase), np.cos(phase)], axis=1)
    return both.astype(np.float32)


def _drifts(n_volumes: int) -> Floats:
    """Make a line and the slowest cosines, each weaker than the one before."""
    line = np.linspace(-np.sqrt(3.0), np.sqrt(3.0), n_volumes)
    slowest = scipy.fft.idct(np.eye(n_volumes)[1 : SLOWEST_DRIFTS + 1], norm="ortho")
    courses = np.vstack([line, slowest * np.sqrt(n_volumes)])
    strengths = 1.0 / np.arange(1, len(courses) + 1) ** 2
    return (courses * strengths[:, None]).T.astype(np.float32)
