"""The one cache of finished fits: a folder each, taken again when nothing changed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd

from boldformer.data.atomic import atomic_path, write_json, write_tsv
from boldformer.data.audit.fit_log import FitLog
from boldformer.data.splits import Fold
from boldformer.errors import InputError
from boldformer.models.base import DecoderModel
from boldformer.training.weights import load_model, save_model


@dataclass(frozen=True)
class FoldRecord:
    """What a fold's fit did.

    Parameters
    ----------
    fold : int
        Index of the fold.
    accuracy, training_accuracy : float
        Of the fitted model on its test and its training windows.
    epochs, best_epoch : int
        Epochs trained, and the one whose weights were kept.
    early_stopping : bool
        Whether training groups were held out to choose it.
    seconds : float
        Time to fit and predict.
    temperature : float, optional
        Fitted to the training groups that early stopping held out; None without.
    linear_path : {"off", "before", "beside"}
        What became of the model's linear skip path.
    model_hash : str
        `weights_hash` of the fitted model.
    """

    fold: int
    accuracy: float
    training_accuracy: float
    epochs: int = 0
    best_epoch: int = 0
    early_stopping: bool = False
    seconds: float = 0.0
    temperature: float | None = None
    linear_path: str = "off"
    model_hash: str = ""


@dataclass(frozen=True, eq=False)
class FoldOutcome:
    """A finished fold.

    Parameters
    ----------
    fold : Fold
        Which windows were trained on and tested.
    record : FoldRecord
        What its fit did.
    probabilities : ndarray, shape (n_test, n_outputs)
        Of its test windows.
    history : DataFrame
        One row an epoch.
    fitted : DecoderModel, optional
        The fitted model, where it is kept.
    log : FitLog
        What was fitted to which of all windows.
    """

    fold: Fold
    record: FoldRecord
    probabilities: np.ndarray
    history: pd.DataFrame
    fitted: DecoderModel | None
    log: FitLog

    @property
    def model(self) -> DecoderModel:
        """The fitted model, of a fit that keeps it."""
        if self.fitted is None:
            raise ValueError("the model of this fit was not kept")
        return self.fitted


def kept(
    place: Path, fold: Fold, key: str, fit: Callable[[Path], FoldOutcome]
) -> FoldOutcome:
    """Take a finished fit from its folder, or fit and keep it there.

    Parameters
    ----------
    place : Path
        Folder of this fit; one of another key is replaced.
    fold : Fold
        What it is fitted to.
    key : str
        Hash of all that it depends on.
    fit : callable
        Fits; it is given a folder of checkpoints, which is removed when it is done.
    """
    outcome = _load(place, fold, key)
    if outcome is not None:
        return outcome
    checkpoints = place.with_name(f"{place.name}-{key[:12]}")
    outcome = fit(checkpoints)
    _save(place, outcome, key)
    shutil.rmtree(checkpoints, ignore_errors=True)
    return outcome


def _save(place: Path, outcome: FoldOutcome, key: str) -> None:
    with atomic_path(place) as temporary:
        temporary.mkdir()
        if outcome.fitted is not None:
            save_model(outcome.fitted, temporary)
        write_tsv(temporary / "history.tsv", outcome.history)
        outcome.log.write(temporary / "protocol.tsv")
        np.save(
            temporary / "probabilities.npy", outcome.probabilities, allow_pickle=False
        )
        record = asdict(outcome.record)
        has_model = outcome.fitted is not None
        found = {"key": key, "record": record, "has_model": has_model}
        write_json(temporary / "fold.json", found)


def _load(place: Path, fold: Fold, key: str) -> FoldOutcome | None:
    try:
        saved = json.loads((place / "fold.json").read_text(encoding="utf-8"))
        # A version that recorded less of a fit cannot tell what the rest was.
        told = {field.name for field in fields(FoldRecord)} <= set(saved["record"])
        if saved["key"] != key or not told:
            return None
        return FoldOutcome(
            fold,
            FoldRecord(**saved["record"]),
            np.load(place / "probabilities.npy", allow_pickle=False),
            pd.read_csv(place / "history.tsv", sep="\t"),
            load_model(place) if saved["has_model"] else None,
            FitLog.read(place / "protocol.tsv"),
        )
    except (OSError, ValueError, KeyError, TypeError, InputError):
        return None
