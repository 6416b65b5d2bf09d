"""What cross-validation found, gathered fold by fold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from boldformer.data.audit.fit_log import FitLog
from boldformer.data.cohort import Cohort
from boldformer.data.groups import event_names, resampling_groups
from boldformer.data.splits import Splits
from boldformer.data.windows import WindowSet
from boldformer.evaluation.calibration import temper
from boldformer.evaluation.intervals import reuse_widening
from boldformer.evaluation.kept_fits import FoldOutcome
from boldformer.evaluation.out_of_fold import OutOfFold
from boldformer.evaluation.predictions import as_written
from boldformer.interpretation.maps import class_maps, methods_for


class Results:
    """Out-of-fold predictions, histories and maps of the decoder.

    Where a split is repeated there is a row for every window in every repeat, one
    repeat after the other, so that no prediction replaces another.

    Parameters
    ----------
    cohort : Cohort
        What is decoded.
    splits : Splits
        Folds.

    Attributes
    ----------
    probabilities : ndarray, shape (n_repeats * n_windows, n_classes)
        NaN for a window that a repeat does not test.
    fold_of : ndarray of int, shape (n_repeats * n_windows,)
        The fold that tested it; -1 where none did.
    log : FitLog
        What the decoder was fitted to.
    """

    def __init__(self, cohort: Cohort, splits: Splits) -> None:
        self.cohort, self.splits = cohort, splits
        n_windows, n_classes = len(cohort.windows), len(cohort.labels)
        self._first_row = {
            fold.index: repeat * n_windows
            for repeat, part in enumerate(splits.parts)
            for fold in part.folds
        }
        n_rows = splits.repeats * n_windows
        self.probabilities = np.full((n_rows, n_classes), np.nan)
        self.fold_of = np.full(n_rows, -1)
        self.log = FitLog()
        self.records: list[dict[str, Any]] = []
        self._parts: dict[str, np.ndarray] = {}
        self._histories: list[pd.DataFrame] = []
        self._maps: dict[str, list[np.ndarray]] = {}

    def add(
        self,
        outcome: FoldOutcome,
        parts: Mapping[str, np.ndarray],
        temperature: float | None = None,
    ) -> None:
        """Take in a finished fold, and map what its model looks at in its test set.

        Parameters
        ----------
        outcome : FoldOutcome
            The fold.
        parts : mapping of str to ndarray, shape (n_test, n_classes)
            Probabilities of its test windows by each part of its model alone.
        temperature : float, optional
            Fitted to training groups after the fold was, where its own fit held none
            out.
        """
        fold = outcome.fold
        test = self.cohort.windows[fold.test]
        targets = self.cohort.targets[fold.test]
        rows = self._first_row[fold.index] + fold.test
        self.probabilities[rows] = as_written(outcome.probabilities)
        self.fold_of[rows] = fold.index
        for name, given in parts.items():
            empty = np.full_like(self.probabilities, np.nan)
            self._parts.setdefault(name, empty)[rows] = as_written(given)
        self.log.extend(outcome.log)
        by = "subject" if self.splits.unit == "subject" else "recording"
        self.records.append(
            {
                **asdict(outcome.record),
                "test_groups": sorted(set(test.table[by])),
                "n_train": len(fold.train),
                "n_test": len(fold.test),
            }
        )
        if temperature is not None:
            self.records[-1]["temperature"] = temperature
        history = outcome.history.copy()
        history.insert(0, "fold", fold.index)
        self._histories.append(history)
        self._add_maps(outcome, test, targets)

    def _add_maps(
        self, outcome: FoldOutcome, test: WindowSet, targets: np.ndarray
    ) -> None:
        times_s = np.arange(test.shape[1]) * test.t_r
        for method in methods_for(outcome.model):
            sums, counts = class_maps(
                outcome.model, test, targets, method, times_s=times_s
            )
            total = self._maps.setdefault(
                method, [np.zeros_like(sums), np.zeros_like(counts)]
            )
            total[0] += sums
            total[1] += counts

    @property
    def targets(self) -> np.ndarray:
        """Class of each row, (n_repeats * n_windows,)."""
        return np.tile(self.cohort.targets, self.splits.repeats)

    @property
    def groups(self) -> np.ndarray:
        """What intervals resample, for each row: all repeats of a subject together."""
        groups = resampling_groups(self.cohort.windows.table)[1]
        return np.tile(groups, self.splits.repeats)

    @property
    def widening(self) -> float:
        """Of intervals; see `boldformer.evaluation.intervals.reuse_widening`."""
        return reuse_widening(self.splits.folds, self.groups)

    @property
    def events(self) -> np.ndarray:
        """Event of each row, str (n_repeats * n_windows,)."""
        return np.tile(event_names(self.cohort.windows.table), self.splits.repeats)

    @property
    def tested(self) -> np.ndarray:
        """Which rows a fold tested, bool (n_repeats * n_windows,)."""
        return self.fold_of >= 0

    @property
    def history(self) -> pd.DataFrame:
        """One row an epoch of each fold."""
        filled = [history for history in self._histories if len(history)]
        return pd.concat(filled) if filled else self._histories[0]

    @property
    def maps(self) -> dict[str, dict[int, np.ndarray]]:
        """Method → class → mean map over held-out windows, (x, y, z) of the box."""
        return {
            method: {i: sums[i] / n for i, n in enumerate(counts) if n}
            for method, (sums, counts) in self._maps.items()
        }

    def parts(self) -> dict[str, OutOfFold]:
        """Predictions by each part of the model alone, where every fold has it."""
        return {
            name: OutOfFold(given, ())
            for name, given in self._parts.items()
            if np.isfinite(given[self.tested]).all()
        }

    def out_of_fold(self) -> OutOfFold:
        """Predictions in the form that baselines have."""
        return with_temperatures(self.probabilities, self.fold_of, self.records)


def with_temperatures(
    probabilities: np.ndarray, fold_of: np.ndarray, records: list[dict[str, Any]]
) -> OutOfFold:
    """Put a decoder's predictions beside what the temperatures of its folds make them.

    Parameters
    ----------
    probabilities : ndarray, shape (n_rows, n_classes)
        Out of fold, before any temperature.
    fold_of : ndarray of int, shape (n_rows,)
        The fold that tested each row; -1 where none did.
    records : list of dict
        ``fold``, ``training_accuracy`` and ``temperature`` of each fold.

    Returns
    -------
    OutOfFold
        Untempered where a fold has no temperature.
    """
    accuracies = tuple(record["training_accuracy"] for record in records)
    fitted = [record["temperature"] for record in records]
    if None in fitted or not fitted:
        return OutOfFold(probabilities, accuracies)
    of_fold = {r["fold"]: r["temperature"] for r in records} | {-1: 1.0}
    divisors = np.array([of_fold[int(fold)] for fold in fold_of])
    return OutOfFold(
        probabilities,
        accuracies,
        tuple(fitted),
        tempered=as_written(temper(probabilities, divisors)),
    )
