"""Baselines fitted fold by fold, and what they say of windows they have not seen."""

from __future__ import annotations

import functools
import logging
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import has_fit_parameter

from boldformer.data.audit.fit_log import FitLog
from boldformer.data.cohort import Cohort
from boldformer.data.splits import Fold, Splits, split_groups
from boldformer.data.wording import time_left
from boldformer.errors import InputError
from boldformer.evaluation.baselines import BASELINES, Views
from boldformer.evaluation.calibration import temper
from boldformer.evaluation.predictions import as_written
from boldformer.training.linear_decoder import LinearDecoder, gram_matrix

logger = logging.getLogger(__name__)
Record = Callable[[BaseEstimator, np.ndarray], None]


@dataclass(frozen=True)
class OutOfFold:
    """Predictions for every tested window by models that never saw its group.

    Parameters
    ----------
    probabilities : ndarray, shape (n_windows, n_classes)
        NaN for a window that no fold tests; the mean for one that several do.
    training_accuracy : tuple of float
        Of each fold's model on its own training windows.
    temperatures : tuple of float
        Fitted to training groups in each fold; empty where none was.
    untempered, tempered : ndarray, shape (n_windows, n_classes), optional
        The probabilities before the temperature, where `probabilities` include it, or
        after it, where they do not.
    """

    probabilities: np.ndarray
    training_accuracy: tuple[float, ...]
    temperatures: tuple[float, ...] = ()
    untempered: np.ndarray | None = None
    tempered: np.ndarray | None = None


def out_of_fold(
    estimator: BaseEstimator,
    features: np.ndarray,
    y: np.ndarray,
    splits: Splits,
    groups: np.ndarray,
    n_classes: int,
    log: FitLog | None = None,
    name: str = "",
) -> OutOfFold:
    """Fit a classifier on the training side of every fold and predict the test side.

    Everything that the classifier fits, scaling and inner choices included, is fitted
    to training windows only.

    Parameters
    ----------
    estimator : classifier
        Cloned for each fold. A `LinearDecoder` that keeps all of more features than
        windows is fitted through inner products that are computed once for all folds.
    features : ndarray, shape (n_windows, n_features)
        Whatever the classifier takes.
    y : ndarray of int, shape (n_windows,)
        Column of each window's class.
    splits : Splits
        Folds.
    groups : sequence, shape (n_windows,)
        What inner folds keep apart; see `boldformer.data.splits.split_groups`.
    n_classes : int
        Number of columns; a class without training windows gets probability 0.
    log : FitLog, optional
        Takes in what was fitted to which windows.
    name : str
        What the log calls the classifier.

    Returns
    -------
    OutOfFold
        Probabilities and training accuracies.

    Raises
    ------
    InputError
        When features, labels and groups differ in length.
    """
    y, groups = np.asarray(y), np.asarray(groups)
    if not len(features) == len(y) == len(groups):
        raise InputError(
            "features, labels and groups do not fit together",
            wanted="one row of each a window",
            received=f"{len(features)}, {len(y)} and {len(groups)}",
        )
    log = FitLog() if log is None else log
    predict: Callable[..., tuple[np.ndarray, np.ndarray]] = _predict_features
    keeps_all = isinstance(estimator, LinearDecoder) and estimator.n_voxels is None
    if keeps_all and features.shape[0] < features.shape[1]:
        features, predict = gram_matrix(features), _predict_gram
    given, plain = _Mean((len(y), n_classes)), _Mean((len(y), n_classes))
    accuracies, temperatures = [], []
    started = time.perf_counter()
    for number, fold in enumerate(splits.folds):
        model, used = clone(estimator), predict
        if not _vary(features[fold.train]):
            # A single run has a single mean image: there is nothing to learn from.
            model, used = DummyClassifier(strategy="prior"), _predict_features
        record = functools.partial(_record, log, name, fold.index)
        trained, tested = used(model, features, y, fold, groups, record)
        given.add(fold.test, model.classes_, tested)
        if isinstance(model, LinearDecoder) and model.loss == "svm":
            temperatures.append(model.temperature_)
            tested = temper(tested, 1 / model.temperature_)
        plain.add(fold.test, model.classes_, tested)
        recognised = model.classes_[trained.argmax(axis=1)] == y[fold.train]
        accuracies.append(float(recognised.mean()))
        left = time_left(number + 1, len(splits.folds), time.perf_counter() - started)
        if name and left and number == 0:
            logger.info("Baseline %s%s", name.replace("_", " "), left)
    return OutOfFold(
        given.value,
        tuple(accuracies),
        tuple(temperatures),
        untempered=plain.value if temperatures else None,
    )


