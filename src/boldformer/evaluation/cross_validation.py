"""Cross-validation that can be killed and goes on: one folder a finished fold."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from boldformer.config import ModelConfig, TrainingConfig, to_dict
from boldformer.data.atomic import atomic_path, write_json, write_tsv
from boldformer.data.groups import held_out_groups
from boldformer.data.protocol import Protocol
from boldformer.data.splits import Fold, Splits
from boldformer.data.windows import WindowSet
from boldformer.errors import InputError
from boldformer.evaluation.calibration import log_probabilities
from boldformer.evaluation.predictions import weights_hash
from boldformer.models.base import DecoderModel
from boldformer.training.estimate import estimate, probabilities
from boldformer.training.fit import FitResult
from boldformer.training.linear import fit_temperature
from boldformer.training.weights import load_model, save_model


@dataclass(frozen=True, eq=False)
class Plan:
    """What is fitted to what.

    Parameters
    ----------
    windows : WindowSet
        All windows.
    targets : ndarray of int, shape (n_windows,)
        Class of each.
    n_outputs : int
        Number of classes.
    model, training : ModelConfig, TrainingConfig
        Settings.
    classes : tuple of str
        Names of the classes, where they are known; flips of a window need them.
    """

    windows: WindowSet
    targets: np.ndarray
    n_outputs: int
    model: ModelConfig
    training: TrainingConfig
    classes: tuple[str, ...] = ()

    def estimate(
        self, rows: np.ndarray, checkpoints: Path, *, progress: bool = True
    ) -> tuple[DecoderModel, FitResult]:
        """Fit a model to some windows (see `boldformer.training.estimate`).

        What the result says was fitted to which windows names rows of all windows.
        """
        windows = self.windows[rows]
        fitted, result = estimate(
            self.model,
            self.training,
            windows,
            self.targets[rows],
            windows.groups,
            n_outputs=self.n_outputs,
            t_r=windows.t_r,
            classes=self.classes,
            checkpoint_dir=checkpoints,
            progress=progress,
        )
        uses = (replace(use, rows=np.asarray(rows)[use.rows]) for use in result.uses)
        return fitted, replace(result, uses=tuple(uses))

    def probabilities(self, model: DecoderModel, rows: np.ndarray) -> np.ndarray:
        """Probabilities that a fitted model gives some windows, (n, n_outputs)."""
        windows = self.windows[rows]
        return probabilities(model, windows, self.training, windows.t_r)


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
    model_hash : str
        `weights_hash` of the fitted model.
    """

    fold: int
    accuracy: float
    training_accuracy: float
    epochs: int
    best_epoch: int
    early_stopping: bool
    seconds: float
    temperature: float | None = None
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
    model : DecoderModel
        The fitted model.
    protocol : Protocol
        What was fitted to which of all windows.
    """

    fold: Fold
    record: FoldRecord
    probabilities: np.ndarray
    history: pd.DataFrame
    model: DecoderModel
    protocol: Protocol


def cross_validate(
    plan: Plan, splits: Splits, folder: Path, *, progress: bool = True
) -> Iterator[FoldOutcome]:
    """Fit one model a fold and predict the windows it has not seen.

    Parameters
    ----------
    plan : Plan
        What is fitted to what.
    splits : Splits
        Folds over its windows.
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
        yield fit_fold(plan, fold, folder / f"fold-{fold.index}", progress=progress)


def fit_fold(
    plan: Plan, fold: Fold, place: Path, *, progress: bool = True
) -> FoldOutcome:
    """Fit and test one fold, or read it from `place` (see `cross_validate`)."""
    key = _key(plan, fold)
    outcome = _load(place, fold, key)
    if outcome is not None:
        return outcome
    checkpoints = place.with_name(f"{place.name}-{key[:12]}")
    outcome = _fit(plan, fold, checkpoints, progress=progress)
    _save(place, outcome, plan.model.name, key)
    shutil.rmtree(checkpoints, ignore_errors=True)
    return outcome


