"""Head movement, and what realignment leaves of it in the images."""

from __future__ import annotations

import numpy as np

from boldformer.simulation.anatomy import Template
from boldformer.simulation.fields import Floats
from boldformer.simulation.spec import CohortSpec

PARAMETERS = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")
HEAD_RADIUS_MM = 50.0

# The head drifts along few directions at once, so the six parameters go together.
N_DIRECTIONS = 2
STEP_MM = 0.02
JITTER_MM = 0.008
SPIKES_PER_VOLUME = 0.012
SPIKE_MM = 0.35
BREATHING_MM = 0.03
TASK_MM = 0.015
# Share of a displacement that interpolation leaves in the realigned images.
RESIDUAL = 0.1
# Percent of signal lost for each millimetre moved since the volume before.
SPIN_HISTORY_PERCENT = 0.6


def draw_motion(
    rng: np.random.Generator,
    spec: CohortSpec,
    breathing: Floats,
    task_course: Floats,
) -> np.ndarray:
    """Draw realignment parameters: drift, jitter, breathing, task and spikes.

    Blocks of every condition move the head alike, in a direction drawn for the run,
    so that movement follows the task without telling its conditions apart.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness of the run.
    spec : CohortSpec
        Settings of the cohort.
    breathing, task_course : array, (n_times,)
        What the head follows.

    Returns
    -------
    array, (n_times, 6)
        Translations in mm and rotations in radians, as fMRIPrep orders them.
    """
    n_times = spec.n_volumes
    pace = np.exp(rng.normal(0.0, 0.4))
    steps = rng.normal(0.0, STEP_MM * pace, size=(n_times, N_DIRECTIONS))
    loadings = rng.normal(0.0, 1.0 / np.sqrt(N_DIRECTIONS), size=(N_DIRECTIONS, 6))
    walk = np.cumsum(steps, axis=0) @ loadings
    walk += rng.normal(0.0, JITTER_MM * pace, size=(n_times, 6))
    direction = np.array([0.2, 1.0, 0.6, 0.8, 0.1, 0.1])
    walk += BREATHING_MM * breathing[:, None] * direction
    walk += TASK_MM * task_course[:, None] * rng.normal(0.0, 1.0, size=6)
    for volume in np.flatnonzero(rng.random(n_times) < SPIKES_PER_VOLUME * pace):
        jump = rng.normal(0.0, SPIKE_MM, size=6)
        recovery = np.exp(-np.arange(n_times - volume) / 1.2)
        walk[volume:] += jump * (0.9 * recovery + 0.1)[:, None]
    walk -= walk[0]
    walk[:, 3:] /= HEAD_RADIUS_MM
    return walk


def framewise_displacement_mm(motion: np.ndarray) -> np.ndarray:
    """Sum the absolute changes of the six parameters, rotations as arcs [1]_.

    Returns
    -------
    array, (n_times,)
        In mm; NaN for the first volume, which follows none.

    References
    ----------
    .. [1] Power et al. (2012), NeuroImage 59:2142-2154,
       doi:10.1016/j.neuroimage.2011.10.018.
    """
    steps = np.abs(np.diff(motion, axis=0))
    steps[:, 3:] *= HEAD_RADIUS_MM
    return np.r_[np.nan, steps.sum(axis=1)]


def motion_images(baseline: Floats, template: Template) -> Floats:
    """Change of each voxel per unit of each parameter, ``(6, n_head)``.

    The first-order effect of moving an image is its gradient along the movement: large
    at edges, nothing in the flat.
    """
    gx, gy, gz = np.gradient(baseline, template.voxel_size_mm)
    x, y, z = template.coordinates_mm
    turns = [y * gz - z * gy, z * gx - x * gz, x * gy - y * gx]
    images = np.stack([gx, gy, gz, *turns])[:, template.head]
    return (RESIDUAL * images).astype(np.float32)
