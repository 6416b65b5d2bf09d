"""The leak, measured: one recipe, four ways to split, as much training under each."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from boldformer.data.groups import event_names, resampling_groups, split_groups
from boldformer.data.splits import Fold, Splits
from boldformer.data.windows import WindowSet
from boldformer.errors import InputError

HONEST = "subject"
SCHEMES: dict[str, str] = {
    "volume": "Volumes are dealt out at random: a test volume nearly always has "
    "neighbours of its own block among the training volumes.",
    "block": "Blocks stay whole; every run has blocks on both sides.",
    "run": "Runs stay whole; every subject has runs on both sides.",
    "subject": "Subjects (families, where they are named) stay whole: people on one "
    "side are not on the other.",
}
"""What each way to split keeps together, from the leakiest to the honest one."""


# --- samples ----------------------------------------------------------------------


class Volumes:
    """Single volumes in memory, as training reads windows.

    Parameters
    ----------
    windows : WindowSet
        Windows of one frame; of longer ones the mean is taken.
    standardised : bool
        Whether each volume loses its own mean over the brain and is divided by its own
        standard deviation. Nothing else than the volume enters.

    Attributes
    ----------
    values : ndarray of float32, shape (n_volumes, n_voxels)
        Brain voxels.
    """

    def __init__(self, windows: WindowSet, *, standardised: bool) -> None:
        self.table = windows.table
        self.mask = windows.mask
        self.t_r = windows.t_r
        self.values = windows.means()
        if standardised:
            self.values -= self.values.mean(axis=1, keepdims=True)
            spread = self.values.std(axis=1, keepdims=True)
            self.values /= np.where(spread > 0, spread, 1)
        self._windows, self._rows = windows, np.arange(len(windows))
        self._standardised = standardised

    def __len__(self) -> int:
        """Count the volumes."""
        return len(self.values)

    def __getitem__(self, rows: np.ndarray) -> Volumes:
        """Return the volumes that `rows` selects."""
        chosen = copy.copy(self)
        chosen.table = self.table.iloc[rows].reset_index(drop=True)
        chosen.values = self.values[rows]
        chosen._rows = self._rows[rows]
        return chosen

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """``(n_volumes, 1, x, y, z)``."""
        x, y, z = self.mask.shape
        return len(self), 1, x, y, z

    @property
    def groups(self) -> np.ndarray:
        """Subject (or family) of each volume, its run where there is one subject."""
        return resampling_groups(self.table)[1]

    @property
    def hash(self) -> str:
        """SHA-256 of which volumes these are, and of how they were prepared."""
        text = f"{self._windows[self._rows].hash} standardised={self._standardised}"
        return hashlib.sha256(text.encode()).hexdigest()

    def batch(self, indices: np.ndarray) -> np.ndarray:
        """Volumes, float32 of shape (batch, 1, x, y, z), zero outside the brain."""
        return self.unmask(self.values[np.asarray(indices)])[:, None]

    def means(self, indices: np.ndarray) -> np.ndarray:
        """Volumes in brain voxels, float32 (batch, n_voxels)."""
        return self.values[np.asarray(indices)]

    def unmask(self, weights: np.ndarray) -> np.ndarray:
        """Put (k, n_voxels) back on the grid, (k, x, y, z)."""
        dense = np.zeros((len(weights), *self.mask.shape), dtype=weights.dtype)
        dense[:, self.mask] = weights
        return dense


# --- splits -----------------------------------------------------------------------


def scheme_folds(
    table: pd.DataFrame, scheme: str, *, folds: int = 3, seed: int = 0
) -> Splits:
    """Divide samples one of the four ways.

    What stays together is dealt out to the folds in turn: volumes of each class in
    random order; blocks of each class run by run, so that no run lies on one side;
    runs subject by subject, likewise; subjects in random order.

    Parameters
    ----------
    table : DataFrame, index 0 … n-1
        Samples with ``subject``, ``recording``, ``block`` and ``label``.
    scheme : str
        Name in `SCHEMES`.
    folds : int
        How many; each sample is tested in one of them.
    seed : int
        Of the order.

    Returns
    -------
    Splits
        Their unit is "subject" for all schemes, since all are to tell of new people:
        so an audit holds the leaky ones to what their scores are taken for.

    Raises
    ------
    InputError
        For an unknown scheme, too few to divide, or a fold without training samples of
        a class.
    """
    if scheme not in SCHEMES:
        raise InputError(
            "unknown way to split", wanted=", ".join(SCHEMES), received=repr(scheme)
        )
    units, strata = _units(table, scheme)
    n_units = len(np.unique(units))
    if n_units < 2:
        raise InputError(
            f"one {scheme} cannot be split {scheme}-wise",
            wanted=f"two {scheme}s or more, which a gap is measured to",
            fix="take a data set of several people" if scheme == "subject" else "",
        )
    if not 2 <= folds <= n_units:
        raise InputError(
            f"{folds} folds cannot be made of {n_units} {scheme}s",
            wanted=f"2 to {n_units} folds",
            fix="ask for fewer folds" if folds > 1 else "ask for more folds",
        )
    rng = np.random.default_rng([seed, list(SCHEMES).index(scheme)])
    fold_of = _deal(units, strata, folds, rng)
    made = tuple(
        Fold(k, np.flatnonzero(fold_of != k), np.flatnonzero(fold_of == k))
        for k in range(folds)
    )
    _check_classes(table["label"].to_numpy(), made, scheme)
    return Splits(made, "subject", f"{scheme}-wise: {SCHEMES[scheme]}", seed)


def _units(table: pd.DataFrame, scheme: str) -> tuple[np.ndarray, np.ndarray]:
    """Name what stays together, and the strata dealt out one after the other."""
    subjects = split_groups(table, "subject")
    recordings = table["recording"].astype(str)
    labels = table["label"].astype(str)
    names = {
        "volume": (np.arange(len(table)), labels),
        "block": (event_names(table), labels + recordings),
        "run": (recordings, subjects),
        "subject": (subjects, np.zeros(len(table))),
    }
    units, strata = names[scheme]
    return np.asarray(units), np.asarray(strata)


def _deal(
    units: np.ndarray, strata: np.ndarray, folds: int, rng: np.random.Generator
) -> np.ndarray:
    """Fold of each sample: units in turn, random within strata, strata in order."""
    _, first, member = np.unique(units, return_index=True, return_inverse=True)
    stratum = np.unique(strata, return_inverse=True)[1][first]
    order = np.lexsort((rng.random(len(first)), stratum))
    fold_of_unit = np.empty(len(first), dtype=int)
    fold_of_unit[order] = np.arange(len(first)) % folds
    return fold_of_unit[member]


def _check_classes(labels: np.ndarray, folds: Sequence[Fold], scheme: str) -> None:
    for fold in folds:
        missing = np.setdiff1d(labels, labels[fold.train])
        if len(missing):
            raise InputError(
                f"class {missing[0]!r} is missing from the training samples of a fold",
                wanted=f"every class in {scheme}s of at least two folds",
                fix=f"leave {missing[0]!r} out of the labels, or ask for fewer folds",
            )


def match_training(splits: Mapping[str, Splits], seed: int = 0) -> dict[str, Splits]:
    """Give every fold of every scheme the same number of training samples.

    All are cut down, at random, to the smallest training side; test sides stay. With
    the same number of samples, batch size and epochs, every fit takes the same number
    of optimisation steps.
    """
    fewest = min(len(fold.train) for one in splits.values() for fold in one.folds)
    rng = np.random.default_rng([seed, len(SCHEMES)])

    def cut(fold: Fold) -> Fold:
        rows = rng.choice(fold.train, fewest, replace=False)
        return replace(fold, train=np.sort(rows))

    return {
        name: replace(one, folds=tuple(cut(fold) for fold in one.folds))
        for name, one in splits.items()
    }
