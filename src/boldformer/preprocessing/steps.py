"""The registry of steps along time: whole-run form, causal form, causal twin."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from boldformer.preprocessing import causal, filtering, normalisation
from boldformer.preprocessing.base import CausalStep, RunContext, Step, replay
from boldformer.preprocessing.despike import despike
from boldformer.preprocessing.recursive import recursive_residuals
from boldformer.preprocessing.regression import regress_out
from boldformer.preprocessing.scrubbing import (
    check_threshold,
    hold_frames,
    interpolate_frames,
)
from boldformer.preprocessing.temporal import (
    cosine_drifts,
    polynomial_drifts,
    power_drifts,
)


def _replayed(twin: Callable[..., CausalStep]) -> Callable[..., np.ndarray]:
    """Make the causal form of a step whose twin is the quickest way to it."""

    def step(data: np.ndarray, run: RunContext, **settings: Any) -> np.ndarray:
        return replay(twin(run.t_r, **settings), data, run)

    step.__doc__ = twin.__doc__
    return step


# --- normalisation and despiking ---------------------------------------------------


def _centre(data: np.ndarray, run: RunContext) -> np.ndarray:
    """See `normalisation.centre`."""
    return normalisation.centre(data, run.good)


def _zscore(data: np.ndarray, run: RunContext) -> np.ndarray:
    """See `normalisation.zscore`."""
    return normalisation.zscore(data, run.good)


def _percent_signal_change(data: np.ndarray, run: RunContext) -> np.ndarray:
    """See `normalisation.percent_signal_change`."""
    return normalisation.percent_signal_change(data, run.good)


def _despike(
    data: np.ndarray, run: RunContext, start: float = 2.5, limit: float = 4.0
) -> np.ndarray:
    """See `despike.despike`."""
    return despike(data, start, limit, run.good)


# --- scrubbing ---------------------------------------------------------------------


def _scrub(data: np.ndarray, run: RunContext, fd_mm: float) -> np.ndarray:
    """See `scrubbing.interpolate_frames`; whoever reads the run finds the frames."""
    check_threshold(fd_mm)
    if run.bad is None:
        return data.copy()
    return interpolate_frames(data, run.bad, run.positions(len(data)))


def _causal_scrub(data: np.ndarray, run: RunContext, fd_mm: float) -> np.ndarray:
    """See `scrubbing.hold_frames`."""
    check_threshold(fd_mm)
    return hold_frames(data, run.bad)


# --- drifts and confounds ----------------------------------------------------------


def _clean(
    data: np.ndarray,
    run: RunContext,
    detrend_order: int = 1,
    high_pass_hz: float = 0.0,
    confounds: Sequence[str] = (),
    confound_options: Mapping[str, Any] | None = None,
) -> np.ndarray:
    """Take drifts and confounds out in one projection (see `regress_out`).

    Drifts run over the whole time scanned, whatever frames are missing. Where frames
    are scrubbed, confounds are interpolated as the data are: a movement must not be
    subtracted from a volume that no longer holds it.
    """
    positions = run.positions(len(data))
    n_scanned = int(positions[-1]) + 1
    regressors = [
        polynomial_drifts(n_scanned, detrend_order)[positions],
        cosine_drifts(n_scanned, run.t_r, high_pass_hz)[positions],
    ]
    if confounds and run.confounds is not None:
        known = run.confounds
        if run.good is not None:
            known = interpolate_frames(known, ~run.good, positions)
        regressors.append(known)
    return regress_out(data, np.concatenate(regressors, axis=1), run.good)


def _causal_clean(
    data: np.ndarray,
    run: RunContext,
    detrend_order: int = 1,
    high_pass_hz: float = 0.0,
    confounds: Sequence[str] = (),
    confound_options: Mapping[str, Any] | None = None,
) -> np.ndarray:
    """See `recursive.recursive_residuals`; scrubbed confounds hold the last good."""
    causal.check_causal_clean(high_pass_hz)
    regressors = [power_drifts(run.t_r * run.positions(len(data)), detrend_order)]
    if confounds and run.confounds is not None:
        regressors.append(hold_frames(run.confounds, run.bad))
    return recursive_residuals(data, np.concatenate(regressors, axis=1), run.good)


# --- filters -----------------------------------------------------------------------


def _filter(
    data: np.ndarray,
    run: RunContext,
    high_pass_hz: float = 0.0,
    low_pass_hz: float = 0.0,
    order: int = 5,
) -> np.ndarray:
    """See `filtering.butterworth`."""
    return filtering.butterworth(data, run.t_r, high_pass_hz, low_pass_hz, order)


def _causal_filter(
    data: np.ndarray,
    run: RunContext,
    high_pass_hz: float = 0.0,
    low_pass_hz: float = 0.0,
    order: int = 5,
) -> np.ndarray:
    """See `filtering.causal_butterworth`."""
    positions = run.positions(len(data))
    return filtering.causal_butterworth(
        data, run.t_r, high_pass_hz, low_pass_hz, order, positions
    )


def _smooth_time(data: np.ndarray, run: RunContext, fwhm_s: float) -> np.ndarray:
    """See `filtering.smooth_time`."""
    return filtering.smooth_time(data, run.t_r, fwhm_s)


def _causal_smooth_time(data: np.ndarray, run: RunContext, fwhm_s: float) -> np.ndarray:
    """See `filtering.causal_smooth_time`."""
    return filtering.causal_smooth_time(data, run.t_r, fwhm_s, run.positions(len(data)))


STEPS: dict[str, Step] = {
    "despike": Step(
        _despike,
        _replayed(causal.CausalDespike),
        causal.CausalDespike,
        "Squash spikes of single voxels",
    ),
    "scrub": Step(
        _scrub,
        _causal_scrub,
        causal.CausalScrub,
        "Replace volumes that moved by what their neighbours say",
    ),
    "centre": Step(
        _centre,
        _replayed(causal.CausalCentre),
        causal.CausalCentre,
        "Subtract each voxel's mean over its run",
        ordered=False,
    ),
    "percent_signal_change": Step(
        _percent_signal_change,
        _replayed(causal.CausalPercentSignalChange),
        causal.CausalPercentSignalChange,
        "Express each voxel in percent of its mean over its run",
        ordered=False,
    ),
    "clean": Step(
        _clean,
        _causal_clean,
        causal.CausalClean,
        "Regress out drifts, and confounds where a run has them, together",
    ),
    "filter": Step(
        _filter,
        _causal_filter,
        causal.CausalFilter,
        "Filter each voxel in frequency",
        regular=True,
    ),
    "smooth_time": Step(
        _smooth_time,
        _causal_smooth_time,
        causal.CausalSmoothTime,
        "Smooth each voxel along time with a Gaussian",
        regular=True,
    ),
    "zscore": Step(
        _zscore,
        _replayed(causal.CausalZscore),
        causal.CausalZscore,
        "Scale each voxel to unit variance over its run",
        ordered=False,
    ),
}
