"""Humble decoders that every score stands beside, fitted fold by fold."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import has_fit_parameter

from boldformer.data.splits import Fold, Splits
from boldformer.errors import InputError
from boldformer.evaluation.calibration import temper
from boldformer.evaluation.predictions import as_written
from boldformer.training.linear import LinearDecoder, gram_matrix

# Enough to fit a few hundred windows completely.
PERCEPTRON_EPOCHS = 100


@dataclass(frozen=True)
class Baseline:
    """A baseline and what it looks at.

    Parameters
    ----------
    make : callable
        Returns a fresh classifier.
    features : {"means", "parcels", "run_means", "nuisance", "none"}
        Mean volume of each window, or its means over parcels; mean image of the run
        that the window comes from; measures of the recording that are no brain signal
        (NaN where unknown); or nothing at all.
    description : str
        For a reader, to follow "is".
    """

    make: Callable[[], BaseEstimator]
    features: str
    description: str


def _nuisance() -> BaseEstimator:
    return make_pipeline(
        SimpleImputer(strategy="median", keep_empty_features=True),
        StandardScaler(),
        LogisticRegression(max_iter=10_000, class_weight="balanced"),
    )


def _perceptron() -> BaseEstimator:
    network = MLPClassifier((128,), max_iter=PERCEPTRON_EPOCHS, random_state=0)
    return make_pipeline(StandardScaler(), network)


BASELINES: dict[str, Baseline] = {
    "linear_svm": Baseline(
        lambda: LinearDecoder("svm"),
        "means",
        "a linear support vector machine on the mean volume of each window",
    ),
    "logistic": Baseline(
        lambda: LinearDecoder("logistic"),
        "means",
        "a multinomial logistic regression on the mean volume of each window",
    ),
    "parcels": Baseline(
        _perceptron,
        "parcels",
        "a multilayer perceptron on the means of each window over some 400 parcels",
    ),
    "nuisance": Baseline(
        _nuisance,
        "nuisance",
        "a logistic regression on motion, global signal and timing, without the brain",
    ),
    "run_mean": Baseline(
        lambda: LinearDecoder("svm", n_voxels=None),
        "run_means",
        "a linear support vector machine on the mean image of the window's whole run, "
        "which knows who and which run it is, and nothing of events",
    ),
    "majority": Baseline(
        lambda: DummyClassifier(strategy="prior"),
        "none",
        "the most frequent training label, always",
    ),
}


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
    predict: Callable[..., tuple[np.ndarray, np.ndarray]] = _predict_features
    keeps_all = isinstance(estimator, LinearDecoder) and estimator.n_voxels is None
    if keeps_all and features.shape[0] < features.shape[1]:
        features, predict = gram_matrix(features), _predict_gram
    given, plain = _Mean((len(y), n_classes)), _Mean((len(y), n_classes))
    accuracies, temperatures = [], []
    for fold in splits.folds:
        model, used = clone(estimator), predict
        if not _vary(features[fold.train]):
            # A single run has a single mean image: there is nothing to learn from.
            model, used = DummyClassifier(strategy="prior"), _predict_features
        trained, tested = used(model, features, y, fold, groups)
        given.add(fold.test, model.classes_, tested)
        if isinstance(model, LinearDecoder) and model.loss == "svm":
            temperatures.append(model.temperature_)
            tested = temper(tested, 1 / model.temperature_)
        plain.add(fold.test, model.classes_, tested)
        recognised = model.classes_[trained.argmax(axis=1)] == y[fold.train]
        accuracies.append(float(recognised.mean()))
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
) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of training and test windows, after fitting to the former."""
    inner = {"groups": groups[fold.train]} if has_fit_parameter(model, "groups") else {}
    with warnings.catch_warnings():
        # The perceptron trains for a fixed time, by intent.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(features[fold.train], y[fold.train], **inner)
    train, test = (features[rows] for rows in (fold.train, fold.test))
    return model.predict_proba(train), model.predict_proba(test)


def _predict_gram(
    model: LinearDecoder,
    gram: np.ndarray,
    y: np.ndarray,
    fold: Fold,
    groups: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    within = gram[np.ix_(fold.train, fold.train)]
    model.fit_gram(within, y[fold.train], groups[fold.train])
    across = gram[np.ix_(fold.test, fold.train)]
    found = (model.decision_from_gram(products) for products in (within, across))
    train, test = (model.probabilities(decisions) for decisions in found)
    return train, test
