"""Networks between sites: trained on some, tuned to a subject of another."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import replace

import numpy as np
import pandas as pd

from boldformer.data.windows import WindowSet
from boldformer.errors import InputError
from boldformer.evaluation.experiment import Experiment
from boldformer.evaluation.transfer_learners import Episode
from boldformer.models.base import DecoderModel
from boldformer.training.feature_alignment import centring
from boldformer.training.fit import fit_model

TUNED = ("head", "all")


class AlignedWindows:
    """Windows whose voxels are shifted and scaled, each group by its own numbers.

    Parameters
    ----------
    windows : WindowSet
        What is read.
    groups : ndarray of str, shape (n_windows,), optional
        Runs or sites, centred and scaled as
        `boldformer.training.feature_alignment.centre` does with window means; nothing
        is without them. Voxels outside the mask become zero either way.
    """

    def __init__(self, windows: WindowSet, groups: np.ndarray | None = None) -> None:
        self.windows = windows
        n_voxels = int(windows.mask.sum())
        self.which = np.zeros(len(windows), dtype=int)
        self.shift = np.zeros((1, n_voxels), dtype=np.float32)
        self.scale = np.ones((1, n_voxels), dtype=np.float32)
        if groups is not None:
            self.shift, self.scale, self.which = centring(windows.means(), groups)

    def __len__(self) -> int:
        """Count the windows."""
        return len(self.windows)

    def __getitem__(self, rows: np.ndarray) -> AlignedWindows:
        """Return the windows that `rows` selects, with the shifts they have here."""
        chosen = copy.copy(self)
        chosen.windows, chosen.which = self.windows[rows], self.which[rows]
        return chosen

    @property
    def table(self) -> pd.DataFrame:
        """One row a window."""
        return self.windows.table

    @property
    def groups(self) -> np.ndarray:
        """Subject of each window, as between linear decoders."""
        return self.table["subject"].to_numpy(dtype=str)

    @property
    def t_r(self) -> float:
        """Seconds between frames."""
        return self.windows.t_r

    @property
    def hash(self) -> str:
        """SHA-256 of which windows these are, and of how they are aligned."""
        digest = hashlib.sha256(self.windows.hash.encode())
        for values in (self.shift, self.scale, self.which):
            digest.update(np.ascontiguousarray(values).tobytes())
        return digest.hexdigest()

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """``(n_windows, n_times, x, y, z)``."""
        return self.windows.shape

    def batch(self, indices: np.ndarray) -> np.ndarray:
        """Windows, float32 of shape (batch, n_times, x, y, z)."""
        dense = self.windows.batch(indices)
        which = self.which[np.asarray(indices)]
        values = dense[:, :, self.windows.mask] - self.shift[which][:, None]
        return self.windows.unmask(values / self.scale[which][:, None])

    def means(self, indices: np.ndarray) -> np.ndarray:
        """Mean volume of windows in brain voxels, float32 (batch, n_voxels)."""
        which = self.which[np.asarray(indices)]
        values = self.windows.means(indices)
        return (values - self.shift[which]) / self.scale[which]

    def unmask(self, weights: np.ndarray) -> np.ndarray:
        """Put (k, n_voxels) back on the grid, (k, x, y, z)."""
        return self.windows.unmask(weights)


class NetworkTransfer:
    """Registered network that is tuned further on a subject's shots.

    Parameters
    ----------
    experiment : Experiment
        Aligned windows of all sites, and the network.
    source, target : ndarray of int
        Rows of the training sites and of the test site; labels of the latter are not
        looked at.
    tuned : {"head", "all"}
        What the shots change.
    epochs : int
        Passes over the shots.
    progress : bool
        Show a progress bar.
    """

    def __init__(
        self,
        experiment: Experiment,
        *,
        source: np.ndarray,
        target: np.ndarray,
        tuned: str = "head",
        epochs: int = 10,
        progress: bool = False,
    ) -> None:
        if tuned not in TUNED:
            raise InputError(
                "unknown part of a network",
                wanted=f"one of {', '.join(TUNED)}",
                received=repr(tuned),
            )
        self.experiment, self.target = experiment, target
        self.tuned, self.epochs = tuned, epochs
        self.model, _ = experiment.fit(source, progress=progress)

    def zero_shot(self) -> np.ndarray:
        """Predicted class of every test-site window, int (n_target,)."""
        return self._predict(self.model, self.target)

    def few_shot(self, episode: Episode, y: np.ndarray) -> np.ndarray:
        """Predicted classes of an episode's test windows, after tuning on its shots."""
        model = copy.deepcopy(self.model)
        if self.tuned == "head":
            train_head_only(model)
        windows = self.experiment.windows[self.target[episode.shots]]
        fit_model(
            model,
            windows,
            y,
            np.full(len(y), episode.subject),
            replace(
                self.experiment.training,
                max_epochs=self.epochs,
                patience=0,
                linear_path="off",
            ),
            times_s=np.arange(windows.shape[1]) * windows.t_r,
            progress=False,
        )
        return self._predict(model, self.target[episode.test])

    def _predict(self, model: DecoderModel, rows: np.ndarray) -> np.ndarray:
        return self.experiment.predict_proba(model, rows).argmax(axis=1)


def train_head_only(model: DecoderModel) -> None:
    """Freeze every parameter that `reset_head` would not replace."""
    other = copy.deepcopy(model)
    kept = dict(other.named_parameters())
    other.reset_head(model.n_outputs)
    head = {n for n, p in other.named_parameters() if p is not kept.get(n)}
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in head)
