"""What was fitted to which windows, declared by the code that fitted it."""

from __future__ import annotations

from collections.abc import Iterator
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
_COLUMNS = ("what", "purpose", "fold", "window")


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
class Protocol:
    """All that an evaluation fitted; the audit holds it against the split.

    Parameters
    ----------
    uses : list of Use
        In the order of their recording.

    Examples
    --------
    >>> protocol = Protocol()
    >>> protocol.record("scaler", [0, 1, 2], fold=0)
    >>> protocol.record("early stopping", [3], fold=0, purpose="stop")
    >>> len(protocol)
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

    def __iter__(self) -> Iterator[Use]:
        """Iterate over what was recorded."""
        return iter(self.uses)

    def __len__(self) -> int:
        """Count what was recorded."""
        return len(self.uses)

    def write(self, path: str | Path) -> None:
        """Write as TSV: ``what``, ``purpose``, ``fold``, ``window``."""
        parts = [
            pd.DataFrame(
                {"what": u.what, "purpose": u.purpose, "fold": u.fold, "window": u.rows}
            )
            for u in self.uses
        ]
        write_tsv(path, pd.concat(parts) if parts else pd.DataFrame(columns=_COLUMNS))

    @classmethod
    def read(cls, path: str | Path) -> Protocol:
        """Read what `write` wrote.

        Raises
        ------
        InputError
            When the file is none, or lacks columns.
        """
        try:
            table = pd.read_csv(path, sep="\t")
            protocol = cls()
            keys = ["what", "purpose", "fold"]
            for (what, purpose, fold), part in table.groupby(keys, sort=False):
                rows = part["window"].to_numpy(np.int64)
                protocol.record(str(what), rows, fold=int(fold), purpose=purpose)
        except (OSError, ValueError, KeyError) as error:
            raise InputError(
                f"cannot read the protocol {str(path)!r}",
                wanted=f"columns {', '.join(_COLUMNS)}",
                received=str(error),
            ) from None
        return protocol
