"""Folds that keep people (or, within one person, runs) apart, and folds within them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupKFold, LeaveOneGroupOut, StratifiedGroupKFold

from boldformer.config import EvaluationConfig
from boldformer.data.groups import held_out_groups, resampling_groups, split_groups
from boldformer.data.split_tables import Fold, Splits
from boldformer.data.stretches import stretches
from boldformer.errors import InputError

__all__ = ["LEAVE_ONE_OUT", "Fold", "Splits"]
__all__ += ["check_request", "configured_splits", "inner_folds", "make_folds"]
__all__ += ["held_out_groups", "resampling_groups", "split_groups"]

UNITS = ("auto", "subject", "run", "stretch")
LEAVE_ONE_OUT_UP_TO = 6
DEFAULT_FOLDS = 5
LEAVE_ONE_OUT = -1
_ONE_RUN = (
    "add recordings; or look at the run with boldformer inspect; or leave contiguous "
    "stretches of it out (--split-unit stretch --allow-leakage), whose score the audit "
    "calls a leak"
)


def configured_splits(table: pd.DataFrame, evaluation: EvaluationConfig) -> Splits:
    """Make the folds that settings ask for, or read them.

    Parameters
    ----------
    table : DataFrame, index 0 … n-1
        Windows; see `make_folds`.
    evaluation : EvaluationConfig
        ``split``, a file, or else ``unit``, ``folds`` and ``repeats``; ``seed``.

    Raises
    ------
    InputError
        For a split that cannot be made or read, or a file beside other wishes.
    """
    if not evaluation.split:
        return make_folds(
            table,
            unit=evaluation.unit,
            folds=evaluation.folds,
            repeats=evaluation.repeats,
            seed=evaluation.seed,
        )
    names, default = ("unit", "folds", "repeats"), EvaluationConfig()
    unheard = [n for n in names if getattr(evaluation, n) != getattr(default, n)]
    if unheard:
        raise InputError(
            "a split file leaves nothing to divide",
            wanted=f"a split file, or {', '.join(names)}",
            received=f"{evaluation.split} and {', '.join(unheard)}",
        )
    return Splits.read(evaluation.split, table, seed=evaluation.seed)


def make_folds(
    table: pd.DataFrame,
    *,
    unit: str = "auto",
    folds: int = 0,
    repeats: int = 1,
    seed: int = 0,
) -> Splits:
    """Divide windows into folds that keep subjects, or runs within a subject, apart.

    Parameters
    ----------
    table : DataFrame, index 0 … n-1
        Windows, with ``subject``, ``session``, ``run``, ``recording`` and ``label``;
        where a ``family`` is named, its members stay together.
    unit : {"auto", "subject", "run", "stretch"}
        What is kept apart; "auto" takes subjects where there are several, else runs.
        Runs of several subjects are decoded within each subject: a fold trains and
        tests on one person. So are stretches, contiguous parts of runs, for who has
        one run only: a run is then on both sides, which the audit calls a leak.
    folds : int
        Number of folds (of each subject, when runs of several are kept apart).
        0 leaves one group out, except that more than six subjects make five folds;
        `LEAVE_ONE_OUT` (-1) leaves one group out however many there are.
    repeats : int
        How often to divide, each time with the next seed; the folds follow each other.
    seed : int
        Of the assignment of groups to folds.

    Returns
    -------
    Splits
        Every window is tested exactly once in each repeat.

    Raises
    ------
    InputError
        For a single group or class, more folds than groups, a class that some
        training set would lack, or repeats of a split that leaves nothing to chance.
    """
    check_request(unit, folds, repeats)
    _check_table(table)
    subjects = table["subject"].astype(str).to_numpy()
    n_subjects = len(np.unique(subjects))
    cut = unit == "stretch"
    if unit == "auto":
        unit = "subject" if n_subjects > 1 else "run"
    if cut:
        unit = "run"
    groups = stretches(table, folds) if cut else split_groups(table, unit)
    labels = table["label"].astype(str).to_numpy()
    if unit == "run":
        parts = [np.flatnonzero(subjects == name) for name in np.unique(subjects)]
    else:
        parts = [np.arange(len(table))]
    made: list[Fold] = []
    for repeat in range(repeats):
        for rows in parts:
            where = f"subject {subjects[rows[0]]}" if unit == "run" else ""
            count = _number_of_folds(groups[rows], unit, folds, where)
            _check_chance(count, groups[rows], unit, repeats)
            for train, test in _divide(
                labels[rows], groups[rows], count, seed + repeat
            ):
                made.append(Fold(len(made), rows[train], rows[test]))
                _check_classes(labels, groups, made[-1], unit)
    scheme = _describe(len(made) // repeats, groups, unit, n_subjects)
    if cut:
        scheme = (
            f"Leave contiguous stretches out of each run: {len(made)} folds, with the "
            "rest of the same run in training."
        )
    if repeats > 1:
        scheme = f"{scheme[:-1]}; {repeats} times over."
    return Splits(tuple(made), unit, scheme, seed)


def undivided_subjects(
    table: pd.DataFrame, evaluation: EvaluationConfig
) -> dict[str, str]:
    """Find the subjects of several that cannot be decoded each by themselves.

    Returns
    -------
    dict of str to str
        Why not, by subject; empty where subjects are not decoded within themselves, or
        where none could be.
    """
    names, reasons = table["subject"].astype(str), {}
    if evaluation.unit not in ("run", "stretch") or names.nunique() < 2:
        return {}
    for name in sorted(set(names)):
        own = table[names == name].reset_index(drop=True)
        try:
            configured_splits(own.assign(window=np.arange(len(own))), evaluation)
        except InputError as error:
            reasons[name] = str(error)
    return reasons if len(reasons) < names.nunique() else {}


def inner_folds(
    table: pd.DataFrame,
    fold: Fold,
    *,
    unit: str = "subject",
    folds: int = DEFAULT_FOLDS,
    seed: int = 0,
) -> Splits:
    """Divide the training windows of a fold again, for everything that is tuned.

    Groups stay together as in `make_folds`; training windows of a single subject or
    family are divided by run. No window outside ``fold.train`` is in any inner fold.

    Parameters
    ----------
    table : DataFrame, index 0 … n-1
        All windows.
    fold : Fold
        The outer fold.
    unit : {"subject", "run"}
        What the outer split keeps apart.
    folds : int
        Inner folds at the most; fewer where there are fewer groups.
    seed : int
        Of the assignment of groups to folds.

    Returns
    -------
    Splits
        Rows of `table`; without folds where there is one group only, so that nothing
        can be tuned honestly.

    Examples
    --------
    >>> for inner in inner_folds(table, outer).folds:  # doctest: +SKIP
    ...     score(fit(inner.train), inner.test)
    """
    rows = np.sort(fold.train)
    groups = split_groups(table, unit)[rows]
    if unit == "subject" and len(np.unique(groups)) == 1:
        unit, groups = "run", split_groups(table, "run")[rows]
    n_groups = len(np.unique(groups))
    labels = table["label"].astype(str).to_numpy()[rows]
    made: list[Fold] = []
    if n_groups > 1:
        for train, test in _divide(labels, groups, min(folds, n_groups), seed):
            made.append(Fold(len(made), rows[train], rows[test]))
    scheme = f"{len(made)} inner folds of {n_groups} training {unit}s."
    return Splits(tuple(made), unit, scheme, seed)


def _number_of_folds(groups: np.ndarray, unit: str, folds: int, where: str) -> int:
    names = np.unique(groups)
    within = f" of {where}" if where else ""
    if len(names) < 2:
        raise InputError(
            f"only one group: every window{within} is from {unit} {names[0]!r}",
            wanted=f"at least two {unit}s to train on one and test on another",
            fix=_ONE_RUN if unit == "run" else "keep runs apart: unit 'run'",
        )
    if folds > len(names):
        raise InputError(
            "more folds than groups",
            wanted=f"at most {len(names)} folds for the {len(names)} {unit}s{within}",
            received=f"{folds}",
            fix="ask for fewer folds, or 0 for the default",
        )
    if folds > 0:
        return folds
    few = folds == LEAVE_ONE_OUT or unit == "run" or len(names) <= LEAVE_ONE_OUT_UP_TO
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


def _check_chance(count: int, groups: np.ndarray, unit: str, repeats: int) -> None:
    if repeats > 1 and count == len(np.unique(groups)):
        raise InputError(
            f"leaving one {unit} out is the same every time",
            wanted=f"fewer folds than {unit}s, to repeat with other seeds",
            received=f"{count} folds, {repeats} repeats",
            fix="ask for fewer folds, or do not repeat",
        )


def check_request(unit: str, folds: int, repeats: int) -> None:
    """Refuse a split that no windows could be divided by; see `make_folds`."""
    if unit not in UNITS:
        raise InputError(
            "unknown unit of the split",
            wanted=f"one of {', '.join(UNITS)}",
            received=repr(unit),
        )
    if folds < LEAVE_ONE_OUT or folds == 1:
        raise InputError(
            "a split needs at least two folds",
            wanted="2 or more, 0 for the default, or -1 to leave one group out",
            received=str(folds),
        )
    if repeats < 1:
        raise InputError("a split is made once at least", received=f"{repeats} repeats")


def _check_table(table: pd.DataFrame) -> None:
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
