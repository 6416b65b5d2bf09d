"""Designs in which labels can be told without looking at the brain."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from boldformer.data.audit.findings import AuditCheck, clean, not_checked, warning
from boldformer.data.audit.predictability import Predictability
from boldformer.data.splits import Splits

# Names of spaces that each person, or each run, has of their own.
_OWN_SPACES = ("", "t1w", "t2w", "individual", "scanner", "orig", "func", "boldref")


def check_told(name: str, found: Sequence[Predictability]) -> AuditCheck:
    """Ask whether labels follow from some properties of their windows."""
    if not found:
        return not_checked(
            name, f"Nothing about the {name} varies, or it is not known."
        )
    telling = [p for p in found if p.suspicious]
    shown = telling or [max(found, key=lambda p: p.score - p.expected)]
    numbers = "; ".join(
        f"{p.name}: balanced accuracy {p.score:.2f}, {p.expected:.2f} when shuffled, "
        f"corrected p = {p.p_value:.3f}"
        for p in shown
    )
    if not telling:
        evidence = f"Labels do not follow from the {name}; nearest is the {numbers}."
        return clean(name, evidence)
    return warning(
        name,
        f"Labels can be told without brain signal. {numbers[0].upper()}{numbers[1:]}.",
        "Compare with the nuisance-only decoder, and do not read the score as "
        "brain decoding alone.",
    )


def check_sites(table: pd.DataFrame, found: Sequence[Predictability]) -> AuditCheck:
    """Ask whether the site tells the class, by count and by prediction."""
    if "site" not in table:
        return check_told("site", found)
    sites = table["site"].fillna("").astype(str)
    counts = pd.crosstab(table["label"].astype(str)[sites != ""], sites[sites != ""])
    lacking = counts.index[(counts == 0).any(axis=1)]
    if not len(lacking):
        return check_told("site", found)
    at = ", ".join(counts.columns[counts.loc[lacking[0]] > 0])
    more = f"; {len(lacking)} classes lack a site" if len(lacking) > 1 else ""
    return warning(
        "site",
        f"Class {lacking[0]!r} occurs only at site {at} of {counts.shape[1]}{more}.",
        "What marks the site also marks the class: use sites that have every class, "
        "or leave such classes out.",
    )


def check_space(table: pd.DataFrame, splits: Splits) -> AuditCheck:
    """Ask whether voxels stand for the same places in all who are decoded together."""
    if "space" not in table:
        return not_checked("space", "The spaces of the runs are not known.")
    if splits.unit == "run" or table["subject"].nunique() == 1:
        return not_checked("space", "Each fold stays within one subject.")
    spaces = table["space"].fillna("").astype(str)
    if "timing" in table and (table["timing"] == "map").all() and (spaces == "").all():
        return not_checked("space", "The space of the maps is not named.")
    own = spaces.str.casefold().isin(_OWN_SPACES)
    if not own.any() and spaces.nunique() == 1:
        return clean("space", f"All runs lie in {spaces.iloc[0]}.")
    named = ", ".join(sorted({name or "the scanner's" for name in spaces.unique()}))
    evidence = (
        f"{table['subject'][own].nunique()} subjects are decoded across each other "
        f"from images in their own spaces ({named}), on one grid by chance."
        if own.any()
        else f"Runs of different spaces are decoded together: {named}."
    )
    return warning(
        "space",
        evidence,
        "A voxel is not the same place in two people: use images in one standard space "
        "(--space), or decode within each subject.",
    )


def check_classes(table: pd.DataFrame, splits: Splits) -> AuditCheck:
    """Ask whether classes are spread over the subjects, and over time within runs."""
    unit = "recording" if splits.unit == "run" else "subject"
    per_run = table.groupby("recording")["label"].nunique()
    holders = table.groupby("label")[unit].nunique()
    n_units = table[unit].nunique()
    if len(per_run) > 1 and (per_run == 1).all():
        return warning(
            "classes",
            f"Each of the {len(per_run)} runs holds a single class.",
            "Anything that differs between runs tells the class, and centring a run "
            "removes its signal; prefer runs in which classes alternate.",
        )
    rare = holders[holders < n_units / 2]
    if len(rare):
        return warning(
            "classes",
            f"Class {rare.index[0]!r} occurs in {rare.iloc[0]} of {n_units} {unit}s.",
            f"What marks those {unit}s also marks the class; leave it out, or "
            f"balance the {unit}s.",
        )
    evidence = f"Every class occurs in at least half of the {n_units} {unit}s."
    return clean("classes", evidence)
