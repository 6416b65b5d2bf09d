"""What all recordings of one scanner have in common, and those of another do not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from boldformer.simulation.anatomy import MEAN_INTENSITY, Template
from boldformer.simulation.fields import Floats, SmoothField

FIELD_FWHM_MM = 60.0


@dataclass(frozen=True)
class Site:
    """How a scanner changes the intensities of everybody it records.

    Attributes
    ----------
    sensitivity : array, (x, y, z)
        Factor on the signal, and not on the noise of voxels: it brightens one part of
        the brain and lets the noise of another stand out.
    gain : float
        Factor on signal and noise alike, as a receiver has it.
    background : array, (x, y, z)
        Intensity added to every volume.
    """

    sensitivity: Floats
    gain: np.float32
    background: Floats


def draw_site(rng: np.random.Generator, template: Template, offset: float) -> Site:
    """Draw a scanner.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness of the site.
    template : Template
        The grid.
    offset : float
        Root mean square of the background over the mean intensity, and standard
        deviation of the logarithms of sensitivity and gain; at 0 the site changes
        nothing, exactly.
    """
    field = SmoothField(template.shape, FIELD_FWHM_MM, template.voxel_size_mm)
    uneven, added = np.float32(offset) * field.draw(rng, 2)
    return Site(
        sensitivity=np.exp(uneven),
        gain=np.float32(np.exp(offset * rng.standard_normal())),
        # Magnitude images only ever gain intensity from elsewhere.
        background=np.float32(MEAN_INTENSITY) * np.abs(added),
    )
