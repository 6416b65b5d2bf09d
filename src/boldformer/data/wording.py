"""Numbers with their nouns and names in a row, as sentences need them."""

from __future__ import annotations

from collections.abc import Sequence

_SHORT = 15  # seconds that need no announcement


def plural(noun: str) -> str:
    """Write a noun for several: ``runs``, ``families``, ``classes``."""
    if noun.endswith("family"):
        return f"{noun[:-1]}ies"
    return f"{noun}es" if noun.endswith(("s", "ch")) else f"{noun}s"


def count(n: int, noun: str) -> str:
    """Write a number with its noun: ``1 run``, ``1,200 windows``, ``2 classes``."""
    return f"{n:,} {noun if n == 1 else plural(noun)}"


def first_of(names: Sequence[str], shown: int = 1) -> str:
    """Join the first of some names, and say how many more there are."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def time_left(n_done: int, n_all: int, seconds: float) -> str:
    """Tell how long the rest will take, to end a line with; empty for a moment.

    Parameters
    ----------
    n_done, n_all : int
        Pieces of about the same size that are done, and all of them.
    seconds : float
        Taken by those that are done.
    """
    left = seconds / n_done * (n_all - n_done)
    if left < _SHORT:
        return ""
    told = f"{left / 60:.0f} min" if left >= 90 else f"{left:.0f} s"
    return f"; about {told} to go"
