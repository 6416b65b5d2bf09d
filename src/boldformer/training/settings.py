"""Settings of a model and of its training, checked before any data are read."""

from __future__ import annotations

import math

from boldformer.config import ModelConfig, TrainingConfig
from boldformer.errors import InputError
from boldformer.training.augment import Augmentation
from boldformer.training.batches import BALANCES
from boldformer.training.devices import resolve_bf16, resolve_device
from boldformer.training.estimate import build_model
from boldformer.training.fit import LINEAR_PATHS

_TRIAL_TIMES, _TRIAL_SHAPE = 8, (24, 28, 24)
_LEAST = {
    **dict.fromkeys(("max_epochs", "batch_size", "accumulate"), 1),
    **dict.fromkeys(("patience", "early_stopping_groups", "gradient_clip"), 0),
    **dict.fromkeys(("learning_rate", "weight_decay", "label_smoothing"), 0),
}
_CHOICES = {
    "balance": BALANCES,
    "linear_path": LINEAR_PATHS,
}


def check_model(model: ModelConfig) -> None:
    """Build a model once, small: a value that it cannot take shows there.

    Raises
    ------
    InputError
        For an unknown model or parameter, or such a value.
    """
    shape = (1, _TRIAL_TIMES, *_TRIAL_SHAPE)
    build_model(model, shape, n_outputs=2, seed=0)


def check_training(training: TrainingConfig) -> None:
    """Refuse settings that nothing could be trained by.

    Raises
    ------
    InputError
        For numbers out of range, unknown choices, and a device that is not there.
    """
    for name, least in _LEAST.items():
        value = getattr(training, name)
        if not least <= value < math.inf:
            raise InputError(
                f"unusable {name} of training",
                wanted=f"{least:g} or more",
                received=f"{value:g}",
            )
    if not 0 <= training.validation_fraction < 1:
        raise InputError(
            "unusable validation_fraction of training",
            wanted="a share from 0 to below 1",
            received=f"{training.validation_fraction:g}",
        )
    for name, choices in _CHOICES.items():
        if getattr(training, name) not in choices:
            raise InputError(
                f"unknown {name} of training",
                wanted=f"one of {', '.join(choices)}",
                received=repr(getattr(training, name)),
            )
    Augmentation.from_config(training)
    resolve_bf16(training.precision, resolve_device(training.device))
