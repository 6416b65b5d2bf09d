"""Fit a model to labelled windows: one call for networks and linear decoders."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from lightning.pytorch.callbacks import EarlyStopping

from boldformer.config import TrainingConfig, to_dict
from boldformer.data.splits import held_out_groups
from boldformer.errors import InputError
from boldformer.models import DecoderModel
from boldformer.training.batches import Batches, SeededBatches, batch_loader
from boldformer.training.callbacks import (
    MONITORED,
    Bar,
    BestWeights,
    EpochCheckpoint,
    History,
)
from boldformer.training.devices import resolve_device
from boldformer.training.linear import LinearDecoder
from boldformer.training.module import TrainingModule
from boldformer.training.predict import predict_proba
from boldformer.training.source import WindowSource, gather_means
from boldformer.training.start import set_readout, start_readout
from boldformer.training.trainer import run_trainer

__all__ = ["FitResult", "fit_model", "predict_proba"]

CHECKPOINT = "last.ckpt"
# Fewer training groups than this are too few for a network without a linear start.
FEW_GROUPS = 4
HISTORY_COLUMNS = (
    "epoch",
    "train_loss",
    "train_accuracy",
    "validation_loss",
    "validation_accuracy",
    "learning_rate",
)


@dataclass(frozen=True)
class FitResult:
    """What training did.

    Parameters
    ----------
    history : DataFrame
        One row an epoch: `HISTORY_COLUMNS`; NaN for validation where nothing was
        held out.
    epochs : int
        Epochs trained; 0 for a closed-form solution.
    best_epoch : int
        Epoch whose weights were kept.
    early_stopping : bool
        Whether training groups were held out to choose it.
    seconds : float
        Time this call took.
    """

    history: pd.DataFrame
    epochs: int
    best_epoch: int
    early_stopping: bool
    seconds: float


def fit_model(
    model: DecoderModel,
    windows: WindowSource,
    labels: np.ndarray,
    groups: np.ndarray,
    config: TrainingConfig,
    *,
    times_s: np.ndarray | None = None,
    checkpoint_dir: Path | None = None,
    progress: bool = True,
) -> FitResult:
    """Train a model in place.

    Networks are trained on the windows of some groups and stopped early by those of
    the others, all of them training groups; linear models are fitted in closed form.

    Where the model has a linear skip path and ``config.linear_start`` says so, that
    path is the closed-form linear decoder of the same training windows, and the network
    learns what it leaves: in training it is fed the linear logits of decoders fitted
    without a window's group, since a linear decoder leaves nothing to learn on windows
    that it has seen. Otherwise the path stays at zero. With many groups the network
    alone is more accurate; with a handful of windows it is not.

    Parameters
    ----------
    model : DecoderModel
        Left in evaluation mode on the CPU, with the best averaged weights.
    windows : WindowSource
        Training windows.
    labels : ndarray of int, shape (n_windows,)
        Classes, from 0 to ``n_outputs - 1``.
    groups : ndarray of str, shape (n_windows,)
        Subject or run of each; no group is both trained on and held out.
    config : TrainingConfig
        Settings.
    times_s : ndarray, shape (n_times,) or (n_windows, n_times), optional
        Seconds of the frames.
    checkpoint_dir : Path, optional
        Where a checkpoint is kept after every epoch, and resumed from when there is
        one.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    FitResult

    Raises
    ------
    InputError
        For labels that do not fit the windows or the model, or a device that is not
        there.
    MismatchError
        When `checkpoint_dir` holds a checkpoint of other data or settings.
    BoldFormerError
        When the loss is not a number.
    """
    started = time.perf_counter()
    labels, groups = np.asarray(labels, dtype=np.int64), np.asarray(groups)
    _check(model, windows, labels, groups)
    fit = _fit_linear if model.solver == "linear" else _fit_network
    result = fit(
        model,
        windows,
        labels,
        groups,
        config,
        times_s=times_s,
        checkpoint_dir=checkpoint_dir,
        progress=progress,
    )
    model.eval()
    return replace(result, seconds=time.perf_counter() - started)


def _fit_linear(
    model: Any,
    windows: WindowSource,
    labels: np.ndarray,
    groups: np.ndarray,
    config: TrainingConfig,
    **_: Any,
) -> FitResult:
    means = gather_means(windows, np.arange(len(windows)))
    decoder = LinearDecoder(loss=model.loss, C=model.C).fit(means, labels, groups)
    set_readout(model.readout, windows, decoder, decoder.temperature_)
    return FitResult(pd.DataFrame(columns=list(HISTORY_COLUMNS)), 0, 0, False, 0.0)


def _fit_network(
    model: DecoderModel,
    windows: WindowSource,
    labels: np.ndarray,
    groups: np.ndarray,
    config: TrainingConfig,
    *,
    times_s: np.ndarray | None,
    checkpoint_dir: Path | None,
    progress: bool,
) -> FitResult:
    held = None
    if config.patience > 0:
        held = held_out_groups(
            groups,
            config.validation_fraction,
            config.seed,
            labels=labels,
            fewest=config.early_stopping_groups,
        )
    rows = np.arange(len(windows))
    train = rows if held is None else rows[~held]
    offsets = _linear_start(model, windows, labels, groups, config)
    batches = Batches(windows, labels, times_s, offsets)
    order = SeededBatches(train, config.batch_size, config.seed)
    device = resolve_device(config.device)
    loaders = [batch_loader(batches, order, device)]
    if held is not None:
        held_order = SeededBatches(rows[held], config.batch_size, None)
        loaders.append(batch_loader(batches, held_order, device))
    module = TrainingModule(
        model,
        config,
        _class_weights(labels[train], model.n_outputs),
        order,
        _fingerprint(model, windows, labels, groups, config),
    )
    history, best = History(), BestWeights()
    callbacks = [history, best]
    if held is not None:
        callbacks.append(_early_stopping(config.patience))
    if progress:
        callbacks.append(Bar())
    path = None
    if checkpoint_dir is not None:
        path = Path(checkpoint_dir) / CHECKPOINT
        callbacks.append(EpochCheckpoint(path))
    run_trainer(module, loaders, callbacks, config, path)
    model.cpu().load_state_dict(best.weights, strict=True)
    return FitResult(
        history=pd.DataFrame(history.rows, columns=list(HISTORY_COLUMNS)),
        epochs=len(history.rows),
        best_epoch=best.epoch,
        early_stopping=held is not None,
        seconds=0.0,
    )


def _early_stopping(patience: int) -> EarlyStopping:
    # Checked when validation ends, so that the callbacks of the epoch's end know.
    return EarlyStopping(
        MONITORED, mode="max", patience=patience, check_on_train_epoch_end=False
    )


def _linear_start(
    model: DecoderModel,
    windows: WindowSource,
    labels: np.ndarray,
    groups: np.ndarray,
    config: TrainingConfig,
) -> np.ndarray | None:
    """Fit the skip path, and give the logits that stand for it in training."""
    skip = getattr(model, "skip", None)
    if skip is None:
        return None
    skip.requires_grad_(False)
    n_groups = len(np.unique(groups))
    few = n_groups < FEW_GROUPS
    wanted = {"on": True, "off": False, "auto": few}.get(config.linear_start)
    if wanted is None:
        raise InputError(
            "unknown linear_start",
            wanted="'auto', 'on' or 'off'",
            received=repr(config.linear_start),
        )
    if not wanted or n_groups < 2:
        return None
    means = gather_means(windows, np.arange(len(windows)))
    return start_readout(skip, windows, means, labels, groups)


def _class_weights(labels: np.ndarray, n_outputs: int) -> torch.Tensor:
    counts = np.bincount(labels, minlength=n_outputs)
    weights = len(labels) / (np.count_nonzero(counts) * np.maximum(counts, 1))
    return torch.as_tensor(weights, dtype=torch.float32)


def _fingerprint(
    model: DecoderModel,
    windows: WindowSource,
    labels: np.ndarray,
    groups: np.ndarray,
    config: TrainingConfig,
) -> str:
    settings = to_dict(config)
    del settings["device"]
    facts = [
        type(model).__name__,
        model.get_config(),
        settings,
        list(windows.shape),
        labels.tolist(),
        groups.astype(str).tolist(),
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _check(
    model: DecoderModel, windows: WindowSource, labels: np.ndarray, groups: np.ndarray
) -> None:
    n_windows = len(windows)
    if not len(labels) == len(groups) == n_windows:
        raise InputError(
            "labels and groups do not fit the windows",
            wanted=f"one of each for {n_windows} windows",
            received=f"{len(labels)} labels, {len(groups)} groups",
        )
    if n_windows == 0 or labels.min() < 0 or labels.max() >= model.n_outputs:
        raise InputError(
            "labels do not fit the model",
            wanted=f"windows with classes from 0 to {model.n_outputs - 1}",
            received=f"classes {sorted(set(labels.tolist()))}",
        )
    if len(np.unique(labels)) < 2:
        raise InputError(
            "there is only one class to train on",
            wanted="windows of two classes or more",
            received=f"class {labels[0]} only",
        )
