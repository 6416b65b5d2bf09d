"""What was fitted to which windows, declared by the code that fitted it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd

from boldformer.data.atomic import write_tsv
from boldformer.errors import InputError

Purpose = Literal["fit", "stop", "select"]
PURPOSES: tuple[str, ...] = get_args(Purpose)
EVERY_FOLD = -1
_COLUMNS = ("what", "purpose", "fold", "n_windows", "windows")


@dataclass(frozen=True, eq=False)
class Use:
    """Windows that something was fitted to.

    Parameters
    ----------
    what : str
        What was fitted, such as "scaler" or "early stopping".
    purpose : {"fit", "stop", "select"}
        Whether the windows fitted it, stopped its training or chose between several.
    fold : int
        Index of the fold that it serves; `EVERY_FOLD` where it serves all.
    rows : ndarray of int, shape (n,)
        Rows of the window table.
    """

    what: str
    purpose: Purpose
    fold: int
    rows: np.ndarray


@dataclass
class FitLog:
    """All that an evaluation fitted; the audit holds it against the split.

    Parameters
    ----------
    uses : list of Use
        In the order of their recording.

    Examples
    --------
    >>> log = FitLog()
    >>> log.record("scaler", [0, 1, 2], fold=0)
    >>> log.record("early stopping", [3], fold=0, purpose="stop")
    >>> len(log)
    2
    """

    uses: list[Use] = field(default_factory=list)

    def record(
        self,
        what: str,
        rows: np.ndarray | list[int],
        *,
        fold: int = EVERY_FOLD,
        purpose: Purpose = "fit",
    ) -> None:
        """Declare that `what` was fitted to (or stopped or chosen by) some windows."""
        if purpose not in PURPOSES:
            raise InputError(
                "unknown purpose of a fit",
                wanted=" or ".join(PURPOSES),
                received=repr(purpose),
            )
        self.uses.append(Use(what, purpose, fold, np.unique(np.asarray(rows, int))))

    def extend(
        self,
        uses: Iterable[Use],
        *,
        rows: np.ndarray | None = None,
        fold: int | None = None,
        prefix: str = "",
    ) -> None:
        """Take in what other code declared.

        Parameters
        ----------
        uses : iterable of Use
            What it fitted.
        rows : ndarray of int, shape (n_given,), optional
            Where the windows that the code was given are in the window table, if it
            numbered them from 0.
        fold : int, optional
            The fold that all of it serves, if not what the code said.
        prefix : str
            Put before each name.
        """
        for use in uses:
            self.record(
                f"{prefix}{use.what}",
                use.rows if rows is None else np.asarray(rows)[use.rows],
                fold=use.fold if fold is None else fold,
                purpose=use.purpose,
            )

    def __iter__(self) -> Iterator[Use]:
        """Iterate over what was recorded."""
        return iter(self.uses)

    def __len__(self) -> int:
        """Count what was recorded."""
        return len(self.uses)

    def write(self, path: str | Path) -> None:
        """Write as TSV, one row a use; windows as ranges such as ``0-11,24-35``."""
        rows = [
            (use.what, use.purpose, use.fold, len(use.rows), _to_ranges(use.rows))
            for use in self.uses
        ]
        write_tsv(path, pd.DataFrame(rows, columns=list(_COLUMNS)))

    @classmethod
    def read(cls, path: str | Path) -> FitLog:
        """Read what `write` wrote.

        Raises
        ------
        InputError
            When the file is none, or lacks columns.
        """
        try:
            table = pd.read_csv(path, sep="\t", dtype={"windows": str})
            log = cls()
            for row in table[list(_COLUMNS)].fillna({"windows": ""}).itertuples():
                listed = _from_ranges(row.windows)
                log.record(
                    str(row.what), listed, fold=int(row.fold), purpose=row.purpose
                )
        except (OSError, ValueError, KeyError) as error:
            raise InputError(
                f"cannot read the protocol {str(path)!r}",
                wanted=f"columns {', '.join(_COLUMNS)}",
                received=str(error),
            ) from None
        return log


def _to_ranges(rows: np.ndarray) -> str:
    """Shorten ascending numbers to ranges; `_from_ranges` gives them back."""
    runs = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1) if len(rows) else []
    return ",".join(
        f"{run[0]}" if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs
    )


def _from_ranges(text: str) -> np.ndarray:
    ends = [part.partition("-") for part in text.split(",") if part]
    parts = [np.arange(int(a), int(b or a) + 1) for a, _, b in ends]
    return np.concatenate([np.empty(0, np.int64), *parts])
