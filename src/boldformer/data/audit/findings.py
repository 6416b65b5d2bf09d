"""One question that an audit puts to a split, and its answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

NOT_CHECKED = "not checked"
VERDICTS = (NOT_CHECKED, "clean", "warning", "leak")
MOST_WINDOWS = 50


@dataclass(frozen=True)
class AuditCheck:
    """One question put to a split, and its answer.

    Parameters
    ----------
    name : str
        What was looked for.
    verdict : {"not checked", "clean", "warning", "leak"}
        The answer; the first where the question could not be put.
    evidence : str
        What was found, with numbers.
    advice : str
        What to do about it; empty where nothing is amiss.
    n_windows : int
        How many test windows it concerns; 0 where it concerns the design as a whole.
    windows : tuple of int
        Rows of the window table that these are, the first `MOST_WINDOWS`.
    """

    name: str
    verdict: str
    evidence: str
    advice: str = ""
    n_windows: int = 0
    windows: tuple[int, ...] = ()


def not_checked(name: str, evidence: str) -> AuditCheck:
    """Answer that there was nothing to look at, which is no all-clear."""
    return AuditCheck(name, NOT_CHECKED, evidence)


def clean(name: str, evidence: str) -> AuditCheck:
    """Answer that nothing is amiss."""
    return AuditCheck(name, "clean", evidence)


def warning(name: str, evidence: str, advice: str, rows: Any = ()) -> AuditCheck:
    """Answer that a score needs care; `rows` are the test windows concerned."""
    return AuditCheck(name, "warning", evidence, advice, *_listed(rows))


def leak(name: str, evidence: str, advice: str, rows: Any = ()) -> AuditCheck:
    """Answer that a score means nothing; `rows` are the test windows concerned."""
    return AuditCheck(name, "leak", evidence, advice, *_listed(rows))


def _listed(rows: Any) -> tuple[int, tuple[int, ...]]:
    distinct = np.unique(np.asarray(rows, dtype=np.int64))
    return len(distinct), tuple(distinct[:MOST_WINDOWS].tolist())
