"""From settings and windows to a fitted model: the one way a model comes about."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from boldformer.config import ModelConfig, TrainingConfig
from boldformer.models.base import DecoderModel
from boldformer.models.registry import create
from boldformer.training.augment import Transform
from boldformer.training.devices import local_seed
from boldformer.training.fit import FitResult, fit_model
from boldformer.training.predict import predict_parts, predict_proba
from boldformer.training.source import WindowSource


def build_model(
    model: ModelConfig, shape: tuple[int, ...], n_outputs: int, seed: int
) -> DecoderModel:
    """Build the model that settings name for windows of a shape, untrained.

    Parameters
    ----------
    model : ModelConfig
        Settings.
    shape : tuple of int
        ``(n_windows, n_times, x, y, z)``.
    n_outputs : int
        Number of classes.
    seed : int
        Of the weights.
    """
    _, n_times, x, y, z = shape
    with local_seed(seed):
        return create(
            model.name,
            n_outputs=n_outputs,
            n_times=n_times,
            volume_shape=(x, y, z),
            **model.parameters,
        )


def estimate(
    model: ModelConfig,
    training: TrainingConfig,
    windows: WindowSource,
    targets: np.ndarray,
    groups: np.ndarray,
    *,
    n_outputs: int,
    t_r: float,
    classes: Sequence[str] = (),
    transform: Transform | None = None,
    checkpoint_dir: Path | None = None,
    progress: bool = True,
) -> tuple[DecoderModel, FitResult]:
    """Build the model that settings name and fit it.

    Parameters
    ----------
    model, training : ModelConfig, TrainingConfig
        Settings.
    windows : WindowSource
        Training windows, and no others.
    targets : ndarray of int, shape (n_windows,)
        Class of each window.
    groups : ndarray of str, shape (n_windows,)
        What early stopping keeps together: subjects, or runs within one.
    n_outputs : int
        Number of classes.
    t_r : float
        Seconds between frames.
    classes : sequence of str, optional
        Names of the classes.
    transform : callable, optional
        A further augmentation; see `boldformer.training.fit.fit_model`.
    checkpoint_dir : Path, optional
        Where an interrupted fit left its state, and leaves it.
    progress : bool
        Show a progress bar.

    Returns
    -------
    model : DecoderModel
        Fitted, in evaluation mode, on the CPU.
    result : FitResult
        Its history.
    """
    built = build_model(model, windows.shape, n_outputs, training.seed)
    result = fit_model(
        built,
        windows,
        targets,
        groups,
        training,
        times_s=np.arange(windows.shape[1]) * t_r,
        classes=classes,
        transform=transform,
        checkpoint_dir=checkpoint_dir,
        progress=progress,
    )
    return built.eval().cpu(), result


def probabilities(
    model: DecoderModel, windows: WindowSource, training: TrainingConfig, t_r: float
) -> np.ndarray:
    """Class probabilities of windows, (n_windows, n_outputs), under the same settings.

    Parameters
    ----------
    model : DecoderModel
        Fitted model.
    windows : WindowSource
        Windows to decode.
    training : TrainingConfig
        Device, precision and batch size.
    t_r : float
        Seconds between frames.
    """
    return predict_proba(model, windows, **_how(windows, training, t_r))


def part_probabilities(
    model: DecoderModel, windows: WindowSource, training: TrainingConfig, t_r: float
) -> dict[str, np.ndarray]:
    """Class probabilities by each part of a model alone; none where it is one part."""
    return predict_parts(model, windows, **_how(windows, training, t_r))


def _how(windows: WindowSource, training: TrainingConfig, t_r: float) -> dict[str, Any]:
    return {
        "batch_size": training.batch_size,
        "device": training.device,
        "precision": training.precision,
        "times_s": np.arange(windows.shape[1]) * t_r,
    }
