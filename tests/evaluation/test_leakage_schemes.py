"""Four ways to split, matched training, shuffled blocks, and their scores."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score

from boldformer.data.audit.split_audit import audit
from boldformer.data.groups import event_shuffler
from boldformer.data.splits import Fold
from boldformer.errors import InputError
from boldformer.evaluation.leakage_schemes import (
    SCHEMES,
    match_training,
    scheme_folds,
)
from boldformer.evaluation.learning_curve import linear_predict
from boldformer.training.linear_decoder import gram_matrix

KEPT = {"block": "block", "run": "recording", "subject": "subject"}


def samples(
    subjects: int = 6, runs: int = 2, blocks: int = 6, volumes: int = 4
) -> pd.DataFrame:
    """Volumes of blocks of three classes in turn."""
    rows = [
        (f"{s:02d}", f"sub-{s:02d}_run-{r}", f"{s}-{r}@{b}", "abc"[b % 3])
        for s in range(subjects)
        for r in range(runs)
        for b in range(blocks)
        for _ in range(volumes)
    ]
    table = pd.DataFrame(rows, columns=["subject", "recording", "block", "label"])
    table["session"] = table["run"] = ""
    table["first_frame"] = table.groupby("recording").cumcount()
    return table.assign(n_frames=1)


def targets_of(table: pd.DataFrame) -> np.ndarray:
    return np.unique(table["label"], return_inverse=True)[1]


def is_shared(table: pd.DataFrame, fold: Fold, column: str) -> np.ndarray:
    values = table[column].to_numpy()
    return np.isin(values[fold.test], values[fold.train])


@given(
    scheme=st.sampled_from(list(SCHEMES)),
    seed=st.integers(0, 99),
    folds=st.integers(2, 6),
)
def test_folds_keep_together_what_the_scheme_says(
    scheme: str, seed: int, folds: int
) -> None:
    table = samples()
    splits = scheme_folds(table, scheme, folds=folds, seed=seed)
    tested = np.concatenate([fold.test for fold in splits.folds])
    np.testing.assert_array_equal(np.sort(tested), np.arange(len(table)))
    for fold in splits.folds:
        assert not set(fold.train) & set(fold.test)
        if scheme in KEPT:
            assert not is_shared(table, fold, KEPT[scheme]).any()
        if scheme in ("block", "run"):
            above = {"block": "recording", "run": "subject"}[scheme]
            assert is_shared(table, fold, above).all()


def test_a_test_volume_has_siblings_of_its_block_in_training() -> None:
    table = samples(volumes=8)
    for fold in scheme_folds(table, "volume", folds=3).folds:
        assert is_shared(table, fold, "block").mean() > 0.95


@pytest.mark.parametrize("scheme", list(SCHEMES))
def test_sizes_and_classes_are_even(scheme: str) -> None:
    table = samples()
    folds = scheme_folds(table, scheme, folds=3).folds
    sizes = [len(fold.test) for fold in folds]
    assert max(sizes) == min(sizes) == len(table) / 3
    for fold in folds:
        counts = table["label"].to_numpy()[fold.train]
        assert np.ptp(np.unique(counts, return_counts=True)[1]) <= 2


@pytest.mark.parametrize(
    ("scheme", "leaks"),
    [
        ("volume", {"subject", "run", "block"}),
        ("block", {"subject", "run"}),
        ("run", {"subject"}),
        ("subject", set()),
    ],
)
def test_audit_finds_what_is_shared(scheme: str, leaks: set[str]) -> None:
    table = samples(blocks=4)
    found = audit(table, scheme_folds(table, scheme)).checks
    assert {check.name for check in found if check.verdict == "leak"} == leaks


def test_training_sides_are_cut_to_the_smallest() -> None:
    table = samples().drop(index=range(7)).reset_index(drop=True)
    splits = {name: scheme_folds(table, name) for name in SCHEMES}
    matched = match_training(splits)
    fewest = min(len(f.train) for one in splits.values() for f in one.folds)
    for name, one in matched.items():
        for before, after in zip(splits[name].folds, one.folds, strict=True):
            assert len(after.train) == fewest
            assert set(after.train) <= set(before.train)
            np.testing.assert_array_equal(after.test, before.test)
    again = match_training(splits)
    assert [s.hash for s in again.values()] == [s.hash for s in matched.values()]


def test_bad_requests() -> None:
    table = samples(subjects=2)
    with pytest.raises(InputError, match="unknown way to split"):
        scheme_folds(table, "frame")
    with pytest.raises(InputError, match="3 folds cannot be made of 2 subjects"):
        scheme_folds(table, "subject", folds=3)
    alone = table.assign(label=np.where(table["subject"] == "00", "a", table["label"]))
    rare = alone[(alone["label"] != "b") | (alone["subject"] == "01")]
    with pytest.raises(InputError, match="class 'b' is missing"):
        scheme_folds(rare.reset_index(drop=True), "subject", folds=2)


def features(table: pd.DataFrame, seed: int, effect: float) -> np.ndarray:
    """What identifies subject, run and block, and an effect that all share.

    Features are more than samples, as voxels are: few of them cannot tell all blocks.
    """
    rng = np.random.default_rng(seed)
    parts = [rng.normal(size=(len(table), 1000))]
    for column in ("subject", "recording", "block"):
        names, codes = np.unique(table[column], return_inverse=True)
        parts.append(rng.normal(size=(len(names), 1000))[codes])
    pattern = rng.normal(size=(3, 1000))[targets_of(table)]
    return np.sum(parts, axis=0) + effect * pattern


def score(
    table: pd.DataFrame, values: np.ndarray, labels: np.ndarray, scheme: str
) -> float:
    predict, guess = linear_predict(gram_matrix(values), labels), np.empty(len(table))
    for fold in scheme_folds(table, scheme).folds:
        guess[fold.test] = predict(fold)
    return float(balanced_accuracy_score(labels, guess))


def test_blocks_that_are_recognised_score_without_any_effect() -> None:
    table = samples(subjects=9)
    values = features(table, 0, effect=0.0)
    found = {
        scheme: np.mean(
            [
                score(
                    table,
                    values,
                    event_shuffler(table, np.random.default_rng(seed))(
                        targets_of(table)
                    ),
                    scheme,
                )
                for seed in range(5)
            ]
        )
        for scheme in ("volume", "subject")
    }
    assert found["volume"] > 0.8
    # 9 subjects of 12 blocks, five shuffles: the standard error is about 0.02.
    assert abs(found["subject"] - 1 / 3) < 0.1


def test_a_shared_effect_survives_the_honest_split() -> None:
    table = samples(subjects=9)
    values = features(table, 0, effect=1.5)
    assert score(table, values, targets_of(table), "subject") > 0.7
