"""The decoder: a scikit-learn classifier of recordings, windows or arrays."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import nibabel as nib
import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from boldformer.config import (
    DataConfig,
    ModelConfig,
    PreprocessingConfig,
    RunConfig,
    TrainingConfig,
    WindowConfig,
)
from boldformer.data.cohort import Cohort, SetAside, read_cohort
from boldformer.data.events import class_order
from boldformer.data.preparation import Preparation
from boldformer.data.recording import Dataset, Recording
from boldformer.data.windows import WindowSet
from boldformer.decoder_files import SavedMixin
from boldformer.errors import InputError
from boldformer.interpretation.maps import label_images, methods_for
from boldformer.models.base import DecoderModel
from boldformer.models.registry import name_of
from boldformer.training.augment import Transform
from boldformer.training.estimate import estimate, probabilities
from boldformer.training.source import ArrayWindows


class Decoder(SavedMixin, ClassifierMixin, BaseEstimator):
    """Decode task state from BOLD windows.

    Parameters
    ----------
    model : str
        Name of a model: ``"hybrid"``, ``"cnn3d"``, ``"transformer"``, ``"linear"``.
    model_parameters : dict, optional
        Keyword arguments of the model.
    labels : sequence of str
        Event types to decode, in the order of the classes; all that occur by default.
        Of arrays, which have sorted classes, nothing is chosen.
    preprocessing : PreprocessingConfig, optional
        How recordings are cleaned.
    window : WindowConfig, optional
        Which frames stand for an event.
    training : TrainingConfig, optional
        How a network is trained.
    augmentation : callable, optional
        A further augmentation of training windows, each (n_times, x, y, z), such as a
        TorchIO transform.
    store : path, optional
        Folder that keeps prepared runs between calls; a temporary one by default.
    n_jobs : int
        Runs prepared at once.
    progress : bool
        Show progress bars.

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
        Labels in the order of the probability columns.
    model_ : DecoderModel
        The fitted torch module.
    history_ : DataFrame
        One row an epoch.
    preparation_ : Preparation
        How its windows were prepared; of a decoder of recordings or windows.
    set_aside_ : list of (str, str)
        Runs and events of a dataset that could not be used, each with its reason.

    Examples
    --------
    >>> from boldformer import Decoder, open_dataset
    >>> dataset = open_dataset("my-dataset")  # doctest: +SKIP
    >>> decoder = Decoder("hybrid").fit(dataset.subjects("train"))  # doctest: +SKIP
    >>> decoder.score(dataset.subjects("test"))  # doctest: +SKIP
    """

    def __init__(
        self,
        model: str = "hybrid",
        *,
        model_parameters: dict[str, Any] | None = None,
        labels: Sequence[str] = (),
        preprocessing: PreprocessingConfig | None = None,
        window: WindowConfig | None = None,
        training: TrainingConfig | None = None,
        augmentation: Transform | None = None,
        store: str | Path | None = None,
        n_jobs: int = 1,
        progress: bool = False,
    ) -> None:
        self.model = model
        self.model_parameters = model_parameters
        self.labels = labels
        self.preprocessing = preprocessing
        self.window = window
        self.training = training
        self.augmentation = augmentation
        self.store = store
        self.n_jobs = n_jobs
        self.progress = progress

    # --- fitting --------------------------------------------------------------

    def fit(self, X: Any, y: Any = None, groups: Any = None) -> Self:
        """Fit the decoder.

        Parameters
        ----------
        X : Dataset, WindowSet or ndarray
            Recordings with their events; prepared windows; or an array of shape
            (n_windows, n_times, x, y, z), (n_windows, x, y, z) or
            (n_windows, n_features).
        y : array-like, shape (n_windows,), optional
            Labels; those of the windows where `X` brings its own.
        groups : array-like, shape (n_windows,), optional
            What early stopping must keep together. Subjects of a dataset by default
            (runs within one); with arrays and no groups there is no early stopping.

        Returns
        -------
        Decoder
            Itself.
        """
        training = self.training or TrainingConfig()
        self.set_aside_: SetAside = []
        order: Sequence[str] = ()
        used: WindowConfig | None = None
        windows: WindowSet | ArrayWindows
        if isinstance(X, Dataset):
            cohort = self._first_cohort(X)
            self.set_aside_ = cohort.set_aside
            X, used, order = cohort.windows, cohort.window, cohort.labels
        if isinstance(X, WindowSet):
            self._remember_source(X, used)
            y = X.labels.astype(str) if y is None else np.asarray(y)
            groups = X.groups if groups is None else groups
            windows, order = X, order or list(self.labels)
        else:
            windows, y = self._first_arrays(X, y)
        self.classes_ = np.unique(y)
        if order:
            self.classes_ = np.array(class_order(self.classes_.tolist(), order))
        targets = pd.Index(self.classes_).get_indexer(y)
        if len(self.classes_) < 2:
            raise InputError(
                "a classifier needs more than one class",
                wanted="two or more classes",
                received=f"{len(self.classes_)} class",
            )
        if groups is None:
            groups = np.zeros(len(targets), dtype=str)
        model, result = estimate(
            ModelConfig(self.model, dict(self.model_parameters or {})),
            training,
            windows,
            targets,
            np.asarray(groups).astype(str),
            n_outputs=len(self.classes_),
            t_r=self.t_r_,
            classes=[str(name) for name in self.classes_],
            transform=self.augmentation,
            progress=self.progress,
        )
        self.model_, self.training_, self.history_ = model, training, result.history
        return self

    @classmethod
    def from_model(
        cls,
        model: DecoderModel,
        cohort: Cohort,
        training: TrainingConfig,
        history: pd.DataFrame,
    ) -> Decoder:
        """Wrap a model that was fitted elsewhere to the windows of a cohort.

        Parameters
        ----------
        model : DecoderModel
            Fitted model of a registered kind.
        cohort : Cohort
            What it was fitted to.
        training : TrainingConfig
            Settings it was fitted under.
        history : DataFrame
            One row an epoch.
        """
        decoder = cls(name_of(model), window=cohort.window, training=training)
        decoder.classes_ = np.array(cohort.labels)
        decoder._remember_source(cohort.windows, cohort.window)
        decoder.model_, decoder.training_ = model, training
        decoder.history_ = history
        return decoder

    def _first_cohort(self, dataset: Dataset) -> Cohort:
        asked = RunConfig(
            data=DataConfig(labels=tuple(self.labels)),
            preprocessing=self.preprocessing or PreprocessingConfig(),
            window=self.window or WindowConfig(),
        )
        return read_cohort(dataset, asked, self._store_folder(), **self._how)

    @property
    def _how(self) -> dict[str, Any]:
        return {"n_jobs": self.n_jobs, "progress": self.progress}

    def _store_folder(self) -> Path:
        if self.store is not None:
            return Path(self.store)
        if not hasattr(self, "_temporary"):
            self._temporary = tempfile.TemporaryDirectory(prefix="boldformer-")
        return Path(self._temporary.name)

    def _remember_source(self, windows: WindowSet, used: WindowConfig | None) -> None:
        if used is None:
            delay_s = (self.window or WindowConfig()).delay_s
            length_s = windows.shape[1] * windows.t_r
            used = WindowConfig(delay_s, length_s, step_s=windows.t_r)
        self.preparation_, self.t_r_ = Preparation.of(windows, used), windows.t_r

    def _first_arrays(self, X: Any, y: Any) -> tuple[ArrayWindows, np.ndarray]:
        X, y = validate_data(self, X, y, allow_nd=True, dtype=np.float32)
        check_classification_targets(y)
        self.t_r_ = 1.0
        return ArrayWindows.of(X), y

    # --- predicting -----------------------------------------------------------

    def predict_proba(self, X: Any) -> np.ndarray:
        """Class probabilities.

        Parameters
        ----------
        X : Dataset, Recording, WindowSet or ndarray
            As in `fit`; a single recording gives one row for each of its events.

        Returns
        -------
        ndarray, shape (n_windows, n_classes)

        Raises
        ------
        MismatchError
            When windows were prepared otherwise than those the decoder was fitted to,
            or lie on another grid.
        """
        check_is_fitted(self)
        return probabilities(self.model_, self._windows(X), self.training_, self.t_r_)

    def predict(self, X: Any) -> np.ndarray:
        """Most probable label of each window, (n_windows,)."""
        best = self.predict_proba(X).argmax(axis=1)
        return self.classes_[best]

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Accuracy; labels are those of the windows where `X` brings its own."""
        check_is_fitted(self)
        windows = self._windows(X)
        if y is None:
            if not isinstance(windows, WindowSet):
                raise InputError("an array has no labels of its own", fix="pass y")
            y = windows.labels.astype(str)
        predicted = probabilities(self.model_, windows, self.training_, self.t_r_)
        labels = self.classes_[predicted.argmax(axis=1)]
        return float(accuracy_score(y, labels, sample_weight=sample_weight))

    def explain(self, X: Any, method: str = "attention") -> dict[str, nib.Nifti1Image]:
        """Map where the decoder looks, one image a label.

        Parameters
        ----------
        X : Dataset, Recording or WindowSet
            Recordings to explain; best ones it was not fitted to.
        method : {"attention", "saliency"}
            See `boldformer.interpretation.maps.class_maps`.

        Returns
        -------
        dict of str to Nifti1Image
            In the grid of the recordings, for the labels that occur in `X`.
        """
        check_is_fitted(self, "preparation_")
        windows = self._windows(X)
        if not isinstance(windows, WindowSet):
            raise InputError(
                "an array has no place in the brain", fix="pass recordings"
            )
        return label_images(
            self.model_, windows, self.classes_.tolist(), method, self.t_r_
        )

    def _windows(self, X: Any) -> WindowSet | ArrayWindows:
        if isinstance(X, Recording):
            X = Dataset(X.name, X.bold.parent, (X,))
        if not isinstance(X, (Dataset, WindowSet)):
            X = validate_data(self, X, reset=False, allow_nd=True, dtype=np.float32)
            return ArrayWindows.of(X)
        told = "This %(name)s was fitted to arrays."
        check_is_fitted(self, "preparation_", msg=told)
        if isinstance(X, WindowSet):
            return self.preparation_.fitting(X)
        classes = self.classes_.tolist()
        return self.preparation_.read(X, classes, self._store_folder(), **self._how)

    def methods(self) -> list[str]:
        """Names of the methods `explain` has for this model."""
        check_is_fitted(self)
        return methods_for(self.model_)
