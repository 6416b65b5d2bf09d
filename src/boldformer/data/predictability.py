"""How well labels follow from when and where a window was recorded, brain aside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from boldformer.data.groups import natural_codes, shuffle_within
from boldformer.data.splits import Fold, Splits

N_PERMUTATIONS = 999
ALPHA = 0.01
LEAST_GAIN = 0.05
_TENTHS = 10
_ENOUGH_AS_HIGH = 20
_MOST_BINS = 12


@dataclass(frozen=True)
class Predictability:
    """How well one property of a window tells its label in held-out windows.

    Parameters
    ----------
    name : str
        The property.
    score : float
        Balanced accuracy on the test windows of the folds.
    expected : float
        Its mean when the property is shuffled against the labels.
    p_value : float
        Share of shuffles that score as high, corrected for the number of properties.
    """

    name: str
    score: float
    expected: float
    p_value: float

    @property
    def suspicious(self) -> bool:
        """Significant at 1 % over all properties, and 5 points above the shuffles."""
        return self.p_value <= ALPHA and self.score - self.expected >= LEAST_GAIN


def predict_from_properties(
    table: pd.DataFrame,
    splits: Splits,
    *,
    n_permutations: int = N_PERMUTATIONS,
    seed: int = 0,
) -> list[Predictability]:
    """Predict labels within the folds from properties that hold no brain signal.

    Each property is binned; a bin predicts the label that is most frequent in it among
    the training windows, relative to the label's share. The score is compared with
    shuffles that respect how the property varies: labels within runs for what varies
    within a run; values between the runs of a subject for what varies between runs;
    values between subjects for what a subject keeps. All properties together flag a
    cohort without such a relation in at most 1 % of cases (Bonferroni), however many
    windows it has.

    Parameters
    ----------
    table : DataFrame
        Window table.
    splits : Splits
        Folds.
    n_permutations : int
        Shuffles of each property, at the most: twenty that score as high are enough to
        see that it tells nothing (Besag & Clifford, 1991).
    seed : int
        Of the shuffles.

    Returns
    -------
    list of Predictability
        Only properties that vary; one that is the same everywhere tells nothing.

    References
    ----------
    Besag & Clifford (1991). Sequential Monte Carlo p-values. Biometrika 78(2), 301-304.
    """
    rng = np.random.default_rng(seed)
    labels = pd.factorize(table["label"], sort=True)[0]
    scorer = _Scorer(labels, splits.folds)
    properties = [
        (n, v) for n, v in _properties(table).items() if len(np.unique(v)) > 1
    ]
    found = []
    for name, values in properties:
        shuffle = _shuffler(table, values, rng)
        observed = scorer(values, labels)
        null: list[float] = []
        n_as_high = 0
        while len(null) < n_permutations and n_as_high < _ENOUGH_AS_HIGH:
            null.append(scorer(*shuffle(labels)))
            n_as_high += null[-1] >= observed - 1e-12
        stopped = n_as_high == _ENOUGH_AS_HIGH
        p_value = (
            n_as_high / len(null) if stopped else (1 + n_as_high) / (1 + len(null))
        )
        corrected = min(1.0, float(p_value) * len(properties))
        found.append(Predictability(name, observed, float(np.mean(null)), corrected))
    return found


def _properties(table: pd.DataFrame) -> dict[str, np.ndarray]:
    recording = table["recording"]
    first = table.groupby(recording)["onset"]
    rank = first.rank(method="first").to_numpy(np.int64) - 1
    share = table["first_frame"] / table["n_run_frames"]
    session = natural_codes(table["session"])
    run = natural_codes(table["run"])
    columns = {
        "order of the window in its run": _bins(rank),
        "time within the run": (share * _TENTHS).to_numpy().astype(np.int64),
        "length of the run": _bins(table["n_run_frames"] * table["t_r"]),
        "order of the run": session * (run.max() + 1) + run,
        "repetition time": _bins(table["t_r"].round(4)),
    }
    if "site" in table:
        columns["site"] = natural_codes(table["site"])
    return {name: np.unique(v, return_inverse=True)[1] for name, v in columns.items()}


def _bins(values: pd.Series | np.ndarray) -> np.ndarray:
    """Distinct values where they are few, else a dozen bins of equal counts."""
    distinct, codes = np.unique(np.asarray(values), return_inverse=True)
    if len(distinct) <= 4 * _MOST_BINS:
        return codes
    edges = np.quantile(values, np.linspace(0, 1, _MOST_BINS + 1)[1:-1])
    return np.searchsorted(np.unique(edges), np.asarray(values), side="right")


def _shuffler(
    table: pd.DataFrame, values: np.ndarray, rng: np.random.Generator
) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Make a function that draws (values, labels) with their relation broken."""
    runs = pd.factorize(table["recording"])[0]
    subjects = pd.factorize(table["subject"])[0]
    if not _constant(values, runs):
        return lambda labels: (values, labels[shuffle_within(runs, rng)])
    whole_subject = _constant(values, subjects)
    units = subjects if whole_subject else runs
    first = np.unique(units, return_index=True)[1]
    unit_values, owners = values[first], subjects[first]
    if whole_subject:
        owners = np.zeros_like(owners)

    def shuffle(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return unit_values[shuffle_within(owners, rng)][units], labels

    return shuffle


def _constant(values: np.ndarray, units: np.ndarray) -> bool:
    pairs = pd.DataFrame({"unit": units, "value": values})
    return bool((pairs.groupby("unit")["value"].nunique() == 1).all())


class _Scorer:
    """Balanced accuracy of the most telling label of each bin, over the test windows.

    Windows that train the same folds are counted once, so that many shuffles of many
    windows stay cheap.
    """

    def __init__(self, labels: np.ndarray, folds: Sequence[Fold]) -> None:
        self.n_labels = int(labels.max()) + 1
        trains = np.zeros((len(labels), len(folds)), dtype=bool)
        for column, fold in enumerate(folds):
            trains[fold.train, column] = True
        patterns, which = np.unique(
            np.packbits(trains, axis=1), axis=0, return_inverse=True
        )
        self.pattern = which.ravel()
        unpacked = np.unpackbits(patterns, axis=1, count=len(folds))
        self.trains = unpacked.T.astype(np.float64)
        self.fold = np.repeat(np.arange(len(folds)), [len(f.test) for f in folds])
        self.test = np.concatenate([fold.test for fold in folds])

    def __call__(self, values: np.ndarray, labels: np.ndarray) -> float:
        n_bins = int(values.max()) + 1
        shape = (self.trains.shape[1], n_bins, self.n_labels)
        keys = (self.pattern * n_bins + values) * self.n_labels + labels
        counts = np.bincount(keys, minlength=int(np.prod(shape))).reshape(shape[0], -1)
        seen = (self.trains @ counts).reshape(-1, n_bins, self.n_labels)
        share = seen.sum(axis=1, keepdims=True)
        telling = (seen / np.maximum(share, 1)).argmax(axis=2)
        right = telling[self.fold, values[self.test]] == labels[self.test]
        truth = labels[self.test]
        totals = np.bincount(truth, minlength=self.n_labels)
        hits = np.bincount(truth, right, minlength=self.n_labels)
        return float(np.mean(hits[totals > 0] / totals[totals > 0]))
