"""What happens between epochs: history, best weights, checkpoint, progress bar."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback, Checkpoint
from torch import Tensor
from tqdm import tqdm

MONITORED = "validation_accuracy"


class History(Callback):
    """One row an epoch, and whether early stopping has ended the run."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []
        self.stopped = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Do not train on after a run that early stopping had ended."""
        trainer.should_stop = trainer.should_stop or self.stopped

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Add a row."""
        metrics = trainer.callback_metrics
        names = [
            f"{stage}_{value}"
            for stage in ("train", "validation")
            for value in ("loss", "accuracy")
        ]
        row = {name: float(metrics.get(name, math.nan)) for name in names}
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        epoch = trainer.current_epoch + 1
        self.rows.append({"epoch": epoch, **row, "learning_rate": float(rate)})
        self.stopped = trainer.should_stop

    def state_dict(self) -> dict[str, Any]:
        """Rows so far, for the checkpoint."""
        return {"rows": self.rows, "stopped": self.stopped}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from the checkpoint's rows."""
        self.rows = list(state_dict["rows"])
        self.stopped = state_dict["stopped"]


class BestWeights(Callback):
    """Averaged weights of the epoch of best validation accuracy, else of the last.

    Of equal epochs the later one counts. Accuracy, since the loss on a few new groups
    grows with the network's certainty long before its decisions get worse.
    """

    def __init__(self) -> None:
        self.epoch = 0
        self.value = -math.inf
        self.weights: dict[str, Tensor] = {}

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Keep the weights when they are the best so far."""
        if MONITORED in trainer.callback_metrics:
            value = float(trainer.callback_metrics[MONITORED])
            if value < self.value:
                return
            self.value = value
        self.epoch = trainer.current_epoch + 1
        self.weights = {
            name: weight.detach().to("cpu", copy=True)
            for name, weight in pl_module.averaged_model.state_dict().items()
        }

    def state_dict(self) -> dict[str, Any]:
        """Best epoch so far, for the checkpoint."""
        return {"epoch": self.epoch, "value": self.value, "weights": self.weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from the checkpoint's best epoch."""
        self.epoch, self.value = state_dict["epoch"], state_dict["value"]
        self.weights = state_dict["weights"]


class EpochCheckpoint(Checkpoint):
    """Write everything needed to resume after every epoch.

    A subclass of Lightning's `Checkpoint` runs after all other callbacks, so that it
    holds what they did.

    Parameters
    ----------
    path : Path
        File that is replaced each time.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Write the checkpoint."""
        trainer.save_checkpoint(self.path)


class DrawLog(Callback):
    """Write down how every batch was augmented, one JSON object a line.

    A line has the epoch and the step, both from 0, the ``rows`` (windows) of the batch,
    and `Draw.to_dict`. A resumed training goes on where its checkpoint was written.

    Parameters
    ----------
    path : Path
        File that grows line by line.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Forget what was written after the checkpoint."""
        if trainer.is_global_zero:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.touch()
            os.truncate(self.path, min(self.size, self.path.stat().st_size))

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, index: int
    ) -> None:
        """Add a line a step."""
        step, piece = divmod(index, pl_module.order.accumulate)
        if piece > 0 or not trainer.is_global_zero:
            return
        line = {"epoch": trainer.current_epoch, "step": step}
        line |= {"rows": batch["batch"].tolist()} | pl_module.drawn.to_dict()
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Note how far the file has grown."""
        if trainer.is_global_zero:
            self.size = self.path.stat().st_size

    def state_dict(self) -> dict[str, Any]:
        """Size of the file, for the checkpoint."""
        return {"size": self.size}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from the checkpoint's size."""
        self.size = state_dict["size"]


class Bar(Callback):
    """One progress bar for the whole training, on standard error."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Open the bar, at the step a resumed run has reached."""
        self.bar = tqdm(
            total=int(trainer.estimated_stepping_batches),
            initial=trainer.global_step,
            desc="training",
            unit="step",
            leave=False,
            dynamic_ncols=True,
        )

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Move on to the step that is reached."""
        self.bar.update(trainer.global_step - self.bar.n)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Show epoch, loss and validation accuracy."""
        shown = {"epoch": f"{trainer.current_epoch + 1}/{trainer.max_epochs}"}
        for name, short in (("train_loss", "loss"), ("validation_accuracy", "val")):
            if name in trainer.callback_metrics:
                value = trainer.callback_metrics[name]
                shown[short] = f"{float(value):.3f}"
        self.bar.set_postfix(shown)

    def on_train_end(self, *_: Any) -> None:
        """Close the bar."""
        self.bar.close()

    def on_exception(self, *_: Any) -> None:
        """Close the bar when training is broken off."""
        if hasattr(self, "bar"):
            self.bar.close()