def _fit(plan: Plan, fold: Fold, checkpoints: Path, *, progress: bool) -> FoldOutcome:
    started = time.perf_counter()
    fitted, result = plan.estimate(fold.train, checkpoints, progress=progress)
    tested = plan.probabilities(fitted, fold.test)
    trained = plan.probabilities(fitted, fold.train)
    protocol, temperature = Protocol(), None
    protocol.extend(result.uses, fold=fold.index)
    held = np.isin(fold.train, result.held_out)
    if held.any():
        rows = fold.train[held]
        temperature = _temperature(trained[held], plan.targets[rows])
        protocol.record("temperature", rows, fold=fold.index)
    record = FoldRecord(
        fold=fold.index,
        accuracy=_accuracy(tested, plan.targets[fold.test]),
        training_accuracy=_accuracy(trained, plan.targets[fold.train]),
        epochs=result.epochs,
        best_epoch=result.best_epoch,
        early_stopping=result.early_stopping,
        seconds=time.perf_counter() - started,
        temperature=temperature,
        model_hash=weights_hash(fitted),
    )
    return FoldOutcome(fold, record, tested, result.history, fitted, protocol)


def _accuracy(given: np.ndarray, targets: np.ndarray) -> float:
    return float((given.argmax(axis=1) == targets).mean())


def _temperature(given: np.ndarray, targets: np.ndarray) -> float:
    return fit_temperature(log_probabilities(given), targets)


def held_out_temperature(
    plan: Plan, fold: Fold, folder: Path, *, progress: bool = True
) -> tuple[float, Protocol] | None:
    """Fit a temperature for a fold whose training held no group out.

    The model is trained once more without some of the fold's training groups, and the
    temperature fitted to its predictions for those.

    Parameters
    ----------
    plan : Plan
        What is fitted to what.
    fold : Fold
        Its training windows are divided; its test windows have no part.
    folder : Path
        Keeps the finished fit.
    progress : bool
        Show progress bars.

    Returns
    -------
    temperature : float
    protocol : Protocol
        What it and the model behind it were fitted to.

    None is returned where no group can be held out without losing a class.
    """
    training = plan.training
    held = held_out_groups(
        plan.windows[fold.train].groups,
        training.validation_fraction,
        training.seed,
        labels=plan.targets[fold.train],
        fewest=2,
    )
    if held is None:
        return None
    inner = Fold(fold.index, fold.train[~held], fold.train[held])
    place = folder / f"fold-{fold.index}"
    found = fit_fold(plan, inner, place, progress=progress)
    protocol = Protocol()
    protocol.extend(found.protocol, prefix="calibration: ")
    protocol.record("calibration: temperature", inner.test, fold=fold.index)
    temperature = _temperature(found.probabilities, plan.targets[inner.test])
    return temperature, protocol


def _key(plan: Plan, fold: Fold) -> str:
    """Hash of all a fold's outcome depends on."""
    windows = plan.windows
    table = windows.table[["content_hash", "first_frame", "n_frames", "t_r"]]
    settings = [to_dict(plan.model), to_dict(plan.training)]
    facts = json.dumps([*settings, windows.pipeline_hash])
    digest = hashlib.sha256(facts.encode())
    for rows in (fold.train, fold.test):
        digest.update(np.asarray(rows, dtype=np.int64).tobytes() + b"|")
    digest.update(table.to_csv(index=False).encode())
    digest.update(np.asarray(plan.targets, dtype=np.int64).tobytes())
    digest.update(np.packbits(windows.grid_mask).tobytes())
    return digest.hexdigest()


def _save(place: Path, outcome: FoldOutcome, name: str, key: str) -> None:
    with atomic_path(place) as temporary:
        temporary.mkdir()
        save_model(outcome.model, name, temporary)
        write_tsv(temporary / "history.tsv", outcome.history)
        outcome.protocol.write(temporary / "protocol.tsv")
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
            Protocol.read(place / "protocol.tsv"),
        )
    except (OSError, ValueError, KeyError, TypeError, InputError):
        return None
