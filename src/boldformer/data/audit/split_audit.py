"""What training and test windows share that would make a score meaningless."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from boldformer.data.audit import designs, sharing
from boldformer.data.audit.findings import NOT_CHECKED, VERDICTS, AuditCheck
from boldformer.data.audit.fingerprints import Copy
from boldformer.data.audit.fit_log import FitLog
from boldformer.data.audit.predictability import (
    predict_from_motion,
    predict_from_properties,
)
from boldformer.data.splits import Splits
from boldformer.errors import LeakageError

__all__ = ["VERDICTS", "Audit", "AuditCheck", "audit"]


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
        """The worst verdict of the checks; of those that were made, if any was."""
        return max((check.verdict for check in self.checks), key=VERDICTS.index)

    @property
    def unchecked(self) -> tuple[str, ...]:
        """Names of the questions that could not be put."""
        return tuple(c.name for c in self.checks if c.verdict == NOT_CHECKED)

    @property
    def summary(self) -> str:
        """The verdict, what was found where it is not clean, what was not checked."""
        bad = self.verdict in ("warning", "leak")
        found = [c for c in self.checks if bad and c.verdict == self.verdict]
        said = [self.verdict, *(f"{c.name}: {c.evidence}" for c in found)]
        if self.unchecked:
            n = f"{len(self.unchecked)} of {len(self.checks)}"
            said.append(f"{n} not checked ({', '.join(self.unchecked)})")
        return "; ".join(said)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: ``verdict``, ``not_checked`` (names) and ``checks``."""
        checks = [
            dataclasses.asdict(check) | {"windows": list(check.windows)}
            for check in self.checks
        ]
        unchecked = list(self.unchecked)
        return {"verdict": self.verdict, "not_checked": unchecked, "checks": checks}

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


def audit(
    table: pd.DataFrame,
    splits: Splits,
    *,
    copies: Sequence[Copy] | None = None,
    nuisance: pd.DataFrame | None = None,
    protocol: FitLog | None = None,
    seed: int = 0,
) -> Audit:
    """Look for leaks between the two sides of every fold, and for telling designs.

    A *leak* is something that both sides of a fold share: a subject, family or session
    (when subjects are to be kept apart), a run, a block, a frame, one scan under two
    names, or something fitted to test groups. A *warning* is a design in which labels
    can be told without brain signal (see `boldformer.data.audit.predictability` for how
    that is tested), windows that are there twice, or people in spaces of their own.

    Parameters
    ----------
    table : DataFrame, index 0 … n-1
        Window table with at least ``subject``, ``recording`` and ``label``; what other
        columns tell is checked where they are there.
    splits : Splits
        Folds.
    copies : sequence of Copy, optional
        What `boldformer.data.audit.fingerprints.find_copies` found among the runs;
        without it only runs of the same ``content_hash`` are known to be copies.
    nuisance : DataFrame, optional
        Motion of each window, as `boldformer.data.windows.WindowSet.nuisance` has it.
    protocol : FitLog, optional
        What the evaluation fitted to which windows.
    seed : int
        Of the shuffles behind the warnings.

    Returns
    -------
    Audit
        Verdict and evidence.
    """
    properties = predict_from_properties(table, splits, seed=seed)
    motion = predict_from_motion(nuisance, table, splits, seed=seed)
    checks = [
        sharing.check_subjects(table, splits),
        sharing.check_families(table, splits),
        sharing.check_sessions(table, splits),
        sharing.check_runs(table, splits),
        sharing.check_blocks(table, splits),
        sharing.check_frames(table, splits),
        sharing.check_twice(table),
        sharing.check_content(table, splits, copies),
        *sharing.check_fits(table, splits, protocol),
        designs.check_told("timing", [p for p in properties if p.name != "site"]),
        designs.check_told("motion", motion),
        designs.check_sites(table, [p for p in properties if p.name == "site"]),
        designs.check_classes(table, splits),
        designs.check_space(table, splits),
    ]
    return Audit(tuple(checks))
