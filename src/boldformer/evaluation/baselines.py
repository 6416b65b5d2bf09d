"""Humble decoders that every score stands beside: the one table of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.dummy import DummyClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from boldformer.config import ModelConfig
from boldformer.data.windows import WindowSet
from boldformer.models.encoding import LINEAR_PATH, NETWORK
from boldformer.models.parcels import parcel_means, parcellate
from boldformer.models.registry import model_parameters
from boldformer.training.linear_decoder import LinearDecoder

# Enough to fit a few hundred windows completely.
PERCEPTRON_EPOCHS = 100


class Views:
    """What baselines are given to see of windows, each (n_windows, n_features).

    Parameters
    ----------
    windows : WindowSet
        All windows.
    """

    def __init__(self, windows: WindowSet) -> None:
        self._windows = windows

    @cached_property
    def means(self) -> np.ndarray:
        """Mean volume of each window."""
        return self._windows.means()

    @cached_property
    def parcels(self) -> np.ndarray:
        """Means of each window over parcels; the parcel model makes the same ones."""
        windows = self._windows
        parcels = parcellate(windows.mask, windows.grid.voxel_size_mm)
        return parcel_means(self.means, parcels)

    @cached_property
    def nuisance(self) -> np.ndarray:
        """Measures of the recording that are no brain signal; NaN where unknown."""
        return self._windows.nuisance().to_numpy()

    @cached_property
    def run_means(self) -> np.ndarray:
        """Mean image of the window's run, float32, relative to its brightness.

        The same for all windows of a run. Brightness is the root mean square over the
        brain. Images without a mean, such as z-scores, have none to show: zeros.
        """
        windows, of_run = self._windows, {}
        maps = windows.table["timing"].eq("map").all()
        for name, run in windows.runs.items():
            image = run.mean_volume()[windows.box][windows.mask]
            level = float(np.sqrt(np.mean(image**2, dtype=np.float64)))
            # From volume to volume an image changes far less than it is bright.
            least = 0.0 if maps else float(run.frames["dvars"].mean())
            of_run[name] = image / level if level > least else np.zeros_like(image)
        return np.stack([of_run[name] for name in windows.table["recording"]])

    @cached_property
    def none(self) -> np.ndarray:
        """Nothing at all."""
        return np.zeros((len(self._windows), 1))


@dataclass(frozen=True)
class Baseline:
    """A baseline, what it looks at, and what it is called wherever it is shown.

    Parameters
    ----------
    make : callable
        Returns a fresh classifier.
    features : str
        Which of the `Views` it is given.
    label : str
        In tables and figures.
    name : str
        In a sentence, to follow "it beats".
    methods : str
        In a methods section, to follow "compared with".
    sees_events : bool
        Whether it is given anything of what happens in a window.
    """

    make: Callable[[], BaseEstimator]
    features: str
    label: str
    name: str
    methods: str
    sees_events: bool = True


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
        "linear SVM",
        "the linear SVM",
        "a linear support vector machine on window means",
    ),
    "logistic": Baseline(
        lambda: LinearDecoder("logistic"),
        "means",
        "logistic regression",
        "logistic regression",
        "a logistic regression on window means",
    ),
    "parcels": Baseline(
        _perceptron,
        "parcels",
        "perceptron on parcels",
        "a perceptron on parcel means",
        "a multilayer perceptron on the means of parcels",
    ),
    "nuisance": Baseline(
        _nuisance,
        "nuisance",
        "nuisance only",
        "nuisance signals alone",
        "a decoder of nuisance variables alone",
        sees_events=False,
    ),
    "run_mean": Baseline(
        lambda: LinearDecoder("svm", n_voxels=None),
        "run_means",
        "run mean only",
        "the mean image of the run alone",
        "a linear support vector machine on the mean image of the whole run",
        sees_events=False,
    ),
    "majority": Baseline(
        lambda: DummyClassifier(strategy="prior"),
        "none",
        "majority class",
        "always guessing the most frequent label",
        "the majority class",
        sees_events=False,
    ),
}
"""What every score stands beside, in the order of the report."""


@dataclass(frozen=True)
class Part:
    """A part of a model, alone, and what it is called: as for `Baseline`."""

    label: str
    name: str


RIDGE = "ridge"
"""Name of the linear classifier of permutation tests, which is no baseline."""
PARTS = {
    NETWORK: Part("network alone", "its network without the linear path"),
    LINEAR_PATH: Part("linear path alone", "its linear path alone"),
}
_RIDGE = Part("linear ridge", "a linear ridge classifier")
_NAMED: dict[str, Baseline | Part] = {**BASELINES, **PARTS, RIDGE: _RIDGE}


def scores_of_parts(scores: Mapping[str, Any], metric: str) -> dict[str, float]:
    """List what each part of a model reaches alone, by its label.

    Parameters
    ----------
    scores : mapping
        ``scores`` of ``metrics.json``.
    metric : str
        Which of them.
    """
    return {
        part.label: scores[name][metric]["value"]
        for name, part in PARTS.items()
        if name in scores
    }


def decoder_label(name: str) -> str:
    """Name that tables and figures give a baseline or part; a model has its own."""
    return _NAMED[name].label if name in _NAMED else name


def decoder_name(name: str) -> str:
    """Name of the same in a sentence, to follow "it beats"."""
    return _NAMED[name].name if name in _NAMED else name


def baseline_of(model: ModelConfig) -> str:
    """Name the baseline that a model is, fitted the same way; empty for none."""
    settings = model_parameters("linear") | model.parameters
    if model.name != "linear" or settings["C"] != "auto":
        return ""
    return {"svm": "linear_svm", "logistic": "logistic"}.get(settings["loss"], "")
