"""The template brain on the grid of a cohort, and each person's own version of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from nibabel import Nifti1Image
from nilearn.datasets import (
    load_mni152_brain_mask,
    load_mni152_gm_template,
    load_mni152_template,
    load_mni152_wm_template,
)
from nilearn.image import resample_img, smooth_img
from scipy import ndimage

from boldformer.simulation.fields import Floats, SmoothField

SPACE = "MNI152NLin2009aSym"
HEAD_MARGIN_MM = 8.0
MEAN_INTENSITY = 1000.0
# Brightness of a T2*-weighted image, relative to grey matter.
GREY, WHITE, FLUID, OUTSIDE = 1.0, 0.82, 1.35, 0.12
# (centre in mm, radius in mm, share of signal lost): above the nasal sinuses and the
# ear canals, where echo-planar images fade.
DROPOUT = (
    ((0.0, 36.0, -24.0), 14.0, 0.7),
    ((-50.0, -26.0, -30.0), 12.0, 0.45),
    ((50.0, -26.0, -30.0), 12.0, 0.45),
)


@dataclass(frozen=True)
class Template:
    """Tissue of the MNI152 template on one grid; every map is ``(x, y, z)``.

    Attributes
    ----------
    affine : array, (4, 4)
        Voxel indices to MNI millimetres.
    grey, white, fluid : array
        Share of each tissue in a voxel, 0 to 1.
    texture : array
        The template's own T1 contrast, of zero mean in the brain.
    brain, head : array of bool
        Brain mask, and the wider mask outside which a volume is zero.
    """

    affine: np.ndarray
    grey: Floats
    white: Floats
    fluid: Floats
    texture: Floats
    brain: np.ndarray
    head: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        """``(x, y, z)`` of a volume."""
        return self.brain.shape

    @property
    def voxel_size_mm(self) -> float:
        """Edge of a voxel."""
        return float(self.affine[0, 0])

    @property
    def coordinates_mm(self) -> Floats:
        """MNI coordinates of every voxel, ``(3, x, y, z)``."""
        grid = np.indices(self.shape, dtype=np.float32)
        origin = self.affine[:3, 3].astype(np.float32)
        return grid * np.float32(self.voxel_size_mm) + origin[:, None, None, None]


def load_template(voxel_size_mm: float, volume_shape: tuple[int, ...] = ()) -> Template:
    """Bring the template that ships with nilearn onto the grid of a cohort.

    Parameters
    ----------
    voxel_size_mm : float
        Edge of an isotropic voxel.
    volume_shape : tuple of int, optional
        ``(x, y, z)``, centred on the brain; empty takes the template's bounding grid.

    Notes
    -----
    nilearn ships the symmetric ICBM 152 2009a template [1]_, skull-stripped.

    References
    ----------
    .. [1] Fonov et al. (2011), NeuroImage 54:313-327,
       doi:10.1016/j.neuroimage.2010.07.033.
    """
    brain_image = load_mni152_brain_mask(resolution=1)
    affine, shape = _grid(brain_image, voxel_size_mm, volume_shape)

    def on_grid(image: Nifti1Image) -> Floats:
        moved = resample_img(image, target_affine=affine, target_shape=shape)
        return np.asarray(moved.dataobj, dtype=np.float32)

    brain_share = on_grid(smooth_img(brain_image, voxel_size_mm))
    grey = np.clip(on_grid(load_mni152_gm_template(resolution=1)), 0, 1)
    white = np.clip(on_grid(load_mni152_wm_template(resolution=1)), 0, 1)
    t1 = on_grid(load_mni152_template(resolution=1))
    brain = brain_share >= 0.5
    texture = np.where(brain, t1 - t1[brain].mean(), 0).astype(np.float32)
    away_mm = ndimage.distance_transform_edt(~brain, sampling=voxel_size_mm)
    return Template(
        affine=affine,
        grey=grey,
        white=white,
        fluid=np.clip(brain_share - grey - white, 0, 1),
        texture=texture,
        brain=brain,
        head=away_mm <= HEAD_MARGIN_MM,
    )


def _grid(
    brain: Nifti1Image, voxel_size_mm: float, volume_shape: tuple[int, ...]
) -> tuple[np.ndarray, tuple[int, ...]]:
    coarse = resample_img(brain, np.eye(3) * voxel_size_mm, interpolation="nearest")
    affine = np.asarray(coarse.affine, dtype=float)
    if not volume_shape:
        return affine, coarse.shape
    inside = np.argwhere(np.asarray(coarse.dataobj) > 0)
    middle = (inside.min(axis=0) + inside.max(axis=0) + 1) // 2
    first = middle - np.asarray(volume_shape) // 2
    affine[:3, 3] += first * voxel_size_mm
    return affine, tuple(volume_shape)


@dataclass(frozen=True)
class Anatomy:
    """One person's brain; every map is ``(x, y, z)``.

    Attributes
    ----------
    baseline : array
        Intensity of a volume without any fluctuation.
    grey, white, fluid : array
        Share of each tissue in a voxel, 0 to 1.
    displacement_mm : array, (3, x, y, z)
        Where in the template each voxel of this brain lies, less its own coordinate:
        what normalisation to the template left uncorrected.
    """

    baseline: Floats
    grey: Floats
    white: Floats
    fluid: Floats
    displacement_mm: Floats


def draw_anatomy(rng: np.random.Generator, template: Template) -> Anatomy:
    """Draw one person: residual shape, tissue contrast, bias field and gain.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness of this person.
    template : Template
        What the person is a variation of.
    """
    displacement = _draw_displacement(rng, template)
    grey, white, fluid, texture = (
        _warp(volume, displacement, template)
        for volume in (
            template.grey,
            template.white,
            template.fluid,
            template.texture,
        )
    )
    contrast = rng.normal(1.0, 0.06, size=3)
    outside = np.clip(1.0 - grey - white - fluid, 0, 1)
    tissue = GREY * contrast[0] * grey + WHITE * contrast[1] * white
    tissue += FLUID * contrast[2] * fluid + OUTSIDE * outside - 0.15 * texture
    field = SmoothField(template.shape, 70.0, template.voxel_size_mm)
    fine = SmoothField(template.shape, 5.0, template.voxel_size_mm)
    bias = np.exp(0.12 * field.draw(rng, 1)[0] + 0.05 * fine.draw(rng, 1)[0])
    gain = MEAN_INTENSITY * np.exp(rng.normal(0.0, 0.12))
    baseline = gain * tissue * bias * _sensitivity(template)
    baseline = np.where(template.head, np.maximum(baseline, 1.0), 0.0)
    return Anatomy(baseline.astype(np.float32), grey, white, fluid, displacement)


def _draw_displacement(rng: np.random.Generator, template: Template) -> Floats:
    coarse = SmoothField(template.shape, 40.0, template.voxel_size_mm)
    fine = SmoothField(template.shape, 14.0, template.voxel_size_mm)
    return 1.8 * coarse.draw(rng, 3) + 1.2 * fine.draw(rng, 3)


def _warp(volume: Floats, displacement_mm: Floats, template: Template) -> Floats:
    grid = np.indices(volume.shape, dtype=np.float32)
    places = grid + displacement_mm / np.float32(template.voxel_size_mm)
    return ndimage.map_coordinates(volume, places, order=1, output=np.float32)


def _sensitivity(template: Template) -> Floats:
    kept = np.ones(template.shape, dtype=np.float32)
    places = template.coordinates_mm
    for centre, radius_mm, loss in DROPOUT:
        offset = places - np.asarray(centre, dtype=np.float32)[:, None, None, None]
        kept *= 1.0 - loss * np.exp(-0.5 * (offset**2).sum(axis=0) / radius_mm**2)
    return kept
