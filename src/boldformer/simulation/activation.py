"""Planted activations: the published foci, and where each person has them."""

from __future__ import annotations

from importlib import resources

import numpy as np
import pandas as pd

from boldformer.preprocessing.gaussian import FWHM_PER_SIGMA
from boldformer.simulation.anatomy import Anatomy, Template
from boldformer.simulation.fields import Floats, SmoothField
from boldformer.simulation.spec import CONDITIONS

# Percent signal change at the plateau, in pure grey matter at a focus of weight one;
# with the spreads below it makes decoding as hard as on real recordings
# (benchmarks/simulation_calibration.py).
AMPLITUDE_PERCENT = 3.8
# Standard deviations between people: of a focus's place (per axis), and of the
# logarithms of its size and of the responses.
PLACE_SD_MM = 5.0
SIZE_SD = 0.15
PERSON_SD = 0.15
CONDITION_SD = 0.2
FOCUS_SD = 0.25
RUN_SD = 0.1
BLOCK_SD = 0.15
# The fine pattern within an activation, which is everybody's own.
PATTERN_SD = 0.6
PATTERN_FWHM_MM = 10.0

FOCI_COLUMNS = ["x_mm", "y_mm", "z_mm"]


def load_foci() -> pd.DataFrame:
    """Read the planted foci, one row each, with the source of every coordinate.

    Returns
    -------
    DataFrame
        ``condition``, ``region``, ``hemisphere``, MNI coordinates ``x_mm``, ``y_mm``,
        ``z_mm``, ``weight``, ``fwhm_mm``, ``coordinate_source`` (where the coordinate
        was published) and ``assignment`` (why it serves this body part).
    """
    path = resources.files("boldformer.simulation") / "somatotopy.tsv"
    with path.open(encoding="utf-8") as table:
        return pd.read_csv(table, sep="\t")


def group_map(template: Template, condition: str) -> Floats:
    """Plant a condition in the average person: percent signal change, ``(x, y, z)``.

    A voxel answers as the strongest focus in its reach makes it.
    """
    foci = load_foci().query("condition == @condition")
    blobs = _blobs(
        template.coordinates_mm,
        foci[FOCI_COLUMNS].to_numpy(dtype=float),
        foci["fwhm_mm"].to_numpy(dtype=float),
    )
    weights = foci["weight"].to_numpy(dtype=np.float32)
    strongest = (weights[:, None, None, None] * blobs).max(axis=0)
    return AMPLITUDE_PERCENT * strongest * _responsive(template.grey) * template.brain


def draw_maps(
    rng: np.random.Generator,
    template: Template,
    anatomy: Anatomy,
    conditions: tuple[str, ...],
) -> Floats:
    """Draw one person's activation maps in percent signal change.

    The same cortex serves both of two conditions that share a focus, so its place and
    size are drawn once a person; how strongly it responds is drawn per condition.

    Returns
    -------
    array, (n_conditions, x, y, z)
        One map a condition, in their order.
    """
    foci = load_foci()
    places, inverse = np.unique(
        foci[FOCI_COLUMNS].to_numpy(dtype=float), axis=0, return_inverse=True
    )
    own_places = places + rng.normal(0.0, PLACE_SD_MM, size=places.shape)
    sizes = np.exp(rng.normal(0.0, SIZE_SD, size=len(places)))
    person = np.exp(rng.normal(0.0, PERSON_SD))
    per_condition = {
        name: np.exp(rng.normal(0.0, CONDITION_SD))
        for name in sorted(set(foci["condition"]))
    }
    per_focus = np.exp(rng.normal(0.0, FOCUS_SD, size=len(foci)))
    seen_at = template.coordinates_mm + anatomy.displacement_mm
    responsive = _responsive(anatomy.grey) * template.head
    maps = np.zeros((len(conditions), *template.shape), dtype=np.float32)
    for row, focus in enumerate(foci.itertuples()):
        if focus.condition not in conditions:
            continue
        place = inverse.ravel()[row]
        height = focus.weight * per_focus[row] * per_condition[focus.condition]
        blob = _blobs(
            seen_at,
            own_places[place : place + 1],
            np.array([focus.fwhm_mm * sizes[place]]),
        )[0]
        own_map = maps[conditions.index(focus.condition)]
        np.maximum(own_map, np.float32(height) * blob, out=own_map)
    field = SmoothField(template.shape, PATTERN_FWHM_MM, template.voxel_size_mm)
    pattern = np.maximum(1.0 + PATTERN_SD * field.draw(rng, len(CONDITIONS)), 0.0)
    rows = [CONDITIONS.index(name) for name in conditions]
    return np.float32(AMPLITUDE_PERCENT * person) * maps * pattern[rows] * responsive


def draw_block_heights(
    rng: np.random.Generator, trial_types: list[str], conditions: tuple[str, ...]
) -> np.ndarray:
    """Draw how strongly each block of a run is answered, about one, ``(n_blocks,)``."""
    per_run = np.exp(rng.normal(0.0, RUN_SD, size=len(conditions)))
    per_block = np.exp(rng.normal(0.0, BLOCK_SD, size=len(trial_types)))
    rows = [conditions.index(name) for name in trial_types]
    return per_run[rows] * per_block


def _responsive(grey: Floats) -> Floats:
    # White matter answers weakly; partial volumes of the ribbon answer in between.
    return (0.25 + 0.75 * grey).astype(np.float32)


def _blobs(places_mm: Floats, centres_mm: np.ndarray, fwhm_mm: np.ndarray) -> Floats:
    blobs = np.empty((len(centres_mm), *places_mm.shape[1:]), dtype=np.float32)
    for row, (centre, width) in enumerate(zip(centres_mm, fwhm_mm, strict=True)):
        offset = places_mm - centre.astype(np.float32)[:, None, None, None]
        sigma = width / FWHM_PER_SIGMA
        blobs[row] = np.exp((offset**2).sum(axis=0) * np.float32(-0.5 / sigma**2))
    return blobs