def _vary(rows: np.ndarray) -> bool:
    """Tell whether rows differ by more than the rounding of single precision."""
    spread = np.ptp(rows, axis=0)
    return not bool((spread <= 1e-6 * np.abs(rows).max(axis=0)).all())


class _Mean:
    """Mean over folds of what each window was given; NaN where none tested it."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.total, self.count = np.zeros(shape), np.zeros((shape[0], 1))

    def add(self, rows: np.ndarray, columns: np.ndarray, values: np.ndarray) -> None:
        self.total[np.ix_(rows, columns)] += values
        self.count[rows] += 1

    @property
    def value(self) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            return as_written(self.total / self.count)


def _predict_features(
    model: BaseEstimator,
    features: np.ndarray,
    y: np.ndarray,
    fold: Fold,
    groups: np.ndarray,
    record: Record,
) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of training and test windows, after fitting to the former."""
    rows = fold.train
    inner = {"groups": groups[rows]} if has_fit_parameter(model, "groups") else {}
    record(model, rows)
    with warnings.catch_warnings():
        # The perceptron trains for a fixed time, by intent.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(features[rows], y[rows], **inner)
    train, test = (features[side] for side in (fold.train, fold.test))
    return model.predict_proba(train), model.predict_proba(test)


def _predict_gram(
    model: LinearDecoder,
    gram: np.ndarray,
    y: np.ndarray,
    fold: Fold,
    groups: np.ndarray,
    record: Record,
) -> tuple[np.ndarray, np.ndarray]:
    rows = fold.train
    record(model, rows)
    model.fit_gram(gram[np.ix_(rows, rows)], y[rows], groups[rows])
    train, test = (
        model.probabilities(model.decision_from_gram(gram[np.ix_(side, rows)]))
        for side in (fold.train, fold.test)
    )
    return train, test


def _record(
    log: FitLog, name: str, fold: int, model: BaseEstimator, rows: np.ndarray
) -> None:
    """Say what a classifier is about to be fitted to, and what its inner folds see."""
    log.record(name, rows, fold=fold)
    if isinstance(model, LinearDecoder):
        # They choose its penalty, number of voxels and temperature.
        log.record(f"{name}: inner folds", rows, fold=fold, purpose="select")


def judge_baselines(
    cohort: Cohort,
    splits: Splits,
    views: Views,
    log: FitLog,
    without: str = "",
) -> dict[str, OutOfFold]:
    """Judge the humble decoders on the folds of the decoder.

    Parameters
    ----------
    cohort : Cohort
        What is decoded.
    splits : Splits
        Folds over its windows.
    views : Views
        Of its windows.
    log : FitLog
        Takes in what they are fitted to.
    without : str
        Baseline that the decoder itself is; it is not fitted again.

    Returns
    -------
    dict of str to OutOfFold
        By name, in the order of `BASELINES`; rows of all repeats, one repeat after the
        other.
    """
    found = {}
    groups = split_groups(cohort.windows.table, splits.unit)
    for name in (name for name in BASELINES if name != without):
        started = time.perf_counter()
        found[name] = in_every_repeat(
            name, views, cohort.targets, splits.parts, groups, len(cohort.labels), log
        )
        seconds = time.perf_counter() - started
        logger.info("Baseline %s: %.1f s", name.replace("_", " "), seconds)
    return found


def in_every_repeat(
    name: str,
    views: Views,
    targets: np.ndarray,
    repeats: Sequence[Splits],
    groups: np.ndarray,
    n_classes: int,
    log: FitLog,
) -> OutOfFold:
    """Judge a baseline in every repeat of a split, one after the other.

    Parameters
    ----------
    name : str
        In `BASELINES`.
    views : Views
        Of the windows.
    targets, groups, n_classes, log
        As for `out_of_fold`.
    repeats : sequence of Splits
        `boldformer.data.splits.Splits.parts`.

    Returns
    -------
    OutOfFold
        Probabilities of shape (n_repeats * n_windows, n_classes).
    """
    baseline = BASELINES[name]
    features = getattr(views, baseline.features)
    found = [
        out_of_fold(
            baseline.make(), features, targets, part, groups, n_classes, log, name
        )
        for part in repeats
    ]
    parts = [p.untempered for p in found if p.untempered is not None]
    return OutOfFold(
        np.concatenate([part.probabilities for part in found]),
        tuple(a for part in found for a in part.training_accuracy),
        tuple(t for part in found for t in part.temperatures),
        untempered=np.concatenate(parts) if len(parts) == len(found) else None,
    )
