"""What folds are, and the tables that they are written to and read from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from boldformer.data.atomic import write_tsv
from boldformer.data.tables import numbers, read_table
from boldformer.errors import InputError

# What a split file may name instead of windows.
_KEYS = ("window", "recording", "subject")
# What says, beside its number, which window is meant.
_IDENTITY = ("subject", "recording", "onset")


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

    @property
    def parts(self) -> tuple[Splits, ...]:
        """The repeats: folds in their order, none testing a window for a second time.

        A fold that tests a window which the repeat has tested already begins the next.
        """
        repeats: list[list[Fold]] = [[]]
        seen: set[int] = set()
        for fold in self.folds:
            tested = set(fold.test.tolist())
            if seen & tested:
                repeats.append([])
                seen = set()
            repeats[-1].append(fold)
            seen |= tested
        return tuple(replace(self, folds=tuple(folds)) for folds in repeats)

    @property
    def repeats(self) -> int:
        """Number of `parts`."""
        return len(self.parts)

    def to_table(self, windows: pd.DataFrame) -> pd.DataFrame:
        """List which window is on which side of which fold.

        Parameters
        ----------
        windows : DataFrame
            The window table.

        Returns
        -------
        DataFrame
            One row a window and fold: ``window``; ``subject``, ``recording`` and
            ``onset`` as far as `windows` has them; ``fold`` and ``set``.
        """
        parts = [
            pd.DataFrame({"window": rows, "fold": fold.index, "set": name})
            for fold in self.folds
            for name, rows in (("train", fold.train), ("test", fold.test))
        ]
        table = pd.concat(parts, ignore_index=True)
        table = table.sort_values(["fold", "window"], ignore_index=True)
        for place, name in enumerate(_identity(windows), start=1):
            named = windows[name].to_numpy()[table["window"]]
            table.insert(place, name, named)
        return table

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
            may be left out of a fold. Instead of ``window`` it may have ``recording``
            or ``subject``, for all windows of one; without ``fold`` it is one fold.
            Where it has ``window`` as well as these or ``onset``, windows are those
            they describe: of the same number, or found by recording and onset where
            numbers have shifted.
        windows : DataFrame
            The window table.
        scheme : str
            How the folds were made; a count of the folds when empty.
        seed : int
            The seed they were made with.

        Raises
        ------
        InputError
            For missing columns, windows that do not exist or are others than the
            table describes, a window named twice in a fold, or a fold without a
            training or test window.
        """
        table = _by_window(table, windows)
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

    def write(self, path: str | Path, windows: pd.DataFrame) -> None:
        """Write `to_table` as TSV."""
        write_tsv(path, self.to_table(windows))

    @classmethod
    def read(
        cls, path: str | Path, windows: pd.DataFrame, *, scheme: str = "", seed: int = 0
    ) -> Splits:
        """Read what `write` wrote; see `from_table`."""
        path = Path(path)
        table = read_table(path, (), InputError)
        for name in {"window", "fold", "onset"} & set(table):
            table[name] = numbers(path, table[name], InputError)
        return cls.from_table(table, windows, scheme=scheme, seed=seed)


def _by_window(table: pd.DataFrame, windows: pd.DataFrame) -> pd.DataFrame:
    """Spell out a split that names subjects or recordings, window by window."""
    table = table if "fold" in table else table.assign(fold=0)
    key = next((name for name in _KEYS if name in table), "window")
    if key == "window":
        return _renumbered(table, windows)
    # BIDS tables say sub-01 where the entity is 01.
    plain = {
        side: _plain(frame, key)
        for side, frame in (("split", table), ("windows", windows))
    }
    strange = sorted(set(plain["split"]) - set(plain["windows"]))
    if strange:
        raise InputError(
            f"the split names a {key} that has no window",
            wanted=f"one of {', '.join(sorted(set(plain['windows']))[:5])} …",
            received=strange[0],
        )
    numbered = pd.DataFrame({"window": np.arange(len(windows)), key: plain["windows"]})
    named = table[["fold", "set"]].assign(**{key: plain["split"]})
    return numbered.merge(named, on=key).drop(columns=key)


def _identity(table: pd.DataFrame) -> list[str]:
    return [name for name in _IDENTITY if name in table]


def _plain(table: pd.DataFrame, name: str) -> pd.Series:
    """Return what is compared of a column: names as text, times in milliseconds."""
    if name == "onset":
        return (1000 * pd.to_numeric(table[name], errors="coerce")).round()
    named = table[name].astype(str)
    return named.str.removeprefix("sub-") if name == "subject" else named


def _renumbered(table: pd.DataFrame, windows: pd.DataFrame) -> pd.DataFrame:
    """Give windows the numbers of `windows`, going by what the split says of them."""
    names = [name for name in _identity(table) if name in windows]
    if "window" not in table or not names:
        return table
    wanted = pd.DataFrame({name: _plain(table, name) for name in names})
    there = pd.DataFrame({name: _plain(windows, name) for name in names})
    numbers = pd.to_numeric(table["window"], errors="coerce")
    numbered = there.reindex(numbers).set_axis(wanted.index)
    lost = ~wanted.eq(numbered).all(axis=1)
    keys = pd.MultiIndex.from_frame(there)
    # Further windows of an event begin later, which a split does not say.
    if lost.any() and {"recording", "onset"} <= set(names) and keys.is_unique:
        found = keys.get_indexer(pd.MultiIndex.from_frame(wanted))
        table = table.assign(window=found)
        lost = pd.Series(found < 0, index=table.index)
    if lost.any():
        first = ", ".join(f"{name} {table[lost].iloc[0][name]}" for name in names)
        raise InputError(
            "the split was made for other windows",
            wanted=f"windows that agree in {', '.join(names)}",
            received=f"{int(lost.sum())} rows without one, the first: {first}",
            fix="use the settings of the run that wrote the split (--config), or "
            "another split",
        )
    return table


def _check_split_table(table: pd.DataFrame, n_windows: int) -> None:
    missing = [name for name in ("window", "fold", "set") if name not in table]
    if missing:
        raise InputError(
            "the split table lacks columns",
            wanted="window (or recording, or subject), fold, set",
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
