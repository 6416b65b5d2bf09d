"""Numbers with their nouns, as sentences need them."""

from __future__ import annotations


def plural(noun: str) -> str:
    """Write a noun for several: ``runs``, ``families``, ``classes``."""
    if noun.endswith("family"):
        return f"{noun[:-1]}ies"
    return f"{noun}es" if noun.endswith("s") else f"{noun}s"


def count(n: int, noun: str) -> str:
    """Write a number with its noun: ``1 run``, ``1,200 windows``, ``2 classes``."""
    return f"{n:,} {noun if n == 1 else plural(noun)}"
