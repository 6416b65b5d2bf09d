"""How a decoder comes by its windows: from recordings, prepared windows or arrays."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from boldformer.config import (
    DataConfig,
    PreprocessingConfig,
    RunConfig,
    WindowConfig,
)
from boldformer.data.cohort import Cohort, SetAside, read_cohort
from boldformer.data.preparation import Preparation
from boldformer.data.recording import Dataset
from boldformer.data.windows import WindowSet
from boldformer.decoder_inputs import checked
from boldformer.errors import InputError, MismatchError
from boldformer.training.source import ArrayWindows


class WindowsMixin:
    """What reads the windows that a `boldformer.Decoder` is fitted to and decodes."""

    def _forget(self: Any) -> None:
        """Drop what was fitted before: a fit to other data shares nothing with it."""
        for name in list(vars(self)):
            if name.endswith("_") and not name.startswith("_"):
                delattr(self, name)

    def _training_windows(
        self: Any, X: Any, y: Any, groups: Any
    ) -> tuple[WindowSet | ArrayWindows, np.ndarray, Any, Sequence[str]]:
        """Windows, labels and groups to fit to, and the order to fit classes in.

        The order is the one that every study has, so that all fit the same model.
        """
        self.set_aside_: SetAside = []
        order, used = self.labels, None
        if isinstance(X, Dataset):
            cohort = self._first_cohort(X)
            self.set_aside_ = cohort.set_aside
            X, used, order = cohort.windows, cohort.window, cohort.labels
        if not isinstance(X, WindowSet):
            windows, y = self._first_arrays(X, y)
            return windows, y, groups, ()
        self._remember_source(X, used)
        y = X.labels.astype(str) if y is None else np.asarray(y)
        if len(y) != len(X):
            raise InputError(
                "labels and windows differ in number",
                wanted=f"{len(X)} labels",
                received=f"{len(y)}",
            )
        return X, y, X.groups if groups is None else groups, list(order)

    def _first_cohort(self: Any, dataset: Dataset) -> Cohort:
        asked = RunConfig(
            data=DataConfig(labels=tuple(self.labels)),
            preprocessing=self.preprocessing or PreprocessingConfig(),
            window=self.window or WindowConfig(),
        )
        return read_cohort(dataset, asked, self._store_folder(), **self._how)

    @property
    def _how(self: Any) -> dict[str, Any]:
        return {"n_jobs": self.n_jobs, "progress": self.progress}

    def _store_folder(self: Any) -> Path:
        if self.store is not None:
            return Path(self.store)
        if not hasattr(self, "_temporary"):
            self._temporary = tempfile.TemporaryDirectory(prefix="boldformer-")
        return Path(self._temporary.name)

    def _remember_source(
        self: Any, windows: WindowSet, used: WindowConfig | None
    ) -> None:
        if used is None:
            delay_s = (self.window or WindowConfig()).delay_s
            length_s = windows.shape[1] * windows.t_r
            used = WindowConfig(delay_s, length_s, step_s=windows.t_r)
        self.preparation_, self.t_r_ = Preparation.of(windows, used), windows.t_r

    def _first_arrays(self: Any, X: Any, y: Any) -> tuple[ArrayWindows, np.ndarray]:
        X, y = validate_data(self, X, y, allow_nd=True, dtype=np.float32)
        check_classification_targets(y)
        self.t_r_ = 1.0
        return ArrayWindows.of(X), y

    def _windows(self: Any, X: Any) -> WindowSet | ArrayWindows:
        X = checked(X)
        if isinstance(X, WindowSet):
            return self._fitted_to().fitting(X)
        if isinstance(X, Dataset):
            return self._fitted_to().read(X, *self._reading, **self._how)
        X = validate_data(self, X, reset=False, allow_nd=True, dtype=np.float32)
        return ArrayWindows.of(X)

    def _fitted_to(self: Any) -> Preparation:
        """How recordings were prepared; a decoder of arrays has no idea."""
        if not hasattr(self, "preparation_"):
            raise MismatchError(
                "this decoder was fitted to arrays",
                wanted="an array like those",
                received="recordings or their windows",
                fix="fit it to recordings",
            )
        return self.preparation_

    @property
    def _reading(self: Any) -> tuple[list[str], Path]:
        return self.model_classes_.tolist(), self._store_folder()
