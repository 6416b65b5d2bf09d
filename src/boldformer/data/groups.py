"""Which windows belong together: subjects, families, runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from boldformer.errors import InputError

Shuffle = Callable[[np.ndarray], np.ndarray]
FEWEST_GROUPS_TO_HOLD_OUT = 4
# What the names of families begin with among those of groups.
FAMILY = "family "
_NO_FAMILY = ("", "n/a", "nan")


def split_groups(table: pd.DataFrame, unit: str) -> np.ndarray:
    """Name of the group that each window must stay with, shape (n_windows,).

    Families (subjects where no family is named) for the unit "subject", recordings
    for the unit "run".

    Raises
    ------
    InputError
        For a subject listed in several families.
    """
    if unit == "run":
        return table["recording"].astype(str).to_numpy()
    subjects = table["subject"].astype(str)
    families = families_of(table)
    per_subject = families.groupby(subjects.to_numpy()).nunique()
    if (per_subject > 1).any():
        raise InputError(
            f"subject {per_subject.idxmax()} is in {per_subject.max()} families",
            fix="name one family per subject",
        )
    named = families != ""
    return np.where(named, FAMILY + families, subjects).astype(str)


def families_of(table: pd.DataFrame) -> pd.Series:
    """Family of each window's subject; the empty string where none is named."""
    if "family" not in table:
        return pd.Series("", index=table.index)
    named = table["family"].astype("string").fillna("").str.strip()
    named = named.mask(named.str.lower().isin(_NO_FAMILY), "")
    # A family spelt F1 in one row and f1 in the next is one.
    spelt = named[~named.str.casefold().duplicated()]
    first = dict(zip(spelt.str.casefold(), spelt, strict=True))
    return named.str.casefold().map(first).astype(object)


def family_of(participant: Mapping[str, str]) -> str:
    """Name the family in a row of a participants table; empty where none is named.

    The column is ``family``, ``family_id`` or HCP's ``Family_ID``.
    """
    plain = {str(key).lower(): str(value) for key, value in participant.items()}
    named = [plain.get(key, "").strip() for key in ("family", "family_id")]
    return next((name for name in named if name.lower() not in _NO_FAMILY), "")


def resampling_groups(table: pd.DataFrame) -> tuple[str, np.ndarray]:
    """Name what intervals are bootstrapped over, for each window.

    Families or subjects where there are several of them, else recordings.

    Returns
    -------
    unit : {"family", "subject", "run"}
        What the groups are.
    groups : ndarray of str, shape (n_windows,)
        Group of each window.
    """
    groups = split_groups(table, "subject")
    if len(np.unique(groups)) > 1:
        return ("family" if (families_of(table) != "").any() else "subject"), groups
    return "run", split_groups(table, "run")


def held_out_groups(
    groups: Sequence[str] | np.ndarray,
    fraction: float,
    seed: int = 0,
    labels: Sequence | np.ndarray | None = None,
    fewest: int = FEWEST_GROUPS_TO_HOLD_OUT,
) -> np.ndarray | None:
    """Choose training groups to hold out for early stopping.

    Parameters
    ----------
    groups : sequence, shape (n_windows,)
        Group of each *training* window.
    fraction : float
        Share of the groups, between 0 and 1; at least one is held out.
    seed : int
        Of the choice.
    labels : sequence, shape (n_windows,), optional
        With these, a choice that would rob the rest of a class is not taken.
    fewest : int
        Number of groups below which none is held out.

    Returns
    -------
    ndarray of bool, shape (n_windows,), or None
        True where a window is held out; None with fewer than `fewest` groups, for a
        fraction of 0, or where no choice leaves every class to train on.
    """
    groups = np.asarray(groups)
    names = np.unique(groups)
    if len(names) < max(fewest, 2) or fraction <= 0:
        return None
    count = min(max(1, round(fraction * len(names))), len(names) - 1)
    order = np.random.default_rng(seed).permutation(names)
    for start in range(len(names)):
        held = np.isin(groups, np.roll(order, -start)[:count])
        if labels is None:
            return held
        seen = np.asarray(labels)
        if len(np.unique(seen[~held])) == len(np.unique(seen)):
            return held
    return None


def natural_codes(values: pd.Series) -> np.ndarray:
    """Rank values in their natural order, "2" before "10".

    Parameters
    ----------
    values : Series of str
        Such as session or run labels; missing ones count as the empty string.

    Returns
    -------
    ndarray of int, shape (n_windows,)
        Equal for equal values.
    """

    def key(text: str) -> list[tuple[int, int, str]]:
        parts = re.findall(r"\d+|\D+", text)
        return [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in parts]

    texts = values.astype("string").fillna("").to_numpy(dtype=object)
    order = {text: code for code, text in enumerate(sorted(set(texts), key=key))}
    return np.array([order[text] for text in texts], dtype=np.int64)


def shuffle_within(groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw a permutation that moves rows only within their group.

    Parameters
    ----------
    groups : ndarray of int, shape (n,)
        Group of each row.
    rng : Generator
        Source of the draw.

    Returns
    -------
    ndarray of int, shape (n,)
        ``values[shuffle_within(groups, rng)]`` are the shuffled values.
    """
    order = np.empty(len(groups), dtype=np.int64)
    order[np.argsort(groups, kind="stable")] = np.lexsort(
        (rng.random(len(groups)), groups)
    )
    return order


def event_names(table: pd.DataFrame) -> np.ndarray:
    """Name of the event that each window is of, str (n_windows,)."""
    names = table["recording"].astype(str) + " " + table["block"].astype(str)
    return names.to_numpy(dtype=str)


def event_shuffler(table: pd.DataFrame, rng: np.random.Generator) -> Shuffle:
    """Make a function that shuffles labels among the events of each run.

    Windows of one event stay alike: they share frames or, at least, a response, and
    were each given a label of its own, the null would be narrower than chance is.

    Parameters
    ----------
    table : DataFrame
        Windows with ``recording`` and ``block``; without the latter each window is an
        event.
    rng : Generator
        Source of the draws.

    Returns
    -------
    callable
        From the class of each window, int (n_windows,) and the same within an event, to
        shuffled ones.
    """
    runs = pd.factorize(table["recording"])[0]
    event = np.arange(len(table))
    if "block" in table:
        event = pd.factorize(event_names(table))[0]
    _, first = np.unique(event, return_index=True)

    def shuffle(targets: np.ndarray) -> np.ndarray:
        order = shuffle_within(runs[first], rng)
        return np.asarray(targets)[first][order][event]

    return shuffle
