"""One experiment: a model, its training, and the windows that it is fitted to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, Self

import numpy as np
import pandas as pd

from boldformer.config import ModelConfig, RunConfig, TrainingConfig, to_dict
from boldformer.data.cohort import Cohort
from boldformer.data.splits import Fold
from boldformer.models.base import DecoderModel
from boldformer.training.estimate import (
    build_model,
    estimate,
    part_probabilities,
    probabilities,
)
from boldformer.training.fit import FitResult
from boldformer.training.source import WindowSource


class Samples(WindowSource, Protocol):
    """Windows of a cohort, whole, aligned or volume by volume."""

    @property
    def table(self) -> pd.DataFrame:
        """One row each; see `boldformer.data.event_windows.make_table`."""
        ...

    @property
    def groups(self) -> np.ndarray:
        """Subject (or family) of each, its run where there is one subject."""
        ...

    @property
    def t_r(self) -> float:
        """Seconds between frames."""
        ...

    @property
    def hash(self) -> str:
        """SHA-256 of which windows these are, and of how they were prepared."""
        ...

    def __getitem__(self, key: np.ndarray) -> Self:
        """Return the windows that `key` selects."""
        ...


@dataclass(frozen=True, eq=False)
class Experiment:
    """What is fitted to what.

    Parameters
    ----------
    windows : Samples
        All windows.
    targets : ndarray of int, shape (n_windows,)
        Class of each.
    classes : sequence of str
        Names of the classes.
    model, training : ModelConfig, TrainingConfig
        Settings.
    """

    windows: Samples
    targets: np.ndarray
    classes: Sequence[str]
    model: ModelConfig
    training: TrainingConfig

    @classmethod
    def of(cls, cohort: Cohort, settings: RunConfig) -> Experiment:
        """Decode a cohort by the model and training of a run's settings."""
        windows, targets = cohort.windows, cohort.targets
        return cls(windows, targets, cohort.labels, settings.model, settings.training)

    @property
    def n_outputs(self) -> int:
        """Number of classes."""
        return len(self.classes)

    def build(self) -> DecoderModel:
        """Build the model, untrained, as `fit` would."""
        shape, seed = self.windows.shape, self.training.seed
        return build_model(self.model, shape, self.n_outputs, seed)

    def fit(
        self,
        rows: np.ndarray,
        checkpoints: Path | None = None,
        *,
        progress: bool = True,
    ) -> tuple[DecoderModel, FitResult]:
        """Fit a model to some windows (see `boldformer.training.estimate`).

        What the result says was fitted to which windows names rows of all windows.
        """
        windows = self.windows[rows]
        fitted, result = estimate(
            self.model,
            self.training,
            windows,
            self.targets[rows],
            windows.groups,
            n_outputs=self.n_outputs,
            t_r=windows.t_r,
            classes=self.classes,
            checkpoint_dir=checkpoints,
            progress=progress,
        )
        uses = (replace(use, rows=np.asarray(rows)[use.rows]) for use in result.uses)
        return fitted, replace(result, uses=tuple(uses))

    def predict_proba(self, model: DecoderModel, rows: np.ndarray) -> np.ndarray:
        """Probabilities that a fitted model gives some windows, (n, n_outputs)."""
        windows = self.windows[rows]
        return probabilities(model, windows, self.training, windows.t_r)

    def predict_parts(
        self, model: DecoderModel, rows: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Probabilities by each part of the model alone; none where it is one part."""
        windows = self.windows[rows]
        return part_probabilities(model, windows, self.training, windows.t_r)

    def key(self, fold: Fold, *more: object) -> str:
        """Hash of all that a fit to a fold depends on; `more` is ready for JSON."""
        settings = [to_dict(self.model), to_dict(self.training), list(self.classes)]
        facts = json.dumps([*settings, self.windows.hash, *more])
        digest = hashlib.sha256(facts.encode())
        for values in (fold.train, fold.test, self.targets):
            digest.update(np.asarray(values, dtype=np.int64).tobytes() + b"|")
        return digest.hexdigest()
