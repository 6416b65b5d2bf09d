"""Fits of a leakage study, each kept when it is finished."""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from boldformer.config import ModelConfig, TrainingConfig, to_dict
from boldformer.data.atomic import atomic_path, write_json
from boldformer.data.audit import Audit
from boldformer.data.splits import Fold, Splits
from boldformer.evaluation.leakage import Volumes
from boldformer.evaluation.leakage_scores import linear_fold
from boldformer.models import get_model
from boldformer.training.estimate import estimate, probabilities
from boldformer.training.linear import gram_matrix
from boldformer.workflow.cohort import Cohort

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Arm:
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
class Study:
    """What is decoded, and how it is split.

    Parameters
    ----------
    name : str
        Of the dataset.
    cohort : Cohort
        Single volumes.
    splits : dict of str to Splits
        By scheme, with equally many training samples in every fold.
    audits : dict of str to Audit
        Of these splits.
    labellings : ndarray of int, shape (1 + n_shuffles, n_volumes)
        True classes first, then those shuffled among the blocks of a run.
    """

    name: str
    cohort: Cohort
    splits: dict[str, Splits]
    audits: dict[str, Audit]
    labellings: np.ndarray


@dataclass(frozen=True, eq=False)
class Found:
    """Out-of-fold scores of one model under one scheme.

    Parameters
    ----------
    arm : Arm
        Model and preparation.
    scheme : str
        Name in `boldformer.evaluation.leakage.SCHEMES`.
    scores : ndarray, shape (n_labellings, n_volumes, n_classes)
        Probabilities, or signed distances of the SVM.
    training_accuracy : ndarray, shape (n_labellings,)
        Mean over folds.
    n_steps : int
        Optimisation steps of each fit; 0 for a model that is solved.
    seconds : float
        Of all fits and predictions, whenever they were made.
    """

    arm: Arm
    scheme: str
    scores: np.ndarray
    training_accuracy: np.ndarray
    n_steps: int
    seconds: float


@dataclass(frozen=True, eq=False)
class Kept:
    """One finished fit, or several to other labellings of the same samples.

    Parameters
    ----------
    scores : ndarray, shape (n_labellings, n_test, n_classes)
        Of the test samples.
    training_accuracy : ndarray, shape (n_labellings,)
        On the training samples.
    seconds : float
        Time it took.
    """

    scores: np.ndarray
    training_accuracy: np.ndarray
    seconds: float


@dataclass(frozen=True, eq=False)
class Fits:
    """Fits models to one preparation of the volumes.

    Parameters
    ----------
    volumes : Volumes
        Samples.
    study : Study
        Splits and labels.
    training : TrainingConfig
        Of networks; the same under every scheme.
    shuffles : tuple of int
        Shuffled labellings for linear models, and for networks.
    folder : Path
        Keeps finished fits.
    progress : bool
        Show progress bars.
    """

    volumes: Volumes
    study: Study
    training: TrainingConfig
    shuffles: tuple[int, int]
    folder: Path
    progress: bool = True

    def measure(self, arm: Arm, scheme: str) -> Found:
        """Fit every fold of one scheme to every labelling."""
        splits = self.study.splits[scheme]
        shuffles = self.shuffles[0 if arm.linear else 1]
        labellings = self.study.labellings[: 1 + shuffles]
        scores = np.empty((*labellings.shape, self._n_classes))
        accuracy = np.empty((len(labellings), len(splits.folds)))
        seconds = 0.0
        for k, fold in enumerate(splits.folds):
            place = self.folder / f"{arm.model}-{arm.preprocessing}" / scheme
            fits = self._fold(arm, labellings, fold, place / f"fold-{k}")
            for rows, kept in fits:
                scores[rows, fold.test] = kept.scores
                accuracy[rows, k] = kept.training_accuracy
                seconds += kept.seconds
        logger.info("%s, %s-wise: %.0f s of fits", arm, scheme, seconds)
        n_steps = 0 if arm.linear else self._n_steps(splits)
        return Found(arm, scheme, scores, accuracy.mean(axis=1), n_steps, seconds)

    def _fold(
        self, arm: Arm, labellings: np.ndarray, fold: Fold, place: Path
    ) -> Iterator[tuple[slice, Kept]]:
        """Fit a linear model to all labellings at once, a network to each."""
        if arm.linear:
            key = _key([arm.model, self.volumes.hash], fold, labellings)
            solve = functools.partial(self._solve, labellings, fold)
            yield slice(None), _kept(place, key, solve)
            return
        settings = json.dumps(to_dict(self.training))
        for index, labels in enumerate(labellings):
            key = _key([arm.model, self.volumes.hash, settings], fold, labels)
            name = "true" if index == 0 else f"shuffle-{index}"
            train = functools.partial(self._train, arm, labels, fold)
            yield slice(index, index + 1), _kept(place / name, key, train)

    def _solve(
        self, labellings: np.ndarray, fold: Fold
    ) -> tuple[np.ndarray, np.ndarray]:
        return linear_fold(self._gram, labellings, fold, self._n_classes)

    def _train(
        self, arm: Arm, labels: np.ndarray, fold: Fold
    ) -> tuple[np.ndarray, np.ndarray]:
        volumes = self.volumes[fold.train]
        fitted, _ = estimate(
            ModelConfig(arm.model),
            self.training,
            volumes,
            labels[fold.train],
            volumes.groups,
            n_outputs=self._n_classes,
            t_r=volumes.t_r,
            progress=self.progress,
        )
        tested, trained = (
            probabilities(fitted, self.volumes[rows], self.training, volumes.t_r)
            for rows in (fold.test, fold.train)
        )
        right = trained.argmax(axis=1) == labels[fold.train]
        return tested[None], np.array([right.mean()])

    @functools.cached_property
    def _gram(self) -> np.ndarray:
        return gram_matrix(self.volumes.values)

    @property
    def _n_classes(self) -> int:
        return len(self.study.cohort.labels)

    def _n_steps(self, splits: Splits) -> int:
        n_batches = -(-len(splits.folds[0].train) // self.training.batch_size)
        return self.training.max_epochs * n_batches


def _key(facts: list[str], fold: Fold, labels: np.ndarray) -> str:
    """Hash all that a fit depends on."""
    digest = hashlib.sha256(json.dumps(facts).encode())
    for values in (fold.train, fold.test, labels):
        digest.update(np.asarray(values, dtype=np.int64).tobytes() + b"|")
    return digest.hexdigest()


def _kept(
    place: Path, key: str, fit: Callable[[], tuple[np.ndarray, np.ndarray]]
) -> Kept:
    """Fit, or take the same fit from an earlier, interrupted job."""
    try:
        record = json.loads((place / "fit.json").read_text(encoding="utf-8"))
        if record["key"] == key:
            scores = np.load(place / "scores.npy", allow_pickle=False)
            accuracy = np.array(record["training_accuracy"])
            return Kept(scores, accuracy, record["seconds"])
    except (OSError, ValueError, KeyError):
        pass
    started = time.perf_counter()
    scores, accuracy = fit()
    seconds = time.perf_counter() - started
    record = {"key": key, "training_accuracy": accuracy.tolist(), "seconds": seconds}
    with atomic_path(place) as temporary:
        temporary.mkdir()
        np.save(temporary / "scores.npy", scores, allow_pickle=False)
        write_json(temporary / "fit.json", record)
    logger.info("  %s: %.0f s", place.relative_to(place.parents[2]), seconds)
    return Kept(scores, accuracy, seconds)
