"""A pipeline: named steps with their settings, their order, and a hash of both."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from boldformer.config import PreprocessingConfig
from boldformer.errors import InputError
from boldformer.preprocessing.base import CausalStep, Frame, RunContext
from boldformer.preprocessing.checks import (
    READING_STEPS,
    check_steps,
    parameters_of,
    settings_of,
)
from boldformer.preprocessing.recipe import steps_from_config
from boldformer.preprocessing.steps import STEPS

__all__ = [
    "READING_STEPS",
    "STEPS",
    "CausalPipeline",
    "Frame",
    "Pipeline",
    "RunContext",
    "pipeline_from_config",
    "step_meaning",
]


def step_meaning(name: str) -> str:
    """Say what a step does, for a reader; empty for one that is not known."""
    step = STEPS.get(name) or READING_STEPS.get(name)
    return step.meaning if step else ""


# A causal pipeline knows neither how many volumes a run will show to be unsteady nor
# its mean image: it drops a fixed number and masks the first ones it keeps.
_CAUSAL_DUMMY_SCANS = 4
_CAUSAL_MASK_VOLUMES = 10

# Faster than any recording, so that no sensible cut-off is above its Nyquist frequency.
_TRIAL_T_R = 0.1
_TRIAL_VOLUMES = 100


@dataclass(frozen=True)
class Pipeline:
    """An ordered list of steps.

    Parameters
    ----------
    steps : tuple of mappings
        Each ``{"step": name, **settings}``, JSON-ready; ``"causal": True`` in a step
        along time chooses its causal form. Steps done while reading come first.

    Raises
    ------
    InputError
        For unknown steps or settings, values of another type, or a wrong order.
    """

    steps: tuple[Mapping[str, Any], ...]

    def __post_init__(self) -> None:
        check_steps(self.steps, STEPS)
        # Values out of range are refused here, not run by run: a trial says which.
        self.apply(np.zeros((_TRIAL_VOLUMES, 1)), RunContext(_TRIAL_T_R))

    @property
    def hash(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of the steps."""
        text = json.dumps([dict(step) for step in self.steps], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def is_causal(self) -> bool:
        """Whether every step along time sees past volumes only.

        Dropping the volumes that a run shows to be unsteady is not causal: it looks at
        the volumes that follow.
        """
        dropped = self.settings("drop_volumes") or {}
        return dropped.get("dummy_scans", 0) >= 0 and all(
            step.get("causal", False) for step in self._in_time
        )

    def settings(self, name: str) -> dict[str, Any] | None:
        """Return the settings of a step, or None where the pipeline lacks it."""
        for step in self.steps:
            if step["step"] == name:
                return {key: value for key, value in step.items() if key != "step"}
        return None

    def apply(self, data: np.ndarray, run: RunContext) -> np.ndarray:
        """Run the steps along time on one run, or on some of its voxels.

        Parameters
        ----------
        data : ndarray, shape (n_times, n_voxels)
            Voxels in the mask, image intensities.
        run : RunContext

        Returns
        -------
        ndarray of float32, shape (n_times, n_voxels)
            Each voxel depends on that voxel alone.

        Raises
        ------
        InputError
            Where the run does not suit a step.
        """
        data = np.asarray(data, dtype=np.float32)
        for step in self._in_time:
            form, settings = STEPS[step["step"]], settings_of(step)
            if step.get("causal", False):
                data = form.causal(data, run, **settings)
                continue
            if form.regular and run.has_gaps:
                raise InputError(
                    f"the step {step['step']!r} needs evenly spaced volumes",
                    received="a run with volumes missing",
                    fix="leave the step out, or use its causal form",
                )
            data = form.batch(data, run, **settings)
        return data

    def causal(self) -> Pipeline:
        """Return the same pipeline with every step in its causal form.

        A count of dummy scans that the run decides becomes 4, the brain mask comes from
        the first 10 volumes, and the cosine high-pass filter of ``clean``, which has no
        causal form, is switched off.
        """
        steps = []
        for step in self.steps:
            changed: dict[str, Any] = {}
            if step["step"] in STEPS:
                changed["causal"] = True
            if step["step"] == "drop_volumes" and step.get("dummy_scans", 0) < 0:
                changed["dummy_scans"] = _CAUSAL_DUMMY_SCANS
            if step["step"] == "brain_mask":
                changed["n_first"] = _CAUSAL_MASK_VOLUMES
            if step["step"] == "clean":
                changed["high_pass_hz"] = 0.0
            steps.append({**step, **changed})
        return Pipeline(tuple(steps))

    def without_time(self) -> Pipeline:
        """Return what is left for frames that are maps in no order.

        The steps of reading, but no volume dropped; of the others ``centre``,
        ``zscore`` and ``percent_signal_change``, over all frames.
        """
        steps = []
        for step in self.steps:
            if step["step"] == "drop_volumes":
                steps.append({**step, "dummy_scans": 0})
            elif step["step"] == "brain_mask":
                steps.append({"step": "brain_mask"})
            elif step["step"] not in STEPS:
                steps.append(dict(step))
            elif not STEPS[step["step"]].ordered:
                known = ("step", *parameters_of(STEPS[step["step"]], causal=False))
                steps.append({key: step[key] for key in step if key in known})
        return Pipeline(tuple(steps))

    def stream(self, t_r: float) -> CausalPipeline:
        """Start the steps along time on a run that comes volume by volume.

        Parameters
        ----------
        t_r : float
            Repetition time, seconds.

        Raises
        ------
        InputError
            When a step needs volumes to come.
        """
        late = [s["step"] for s in self._in_time if not s.get("causal", False)]
        if late or not self.is_causal:
            raise InputError(
                "this pipeline cannot run volume by volume",
                wanted="every step in its causal form",
                received=f"{', '.join(late or ['drop_volumes'])} over the whole run",
                fix="prepare and train with causal = true",
            )
        twins = [STEPS[s["step"]].twin(t_r, **settings_of(s)) for s in self._in_time]
        return CausalPipeline(twins)

    @property
    def _in_time(self) -> list[Mapping[str, Any]]:
        return [step for step in self.steps if step["step"] in STEPS]


class CausalPipeline:
    """A causal pipeline at work on one run; made by `Pipeline.stream`.

    Parameters
    ----------
    twins : sequence of CausalStep
        In the order of the pipeline.
    """

    def __init__(self, twins: Sequence[CausalStep]) -> None:
        self._twins = tuple(twins)

    def update(self, volume: np.ndarray, frame: Frame | None = None) -> np.ndarray:
        """Take the next volume in and return it prepared.

        Parameters
        ----------
        volume : ndarray, shape (n_voxels,)
            Voxels in the mask, image intensities.
        frame : Frame, optional
            What is known of the volume; by default it is good, without confounds, and
            follows the one before.

        Returns
        -------
        ndarray of float32, shape (n_voxels,)
        """
        frame = frame or Frame()
        volume = np.asarray(volume, dtype=np.float32)
        for twin in self._twins:
            volume = twin.update(volume, frame)
        return volume


def pipeline_from_config(
    config: PreprocessingConfig, grid: Mapping[str, Any] | None = None
) -> Pipeline:
    """Build the pipeline a configuration asks for.

    Parameters
    ----------
    config : PreprocessingConfig
    grid : mapping, optional
        ``{"shape", "affine"}`` of the image that ``config.grid_like`` names.

    Returns
    -------
    Pipeline
        The steps are in the order of `boldformer.preprocessing.recipe`.

    Raises
    ------
    InputError
        For settings that contradict each other or are out of range.
    """
    pipeline = Pipeline(tuple(steps_from_config(config, grid)))
    return pipeline.causal() if config.causal else pipeline
