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

from boldformer import config as settings
from boldformer.config import (
    ModelConfig,
    PreprocessingConfig,
    TrainingConfig,
    WindowConfig,
)
from boldformer.data.events import SEPARATOR, resolve_labels, with_label_sets
from boldformer.data.folders import check_store
from boldformer.data.prepare import configured_pipeline, prepare
from boldformer.data.recording import Dataset, Recording
from boldformer.data.store import Grid, one_grid
from boldformer.data.windows import WindowSet, make_table, used_window
from boldformer.errors import InputError, MismatchError
from boldformer.interpretation.maps import class_maps, methods_for, to_image
from boldformer.models.base import DecoderModel
from boldformer.preprocessing.pipeline import Pipeline
from boldformer.training import saved
from boldformer.training.augment import Transform
from boldformer.training.estimate import estimate, probabilities
from boldformer.training.source import ArrayWindows


class Decoder(ClassifierMixin, BaseEstimator):
    """Decode task state from BOLD windows.

    Parameters
    ----------
    model : str
        Name of a model: ``"hybrid"``, ``"cnn3d"``, ``"transformer"``, ``"linear"``.
    model_parameters : dict, optional
        Keyword arguments of the model.
    labels : sequence of str
        Event types to decode; all that occur by default. Used with datasets only.
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
        if isinstance(X, Dataset):
            X = self._first_windows(X)
        if isinstance(X, WindowSet):
            self._remember_source(X)
            y = X.labels.astype(str) if y is None else np.asarray(y)
            groups = X.groups if groups is None else groups
            windows: Any = X
        else:
            windows, y = self._first_arrays(X, y)
        self.classes_, targets = np.unique(y, return_inverse=True)
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
        return self._adopt(model, training, result.history)

    def _adopt(
        self, model: DecoderModel, training: TrainingConfig, history: pd.DataFrame
    ) -> Self:
        self.model_, self.training_, self.history_ = model, training, history
        return self

    @classmethod
    def from_model(
        cls,
        model: DecoderModel,
        name: str,
        windows: WindowSet,
        classes: Sequence[str],
        *,
        window: WindowConfig,
        training: TrainingConfig,
        history: pd.DataFrame,
    ) -> Decoder:
        """Wrap a model that was fitted elsewhere to prepared windows.

        Parameters
        ----------
        model : DecoderModel
            Fitted model.
        name : str
            Its name in the registry.
        windows : WindowSet
            Windows it was fitted to.
        classes : sequence of str
            Labels in the order of its outputs.
        window, training : WindowConfig, TrainingConfig
            Settings it was fitted under.
        history : DataFrame
            One row an epoch.
        """
        decoder = cls(name, window=window, training=training)
        decoder.classes_ = np.array(classes)
        decoder._remember_source(windows)
        return decoder._adopt(model, training, history)

    def _first_windows(self, dataset: Dataset) -> WindowSet:
        dataset, labels = resolve_labels(dataset, self.labels)
        self.window_ = used_window(dataset, labels, self.window or WindowConfig())
        self.pipeline_ = configured_pipeline(
            self.preprocessing or PreprocessingConfig()
        )
        return self._read(dataset, labels)

    def _read(
        self, dataset: Dataset, labels: Sequence[str], mask: np.ndarray | None = None
    ) -> WindowSet:
        """Prepare a dataset under the decoder's pipeline and list its windows."""
        if self.store is not None:
            check_store(Path(self.store), dataset.folders)
        runs, _ = prepare(
            dataset,
            self._store_folder(),
            self.pipeline_,
            n_jobs=self.n_jobs,
            progress=self.progress,
        )
        same, _ = one_grid(list(runs.values()))
        runs = {run.name: run for run in same}
        if mask is not None:
            self._check_grid(same[0].grid)
        table, _ = make_table(dataset, runs, labels, self.window_)
        return WindowSet(table, runs, mask)

    def _store_folder(self) -> Path:
        if self.store is not None:
            return Path(self.store)
        if not hasattr(self, "_temporary"):
            self._temporary = tempfile.TemporaryDirectory(prefix="boldformer-")
        return Path(self._temporary.name)

    def _remember_source(self, windows: WindowSet) -> None:
        self.pipeline_ = Pipeline(tuple(windows.pipeline))
        self.grid_, self.grid_mask_ = windows.grid, windows.grid_mask
        self.t_r_ = windows.t_r
        if not hasattr(self, "window_"):
            length_s = windows.shape[1] * windows.t_r
            delay_s = (self.window or WindowConfig()).delay_s
            self.window_ = WindowConfig(delay_s, length_s, step_s=windows.t_r)

    def _first_arrays(self, X: Any, y: Any) -> tuple[ArrayWindows, np.ndarray]:
        X, y = validate_data(self, X, y, allow_nd=True, dtype=np.float32)
        check_classification_targets(y)
        self.t_r_ = 1.0
        return _array_windows(X), y

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
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

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
        check_is_fitted(self, "grid_")
        windows = self._windows(X)
        if not isinstance(windows, WindowSet):
            raise InputError(
                "an array has no place in the brain", fix="pass recordings"
            )
        column = {label: i for i, label in enumerate(self.classes_.tolist())}
        targets = np.array([column[label] for label in windows.labels])
        times_s = np.arange(windows.shape[1]) * self.t_r_
        sums, counts = class_maps(
            self.model_, windows, targets, method, times_s=times_s
        )
        return {
            str(label): to_image(total / n, windows.grid, windows.box, windows.mask)
            for label, total, n in zip(self.classes_, sums, counts, strict=True)
            if n
        }

    def _windows(self, X: Any) -> WindowSet | ArrayWindows:
        if isinstance(X, Recording):
            X = Dataset(X.name, X.bold.parent, (X,))
        if isinstance(X, (Dataset, WindowSet)):
            check_is_fitted(self, "grid_", msg="This %(name)s was fitted to arrays.")
        if isinstance(X, Dataset):
            classes = self.classes_.tolist()
            if any(SEPARATOR in name for name in classes):
                X = with_label_sets(X, classes)
            return self._read(X, classes, self.grid_mask_)
        if isinstance(X, WindowSet):
            self._check_prepared(X)
            return WindowSet(X.table, X.runs, self.grid_mask_)
        X = validate_data(self, X, reset=False, allow_nd=True, dtype=np.float32)
        return _array_windows(X)

    def _check_prepared(self, windows: WindowSet) -> None:
        if windows.pipeline_hash != self.pipeline_.hash:
            raise MismatchError(
                "these windows were prepared otherwise than the decoder's",
                wanted=f"pipeline {self.pipeline_.hash}",
                received=f"pipeline {windows.pipeline_hash}",
                fix="prepare them with the decoder's own settings",
            )
        self._check_grid(windows.grid)

    def _check_grid(self, grid: Grid) -> None:
        if not grid.agrees_with(self.grid_):
            raise MismatchError(
                "the recordings do not lie on the decoder's grid",
                wanted=f"shape {self.grid_.shape} in {self.grid_.space or 'its space'}",
                received=f"shape {grid.shape} in {grid.space or 'another space'}",
                fix="resample them to it",
            )

    # --- saving ---------------------------------------------------------------

    def save(self, folder: str | Path, card: str = "") -> Path:
        """Write the decoder as safetensors and JSON.

        Parameters
        ----------
        folder : path
            New folder; an existing one is replaced once the new one is complete.
        card : str
            Markdown for its ``README.md``.

        Returns
        -------
        Path
            The folder.
        """
        check_is_fitted(self)
        folder = Path(folder)
        place = (self.grid_, self.grid_mask_) if hasattr(self, "grid_") else None
        saved.write(folder, self.model_, self._record(), place, card)
        return folder

    def _record(self) -> dict[str, Any]:
        record: dict[str, Any] = {
            "classes": self.classes_.tolist(),
            "t_r": self.t_r_,
            "model": self.model,
            "model_parameters": dict(self.model_parameters or {}),
            "training": settings.to_dict(self.training_),
        }
        if not hasattr(self, "grid_"):
            return record | {"n_features_in": int(self.n_features_in_)}
        return record | {
            "window": settings.to_dict(self.window_),
            "pipeline": [dict(step) for step in self.pipeline_.steps],
            "pipeline_hash": self.pipeline_.hash,
            "space": self.grid_.space,
        }

    @classmethod
    def load(cls, folder: str | Path) -> Decoder:
        """Read a decoder that `save` wrote.

        Raises
        ------
        InputError
            When the folder holds no decoder this version can read.
        """
        model, record, place = saved.read(Path(folder))
        training = settings.from_dict(TrainingConfig, record["training"])
        decoder = cls(
            record["model"],
            model_parameters=record["model_parameters"],
            training=training,
        )
        decoder.classes_ = np.array(record["classes"])
        decoder.t_r_ = record["t_r"]
        decoder.model_, decoder.training_ = model, training
        if place is None:
            decoder.n_features_in_ = record["n_features_in"]
            return decoder
        decoder.pipeline_ = Pipeline(tuple(record["pipeline"]))
        decoder.window_ = settings.from_dict(WindowConfig, record["window"])
        decoder.grid_, decoder.grid_mask_ = place
        return decoder

    def methods(self) -> list[str]:
        """Names of the methods `explain` has for this model."""
        check_is_fitted(self)
        return methods_for(self.model_)


def _array_windows(X: np.ndarray) -> ArrayWindows:
    """View an array of windows, volumes or features as (n, n_times, x, y, z)."""
    shapes = {2: (X.shape[0], 1, X.shape[-1], 1, 1), 4: (len(X), 1, *X.shape[1:])}
    if X.ndim == 5:
        return ArrayWindows(X)
    if X.ndim not in shapes:
        raise InputError(
            "unusable array of windows",
            wanted="(n, n_times, x, y, z), (n, x, y, z) or (n, n_features)",
            received=f"{X.ndim} dimensions",
        )
    return ArrayWindows(X.reshape(shapes[X.ndim]))
