"""Leaks: what training and test windows of a fold must not share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from boldformer.data.audit.findings import AuditCheck, clean, leak, not_checked, warning
from boldformer.data.audit.fingerprints import Copy
from boldformer.data.audit.fit_log import EVERY_FOLD, FitLog, Use
from boldformer.data.groups import event_names, families_of, split_groups
from boldformer.data.splits import Fold, Splits


def check_subjects(table: pd.DataFrame, splits: Splits) -> AuditCheck:
    """Ask whether a subject is on both sides, where subjects are to be kept apart."""
    if splits.unit == "run":
        return not_checked(
            "subject",
            "Each fold trains and tests on one subject, on purpose: "
            "scores hold for people the decoder has seen, not for new ones.",
        )
    advice = "Split by subject, or decode within each subject (unit 'run')."
    return _check("subject", table["subject"], splits, advice)


def check_families(table: pd.DataFrame, splits: Splits) -> AuditCheck:
    """Ask whether relatives are on both sides."""
    families = families_of(table)
    if splits.unit == "run":
        return not_checked("family", "Each fold stays within one subject.")
    if not (families != "").any():
        evidence = "No family is named in the participants table."
        return not_checked("family", evidence)
    alone = "subject " + table["subject"].astype(str)
    advice = "Keep families together: leave the split to the 'family' column."
    # A subject on both sides is the subject check's finding, not a family's.
    return _check("family", families.where(families != "", alone), splits, advice)


def check_sessions(table: pd.DataFrame, splits: Splits) -> AuditCheck:
    """Ask whether a session is on both sides; among runs of one person that warns."""
    if "session" not in table or not table["session"].fillna("").astype(str).any():
        return not_checked("session", "No session is named.")
    sessions = table["subject"].astype(str) + " " + table["session"].astype(str)
    if splits.unit == "subject":
        advice = "Put all windows of a session on one side; split by subject."
        return _check("session", sessions, splits, advice)
    n_sessions = sessions.groupby(table["subject"].astype(str)).nunique()
    found = _check("session", sessions, splits, "")
    if found.verdict == "clean" or n_sessions.max() == 1:
        return clean("session", "No subject has sessions on both sides to keep apart.")
    return warning(
        "session",
        f"{found.evidence} Scores hold within a session, not for another day.",
        "Leave whole sessions out with a split file to claim more.",
        _rows_shared(sessions, splits),
    )


def check_runs(table: pd.DataFrame, splits: Splits) -> AuditCheck:
    """Ask whether a run is on both sides."""
    advice = "Put all windows of a run on one side; split by subject or by run."
    return _check("run", table["recording"], splits, advice)


def check_blocks(table: pd.DataFrame, splits: Splits) -> AuditCheck:
    """Ask whether windows of one event are on both sides."""
    if "block" not in table:
        return not_checked("block", "The events of the windows are not known.")
    blocks = pd.Series(event_names(table), index=table.index)
    advice = "Put all windows of an event on one side."
    return _check("block", blocks, splits, advice)


def check_frames(table: pd.DataFrame, splits: Splits) -> AuditCheck:
    """Ask whether a frame is read by windows on both sides."""
    if not {"first_frame", "n_frames"} <= set(table):
        return not_checked("frames", "The frames of the windows are not known.")
    lengths = table["n_frames"].to_numpy()
    owner = np.repeat(np.arange(len(table)), lengths)
    within = np.arange(len(owner)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    frame = table["first_frame"].to_numpy()[owner] + within
    recording = pd.factorize(table["recording"])[0][owner]
    cell = recording * (int(frame.max()) + 1) + frame

    def overlapping(fold: Fold) -> np.ndarray:
        trains, tests = np.zeros((2, len(table)), dtype=bool)
        trains[fold.train] = tests[fold.test] = True
        taken = np.zeros(int(cell.max()) + 1, dtype=bool)
        taken[cell[trains[owner]]] = True
        return np.unique(owner[tests[owner] & taken[cell]])

    found = _by_fold(overlapping, splits)
    if not found:
        return clean("frames", "No test window shares a frame with a training window.")
    rows = np.unique(np.concatenate(list(found.values())))
    return leak(
        "frames",
        f"{len(rows)} test windows in {len(found)} of {len(splits.folds)} folds share "
        "frames with training windows.",
        "Put windows that overlap on one side; split by subject or by run.",
        rows,
    )


def check_twice(table: pd.DataFrame) -> AuditCheck:
    """Ask whether two windows of one run have the same frames, on whichever side."""
    frames = ["recording", "first_frame", "n_frames"]
    if not set(frames) <= set(table):
        return not_checked("twice", "The frames of the windows are not known.")
    same = table.duplicated(frames, keep=False)
    if not same.any():
        return clean("twice", "No two windows of a run have the same frames.")
    labels = table[same].groupby(frames)["label"].nunique()
    n_double = int((labels > 1).sum())
    under = f", {n_double} of them under several labels" if n_double else ""
    return warning(
        "twice",
        f"{int(same.sum())} windows share all their frames with another of their run: "
        f"{len(labels)} stretches{under}.",
        "They are not independent: count each stretch once, under one label.",
        np.flatnonzero(same),
    )


def check_content(
    table: pd.DataFrame, splits: Splits, copies: Sequence[Copy] | None
) -> AuditCheck:
    """Ask whether one scan is on both sides under two names."""
    looked = ["content_hash" in table, copies is not None]
    if not any(looked):
        return not_checked("content", "The runs were not read.")
    pairs = [*_exact_copies(table), *(copies or ())]
    found = [(c, _rows_across(c, table, splits)) for c in pairs]
    across = [(c, rows) for c, rows in found if len(rows)]
    certain = [(c, rows) for c, rows in across if c.certain]
    advice = "Remove the copy, or correct the recording it stands for."
    if certain:
        return leak(
            "content", _name_copies(certain, "across sides"), advice, _all(certain)
        )
    together = [(c, rows) for c, rows in found if c.certain]
    if together:
        return warning("content", _name_copies(together, "not across sides"), advice)
    if across:
        advice = "Look whether they are one scan; if they are, remove one."
        evidence = _name_copies(across, "across sides")
        return warning("content", evidence, advice, _all(across))
    how = "" if copies is not None else " (re-saved copies were not looked for)"
    n_runs = table["recording"].nunique()
    return clean("content", f"All {n_runs} runs differ in content{how}.")


def check_fits(
    table: pd.DataFrame, splits: Splits, protocol: FitLog | None
) -> list[AuditCheck]:
    """Ask whether anything was fitted, stopped or chosen by test windows."""
    if protocol is None:
        return []
    groups = split_groups(table, splits.unit)
    kinds = {
        "fitting": [use for use in protocol if use.purpose == "fit"],
        "stopping": [use for use in protocol if use.purpose == "stop"],
        "selection": [use for use in protocol if use.purpose == "select"],
    }
    return [_check_uses(name, uses, groups, splits) for name, uses in kinds.items()]


def _check_uses(
    name: str, uses: list[Use], groups: np.ndarray, splits: Splits
) -> AuditCheck:
    if not uses:
        return not_checked(name, f"No {name} by windows was declared.")
    tested: dict[str, list[np.ndarray]] = {}
    outside: dict[str, list[np.ndarray]] = {}
    for use in uses:
        for fold in splits.folds:
            if use.fold not in (fold.index, EVERY_FOLD):
                continue
            strange = np.setdiff1d(use.rows, fold.train)
            # A window that no side holds still tells of the test group it is from.
            bad = strange[np.isin(groups[strange], groups[fold.test])]
            if len(bad):
                tested.setdefault(use.what, []).append(bad)
            elif len(strange):
                outside.setdefault(use.what, []).append(strange)
    where, found = ("test groups", tested) if tested else ("other groups", outside)
    if not found:
        names = ", ".join(sorted({use.what for use in uses}))
        return clean(name, f"Training windows only: {names}.")
    what, parts = next(iter(found.items()))
    rows = np.concatenate([part for some in found.values() for part in some])
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    evidence = (
        f"In {len(parts)} of {len(splits.folds)} folds the {what} saw windows of "
        f"{where}{more}; {len(np.unique(rows))} windows in all."
    )
    advice = f"Leave the {what} to training windows of its fold alone."
    return (leak if tested else warning)(name, evidence, advice, rows)


# --- what the checks are made of --------------------------------------------------


def _by_fold(
    rows_of: Callable[[Fold], np.ndarray], splits: Splits
) -> dict[int, np.ndarray]:
    found = {fold.index: rows_of(fold) for fold in splits.folds}
    return {index: rows for index, rows in found.items() if len(rows)}


def _shared(codes: np.ndarray, splits: Splits) -> dict[int, np.ndarray]:
    """Test windows whose value training windows have too, by fold."""
    return _by_fold(
        lambda fold: fold.test[np.isin(codes[fold.test], codes[fold.train])], splits
    )


def _rows_shared(values: pd.Series, splits: Splits) -> np.ndarray:
    found = _shared(pd.factorize(values.astype(str))[0], splits)
    return np.concatenate([np.empty(0, np.int64), *found.values()])


def _check(name: str, values: pd.Series, splits: Splits, advice: str) -> AuditCheck:
    codes, names = pd.factorize(values.astype(str))
    shared = _shared(codes, splits)
    if not shared:
        return clean(name, f"No {name} is on both sides of a fold.")
    fold, rows = next(iter(shared.items()))
    held = names[np.unique(codes[rows])]
    more = f" and {len(held) - 1} more" if len(held) > 1 else ""
    evidence = (
        f"In {len(shared)} of {len(splits.folds)} folds a {name} is on both sides; "
        f"in fold {fold}: {held[0]}{more}."
    )
    return leak(name, evidence, advice, np.concatenate(list(shared.values())))


def _exact_copies(table: pd.DataFrame) -> list[Copy]:
    if "content_hash" not in table:
        return []
    runs = table[["recording", "content_hash"]].dropna().drop_duplicates()
    return [
        Copy(first, other, 1.0, certain=True)
        for _, names in runs.groupby("content_hash")["recording"]
        for first in names.iloc[:1]
        for other in names.iloc[1:]
    ]


def _rows_across(copy: Copy, table: pd.DataFrame, splits: Splits) -> np.ndarray:
    """Test windows of a run whose copy is trained on."""
    first, second = (
        (table["recording"] == name).to_numpy() for name in (copy.first, copy.second)
    )

    def rows(fold: Fold) -> np.ndarray:
        parts = [
            fold.test[mine[fold.test]]
            for mine, other in ((first, second), (second, first))
            if other[fold.train].any()
        ]
        return np.concatenate([np.empty(0, np.int64), *parts])

    found = _by_fold(rows, splits)
    return np.concatenate([np.empty(0, np.int64), *found.values()])


def _all(found: list[tuple[Copy, np.ndarray]]) -> np.ndarray:
    return np.concatenate([rows for _, rows in found])


def _name_copies(found: list[tuple[Copy, np.ndarray]], where: str) -> str:
    names = {name for copy, _ in found for name in (copy.first, copy.second)}
    copy = found[0][0]
    holds = "hold" if copy.certain else "may hold"
    return (
        f"{len(names)} runs {holds} the same scan as another, {where} "
        f"({copy.first} and {copy.second}: similarity {copy.similarity:.2f})."
    )
