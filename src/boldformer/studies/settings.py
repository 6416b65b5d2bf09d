"""Settings of a run, checked before anything is read or written."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from boldformer.config import EvaluationConfig, RunConfig, WindowConfig
from boldformer.data.prepare import configured_pipeline
from boldformer.data.splits import check_request
from boldformer.data.tables import read_table
from boldformer.errors import InputError
from boldformer.evaluation.intervals import GroupBootstrap
from boldformer.training.settings import check_model, check_training

_LEAST_OF_EVALUATION = {"n_permutations": 0, "linear_permutations": -1}


def check_settings(settings: RunConfig) -> None:
    """Refuse settings that no data could meet.

    Raises
    ------
    InputError
        For unknown models, parameters, steps, groups of confounds, devices or units,
        numbers out of range, and a split that cannot be read.
    """
    check_model(settings.model)
    configured_pipeline(settings.preprocessing)
    _check_window(settings.window)
    check_training(settings.training)
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
    check_request(evaluation.unit, evaluation.folds, evaluation.repeats)
    GroupBootstrap(np.arange(2), evaluation.n_resamples, evaluation.level)
    for name, least in _LEAST_OF_EVALUATION.items():
        if getattr(evaluation, name) < least:
            raise InputError(
                f"unusable {name}",
                wanted=f"{least} or more",
                received=str(getattr(evaluation, name)),
            )
    if evaluation.split:
        read_table(Path(evaluation.split), (), InputError)
