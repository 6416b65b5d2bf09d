"""Which classes have a side, so that mirrored brains would be labelled wrongly."""

from __future__ import annotations

import re
from collections.abc import Sequence

from boldformer.data.ontology import read_ontology
from boldformer.errors import InputError


def refuse_sides(classes: Sequence[str]) -> None:
    """Refuse left-right flips for classes that have a side, or whose names are unknown.

    Parameters
    ----------
    classes : sequence of str
        Names of the classes; those that `read_ontology` gives a side, or that have one
        of the words left, right, l, r, lh, rh, lf and rf in them, are lateralised.

    Raises
    ------
    InputError
        When there is such a class, or no name at all.
    """
    if not len(classes):
        raise InputError(
            "flip_x needs to know the classes",
            wanted="the names of the classes, to see whether any has a side",
        )
    ontology = read_ontology()
    known = set(ontology.loc[ontology["side"] != "", "trial_type"].str.lower())
    sided = [name for name in classes if name.lower() in known or _has_side(name)]
    if sided:
        raise InputError(
            "flip_x would turn left into right",
            wanted="classes without a side",
            received=", ".join(sided),
            fix="leave flip_x off",
        )


def _has_side(name: str) -> bool:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
    return bool(re.search(r"\b(left|right)|\b([lr][hf]?)\b", spaced.replace("_", " ")))
