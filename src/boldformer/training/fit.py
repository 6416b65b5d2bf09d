"""Fit a model to labelled windows: one call for networks and linear decoders."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from lightning.pytorch.callbacks import EarlyStopping

from boldformer.config import TrainingConfig
from boldformer.data.audit.fit_log import FitLog, Use
from boldformer.data.splits import held_out_groups
from boldformer.errors import InputError
from boldformer.models import DecoderModel
from boldformer.training.augment import Transform
from boldformer.training.batches import (
    Batches,
    SeededBatches,
    batch_loader,
    class_balance,
)
from boldformer.training.callbacks import (
    MONITORED,
    Bar,
    BestWeights,
    DrawLog,
    EpochCheckpoint,
    History,
)
from boldformer.training.checkpoint import fingerprint
from boldformer.training.devices import launched_processes, resolve_device
from boldformer.training.linear_decoder import LinearDecoder
from boldformer.training.module import TrainingModule
from boldformer.training.predict import predict_proba
from boldformer.training.sides import refuse_sides
from boldformer.training.source import WindowSource, gather_means
from boldformer.training.start import fit_readout, start_readout
from boldformer.training.trainer import run_trainer

__all__ = ["FitResult", "fit_model", "predict_proba"]

CHECKPOINT = "last.ckpt"
# With fewer training groups a network alone does worse than a linear decoder.
FEW_GROUPS = 4
LINEAR_PATHS = ("auto", "before", "beside", "off")
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
    seconds : float
        Time this call took.
    uses : tuple of Use
        What was fitted to, stopped or chosen by which of the windows given.
    linear_path : {"off", "before", "beside"}
        What became of the model's linear skip path.
    """

    history: pd.DataFrame
    epochs: int
    best_epoch: int
    seconds: float
    uses: tuple[Use, ...]
    linear_path: str = "off"

    @property
    def held_out(self) -> np.ndarray:
        """Rows that early stopping held out, (n_held_out,); empty without it."""
        rows = [use.rows for use in self.uses if use.purpose == "stop"]
        return np.concatenate([np.empty(0, np.int64), *rows])

    @property
    def early_stopping(self) -> bool:
        """Whether training groups were held out to choose an epoch."""
        return len(self.held_out) > 0


