"""Lightning's trainer as a library should use it: quiet, seeded, interruptible."""

from __future__ import annotations

import contextlib
import logging
import signal
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies import DDPStrategy
from torch.utils.data import DataLoader

from boldformer.config import TrainingConfig
from boldformer.training.checkpoint import SafeCheckpointIO
from boldformer.training.devices import (
    Processes,
    launched_processes,
    local_seed,
    resolve_bf16,
    resolve_device,
)
from boldformer.training.module import TrainingModule


def run_trainer(
    module: TrainingModule,
    loaders: list[DataLoader],
    callbacks: list[Callback],
    config: TrainingConfig,
    path: Path | None,
) -> None:
    """Train, from the checkpoint at `path` where there is one.

    Parameters
    ----------
    module : TrainingModule
        Trained in place.
    loaders : list of DataLoader
        Training batches and, where there are any, validation batches.
    callbacks : list of Callback
        Of Lightning.
    config : TrainingConfig
        Settings.
    path : Path or None
        Checkpoint to resume from.

    Raises
    ------
    KeyboardInterrupt
        When the user breaks it off; the last checkpoint is whole.
    """
    device, processes = resolve_device(config.device), launched_processes()
    resume = path if path is not None and path.exists() else None
    with _quiet(), local_seed(config.seed), _interruptible() as trainers:
        trainer = pl.Trainer(
            accelerator="gpu" if device.type == "cuda" else "cpu",
            accumulate_grad_batches=config.accumulate,
            use_distributed_sampler=False,
            **_placement(device, processes),
            precision="bf16-mixed"
            if resolve_bf16(config.precision, device)
            else "32-true",
            max_epochs=config.max_epochs,
            callbacks=callbacks,
            plugins=[SafeCheckpointIO()],
            logger=False,
            enable_checkpointing=path is not None,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            default_root_dir=path.parent if path is not None else None,
        )
        trainers.append(trainer)
        trainer.fit(module, loaders[0], loaders[1:] or None, ckpt_path=resume)


def _placement(device: torch.device, processes: Processes) -> dict[str, Any]:
    """Lightning's settings of where the processes compute."""
    on_gpu = device.type == "cuda"
    if processes.total == 1:
        return {"devices": [device.index or 0] if on_gpu else 1}
    return {
        "devices": processes.per_node,
        "num_nodes": processes.total // processes.per_node,
        "strategy": DDPStrategy(process_group_backend="nccl" if on_gpu else "gloo"),
    }


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence Lightning's notes and warnings, inside the block only."""
    loggers = [
        logging.getLogger(name)
        for name in ("lightning.pytorch", "lightning.fabric", "lightning")
    ]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


@contextlib.contextmanager
def _interruptible() -> Iterator[list[pl.Trainer]]:
    """Let Ctrl-C through: Lightning swallows it, exits and leaves it disabled."""
    handler = signal.getsignal(signal.SIGINT)
    trainers: list[pl.Trainer] = []
    try:
        yield trainers
    except SystemExit as stop:
        # A subclass is Lightning's answer to SIGTERM, which must end the process.
        if type(stop) is SystemExit and any(t.interrupted for t in trainers):
            signal.signal(signal.SIGINT, handler)
            raise KeyboardInterrupt from None
        raise
