"""Folds that keep people (or, within one person, runs) apart; written and read back."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupKFold, LeaveOneGroupOut, StratifiedGroupKFold

from boldformer.data.atomic import write_tsv
from boldformer.data.groups import held_out_groups, resampling_groups, split_groups
from boldformer.errors import InputError

__all__ = ["Fold", "Splits", "make_folds"]
__all__ += ["held_out_groups", "resampling_groups", "split_groups"]

LEAVE_ONE_OUT_UP_TO = 6
DEFAULT_FOLDS = 5


@dataclass(frozen=True)
class Fold:
    """One division of the windows.

    Parameters
    ----------
    index : int
        Number of the fold, from 0.
    train, test : ndarray of int, shape (n,)
        Rows of the window table, ascending.
    """

    index: int
    train: np.ndarray
    test: np.ndarray


@dataclass(frozen=True)
class Splits:
    """The folds of an evaluation.

    Parameters
    ----------
    folds : tuple of Fold
        In order of their index.
    unit : {"subject", "run"}
        What no fold has on both sides.
    scheme : str
        One plain sentence on how the folds were made.
    seed : int
        Of the assignment of groups to folds.
    """

    folds: tuple[Fold, ...]
    unit: str
    scheme: str
    seed: int = 0

    @property
    def hash(self) -> str:
        """SHA-256 of which window is on which side of which fold."""
        digest = hashlib.sha256()
        for fold in self.folds:
            for name, rows in (("train", fold.train), ("test", fold.test)):
                listed = ",".join(str(row) for row in np.sort(rows))
                digest.update(f"{fold.index}:{name}:{listed}\n".encode())
        return digest.hexdigest()

    def to_table(self) -> pd.DataFrame:
        """Columns ``window``, ``fold`` and ``set``, one row a window and fold."""
        parts = [
            pd.DataFrame({"window": rows, "fold": fold.index, "set": name})
            for fold in self.folds
            for name, rows in (("train", fold.train), ("test", fold.test))
        ]
        table = pd.concat(parts, ignore_index=True)
        return table.sort_values(["fold", "window"], ignore_index=True)

    @classmethod
    def from_table(
        cls,
        table: pd.DataFrame,
        windows: pd.DataFrame,
        *,
        scheme: str = "",
        seed: int = 0,
    ) -> Splits:
        """Folds from a table that `to_table` or a person wrote.

        The unit is read off the folds: runs where every fold trains and tests on one
        and the same subject, else subjects. Nothing is refused for leaking; that is
        what the audit is for.

        Parameters
        ----------
        table : DataFrame
            Columns ``window``, ``fold`` and ``set`` (``train`` or ``test``). A window
            may be left out of a fold.
        windows : DataFrame
            The window table.
        scheme : str
            How the folds were made; a count of the folds when empty.
        seed : int
            The seed they were made with.

        Raises
        ------
        InputError
            For missing columns, windows that do not exist, a window named twice in a
            fold, or a fold without a training or test window.
        """
        _check_split_table(table, len(windows))
        folds = []
        numbers = table["fold"].astype(int)
        for index in sorted(numbers.unique()):
            part = table[numbers == index]
            sides = [
                np.sort(part.loc[part["set"] == side, "window"].to_numpy(np.int64))
                for side in ("train", "test")
            ]
            if not all(len(side) for side in sides):
                raise InputError(
                    f"fold {index} of the split is one-sided",
                    wanted="training and test windows in every fold",
                    received=f"{len(sides[0])} training, {len(sides[1])} test windows",
                )
            folds.append(Fold(int(index), *sides))
        unit = _unit_of(folds, windows["subject"].astype(str).to_numpy())
        scheme = scheme or f"Fixed split with {len(folds)} folds."
        return cls(tuple(folds), unit, scheme, seed)

    def write(self, path: str | Path) -> None:
        """Write `to_table` as TSV."""
        write_tsv(path, self.to_table())

    @classmethod
    def read(
        cls, path: str | Path, windows: pd.DataFrame, *, scheme: str = "", seed: int = 0
    ) -> Splits:
        """Read what `write` wrote; see `from_table`."""
        try:
            table = pd.read_csv(path, sep="\t")
        except (OSError, ValueError) as error:
            raise InputError(
                f"cannot read the split {str(path)!r}", received=str(error)
            ) from None
        return cls.from_table(table, windows, scheme=scheme, seed=seed)


def make_folds(
    table: pd.DataFrame, *, unit: str = "auto", folds: int = 0, seed: int = 0
) -> Splits:
    """Divide windows into folds that keep subjects, or runs within a subject, apart.

    Parameters
    ----------
    table : DataFrame, index 0 … n-1
        Windows, with ``subject``, ``session``, ``run``, ``recording`` and ``label``;
        where a ``family`` is named, its members stay together.
    unit : {"auto", "subject", "run"}
        What is kept apart; "auto" takes subjects where there are several, else runs.
        Runs of several subjects are decoded within each subject: a fold trains and
        tests on one person.
    folds : int
        Number of folds (of each subject, when runs of several are kept apart).
        0 leaves one group out, except that more than six subjects make five folds.
    seed : int
        Of the assignment of groups to folds.

    Returns
    -------
    Splits
        Every window is tested exactly once.

    Raises
    ------
    InputError
        For a single group or class, more folds than groups, or a class that some
        training set would lack.
    """
    _check_request(table, unit, folds)
    subjects = table["subject"].astype(str).to_numpy()
    n_subjects = len(np.unique(subjects))
    if unit == "auto":
        unit = "subject" if n_subjects > 1 else "run"
    groups = split_groups(table, unit)
    labels = table["label"].astype(str).to_numpy()
    if unit == "run":
        parts = [np.flatnonzero(subjects == name) for name in np.unique(subjects)]
    else:
        parts = [np.arange(len(table))]
    made: list[Fold] = []
    for rows in parts:
        where = f"subject {subjects[rows[0]]}" if unit == "run" else ""
        count = _number_of_folds(groups[rows], unit, folds, where)
        for train, test in _divide(labels[rows], groups[rows], count, seed):
            made.append(Fold(len(made), rows[train], rows[test]))
            _check_classes(labels, groups, made[-1], unit)
    scheme = _describe(len(made), groups, unit, n_subjects)
    return Splits(tuple(made), unit, scheme, seed)


def _number_of_folds(groups: np.ndarray, unit: str, folds: int, where: str) -> int:
    names = np.unique(groups)
    within = f" of {where}" if where else ""
    if len(names) < 2:
        raise InputError(
            f"only one group: every window{within} is from {unit} {names[0]!r}",
            wanted=f"at least two {unit}s to train on one and test on another",
            fix="add recordings" if unit == "run" else "keep runs apart: unit 'run'",
        )
    if folds > len(names):
        raise InputError(
            "more folds than groups",
            wanted=f"at most {len(names)} folds for the {len(names)} {unit}s{within}",
            received=f"{folds}",
            fix="ask for fewer folds, or 0 for the default",
        )
    if folds:
        return folds
    few = unit == "run" or len(names) <= LEAVE_ONE_OUT_UP_TO
    return len(names) if few else DEFAULT_FOLDS


def _divide(
    labels: np.ndarray, groups: np.ndarray, count: int, seed: int
) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    if count == len(np.unique(groups)):
        return list(LeaveOneGroupOut().split(labels, labels, groups))
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    divided = list(splitter.split(labels, labels, groups))
    if all(len(test) for _, test in divided):
        return divided
    # Stratifying very unequal groups may leave a fold empty; then balance sizes only.
    by_size = GroupKFold(count, shuffle=True, random_state=seed)
    return by_size.split(labels, labels, groups)


def _check_request(table: pd.DataFrame, unit: str, folds: int) -> None:
    if unit not in ("auto", "subject", "run"):
        raise InputError(
            "unknown unit of the split",
            wanted="'auto', 'subject' or 'run'",
            received=repr(unit),
        )
    if folds < 0 or folds == 1:
        raise InputError(
            "a split needs at least two folds",
            wanted="2 or more, or 0 for the default",
            received=str(folds),
        )
    if len(table) == 0:
        raise InputError("there are no windows to split")
    if "window" in table and (table["window"] != np.arange(len(table))).any():
        raise InputError(
            "windows are not numbered by their row",
            wanted="window 0, 1, 2 … in the order of the table",
        )
    classes = table["label"].astype(str).unique()
    if len(classes) < 2:
        raise InputError(
            f"only one class: every window is labelled {classes[0]!r}",
            wanted="at least two labels to tell apart",
            fix="choose other labels or tasks",
        )


def _check_classes(
    labels: np.ndarray, groups: np.ndarray, fold: Fold, unit: str
) -> None:
    rows = np.concatenate([fold.train, fold.test])
    missing = np.setdiff1d(labels[rows], labels[fold.train])
    if not len(missing):
        return
    name = missing[0]
    holders = np.unique(groups[rows][labels[rows] == name])
    single = len(holders) == 1
    raise InputError(
        f"class {name!r} is missing from the training windows of fold {fold.index}",
        wanted=f"every class in at least two {unit}s on different sides",
        received=(
            f"{name!r} in {'one' if single else len(holders)} {unit}"
            f"{'' if single else 's'} only ({', '.join(holders[:3])})"
        ),
        fix=f"leave {name!r} out of the labels"
        + ("" if single else ", or ask for more folds"),
    )


def _check_split_table(table: pd.DataFrame, n_windows: int) -> None:
    missing = [name for name in ("window", "fold", "set") if name not in table]
    if missing:
        raise InputError(
            "the split table lacks columns",
            wanted="window, fold, set",
            received=", ".join(map(str, table.columns)),
        )
    numbers = pd.to_numeric(table["window"], errors="coerce")
    known = numbers.between(0, n_windows - 1) & (numbers % 1 == 0)
    sides = table["set"].isin(["train", "test"])
    folds = pd.to_numeric(table["fold"], errors="coerce")
    bad = ~(known & sides & folds.notna() & (folds % 1 == 0))
    if bad.any() or table.empty:
        first = table[bad].iloc[0].to_dict() if bad.any() else "no rows"
        raise InputError(
            "the split does not fit the windows",
            wanted=f"windows 0 to {n_windows - 1}, whole folds, set 'train' or 'test'",
            received=str(first),
        )
    twice = table.duplicated(["window", "fold"])
    if twice.any():
        row = table[twice].iloc[0]
        raise InputError(
            f"window {row['window']} is listed twice in fold {row['fold']}",
            wanted="each window at most once in a fold",
        )


def _unit_of(folds: Sequence[Fold], subjects: np.ndarray) -> str:
    within = all(
        len(np.unique(subjects[np.concatenate([fold.train, fold.test])])) == 1
        for fold in folds
    )
    return "run" if within else "subject"


def _describe(n_folds: int, groups: np.ndarray, unit: str, n_subjects: int) -> str:
    n_groups = len(np.unique(groups))
    alone = n_folds == n_groups
    count = f"{n_folds} folds over"
    if unit == "subject":
        kind = "subject or family" if n_groups < n_subjects else "subject"
        if alone:
            return f"Leave one {kind} out: {count} {n_subjects} subjects."
        return (
            f"Leave subjects out: {count} {n_subjects} subjects, stratified by label, "
            f"no {kind} in both training and test."
        )
    how = f"eave {'one run' if alone else 'runs'} out: {count} {n_groups} runs of"
    if n_subjects == 1:
        return f"L{how} one subject."
    return (
        f"Within each subject, l{how} {n_subjects} subjects, each trained and tested "
        "on the same person; scores hold for people the decoder knows."
    )
