"""What scores are worth: without an effect, and with fewer subjects to learn from."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import balanced_accuracy_score

from boldformer.config import EvaluationConfig
from boldformer.data.cohort import Cohort
from boldformer.data.groups import event_shuffler, split_groups
from boldformer.data.splits import Fold, Splits
from boldformer.data.wording import time_left
from boldformer.errors import InputError
from boldformer.evaluation.baselines import RIDGE
from boldformer.evaluation.cross_validation import cross_validate, fit_fold
from boldformer.evaluation.experiment import Experiment
from boldformer.evaluation.intervals import GroupBootstrap, reuse_widening
from boldformer.evaluation.learning_curve import (
    CurvePoint,
    learning_curve,
    linear_predict,
)
from boldformer.evaluation.permutation import PermutationTest, permutation_test

logger = logging.getLogger(__name__)

DEFAULT_PERMUTATIONS = 200
# Above, solving each fold once takes minutes.
_NEVER_PERMUTED = 20_000


@dataclass(frozen=True)
class Null:
    """A permutation test of one decoder, or why there is none.

    Parameters
    ----------
    decoder : str
        Name of the decoder.
    test : PermutationTest, optional
        Score and null.
    reason : str
        Why it was not run.
    """

    decoder: str
    test: PermutationTest | None = None
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready summary."""
        found: dict[str, Any] = {"decoder": self.decoder, "metric": "balanced_accuracy"}
        if self.test is None:
            return found | {"n_permutations": 0, "reason": self.reason}
        null = self.test.null
        return found | {
            "n_permutations": len(null),
            "score": self.test.score,
            "null_mean": float(null.mean()),
            "null_95": float(np.quantile(null, 0.95)),
            "p_value": self.test.p_value,
            "reason": "",
        }


def linear_null(cohort: Cohort, splits: Splits, gram: np.ndarray, asked: int) -> Null:
    """Test a linear ridge classifier, at a fixed penalty, against shuffled labels.

    They are shuffled among the events of each run.

    Parameters
    ----------
    cohort : Cohort
        What is decoded.
    splits : Splits
        Folds.
    gram : ndarray, shape (n_windows, n_windows)
        Inner products of window means.
    asked : int
        Shuffles; -1 for 200, or none of more than 20,000 windows.
    """
    count = asked
    if asked < 0:
        count = DEFAULT_PERMUTATIONS if len(gram) <= _NEVER_PERMUTED else 0
    if count == 0:
        reason = f"not run: {len(gram)} windows would take long" if asked else "off"
        return Null(RIDGE, reason=reason)
    table, y = cohort.windows.table, cohort.targets
    try:
        test = permutation_test(
            gram, y, table, splits, n_permutations=count, seed=splits.seed
        )
    except InputError as error:
        return Null(RIDGE, reason=f"not run: {error}")
    return Null(RIDGE, test)


def decoder_null(
    experiment: Experiment,
    splits: Splits,
    score: float,
    n_permutations: int,
    folder: Path,
    *,
    progress: bool,
) -> Null:
    """Train the decoder anew on every fold of every shuffle of the labels.

    Parameters
    ----------
    experiment : Experiment
        The decoder, with the true labels.
    splits : Splits
        Folds.
    score : float
        Its balanced accuracy with the true labels.
    n_permutations : int
        Shuffles.
    folder : Path
        Keeps finished folds.
    progress : bool
        Show progress bars.
    """
    name = experiment.model.name
    if n_permutations <= 0:
        reason = "not run: every shuffle trains every fold anew (n_permutations)"
        return Null(name, reason=reason)
    table = experiment.windows.table
    of_run = pd.Series(experiment.targets).groupby(table["recording"].to_numpy())
    if (of_run.nunique() == 1).all():
        return Null(name, reason="not run: every run holds one class")
    shuffle = event_shuffler(table, np.random.default_rng(splits.seed))
    null, started = [], time.perf_counter()
    for number in range(n_permutations):
        shuffled = replace(experiment, targets=shuffle(experiment.targets))
        place = folder / f"{number:03d}"
        outcomes = list(cross_validate(shuffled, splits, place, progress=progress))
        true = np.concatenate([shuffled.targets[o.fold.test] for o in outcomes])
        given = np.concatenate([o.probabilities.argmax(axis=1) for o in outcomes])
        null.append(balanced_accuracy_score(true, given))
        left = time_left(number + 1, n_permutations, time.perf_counter() - started)
        n = number + 1
        logger.info("Shuffle %d of %d: %.3f%s", n, n_permutations, null[-1], left)
    return Null(name, PermutationTest(score, np.array(null)))


def null_table(nulls: list[Null]) -> pd.DataFrame:
    """One row a shuffle: ``decoder``, ``permutation``, ``balanced_accuracy``."""
    rows = [
        {"decoder": null.decoder, "permutation": k, "balanced_accuracy": value}
        for null in nulls
        if null.test is not None
        for k, value in enumerate(null.test.null)
    ]
    columns = ["decoder", "permutation", "balanced_accuracy"]
    return pd.DataFrame(rows, columns=columns)


def linear_curve(
    cohort: Cohort, splits: Splits, gram: np.ndarray, bootstrap: GroupBootstrap
) -> list[CurvePoint]:
    """Learning curve of the linear SVM at a fixed penalty, five draws a size.

    Of a repeated split the first repeat is taken, here and in `decoder_curve`.
    """
    groups = split_groups(cohort.windows.table, splits.unit)
    predict = linear_predict(gram, cohort.targets)
    curve = learning_curve(
        predict, cohort.targets, splits.parts[0], groups, bootstrap, seed=splits.seed
    )
    return list(curve)


def decoder_curve(
    experiment: Experiment,
    splits: Splits,
    bootstrap: GroupBootstrap,
    folder: Path,
    *,
    progress: bool,
) -> list[CurvePoint]:
    """Learning curve of the decoder itself, one draw a size."""
    groups = split_groups(experiment.windows.table, splits.unit)

    def predict(fold: Fold) -> np.ndarray:
        place = folder / f"fold-{fold.index}-{len(fold.train)}"
        outcome = fit_fold(experiment, fold, place, progress=progress)
        return outcome.probabilities.argmax(axis=1)

    curve = learning_curve(
        predict,
        experiment.targets,
        splits.parts[0],
        groups,
        bootstrap,
        n_repeats=1,
        seed=splits.seed,
    )
    return list(curve)


def bootstrap_of(
    groups: np.ndarray,
    events: np.ndarray,
    tested: np.ndarray,
    settings: EvaluationConfig,
    folds: Sequence[Fold],
) -> GroupBootstrap:
    """Resamples of the subjects (or runs) that are tested, as all intervals use them.

    Parameters
    ----------
    groups, events : ndarray of str, shape (n_rows,)
        What is resampled, and the event of each row.
    tested : ndarray of bool, shape (n_rows,)
        Rows that a fold tested; the others are in no resample.
    settings : EvaluationConfig
        Resamples, level and seed.
    folds : sequence of Fold
        How windows were divided; see `reuse_widening`.
    """
    bootstrap = GroupBootstrap(
        groups[tested],
        settings.n_resamples,
        settings.level,
        settings.seed,
        reuse_widening(folds, groups),
        events[tested],
    )
    weights = np.zeros((settings.n_resamples, len(groups)), np.float32)
    weights[:, tested] = bootstrap.weights
    bootstrap.weights = weights
    bootstrap.events = np.unique(events, return_inverse=True)[1]
    return bootstrap
