"""Batches of windows, in an order that can be told again, read ahead of a GPU."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from boldformer.errors import InputError
from boldformer.training.devices import mix_seed
from boldformer.training.source import WindowSource

# Reading is quick; a GPU is seldom ahead of so many.
MAX_LOADERS = 8
BALANCES = ("weights", "sampler", "none")


class Piece(NamedTuple):
    """Part of a batch that is computed at once.

    Parameters
    ----------
    batch : ndarray of int
        Windows of the whole batch.
    start, stop : int
        Those of them that belong to this piece.
    """

    batch: np.ndarray
    start: int
    stop: int


class SeededBatches(Sampler[Piece]):
    """Batches of windows in an order that depends on seed and epoch alone.

    A batch is one step. It is divided into pieces, which follow one another or go to
    several processes at once: whatever the division, the batches are the same.

    Parameters
    ----------
    indices : ndarray of int
        Windows to go through.
    batch_size : int
        Windows in a batch at the most; batches of an epoch differ by one at most.
    seed : int or None
        None keeps the order as it is.
    chances : ndarray, shape (n_indices,), optional
        Windows are drawn with these odds, with replacement and as many as there are;
        otherwise each comes once an epoch.
    accumulate : int
        Pieces of a batch that one process computes one after another.
    n_processes, rank : int
        Processes that share a batch, and which of them this is.

    Raises
    ------
    InputError
        When batches have fewer windows than pieces.
    """

    def __init__(
        self,
        indices: np.ndarray,
        batch_size: int,
        seed: int | None,
        *,
        chances: np.ndarray | None = None,
        accumulate: int = 1,
        n_processes: int = 1,
        rank: int = 0,
    ) -> None:
        self.indices = indices
        self.seed = seed
        self.chances = chances
        self.accumulate, self.n_processes, self.rank = accumulate, n_processes, rank
        self.epoch = 0
        self.n_batches = math.ceil(len(indices) / batch_size)
        smallest = len(indices) // max(self.n_batches, 1)
        if not 1 <= self.n_pieces <= max(smallest, 1):
            raise InputError(
                "a batch cannot be divided like this",
                wanted=f"from 1 to {smallest} pieces, one window in each at least",
                received=f"accumulate = {accumulate} in {n_processes} processes",
                fix="raise batch_size, or lower accumulate",
            )

    def set_epoch(self, epoch: int) -> None:
        """Tell which epoch comes next; Lightning does."""
        self.epoch = epoch

    @property
    def n_pieces(self) -> int:
        """Pieces of a batch, over all processes."""
        return self.accumulate * self.n_processes

    def __len__(self) -> int:
        return self.n_batches * self.accumulate

    def __iter__(self) -> Iterator[Piece]:
        for batch in np.array_split(self._order(), self.n_batches):
            places = np.array_split(np.arange(len(batch)), self.n_pieces)
            first = self.rank * self.accumulate
            for place in places[first : first + self.accumulate]:
                yield Piece(batch, int(place[0]), int(place[-1]) + 1)

    def _order(self) -> np.ndarray:
        if self.seed is None:
            return self.indices
        generator = np.random.default_rng(mix_seed(self.seed, self.epoch))
        if self.chances is None:
            return generator.permutation(self.indices)
        odds = self.chances / self.chances.sum()
        return generator.choice(self.indices, len(self.indices), p=odds)


def class_balance(
    labels: np.ndarray, n_outputs: int, balance: str
) -> tuple[torch.Tensor, np.ndarray | None]:
    """Make rare classes count as much as others: in the loss or in the order.

    Parameters
    ----------
    labels : ndarray of int, shape (n_windows,)
        Classes of the training windows.
    n_outputs : int
        Number of classes.
    balance : {"weights", "sampler", "none"}
        Which of the two, never both.

    Returns
    -------
    weights : Tensor, shape (n_outputs,)
        Of each class in the loss: ``n_windows / (n_classes · count)``, or ones.
    chances : ndarray, shape (n_windows,), or None
        Odds of each window: the same weights, or None where each comes once.

    Raises
    ------
    InputError
        For another balance.
    """
    if balance not in BALANCES:
        raise InputError(
            "unknown balance",
            wanted=f"one of {', '.join(BALANCES)}: weights or a sampler, never both",
            received=repr(balance),
        )
    counts = np.bincount(labels, minlength=n_outputs)
    weights = len(labels) / (np.count_nonzero(counts) * np.maximum(counts, 1))
    if balance == "weights":
        return torch.as_tensor(weights, dtype=torch.float32), None
    return torch.ones(n_outputs), weights[labels] if balance == "sampler" else None


class Batches(Dataset):
    """Whole batches, or pieces of them: windows, targets, times and offsets.

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

    def __getitem__(self, piece: Piece) -> dict[str, Any]:
        indices = piece.batch[piece.start : piece.stop]
        batch: dict[str, Any] = {
            "windows": torch.from_numpy(self.source.batch(indices)),
            "labels": torch.from_numpy(self.labels[indices]),
            "batch": torch.from_numpy(piece.batch),
            "start": piece.start,
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