def fit_model(
    model: DecoderModel,
    windows: WindowSource,
    labels: np.ndarray,
    groups: np.ndarray,
    config: TrainingConfig,
    *,
    times_s: np.ndarray | None = None,
    classes: Sequence[str] = (),
    transform: Transform | None = None,
    checkpoint_dir: Path | None = None,
    draws: Path | None = None,
    progress: bool = True,
) -> FitResult:
    """Train a model in place.

    Networks are trained on the windows of some groups and stopped early by those of
    the others, all of them training groups; linear models are fitted in closed form.

    Where the model has a linear skip path and ``config.linear_path`` says so, that
    path becomes the closed-form linear decoder of the same training windows: beside the
    network, which is trained by itself, or before it, and the network learns what it
    leaves. Then the network is fed, in training, the linear logits of decoders fitted
    without a window's group, since a linear decoder leaves nothing to learn on windows
    that it has seen. Both are as in an opinion pool: logits are added.

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
    classes : sequence of str, optional
        Names of the classes; ``config.flip_x`` needs to know them.
    transform : callable, optional
        A further augmentation: a function of one window, (n_times, x, y, z), to another
        one, such as a TorchIO transform. Its randomness must be torch's.
    checkpoint_dir : Path, optional
        Where a checkpoint is kept after every epoch, and resumed from when there is
        one.
    draws : Path, optional
        File to which every augmentation is written (see `DrawLog`).
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
    if config.flip_x:
        refuse_sides(classes)
    fit = _fit_linear if model.solver == "linear" else _fit_network
    result = fit(
        model,
        windows,
        labels,
        groups,
        config,
        times_s=times_s,
        transform=transform,
        checkpoint_dir=checkpoint_dir,
        draws=draws,
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
    log, decoder = FitLog(), LinearDecoder(model.loss, model.C)
    fit_readout(model.readout, windows, labels, groups, log, decoder)
    history = pd.DataFrame(columns=list(HISTORY_COLUMNS))
    return FitResult(history, 0, 0, 0.0, tuple(log))


def _fit_network(
    model: DecoderModel,
    windows: WindowSource,
    labels: np.ndarray,
    groups: np.ndarray,
    config: TrainingConfig,
    *,
    times_s: np.ndarray | None,
    transform: Transform | None,
    checkpoint_dir: Path | None,
    draws: Path | None,
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
    model.set_brain(_brain(windows))
    skip: Any = getattr(model, "skip", None)
    path, log = _linear_path(skip, groups, config), FitLog()
    weights, chances = class_balance(labels[train], model.n_outputs, config.balance)
    processes = launched_processes()
    order = SeededBatches(
        train,
        config.batch_size,
        config.seed,
        chances=chances,
        accumulate=config.accumulate,
        n_processes=processes.total,
        rank=processes.rank,
    )
    log.record("network weights", order.indices)
    orders = [order]
    if held is not None:
        orders.append(SeededBatches(rows[held], config.batch_size, None))
        log.record("early stopping", orders[1].indices, purpose="stop")
    offsets = None
    if path == "before":
        means = gather_means(windows, rows)
        offsets = start_readout(skip, windows, means, labels, groups, log)
    batches = Batches(windows, labels, times_s, offsets)
    device = resolve_device(config.device)
    loaders = [batch_loader(batches, one, device) for one in orders]
    module = TrainingModule(
        model,
        config,
        weights,
        order,
        fingerprint(model, windows, labels, groups, config, transform),
        transform,
    )
    history, best = History(), BestWeights()
    callbacks = [history, best]
    if held is not None:
        callbacks.append(_early_stopping(config.patience))
    if progress:
        callbacks.append(Bar())
    if draws is not None:
        callbacks.append(DrawLog(Path(draws)))
    checkpoint = None
    if checkpoint_dir is not None:
        checkpoint = Path(checkpoint_dir) / CHECKPOINT
        callbacks.append(EpochCheckpoint(checkpoint))
    run_trainer(module, loaders, callbacks, config, checkpoint)
    model.cpu().load_state_dict(best.weights, strict=True)
    if path == "beside":
        fit_readout(skip, windows, labels, groups, log)
    return FitResult(
        history=pd.DataFrame(history.rows, columns=list(HISTORY_COLUMNS)),
        epochs=len(history.rows),
        best_epoch=best.epoch,
        seconds=0.0,
        uses=tuple(log),
        linear_path=path,
    )


def _early_stopping(patience: int) -> EarlyStopping:
    # Checked when validation ends, so that the callbacks of the epoch's end know.
    return EarlyStopping(
        MONITORED, mode="max", patience=patience, check_on_train_epoch_end=False
    )


def _brain(windows: WindowSource) -> np.ndarray:
    """Voxels that hold brain, (x, y, z)."""
    n_voxels = windows.means(np.arange(1)).shape[1]
    return windows.unmask(np.ones((1, n_voxels), dtype=np.float32))[0] > 0


def _linear_path(skip: Any, groups: np.ndarray, config: TrainingConfig) -> str:
    """Settle what becomes of the skip path: "before", "beside" or "off"."""
    if config.linear_path not in LINEAR_PATHS:
        raise InputError(
            "unknown linear_path",
            wanted=f"one of {', '.join(LINEAR_PATHS)}",
            received=repr(config.linear_path),
        )
    if skip is None:
        return "off"
    skip.requires_grad_(False)
    n_groups = len(np.unique(groups))
    if config.linear_path == "auto":
        few = n_groups < FEW_GROUPS
        return "off" if n_groups < 2 else "before" if few else "beside"
    needs_two = config.linear_path == "before"
    return "off" if needs_two and n_groups < 2 else config.linear_path


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
