"""Fits of a leakage study: every model under every scheme, to true and other labels."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from boldformer.config import ModelConfig, TrainingConfig
from boldformer.data.audit.fit_log import FitLog
from boldformer.data.splits import Fold, Splits
from boldformer.evaluation.cross_validation import fit_fold
from boldformer.evaluation.experiment import Experiment
from boldformer.evaluation.kept_fits import FoldOutcome, FoldRecord, kept
from boldformer.evaluation.leakage_schemes import Volumes
from boldformer.models import get_model
from boldformer.training.fit import HISTORY_COLUMNS
from boldformer.training.linear_decoder import (
    DEFAULT_C,
    Rotation,
    gram_matrix,
    make_solver,
)

logger = logging.getLogger(__name__)
_TOLERANCE = 1e-3


@dataclass(frozen=True)
class VolumeArm:
    """A model and the preparation of the volumes that it reads.

    Parameters
    ----------
    model : str
        Name in the model registry.
    preprocessing : {"raw", "centred"}
        Volumes as they come, each standardised by itself; or cleaned run by run.
    """

    model: str
    preprocessing: str

    @property
    def linear(self) -> bool:
        """Whether it is solved rather than trained."""
        return get_model(self.model).solver == "linear"

    def __str__(self) -> str:
        return f"{self.model} ({self.preprocessing})"


@dataclass(frozen=True, eq=False)
class SchemeScores:
    """Out-of-fold scores of one model under one scheme.

    Parameters
    ----------
    arm : VolumeArm
        Model and preparation.
    scheme : str
        Name in `boldformer.evaluation.leakage_schemes.SCHEMES`.
    scores : ndarray, shape (n_labellings, n_volumes, n_classes)
        Probabilities, or signed distances of the SVM.
    training_accuracy : ndarray, shape (n_labellings,)
        Mean over folds.
    n_steps : int
        Optimisation steps of each fit; 0 for a model that is solved.
    seconds : float
        Of all fits and predictions, whenever they were made.
    log : FitLog
        What was fitted to which volumes.
    """

    arm: VolumeArm
    scheme: str
    scores: np.ndarray
    training_accuracy: np.ndarray
    n_steps: int
    seconds: float
    log: FitLog = field(default_factory=FitLog)


@dataclass(frozen=True, eq=False)
class VolumeFits:
    """Fits models to one preparation of the volumes.

    Parameters
    ----------
    volumes : Volumes
        Samples.
    classes : sequence of str
        Their classes.
    labellings : ndarray of int, shape (1 + n_shuffles, n_volumes)
        True classes first, then those shuffled among the blocks of a run.
    training : TrainingConfig
        Of networks; the same under every scheme.
    folder : Path
        Keeps finished fits, without their models.
    progress : bool
        Show progress bars.
    """

    volumes: Volumes
    classes: Sequence[str]
    labellings: np.ndarray
    training: TrainingConfig
    folder: Path
    progress: bool = True

    def measure(
        self, arm: VolumeArm, scheme: str, splits: Splits, n_shuffles: int
    ) -> SchemeScores:
        """Fit every fold of one scheme to the true labelling and some shuffled ones."""
        labellings = self.labellings[: 1 + n_shuffles]
        shape = (*labellings.shape, len(self.classes))
        scores = np.empty(shape)
        accuracy = np.empty((len(labellings), len(splits.folds)))
        seconds, log = 0.0, FitLog()
        for k, fold in enumerate(splits.folds):
            place = self.folder / f"{arm.model}-{arm.preprocessing}" / scheme
            rotation = functools.cache(functools.partial(self._rotation, fold))
            for index, labels in enumerate(labellings):
                name = "true" if index == 0 else f"shuffle-{index}"
                own = place / f"fold-{k}" / name
                one = self._experiment(arm, labels)
                if arm.linear:
                    key = one.key(fold, "fixed penalty")
                    fit = functools.partial(solve_fold, one, fold, rotation)
                    found = kept(own, fold, key, fit)
                else:
                    found = fit_fold(
                        one, fold, own, keep_model=False, progress=self.progress
                    )
                scores[index, fold.test] = found.probabilities
                accuracy[index, k] = found.record.training_accuracy
                seconds += found.record.seconds
                log.extend(found.log)
        logger.info("%s, %s-wise: %.0f s of fits", arm, scheme, seconds)
        n_steps = 0 if arm.linear else self._n_steps(splits)
        mean = accuracy.mean(axis=1)
        return SchemeScores(arm, scheme, scores, mean, n_steps, seconds, log)

    def _experiment(self, arm: VolumeArm, labels: np.ndarray) -> Experiment:
        model = ModelConfig(arm.model)
        return Experiment(self.volumes, labels, self.classes, model, self.training)

    @functools.cached_property
    def _gram(self) -> np.ndarray:
        return gram_matrix(self.volumes.values)

    def _rotation(self, fold: Fold) -> tuple[Rotation, np.ndarray]:
        """Coordinates of a fold's training volumes, and those of its test volumes."""
        rotation = Rotation.from_gram(self._gram[np.ix_(fold.train, fold.train)])
        return rotation, rotation.project(self._gram[np.ix_(fold.test, fold.train)])

    def _n_steps(self, splits: Splits) -> int:
        n_batches = -(-len(splits.folds[0].train) // self.training.batch_size)
        return self.training.max_epochs * n_batches


def solve_fold(
    experiment: Experiment,
    fold: Fold,
    rotated: Callable[[], tuple[Rotation, np.ndarray]],
    _: Path,
) -> FoldOutcome:
    """Fit the linear SVM of one fold; `probabilities` of the outcome are distances.

    The penalty is fixed: chosen by inner folds it would differ between schemes. The
    distances of a class without training samples are the lowest.
    """
    started = time.perf_counter()
    rotation, tested = rotated()
    labels, log = experiment.targets, FitLog()
    log.record("linear weights", fold.train, fold=fold.index)
    solver = make_solver("svm", DEFAULT_C, tol=_TOLERANCE)
    solver.fit(rotation.coordinates, labels[fold.train])
    given = solver.decision_function(tested)
    if given.ndim == 1:
        given = np.stack([-given, given], axis=1)
    every = np.full((len(fold.test), experiment.n_outputs), given.min() - 1.0)
    every[:, solver.classes_] = given
    record = FoldRecord(
        fold=fold.index,
        accuracy=float((every.argmax(axis=1) == labels[fold.test]).mean()),
        training_accuracy=solver.score(rotation.coordinates, labels[fold.train]),
        seconds=time.perf_counter() - started,
    )
    history = pd.DataFrame(columns=list(HISTORY_COLUMNS))
    return FoldOutcome(fold, record, every, history, None, log)
