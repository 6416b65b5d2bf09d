"""What training and test windows share that would make a score meaningless."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from boldformer.data.groups import families_of
from boldformer.data.predictability import Predictability, predict_from_properties
from boldformer.data.splits import Splits
from boldformer.errors import LeakageError

VERDICTS = ("clean", "warning", "leak")


@dataclass(frozen=True)
class AuditCheck:
    """One question put to a split, and its answer.

    Parameters
    ----------
    name : str
        What was looked for.
    verdict : {"clean", "warning", "leak"}
        The answer.
    evidence : str
        What was found, with numbers.
    advice : str
        What to do about it; empty where nothing is amiss.
    """

    name: str
    verdict: str
    evidence: str
    advice: str = ""


@dataclass(frozen=True)
class Audit:
    """The answers to all questions.

    Parameters
    ----------
    checks : tuple of AuditCheck
        One answer a question.
    """

    checks: tuple[AuditCheck, ...]

    @property
    def verdict(self) -> str:
        """The worst verdict of the checks."""
        return max((check.verdict for check in self.checks), key=VERDICTS.index)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: ``verdict`` and ``checks``."""
        checks = [dataclasses.asdict(check) for check in self.checks]
        return {"verdict": self.verdict, "checks": checks}

    def raise_if_leaky(self, allow_leakage: bool = False) -> None:
        """Stop at a leak, unless it was asked for.

        Raises
        ------
        LeakageError
            When a check found a leak and `allow_leakage` is false.
        """
        leaks = [check for check in self.checks if check.verdict == "leak"]
        if leaks and not allow_leakage:
            raise LeakageError(
                f"the split leaks ({', '.join(check.name for check in leaks)})",
                wanted="nothing shared by training and test windows",
                received=leaks[0].evidence.rstrip("."),
                fix=f"{leaks[0].advice.rstrip('.')}; or allow the leak "
                "(--allow-leakage), and every number is marked LEAKY",
            )


def audit(table: pd.DataFrame, splits: Splits, *, seed: int = 0) -> Audit:
    """Look for leaks between the two sides of every fold, and for telling designs.

    A *leak* is something that both sides of a fold share: a subject or family (when
    subjects are to be kept apart), a run, a block, a frame, or the same content under
    two names. A *warning* is a design in which labels can be told without brain signal;
    see `boldformer.data.predictability.predict_from_properties` for how that is tested.

    Parameters
    ----------
    table : DataFrame, index 0 … n-1
        Window table; ``content_hash``, ``family`` and ``site`` are optional.
    splits : Splits
        Folds.
    seed : int
        Of the shuffles behind the warnings.

    Returns
    -------
    Audit
        Verdict and evidence.
    """
    properties = predict_from_properties(table, splits, seed=seed)
    checks = [
        _subjects(table, splits),
        _families(table, splits),
        _shared_check(
            "run",
            table["recording"],
            splits,
            "Put all windows of a run on one side; split by subject or by run.",
        ),
        _shared_check(
            "block",
            table["recording"] + " " + table["block"].astype(str),
            splits,
            "Put all windows of an event on one side.",
        ),
        _frames(table, splits),
        _content(table, splits),
        _told_by("timing", [p for p in properties if p.name != "site"]),
        _told_by("site", [p for p in properties if p.name == "site"]),
        _classes(table, splits),
    ]
    return Audit(tuple(checks))


def _shared(values: pd.Series, splits: Splits) -> dict[int, list[str]]:
    """Values on both sides, by fold; folds that share nothing are left out."""
    codes, names = pd.factorize(values.astype(str))
    shared = {}
    for fold in splits.folds:
        both = np.intersect1d(codes[fold.train], codes[fold.test])
        if len(both):
            shared[fold.index] = [str(names[code]) for code in both]
    return shared


def _shared_check(
    name: str, values: pd.Series, splits: Splits, advice: str
) -> AuditCheck:
    shared = _shared(values, splits)
    if not shared:
        return AuditCheck(name, "clean", f"No {name} is on both sides of a fold.")
    fold, names = next(iter(shared.items()))
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    evidence = (
        f"In {len(shared)} of {len(splits.folds)} folds a {name} is on both sides; "
        f"in fold {fold}: {names[0]}{more}."
    )
    return AuditCheck(name, "leak", evidence, advice)


def _subjects(table: pd.DataFrame, splits: Splits) -> AuditCheck:
    if splits.unit == "run":
        return AuditCheck(
            "subject",
            "clean",
            "Each fold trains and tests on one subject, on purpose: "
            "scores hold for people the decoder has seen, not for new ones.",
        )
    advice = "Split by subject, or decode within each subject (unit 'run')."
    return _shared_check("subject", table["subject"], splits, advice)


