"""Choosing settings inside the training groups of a fold, by Optuna."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import balanced_accuracy_score

from boldformer.config import ModelConfig, TrainingConfig, from_dict, to_dict
from boldformer.data.protocol import Protocol
from boldformer.data.splits import Fold, Splits, inner_folds
from boldformer.errors import InputError, import_extra
from boldformer.evaluation.cross_validation import Plan

SECTIONS = ("model", "training")


@dataclass(frozen=True, eq=False)
class SearchResult:
    """What a search chose.

    Parameters
    ----------
    plan : Plan
        The plan with the settings that scored best; ready to be fitted to the fold.
    trials : DataFrame
        One row a trial, in order: ``trial``, ``balanced_accuracy`` and one column a
        setting. Trial 0 is the plan as it was, whose settings are empty.
    protocol : Protocol
        The windows by which the settings were chosen.
    """

    plan: Plan
    trials: pd.DataFrame
    protocol: Protocol

    @property
    def score(self) -> float:
        """Balanced accuracy of the settings chosen, on inner folds.

        The best of several, and therefore too high for a result: that comes from the
        outer fold's test windows.
        """
        return float(self.trials["balanced_accuracy"].max())


def search(
    plan: Plan,
    fold: Fold,
    space: Mapping[str, Any],
    *,
    n_trials: int = 20,
    folds: int = 3,
    unit: str = "subject",
    seed: int = 0,
) -> SearchResult:
    """Choose settings by cross-validation within a fold's training windows.

    A trial fits a model to every inner fold and is scored by the balanced accuracy of
    all its inner test windows together. The plan's own settings come first and are kept
    unless a trial is better. No test window of the fold is read.

    Parameters
    ----------
    plan : Plan
        What is fitted to what, with the settings that are not searched.
    fold : Fold
        The outer fold.
    space : mapping of str to optuna.distributions.BaseDistribution
        What to choose, by names such as ``"training.learning_rate"`` (a field of
        `TrainingConfig`) or ``"model.width"`` (a parameter of the model), from what.
    n_trials : int
        Settings to try, by the tree-structured Parzen estimator.
    folds : int
        Inner folds at the most.
    unit : {"subject", "run"}
        What the outer split keeps apart; inner folds do so, too.
    seed : int
        Of the folds and of what is tried.

    Returns
    -------
    SearchResult

    Raises
    ------
    InputError
        For unknown settings, no trial, or training windows of a single group.
    MissingExtraError
        Without the library optuna.

    References
    ----------
    Akiba, T. et al. (2019). Optuna: a next-generation hyperparameter optimization
    framework. KDD.
    Cawley, G. C. & Talbot, N. L. C. (2010). On over-fitting in model selection and
    subsequent selection bias in performance evaluation. JMLR 11.

    Examples
    --------
    >>> from optuna.distributions import FloatDistribution
    >>> space = {"training.learning_rate": FloatDistribution(1e-4, 1e-2, log=True)}
    >>> found = search(plan, fold, space)  # doctest: +SKIP
    >>> fitted = fit_fold(found.plan, fold, folder)  # doctest: +SKIP
    """
    optuna = import_extra("optuna", "tune")
    _check(space, n_trials)
    inner = inner_folds(plan.windows.table, fold, unit=unit, folds=folds, seed=seed)
    if not inner.folds:
        raise InputError(
            "nothing can be tuned within a single group",
            wanted="training windows of two subjects or runs",
        )
    best, best_score = plan, _score(plan, inner)
    rows: list[dict[str, Any]] = [{"trial": 0, "balanced_accuracy": best_score}]
    with _quiet(optuna):
        study = optuna.create_study(
            direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed)
        )
        for number in range(1, n_trials + 1):
            trial = study.ask(fixed_distributions=dict(space))
            tried = _with_settings(plan, trial.params)
            score = _score(tried, inner)
            study.tell(trial, score)
            rows.append({"trial": number, "balanced_accuracy": score, **trial.params})
            if score > best_score:
                best, best_score = tried, score
    protocol = Protocol()
    protocol.record("settings", fold.train, fold=fold.index, purpose="select")
    trials = pd.DataFrame(rows, columns=["trial", "balanced_accuracy", *space])
    return SearchResult(best, trials, protocol)


def _check(space: Mapping[str, Any], n_trials: int) -> None:
    if n_trials < 1 or not space:
        raise InputError(
            "there is nothing to search",
            wanted="a trial and a setting at least",
            received=f"{n_trials} trials over {len(space)} settings",
        )
    for name in space:
        if name.partition(".")[0] not in SECTIONS or "." not in name:
            raise InputError(
                f"unknown setting {name!r}",
                wanted=" or ".join(f"{section}.<name>" for section in SECTIONS),
            )


def _with_settings(plan: Plan, chosen: Mapping[str, Any]) -> Plan:
    """Lay chosen settings over a plan's own."""
    sections: dict[str, dict[str, Any]] = {
        "model": dict(plan.model.parameters),
        "training": to_dict(plan.training),
    }
    for name, value in chosen.items():
        section, _, key = name.partition(".")
        sections[section][key] = value
    return replace(
        plan,
        model=ModelConfig(plan.model.name, sections["model"]),
        training=from_dict(TrainingConfig, sections["training"], "training."),
    )


def _score(plan: Plan, inner: Splits) -> float:
    """Balanced accuracy over the test windows of all inner folds."""
    rows = np.concatenate([fold.test for fold in inner.folds])
    predicted = np.concatenate([_predicted(plan, fold) for fold in inner.folds])
    return float(balanced_accuracy_score(plan.targets[rows], predicted))


def _predicted(plan: Plan, fold: Fold) -> np.ndarray:
    with tempfile.TemporaryDirectory(prefix="boldformer-search-") as folder:
        model, _ = plan.estimate(fold.train, Path(folder), progress=False)
    return plan.probabilities(model, fold.test).argmax(axis=1)


@contextlib.contextmanager
def _quiet(optuna: ModuleType) -> Iterator[None]:
    """Let Optuna speak of what goes wrong only, inside the block."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(level)
