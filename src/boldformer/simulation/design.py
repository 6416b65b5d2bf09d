"""Block designs and the haemodynamic response to them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from nilearn.glm.first_level import glover_hrf

from boldformer.simulation.fields import Floats
from boldformer.simulation.spec import (
    FINAL_REST_S,
    INITIAL_REST_S,
    CohortSpec,
)

FINE_STEP_S = 0.1


def draw_events(rng: np.random.Generator, spec: CohortSpec) -> pd.DataFrame:
    """Draw the blocks of a run: every condition once a cycle, in random order.

    Rests between blocks share the spare time at random, so that neither order nor
    onset repeats between runs; a cycle never begins with the condition before it.

    Returns
    -------
    DataFrame
        ``onset``, ``duration`` (seconds) and ``trial_type``, in order of time.
    """
    order: list[str] = []
    for _ in range(spec.cycles):
        cycle = list(rng.permutation(spec.conditions))
        if order and cycle[0] == order[-1]:
            cycle.append(cycle.pop(0))
        order += cycle
    spare_s = spec.duration_s - INITIAL_REST_S - FINAL_REST_S
    spare_s -= len(order) * spec.block_s
    shares = rng.dirichlet(np.full(len(order), 4.0))
    least_s = 0.5 * spare_s / len(order)
    rests_s = least_s + shares * (spare_s - least_s * len(order))
    starts_s = INITIAL_REST_S + np.arange(len(order)) * spec.block_s
    onsets_s = starts_s + np.r_[0.0, np.cumsum(rests_s)[:-1]]
    return pd.DataFrame(
        {
            "onset": np.floor(onsets_s / FINE_STEP_S) * FINE_STEP_S,
            "duration": spec.block_s,
            "trial_type": order,
        }
    ).round({"onset": 1})


def draw_hrf(rng: np.random.Generator) -> np.ndarray:
    """Draw one person's haemodynamic response, sampled every `FINE_STEP_S`.

    Glover's response [1]_, some 10 % faster or slower, and earlier or later by some
    tenths of a second; scaled so that a long block peaks at one.

    References
    ----------
    .. [1] Glover (1999), NeuroImage 9:416-429, doi:10.1006/nimg.1998.0419.
    """
    pace = np.exp(rng.normal(0.0, 0.1))
    delay_s = rng.normal(0.0, 0.4)
    canonical = glover_hrf(t_r=1.0, oversampling=round(1 / FINE_STEP_S), onset=0.0)
    times_s = np.arange(round(36 / FINE_STEP_S)) * FINE_STEP_S
    response = np.interp(
        (times_s - delay_s) / pace,
        np.arange(len(canonical)) * FINE_STEP_S,
        canonical,
        left=0.0,
        right=0.0,
    )
    return response / np.cumsum(response).max()


def block_responses(events: pd.DataFrame, hrf: np.ndarray, spec: CohortSpec) -> Floats:
    """Convolve each block with the response, sampled at the middle of each volume.

    Returns
    -------
    array, (n_times, n_blocks)
        One response a block, 1 at the peak of a long one.
    """
    n_fine = int(np.ceil(spec.duration_s / FINE_STEP_S))
    boxcars = np.zeros((n_fine, len(events)))
    onsets = events["onset"].to_numpy(dtype=float)
    durations = events["duration"].to_numpy(dtype=float)
    for block, (onset_s, duration_s) in enumerate(zip(onsets, durations, strict=True)):
        first = round(onset_s / FINE_STEP_S)
        boxcars[first : first + round(duration_s / FINE_STEP_S), block] = 1.0
    responses = np.apply_along_axis(np.convolve, 0, boxcars, hrf)[:n_fine]
    middles_s = (np.arange(spec.n_volumes) + 0.5) * spec.t_r
    rows = np.minimum((middles_s / FINE_STEP_S).astype(int), n_fine - 1)
    return responses[rows].astype(np.float32)
