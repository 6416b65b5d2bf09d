"""Batches of windows, in an order that can be told again, read ahead of a GPU."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from boldformer.training.devices import mix_seed
from boldformer.training.source import WindowSource

# Reading is quick; a GPU is seldom ahead of so many.
MAX_LOADERS = 8


class SeededBatches(Sampler[np.ndarray]):
    """Batches of indices in an order that depends on seed and epoch alone.

    Parameters
    ----------
    indices : ndarray of int
        Windows to go through.
    batch_size : int
        Windows in a batch at the most; batches of an epoch differ by one at most.
    seed : int or None
        None keeps the order as it is.
    """

    def __init__(self, indices: np.ndarray, batch_size: int, seed: int | None) -> None:
        self.indices = indices
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Tell which epoch comes next; Lightning does."""
        self.epoch = epoch

    def __len__(self) -> int:
        return math.ceil(len(self.indices) / self.batch_size)

    def __iter__(self) -> Iterator[np.ndarray]:
        order = self.indices
        if self.seed is not None:
            generator = np.random.default_rng(mix_seed(self.seed, self.epoch))
            order = generator.permutation(order)
        return iter(np.array_split(order, len(self)))


class Batches(Dataset):
    """Whole batches of windows, targets, times and offsets.

    Parameters
    ----------
    source : WindowSource
        Windows.
    labels : ndarray of int, shape (n,)
        Class of each.
    times_s : ndarray, shape (n_times,) or (n, n_times), optional
        Seconds of the frames.
    offsets : ndarray, shape (n, n_outputs), optional
        Logits that are given beforehand, to which a model adds its own.
    """

    def __init__(
        self,
        source: WindowSource,
        labels: np.ndarray,
        times_s: np.ndarray | None,
        offsets: np.ndarray | None,
    ) -> None:
        self.source = source
        self.labels = labels
        self.times_s = times_s
        self.offsets = offsets

    def __getitem__(self, indices: np.ndarray) -> dict[str, Tensor]:
        batch = {
            "windows": torch.from_numpy(self.source.batch(indices)),
            "labels": torch.from_numpy(self.labels[indices]),
        }
        if self.times_s is not None:
            times = self.times_s if self.times_s.ndim == 1 else self.times_s[indices]
            batch["times_s"] = torch.as_tensor(times, dtype=torch.float32)
        if self.offsets is not None:
            batch["offsets"] = torch.as_tensor(
                self.offsets[indices], dtype=torch.float32
            )
        return batch


def batch_loader(
    batches: Batches, order: SeededBatches, device: torch.device
) -> DataLoader:
    """Read batches ahead of a GPU in processes; before a CPU model, in its own.

    On the CPU a model takes many times longer over a window than reading does, and
    further processes would only take its cores away.
    """
    on_gpu = device.type == "cuda"
    workers = min(MAX_LOADERS, max((os.cpu_count() or 1) - 1, 1)) if on_gpu else 0
    return DataLoader(
        batches,
        sampler=order,
        batch_size=None,
        num_workers=workers,
        pin_memory=on_gpu,
        persistent_workers=workers > 0,
    )
