"""Cross-validation that can be killed and goes on: one folder a finished fold."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from boldformer.config import ModelConfig, TrainingConfig, to_dict
from boldformer.data.atomic import atomic_path, write_json, write_tsv
from boldformer.data.splits import Fold, Splits
from boldformer.data.windows import WindowSet
from boldformer.errors import InputError
from boldformer.models.base import DecoderModel
from boldformer.training.estimate import estimate, probabilities
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
    """

    fold: int
    accuracy: float
    training_accuracy: float
    epochs: int
    best_epoch: int
    early_stopping: bool
    seconds: float


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
    model : DecoderModel
        The fitted model.
    """

    fold: Fold
    record: FoldRecord
    probabilities: np.ndarray
    history: pd.DataFrame
    model: DecoderModel


def cross_validate(
    windows: WindowSet,
    targets: np.ndarray,
    splits: Splits,
    model: ModelConfig,
    training: TrainingConfig,
    *,
    n_outputs: int,
    folder: Path,
    progress: bool = True,
) -> Iterator[FoldOutcome]:
    """Fit one model a fold and predict the windows it has not seen.

    Parameters
    ----------
    windows : WindowSet
        All windows.
    targets : ndarray of int, shape (n_windows,)
        Class of each.
    splits : Splits
        Folds over them.
    model, training : ModelConfig, TrainingConfig
        Settings.
    n_outputs : int
        Number of classes.
    folder : Path
        Keeps finished folds, and the checkpoint of the one under way. A fold is taken
        from there if settings, data and split are the same.
    progress : bool
        Show progress bars.

    Yields
    ------
    FoldOutcome
        In the order of the folds.
    """
    for fold in splits.folds:
        yield fit_fold(
            windows,
            targets,
            fold,
            model,
            training,
            n_outputs=n_outputs,
            place=folder / f"fold-{fold.index}",
            progress=progress,
        )


def fit_fold(
    windows: WindowSet,
    targets: np.ndarray,
    fold: Fold,
    model: ModelConfig,
    training: TrainingConfig,
    *,
    n_outputs: int,
    place: Path,
    progress: bool = True,
) -> FoldOutcome:
    """Fit and test one fold, or read it from `place` (see `cross_validate`)."""
    key = _key(windows, targets, fold, model, training)
    outcome = _load(place, fold, key)
    if outcome is not None:
        return outcome
    checkpoints = place.with_name(f"{place.name}-{key[:12]}")
    outcome = _fit_fold(
        windows,
        targets,
        fold,
        model,
        training,
        n_outputs=n_outputs,
        checkpoints=checkpoints,
        progress=progress,
    )
    _save(place, outcome, model.name, key)
    shutil.rmtree(checkpoints, ignore_errors=True)
    return outcome


def _fit_fold(
    windows: WindowSet,
    targets: np.ndarray,
    fold: Fold,
    model: ModelConfig,
    training: TrainingConfig,
    *,
    n_outputs: int,
    checkpoints: Path,
    progress: bool,
) -> FoldOutcome:
    started = time.perf_counter()
    train, test = windows[fold.train], windows[fold.test]
    fitted, result = estimate(
        model,
        training,
        train,
        targets[fold.train],
        train.groups,
        n_outputs=n_outputs,
        t_r=windows.t_r,
        checkpoint_dir=checkpoints,
        progress=progress,
    )
    tested = probabilities(fitted, test, training, windows.t_r)
    trained = probabilities(fitted, train, training, windows.t_r)
    record = FoldRecord(
        fold=fold.index,
        accuracy=float((tested.argmax(axis=1) == targets[fold.test]).mean()),
        training_accuracy=float((trained.argmax(axis=1) == targets[fold.train]).mean()),
        epochs=result.epochs,
        best_epoch=result.best_epoch,
        early_stopping=result.early_stopping,
        seconds=time.perf_counter() - started,
    )
    return FoldOutcome(fold, record, tested, result.history, fitted)


def _key(
    windows: WindowSet,
    targets: np.ndarray,
    fold: Fold,
    model: ModelConfig,
    training: TrainingConfig,
) -> str:
    """Hash of all a fold's outcome depends on."""
    table = windows.table[["content_hash", "first_frame", "n_frames", "t_r"]]
    facts = json.dumps([to_dict(model), to_dict(training), windows.pipeline_hash])
    digest = hashlib.sha256(facts.encode())
    for rows in (fold.train, fold.test):
        digest.update(np.asarray(rows, dtype=np.int64).tobytes() + b"|")
    digest.update(table.to_csv(index=False).encode())
    digest.update(np.asarray(targets, dtype=np.int64).tobytes())
    digest.update(np.packbits(windows.grid_mask).tobytes())
    return digest.hexdigest()


def _save(place: Path, outcome: FoldOutcome, name: str, key: str) -> None:
    with atomic_path(place) as temporary:
        temporary.mkdir()
        save_model(outcome.model, name, temporary)
        write_tsv(temporary / "history.tsv", outcome.history)
        np.save(
            temporary / "probabilities.npy", outcome.probabilities, allow_pickle=False
        )
        write_json(
            temporary / "fold.json", {"key": key, "record": asdict(outcome.record)}
        )


def _load(place: Path, fold: Fold, key: str) -> FoldOutcome | None:
    try:
        saved = json.loads((place / "fold.json").read_text(encoding="utf-8"))
        if saved["key"] != key:
            return None
        return FoldOutcome(
            fold,
            FoldRecord(**saved["record"]),
            np.load(place / "probabilities.npy", allow_pickle=False),
            pd.read_csv(place / "history.tsv", sep="\t"),
            load_model(place),
        )
    except (OSError, ValueError, KeyError, TypeError, InputError):
        return None
