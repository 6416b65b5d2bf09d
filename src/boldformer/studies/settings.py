"""Settings of a run, checked before anything is read or written."""

from __future__ import annotations

import math
from pathlib import Path

from boldformer.config import EvaluationConfig, RunConfig, WindowConfig
from boldformer.data.prepare import configured_pipeline
from boldformer.data.tables import read_table
from boldformer.errors import InputError
from boldformer.models.registry import check_parameters
from boldformer.training.augment import Augmentation
from boldformer.training.devices import resolve_bf16, resolve_device

_UNITS = ("auto", "subject", "run")


def check_settings(settings: RunConfig) -> None:
    """Refuse settings that no data could meet.

    Raises
    ------
    InputError
        For unknown models, parameters, steps, groups of confounds, devices or units,
        numbers out of range, and a split that cannot be read.
    """
    check_parameters(settings.model.name, settings.model.parameters)
    configured_pipeline(settings.preprocessing)
    _check_window(settings.window)
    Augmentation.from_config(settings.training)
    device = resolve_device(settings.training.device)
    resolve_bf16(settings.training.precision, device)
    _check_evaluation(settings.evaluation)


def _check_window(window: WindowConfig) -> None:
    for name in ("length_s", "stride_s", "step_s"):
        value = getattr(window, name)
        if not 0 <= value < math.inf:
            raise InputError(
                f"unusable window: {name}",
                wanted="seconds, or 0 to leave it to the data",
                received=f"{value:g}",
            )
    if not math.isfinite(window.delay_s):
        raise InputError("unusable window: delay_s", received=f"{window.delay_s:g}")


def _check_evaluation(evaluation: EvaluationConfig) -> None:
    if evaluation.unit not in _UNITS:
        raise InputError(
            "unknown unit of the split",
            wanted=f"one of {', '.join(_UNITS)}",
            received=repr(evaluation.unit),
        )
    if evaluation.split:
        read_table(Path(evaluation.split), (), InputError)