def _families(table: pd.DataFrame, splits: Splits) -> AuditCheck:
    families = families_of(table)
    if splits.unit == "run":
        return AuditCheck("family", "clean", "Each fold stays within one subject.")
    if not (families != "").any():
        evidence = "No family is named in the participants table: not checked."
        return AuditCheck("family", "clean", evidence)
    alone = "subject " + table["subject"].astype(str)
    advice = "Keep families together: leave the split to the 'family' column."
    # A subject on both sides is the subject check's finding, not a family's.
    return _shared_check(
        "family", families.where(families != "", alone), splits, advice
    )


def _frames(table: pd.DataFrame, splits: Splits) -> AuditCheck:
    lengths = table["n_frames"].to_numpy()
    owner = np.repeat(np.arange(len(table)), lengths)
    within = np.arange(len(owner)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    frame = table["first_frame"].to_numpy()[owner] + within
    recording = pd.factorize(table["recording"])[0][owner]
    cell = recording * (int(frame.max()) + 1) + frame
    n_bad, n_folds = 0, 0
    for fold in splits.folds:
        trains, tests = np.zeros((2, len(table)), dtype=bool)
        trains[fold.train] = tests[fold.test] = True
        taken = np.zeros(int(cell.max()) + 1, dtype=bool)
        taken[cell[trains[owner]]] = True
        bad = len(np.unique(owner[tests[owner] & taken[cell]]))
        n_bad, n_folds = n_bad + bad, n_folds + bool(bad)
    if not n_bad:
        evidence = "No test window shares a frame with a training window."
        return AuditCheck("frames", "clean", evidence)
    return AuditCheck(
        "frames",
        "leak",
        f"{n_bad} test windows in {n_folds} of {len(splits.folds)} folds share frames "
        "with training windows.",
        "Put windows that overlap on one side; split by subject or by run.",
    )


def _content(table: pd.DataFrame, splits: Splits) -> AuditCheck:
    if "content_hash" not in table:
        return AuditCheck("content", "clean", "No hash of the runs: not checked.")
    runs = table[["recording", "content_hash"]].dropna().drop_duplicates()
    copies = runs[runs.duplicated("content_hash", keep=False)]
    if copies.empty:
        evidence = f"All {len(runs)} runs differ in content."
        return AuditCheck("content", "clean", evidence)
    first = copies[copies["content_hash"] == copies["content_hash"].iloc[0]]
    named = " and ".join(first["recording"].iloc[:2])
    evidence = f"{len(copies)} runs hold the same data as another ({named})."
    advice = "Remove the copy, or correct the recording it stands for."
    copied = table["content_hash"].isin(copies["content_hash"])
    # A hash of its own for every run that is no copy: only copies can be shared.
    across = _shared(table["content_hash"].where(copied, table["recording"]), splits)
    hashes = set(copies["content_hash"])
    leaks = any(hashes & set(names) for names in across.values())
    if not leaks:
        return AuditCheck(
            "content", "warning", f"{evidence[:-1]}, on one side.", advice
        )
    return AuditCheck("content", "leak", f"{evidence[:-1]}, across sides.", advice)


def _told_by(name: str, found: Sequence[Predictability]) -> AuditCheck:
    if not found:
        return AuditCheck(name, "clean", f"Nothing about the {name} varies.")
    telling = [p for p in found if p.suspicious]
    shown = telling or [max(found, key=lambda p: p.score - p.expected)]
    numbers = "; ".join(
        f"{p.name}: balanced accuracy {p.score:.2f}, {p.expected:.2f} when shuffled, "
        f"corrected p = {p.p_value:.3f}"
        for p in shown
    )
    if not telling:
        evidence = f"Labels do not follow from the {name}; nearest is the {numbers}."
        return AuditCheck(name, "clean", evidence)
    return AuditCheck(
        name,
        "warning",
        f"Labels can be told without brain signal. {numbers[0].upper()}{numbers[1:]}.",
        "Compare with the nuisance-only decoder, and do not read the score as "
        "brain decoding alone.",
    )


def _classes(table: pd.DataFrame, splits: Splits) -> AuditCheck:
    unit = "recording" if splits.unit == "run" else "subject"
    per_run = table.groupby("recording")["label"].nunique()
    holders = table.groupby("label")[unit].nunique()
    n_units = table[unit].nunique()
    if len(per_run) > 1 and (per_run == 1).all():
        return AuditCheck(
            "classes",
            "warning",
            f"Each of the {len(per_run)} runs holds a single class.",
            "Anything that differs between runs tells the class, and centring a run "
            "removes its signal; prefer runs in which classes alternate.",
        )
    rare = holders[holders < n_units / 2]
    if len(rare):
        return AuditCheck(
            "classes",
            "warning",
            f"Class {rare.index[0]!r} occurs in {rare.iloc[0]} of {n_units} {unit}s.",
            f"What marks those {unit}s also marks the class; leave it out, or "
            f"balance the {unit}s.",
        )
    evidence = f"Every class occurs in at least half of the {n_units} {unit}s."
    return AuditCheck("classes", "clean", evidence)
