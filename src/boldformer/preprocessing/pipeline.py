"""A pipeline: named steps with their settings, their order, and a hash of both."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from boldformer.config import PreprocessingConfig
from boldformer.errors import InputError
from boldformer.preprocessing.confounds import regress_out
from boldformer.preprocessing.normalisation import centre, zscore
from boldformer.preprocessing.temporal import cosine_drifts, polynomial_drifts


@dataclass(frozen=True)
class RunContext:
    """What a step may need to know of the run it works on.

    Parameters
    ----------
    t_r : float
        Repetition time, seconds.
    confounds : ndarray, shape (n_times, n_confounds), optional
        Confound time series of the run, where it has them.
    """

    t_r: float
    confounds: np.ndarray | None = None


def _clean(
    data: np.ndarray,
    run: RunContext,
    detrend_order: int = 1,
    high_pass_hz: float = 0.0,
    confounds: Sequence[str] = (),
) -> np.ndarray:
    """Take drifts and confounds out in one projection (see `regress_out`)."""
    n_times = data.shape[0]
    regressors = [
        polynomial_drifts(n_times, detrend_order),
        cosine_drifts(n_times, run.t_r, high_pass_hz),
    ]
    if confounds and run.confounds is not None:
        regressors.append(run.confounds)
    return regress_out(data, np.concatenate(regressors, axis=1))


# Each step takes (data (n_times, n_voxels), run, **settings) and returns new data.
STEPS: dict[str, Callable[..., np.ndarray]] = {
    "centre": lambda data, run: centre(data),
    "clean": _clean,
    "zscore": lambda data, run: zscore(data),
}

# Steps on the grid and on the choice of volumes, done while a run is read; they are
# part of the record and of its hash.
READING_STEPS = ("drop_volumes", "brain_mask", "pad_or_crop")


@dataclass(frozen=True)
class Pipeline:
    """An ordered list of steps.

    Parameters
    ----------
    steps : tuple of mappings
        Each ``{"step": name, **settings}``, JSON-ready.
    """

    steps: tuple[Mapping[str, Any], ...]

    def __post_init__(self) -> None:
        known = (*READING_STEPS, *STEPS)
        for step in self.steps:
            if step.get("step") not in known:
                raise InputError(
                    f"unknown preprocessing step {step.get('step')!r}",
                    wanted=f"one of {', '.join(known)}",
                )

    @property
    def hash(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of the steps."""
        text = json.dumps([dict(step) for step in self.steps], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def settings(self, name: str) -> dict[str, Any] | None:
        """Return the settings of a step, or None where the pipeline lacks it."""
        for step in self.steps:
            if step["step"] == name:
                return {key: value for key, value in step.items() if key != "step"}
        return None

    def apply(self, data: np.ndarray, run: RunContext) -> np.ndarray:
        """Run the steps on one run.

        Parameters
        ----------
        data : ndarray, shape (n_times, n_voxels)
            Voxels in the mask, image intensities.
        run : RunContext

        Returns
        -------
        ndarray of float32, shape (n_times, n_voxels)
        """
        data = np.asarray(data, dtype=np.float32)
        for step in self.steps:
            if step["step"] in STEPS:
                settings = {k: v for k, v in step.items() if k != "step"}
                data = STEPS[step["step"]](data, run, **settings)
        return data


def pipeline_from_config(config: PreprocessingConfig) -> Pipeline:
    """Build the pipeline a configuration asks for.

    Raises
    ------
    InputError
        For settings that contradict each other or are out of range.
    """
    _check(config)
    steps: list[dict[str, Any]] = [
        {"step": "drop_volumes", "dummy_scans": config.dummy_scans},
        {"step": "brain_mask"},
    ]
    if config.volume_shape:
        steps.append({"step": "pad_or_crop", "shape": list(config.volume_shape)})
    if config.centre:
        steps.append({"step": "centre"})
    if config.detrend_order > 0 or config.high_pass_hz > 0 or config.confounds:
        steps.append(
            {
                "step": "clean",
                "detrend_order": config.detrend_order,
                "high_pass_hz": config.high_pass_hz,
                "confounds": list(config.confounds),
            }
        )
    if config.normalise == "zscore":
        steps.append({"step": "zscore"})
    return Pipeline(tuple(steps))


def _check(config: PreprocessingConfig) -> None:
    if config.normalise not in ("zscore", "none"):
        raise InputError(
            "unknown normalisation",
            wanted="'zscore' or 'none'",
            received=repr(config.normalise),
        )
    if config.normalise == "zscore" and not config.centre:
        raise InputError(
            "a z-score centres every voxel",
            fix="set normalise = 'none' to keep run means, or centre = true",
        )
    if config.high_pass_hz < 0 or config.dummy_scans < -1:
        raise InputError("high_pass_hz and dummy_scans cannot be negative")
    if config.volume_shape and len(config.volume_shape) != 3:
        raise InputError(
            "unusable volume shape",
            wanted="three numbers",
            received=str(config.volume_shape),
        )
