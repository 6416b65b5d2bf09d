"""How well labels follow from when and where a window was recorded, brain aside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from boldformer.data.groups import event_shuffler, natural_codes, shuffle_within
from boldformer.data.splits import Fold, Splits

N_PERMUTATIONS = 999
ALPHA = 0.01
LEAST_GAIN = 0.05
_TENTHS = 10
_ENOUGH_AS_HIGH = 20
_MOST_BINS = 12
_RUNS_A_BIN = 4
_MOTION = r"^(trans|rot)_[xyz]$|^framewise_displacement$"


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
    return _test(_properties(table), table, splits, n_permutations, seed)


def predict_from_motion(
    nuisance: pd.DataFrame | None,
    table: pd.DataFrame,
    splits: Splits,
    *,
    n_permutations: int = N_PERMUTATIONS,
    seed: int = 0,
) -> list[Predictability]:
    """Predict labels within the folds from how the head moved in a window.

    Tested as `predict_from_properties` tests timing. Where labels change within runs,
    motion counts relative to the mean and spread of its run; else its mean in the run
    does.

    Parameters
    ----------
    nuisance : DataFrame, n_windows rows, optional
        ``trans_x`` … ``rot_z`` and ``framewise_displacement``, as far as known; other
        columns are passed over, since global signal and the like hold brain signal.
    table, splits, n_permutations, seed
        As in `predict_from_properties`.

    Returns
    -------
    list of Predictability
        One for each column that varies; none without `nuisance`.
    """
    if nuisance is None:
        return []
    runs = table["recording"].to_numpy()
    columns = nuisance.filter(regex=_MOTION).reset_index(drop=True).dropna(axis=1)
    runs = columns.groupby(table["recording"].to_numpy())
    level = runs.transform("mean")
    if (table.groupby("recording")["label"].nunique() > 1).any():
        spread = runs.transform("std").replace(0.0, np.nan)
        relative = ((columns - level) / spread).fillna(0.0).round(9)
        properties = {n: _quantiles(v, _MOST_BINS) for n, v in relative.items()}
    else:
        properties = {n: _levels(v, table) for n, v in level.round(9).items()}
    return _test(properties, table, splits, n_permutations, seed)


def _test(
    properties: Mapping[str, np.ndarray],
    table: pd.DataFrame,
    splits: Splits,
    n_permutations: int,
    seed: int,
) -> list[Predictability]:
    """Score each property that varies against shuffles of it."""
    rng = np.random.default_rng(seed)
    labels = pd.factorize(table["label"], sort=True)[0]
    scorer = _Scorer(labels, splits.folds)
    varying = {n: v for n, v in properties.items() if len(np.unique(v)) > 1}
    found = []
    for name, values in varying.items():
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
        corrected = min(1.0, float(p_value) * len(varying))
        found.append(Predictability(name, observed, float(np.mean(null)), corrected))
    return found


def _properties(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Codes of what is known of when and where each window was recorded."""
    known = set(table)
    if "timing" in known and (table["timing"] == "map").all():
        known -= {"onset", "first_frame"}  # maps come in no order
    columns = {}
    if "onset" in known:
        rank = table.groupby("recording")["onset"].rank(method="first")
        columns["order of the window in its run"] = _places(rank.to_numpy(np.int64) - 1)
    if {"first_frame", "n_run_frames"} <= known:
        share = (table["first_frame"] / table["n_run_frames"]).to_numpy()
        columns["time within the run"] = (share * _TENTHS).astype(np.int64)
    if {"n_run_frames", "t_r"} <= known:
        columns["length of the run"] = _levels(
            table["n_run_frames"] * table["t_r"], table
        )
    if "run" in known:
        run, session = natural_codes(table["run"]), np.zeros(len(table), np.int64)
        if "session" in known:
            session = natural_codes(table["session"])
        columns["order of the run"] = session * (run.max() + 1) + run
    if "t_r" in known:
        columns["repetition time"] = _levels(table["t_r"].round(4), table)
    if "site" in known:
        columns["site"] = natural_codes(table["site"])
    return {name: np.unique(v, return_inverse=True)[1] for name, v in columns.items()}


def _places(rank: np.ndarray) -> np.ndarray:
    """Codes of places in a run; a dozen stretches where there are very many."""
    return rank if rank.max() < 4 * _MOST_BINS else _quantiles(rank, _MOST_BINS)


def _levels(values: pd.Series, table: pd.DataFrame) -> np.ndarray:
    """Codes of values that recur between runs; quantiles of those that hardly do.

    A value that one run has alone says nothing of the run that is tested, but being
    high or low may.
    """
    n_runs = table["recording"].nunique()
    n_bins = min(_MOST_BINS, max(2, n_runs // _RUNS_A_BIN))
    distinct, codes = np.unique(values, return_inverse=True)
    return codes if len(distinct) <= n_bins else _quantiles(values, n_bins)


def _quantiles(values: pd.Series | np.ndarray, n_bins: int) -> np.ndarray:
    edges = np.quantile(values, np.linspace(0, 1, n_bins + 1)[1:-1])
    return np.searchsorted(np.unique(edges), np.asarray(values), side="right")


def _shuffler(
    table: pd.DataFrame, values: np.ndarray, rng: np.random.Generator
) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Make a function that draws (values, labels) with their relation broken."""
    runs = pd.factorize(table["recording"])[0]
    subjects = pd.factorize(table["subject"])[0]
    if not _constant(values, runs):
        among_events = event_shuffler(table, rng)
        return lambda labels: (values, among_events(labels))
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
