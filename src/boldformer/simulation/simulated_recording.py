"""One person, and one run of theirs, put together from all that a recording holds."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from boldformer.simulation.activation import draw_block_heights, draw_maps
from boldformer.simulation.anatomy import Anatomy, Template, draw_anatomy
from boldformer.simulation.design import block_responses, draw_events, draw_hrf
from boldformer.simulation.fields import Floats
from boldformer.simulation.motion import (
    SPIN_HISTORY_PERCENT,
    draw_motion,
    framewise_displacement_mm,
    motion_images,
)
from boldformer.simulation.noise import draw_noise, draw_physiology
from boldformer.simulation.simulated_confounds import confounds_table
from boldformer.simulation.site import Site, draw_site
from boldformer.simulation.spec import CohortSpec

RUN_GAIN_SD = 0.01


@dataclass(frozen=True)
class Person:
    """What stays the same in all runs of a person.

    Attributes
    ----------
    anatomy : Anatomy
        The person's brain, as bright as the site shows it.
    maps : array, (n_conditions, x, y, z)
        Planted activations in percent signal change at the plateau of a block.
    hrf : array
        Haemodynamic response.
    site : Site
        Where the person is recorded.
    """

    anatomy: Anatomy
    maps: Floats
    hrf: np.ndarray
    site: Site


@dataclass(frozen=True)
class SimulatedRun:
    """One run.

    Attributes
    ----------
    data : array, (n_times, n_head)
        Intensities in the voxels of the template's head mask.
    events, confounds : DataFrame
        The blocks, and what a preprocessing pipeline would have measured.
    """

    data: Floats
    events: pd.DataFrame
    confounds: pd.DataFrame


def random_source(spec: CohortSpec, *key: int) -> np.random.Generator:
    """Make the generator of a person ``(subject,)`` or a run ``(subject, run)``.

    The site of the cohort is ``(0,)``, since people count from 1. A generator depends
    on the seed and the key alone, so neither the order in which a cohort is made nor
    its size changes anybody.
    """
    return np.random.default_rng(np.random.SeedSequence(spec.seed, spawn_key=key))


def draw_person(spec: CohortSpec, template: Template, subject: int) -> Person:
    """Draw subject number `subject`, from 1."""
    rng = random_source(spec, subject)
    anatomy = draw_anatomy(rng, template)
    maps = draw_maps(rng, template, anatomy, spec.conditions)
    maps *= np.float32(spec.effect_size)
    site = draw_site(random_source(spec, 0), template, spec.site_offset)
    lit = replace(anatomy, baseline=anatomy.baseline * site.sensitivity * site.gain)
    return Person(lit, maps, draw_hrf(rng), site)


def draw_run(
    spec: CohortSpec, template: Template, person: Person, subject: int, run: int
) -> SimulatedRun:
    """Draw run number `run`, from 1, of a person."""
    rng = random_source(spec, subject, run)
    anatomy, head = person.anatomy, template.head
    events = draw_events(rng, spec)
    blocks = block_responses(events, person.hrf, spec)
    courses = _condition_courses(rng, blocks, events, spec)
    physiology = draw_physiology(rng, template, anatomy, spec)
    motion = draw_motion(rng, spec, physiology.breathing, blocks.sum(axis=1))
    moved_mm = np.nan_to_num(framewise_displacement_mm(motion))

    shared = np.hstack([courses, physiology.series, -moved_mm[:, None]])
    spin_history = np.full((1, int(head.sum())), SPIN_HISTORY_PERCENT)
    maps = np.vstack([person.maps[:, head], physiology.maps[:, head], spin_history])
    gain = np.float32(np.exp(rng.normal(0.0, RUN_GAIN_SD)))
    data = draw_noise(rng, template, anatomy, spec)
    # In percent of a baseline that is brighter where the site is more sensitive.
    data /= person.site.sensitivity[head]
    _compose(
        data,
        baseline=gain * anatomy.baseline[head],
        background=person.site.background[head],
        shared=shared.astype(np.float32),
        maps=maps.astype(np.float32),
        motion=motion.astype(np.float32),
        motion_maps=gain * motion_images(anatomy.baseline, template),
    )
    confounds = confounds_table(data, motion, template, anatomy, spec.t_r)
    return SimulatedRun(data, events, confounds)


def _compose(
    data: Floats,
    *,
    baseline: Floats,
    background: Floats,
    shared: Floats,
    maps: Floats,
    motion: Floats,
    motion_maps: Floats,
) -> None:
    """Turn noise in percent into intensities, in place and volume by volume.

    A run on a fine grid takes a gigabyte; whole-run intermediates would take several.
    """
    still = baseline + background
    for row, volume in enumerate(data):
        volume += shared[row] @ maps
        volume *= baseline / np.float32(100.0)
        volume += still + motion[row] @ motion_maps


def _condition_courses(
    rng: np.random.Generator, blocks: Floats, events: pd.DataFrame, spec: CohortSpec
) -> Floats:
    """Add the blocks of each condition, unequally answered: (n_times, n_conditions)."""
    trial_types = events["trial_type"].tolist()
    heights = draw_block_heights(rng, trial_types, spec.conditions)
    belongs = np.array(
        [[kind == name for name in spec.conditions] for kind in trial_types]
    )
    return (blocks * heights) @ belongs
