"""The decoder: a scikit-learn classifier of recordings, windows or arrays."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import nibabel as nib
import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils.validation import check_is_fitted

from boldformer.config import (
    ModelConfig,
    PreprocessingConfig,
    TrainingConfig,
    WindowConfig,
)
from boldformer.data.cohort import Cohort
from boldformer.data.events import class_order
from boldformer.data.windows import WindowSet
from boldformer.decoder_events import EventsMixin
from boldformer.decoder_files import SavedMixin
from boldformer.decoder_inputs import checked
from boldformer.decoder_parameters import ParametersMixin
from boldformer.decoder_windows import WindowsMixin
from boldformer.errors import InputError
from boldformer.interpretation.maps import label_images, methods_for
from boldformer.models.base import DecoderModel
from boldformer.models.registry import name_of, parameters_of
from boldformer.training.augment import Transform
from boldformer.training.estimate import estimate, probabilities
from boldformer.training.settings import check_model, check_training
from boldformer.training.source import ArrayWindows


class Decoder(
    WindowsMixin,
    EventsMixin,
    SavedMixin,
    ParametersMixin,
    ClassifierMixin,
    BaseEstimator,
):
    """Decode task state from BOLD windows.

    Parameters
    ----------
    model : str
        Name of a model: ``"hybrid"``, ``"cnn3d"``, ``"transformer"``, ``"linear"``.
    model_parameters : dict, optional
        Keyword arguments of the model.
    labels : sequence of str
        Event types to decode; all that occur by default. Of arrays and windows nothing
        is chosen.
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
        Labels, sorted, in the order of the probability columns.
    model_ : DecoderModel
        The fitted torch module.
    model_classes_ : ndarray, shape (n_classes,)
        Labels in the order of the module's own output, which is that of `labels`.
    history_ : DataFrame
        One row an epoch.
    preparation_ : Preparation
        How its windows were prepared; of a decoder of recordings or windows.
    set_aside_ : list of (str, str)
        Runs and events of a dataset that could not be used, each with its reason; they
        are logged as warnings, too.

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
        X : Dataset, Recording, WindowSet or ndarray
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
        self._forget()
        training = self.training or TrainingConfig()
        asked = ModelConfig(self.model, dict(self.model_parameters or {}))
        check_model(asked)
        check_training(training)
        windows, y, groups, order = self._training_windows(checked(X), y, groups)
        outputs = np.unique(y)
        if order:
            outputs = np.array(class_order(outputs.tolist(), order))
        if len(outputs) < 2:
            raise InputError(
                "a classifier needs more than one class",
                wanted="two or more classes",
                received=f"{len(outputs)} class",
            )
        if groups is None:
            groups = np.zeros(len(y), dtype=str)
        model, result = estimate(
            asked,
            training,
            windows,
            pd.Index(outputs).get_indexer(y),
            np.asarray(groups).astype(str),
            n_outputs=len(outputs),
            t_r=self.t_r_,
            classes=[str(name) for name in outputs],
            transform=self.augmentation,
            progress=self.progress,
        )
        self._take_model(model, outputs, training)
        self.history_ = result.history
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
            What it was fitted to; its classes are in the order of the model's output.
        training : TrainingConfig
            Settings it was fitted under.
        history : DataFrame
            One row an epoch.

        Returns
        -------
        Decoder
            Whose parameters are those of the model and the cohort as they are: a copy
            is fitted in the same way.
        """
        decoder = cls(
            name_of(model),
            model_parameters=parameters_of(model),
            labels=tuple(cohort.labels),
            preprocessing=PreprocessingConfig(steps=tuple(cohort.windows.pipeline)),
            window=cohort.window,
            training=training,
        )
        decoder._remember_source(cohort.windows, cohort.window)
        decoder._take_model(model, np.array(cohort.labels), training)
        decoder.history_, decoder.set_aside_ = history, cohort.set_aside
        return decoder

    def _take_model(
        self, model: DecoderModel, outputs: np.ndarray, training: TrainingConfig
    ) -> None:
        """Take a fitted model whose output has the labels `outputs`, in their order."""
        self.model_, self.training_ = model, training
        self.model_classes_, self.classes_ = outputs, np.unique(outputs)

    def __sklearn_is_fitted__(self) -> bool:
        """Whether there is a model; a fit that failed leaves none."""
        return hasattr(self, "model_")

    # --- predicting -----------------------------------------------------------

    def predict_proba(self, X: Any) -> np.ndarray:
        """Class probabilities of each window.

        An event has one window, or several with a stride, or none where it was left
        out; `predict_events` says which row is which event, and what was left out.

        Parameters
        ----------
        X : Dataset, Recording, WindowSet or ndarray
            As in `fit`.

        Returns
        -------
        ndarray, shape (n_windows, n_classes)
            Columns in the order of ``classes_``; rows by recording and, within it, in
            the order of its events.

        Raises
        ------
        MismatchError
            When windows were prepared otherwise than those the decoder was fitted to,
            or lie on another grid.
        InputError
            For what is no recordings, windows or array, and where no event has a
            window.
        """
        check_is_fitted(self)
        return self._probabilities(self._windows(X))

    def predict(self, X: Any) -> np.ndarray:
        """Most probable label of each window; rows as those of `predict_proba`.

        Parameters
        ----------
        X : Dataset, Recording, WindowSet or ndarray
            As in `fit`.

        Returns
        -------
        ndarray, shape (n_windows,)
        """
        best = self.predict_proba(X).argmax(axis=1)
        return self.classes_[best]

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Accuracy; labels are those of the windows where `X` brings its own.

        Parameters
        ----------
        X : Dataset, Recording, WindowSet or ndarray
            As in `fit`.
        y : array-like, shape (n_windows,), optional
            True labels; needed with an array.
        sample_weight : array-like, shape (n_windows,), optional
            Weight of each window.

        Returns
        -------
        float
            Share of the windows whose most probable label is the true one.
        """
        check_is_fitted(self)
        windows = self._windows(X)
        if y is None:
            if not isinstance(windows, WindowSet):
                raise InputError("an array has no labels of its own", fix="pass y")
            y = windows.labels.astype(str)
        labels = self.classes_[self._probabilities(windows).argmax(axis=1)]
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
        check_is_fitted(self)
        windows = self._windows(X)
        if not isinstance(windows, WindowSet):
            raise InputError(
                "an array has no place in the brain", fix="pass recordings"
            )
        outputs = self.model_classes_.tolist()
        known = windows[windows.table["label"].isin(outputs).to_numpy()]
        if not len(known):
            raise InputError(
                "none of these windows has a class of the decoder",
                wanted=", ".join(map(str, outputs)),
            )
        maps = label_images(self.model_, known, outputs, method, self.t_r_)
        return {label: maps[label] for label in sorted(maps)}

    def methods(self) -> list[str]:
        """Names of the methods `explain` has for this model."""
        check_is_fitted(self)
        return methods_for(self.model_)

    def _probabilities(self, windows: WindowSet | ArrayWindows) -> np.ndarray:
        given = probabilities(self.model_, windows, self.training_, self.t_r_)
        return given[:, np.argsort(self.model_classes_)]
