"""One optimisation step: loss, augmentation, averaged weights, learning rate."""

from __future__ import annotations

import math
from typing import Any, cast

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from boldformer.config import TrainingConfig
from boldformer.errors import BoldFormerError, MismatchError
from boldformer.models import DecoderModel
from boldformer.training.augment import (
    Augmentation,
    Draw,
    Transform,
    apply,
    apply_to_targets,
    apply_to_times,
    draw,
)
from boldformer.training.batches import SeededBatches
from boldformer.training.devices import mix_seed

# Shape suffixes: B windows  K classes

WARM_UP = 0.1
NO_DECAY = ("position", "scale", "norm", "bias")


class TrainingModule(pl.LightningModule):
    """A model, its averaged copy, and how one batch moves them.

    Randomness (DropConnect, augmentation) is seeded anew in each step from seed, epoch
    and step, so a resumed run continues exactly where it was.

    Parameters
    ----------
    model : DecoderModel
        Model to train, in place.
    config : TrainingConfig
        Settings.
    class_weights : Tensor, shape (n_outputs,)
        Weight of each class in the loss.
    order : SeededBatches
        Order of the training batches, and their division into pieces.
    transform : callable, optional
        A further augmentation of single windows (see `apply`).
    fingerprint : str
        Of data and settings; a checkpoint with another one is refused.
    """

    class_weights: Tensor

    def __init__(
        self,
        model: DecoderModel,
        config: TrainingConfig,
        class_weights: Tensor,
        order: SeededBatches,
        fingerprint: str,
        transform: Transform | None = None,
    ) -> None:
        super().__init__()
        self.order = order
        self.model = model
        self.average = AveragedModel(model, multi_avg_fn=_ema(config.ema_decay))
        # Several processes would wait for gradients of what no gradient reaches.
        self.average.requires_grad_(False)
        self.logits = torch.compile(_logits) if config.compile else _logits
        self.config = config
        self.fingerprint = fingerprint
        self.register_buffer("class_weights", class_weights, persistent=False)
        self.augmentation = Augmentation.from_config(config)
        self.transform = transform
        self.drawn: Draw | None = None

    @property
    def averaged_model(self) -> DecoderModel:
        """Model whose weights are averaged over steps; the one that is kept."""
        return cast(DecoderModel, self.average.module)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """Loss of an augmented piece of a batch.

        All pieces of a step have one seed: the weights that drop are those that would
        drop if the batch were computed at once.
        """
        step = batch_idx // self.order.accumulate
        seed = mix_seed(self.config.seed, self.current_epoch, step)
        torch.manual_seed(seed)
        n_batch, n_times = len(batch["batch"]), batch["windows"].shape[1]
        self.drawn = draw(self.augmentation, n_batch, n_times, seed)
        start, n_windows = int(batch["start"]), len(batch["labels"])
        drawn = self.drawn.piece(start, start + n_windows)
        targets_BK = nn.functional.one_hot(
            batch["labels"], len(self.class_weights)
        ).float()
        logits_BK = self.logits(self.model, self._augmented(drawn, batch), True)
        loss = nn.functional.cross_entropy(
            logits_BK,
            apply_to_targets(drawn, targets_BK),
            weight=self.class_weights,
            label_smoothing=self.config.label_smoothing,
        )
        self._refuse_nan(loss, batch)
        self._log("train", loss, logits_BK, batch["labels"])
        # The mean over pieces is to be the mean over the windows of the batch.
        return loss * (n_windows * self.order.n_pieces / n_batch)

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Loss and accuracy of the averaged weights on held-out training groups."""
        logits_BK = self.logits(self.averaged_model, batch)
        loss = nn.functional.cross_entropy(
            logits_BK, batch["labels"], weight=self.class_weights
        )
        self._log("validation", loss, logits_BK, batch["labels"])

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Move the averaged weights towards the new ones, once a step."""
        if (batch_idx + 1) % self.order.accumulate == 0:
            self.average.update_parameters(self.model)

    def configure_gradient_clipping(self, *_: Any, **__: Any) -> None:
        """Clip by norm; Lightning's own clipping refuses fused optimizers."""
        if self.config.gradient_clip > 0:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.config.gradient_clip)

    def configure_optimizers(self) -> Any:
        """AdamW, without decay of norms, biases, scales and positions; warm-up, cosine.

        References
        ----------
        Loshchilov, I. & Hutter, F. (2019). Decoupled weight decay. ICLR.
        """
        decayed: list[nn.Parameter] = []
        free: list[nn.Parameter] = []
        for name, parameter in self.model.named_parameters():
            if not parameter.requires_grad:
                continue
            is_free = parameter.ndim < 2 or any(part in name for part in NO_DECAY)
            (free if is_free else decayed).append(parameter)
        optimizer = torch.optim.AdamW(
            [
                {"params": decayed, "weight_decay": self.config.weight_decay},
                {"params": free, "weight_decay": 0.0},
            ],
            lr=self.config.learning_rate,
            betas=(0.9, 0.98),
            fused=True,
        )
        n_steps = int(self.trainer.estimated_stepping_batches)
        scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: learning_rate_factor(step, n_steps)
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Note what this training is of."""
        checkpoint["fingerprint"] = self.fingerprint

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint of other data or settings; go on with the next epoch."""
        if checkpoint.get("fingerprint") != self.fingerprint:
            raise MismatchError(
                "the checkpoint was made from other data or settings",
                wanted="the windows, labels, groups and settings it was made with",
                fix="remove the checkpoint folder to train from the start",
            )
        # Lightning fetches the first batch of a resumed run before it tells the epoch.
        self.order.set_epoch(checkpoint["epoch"] + 1)

    def _augmented(self, drawn: Draw, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        windows, times_s = batch["windows"], batch.get("times_s")
        if drawn.left_out.any():
            frames = torch.arange(windows.shape[1], device=windows.device)
            even = frames * getattr(self.model, "t_r", 1.0)
            times_s = apply_to_times(drawn, even if times_s is None else times_s)
        # What is done to all frames alike is done to their averages, of which there are
        # fewer. A transform of the user's own sees the frames.
        if self.transform is not None:
            windows = apply(drawn, windows, self.transform)
        averaged, times_s = self.model.average_frames(windows, times_s)
        if self.transform is None:
            drawn = drawn.averaged(windows.shape[1], averaged.shape[1])
            averaged = apply(drawn, averaged)
        varied = {**batch, "windows": averaged}
        if times_s is not None:
            varied["times_s"] = times_s
        if "offsets" in batch:
            varied["offsets"] = apply_to_targets(drawn, batch["offsets"])
        return varied

    def _log(self, stage: str, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        accuracy = (logits.argmax(dim=1) == labels).float().mean()
        self.log_dict(
            {f"{stage}_loss": loss.detach().float(), f"{stage}_accuracy": accuracy},
            on_step=False,
            on_epoch=True,
            batch_size=len(labels),
            sync_dist=self.order.n_processes > 1,
        )

    def _refuse_nan(self, loss: Tensor, batch: dict[str, Tensor]) -> None:
        if torch.isfinite(loss):
            return
        if not torch.isfinite(batch["windows"]).all():
            raise BoldFormerError(
                "training stopped: the windows hold values that are not numbers",
                fix="prepare the recordings again; constant voxels must be masked",
            )
        raise BoldFormerError(
            f"training diverged in epoch {self.current_epoch + 1}: the loss is "
            "not a number",
            fix="lower the learning rate",
        )


def learning_rate_factor(step: int, n_steps: int) -> float:
    """Linear warm-up over a tenth of the steps, then a half cosine to zero."""
    warm_up = max(1, round(WARM_UP * n_steps))
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, n_steps - warm_up)))


def _logits(
    model: DecoderModel, batch: dict[str, Tensor], averaged: bool = False
) -> Tensor:
    """Logits of a batch, of averaged frames or not, without the linear path.

    Where offsets are given they stand for that path.
    """
    features = model.averaged_features if averaged else model.forward_features
    features_BD = features(batch["windows"], batch.get("times_s"))
    logits_BK = model.forward_head(features_BD).float()
    return logits_BK + batch["offsets"] if "offsets" in batch else logits_BK


def _ema(decay: float) -> Any:
    """Exponential moving average whose memory grows with the steps taken."""

    @torch.no_grad()
    def update(averaged: list, current: list, n_averaged: Tensor) -> None:
        n = float(n_averaged)
        torch._foreach_lerp_(averaged, current, 1 - min(decay, (1 + n) / (10 + n)))

    return update
