"""Folds keep groups apart, cover every window once, and survive a trip to disk."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boldformer.data.splits import (
    Splits,
    held_out_groups,
    make_folds,
    resampling_groups,
    split_groups,
)
from boldformer.errors import InputError


def windows(n_subjects=8, n_runs=2, classes=("a", "b", "c"), repeats=2):
    rows = [
        {"subject": f"{s:02d}", "session": "", "run": str(r), "label": label}
        for s in range(n_subjects)
        for r in range(1, n_runs + 1)
        for label in classes
        for _ in range(repeats)
    ]
    table = pd.DataFrame(rows)
    table["recording"] = "sub-" + table["subject"] + "_run-" + table["run"]
    table.insert(0, "window", np.arange(len(table)))
    return table


def sides(table, fold, column):
    return set(table[column].iloc[fold.train]), set(table[column].iloc[fold.test])


def each_tested_once(table, splits):
    tested = np.concatenate([fold.test for fold in splits.folds])
    return sorted(tested) == list(range(len(table)))


def test_several_subjects_are_kept_apart_by_default():
    table = windows(8)
    splits = make_folds(table)
    assert (splits.unit, len(splits.folds)) == ("subject", 5)
    assert each_tested_once(table, splits)
    for fold in splits.folds:
        train, test = sides(table, fold, "subject")
        assert not train & test


def test_few_subjects_are_left_out_one_at_a_time():
    splits = make_folds(windows(6))
    assert len(splits.folds) == 6
    assert splits.scheme.startswith("Leave one subject out")


def test_one_subject_is_split_by_run():
    table = windows(1, n_runs=9)
    splits = make_folds(table)
    assert (splits.unit, len(splits.folds)) == ("run", 9)
    assert "one subject" in splits.scheme
    assert each_tested_once(table, splits)


def test_runs_of_several_subjects_are_decoded_within_each():
    table = windows(3, n_runs=4)
    splits = make_folds(table, unit="run")
    assert len(splits.folds) == 12
    assert each_tested_once(table, splits)
    for fold in splits.folds:
        train, test = sides(table, fold, "subject")
        assert train == test
        assert len(train) == 1
        train, test = sides(table, fold, "recording")
        assert not train & test
    assert "same person" in splits.scheme


def test_runs_of_the_same_number_in_two_sessions_are_two_groups():
    table = windows(1, n_runs=2)
    second = table.assign(session="2", recording="ses-2_" + table["recording"])
    both = pd.concat([table, second], ignore_index=True)
    both["window"] = np.arange(len(both))
    assert len(make_folds(both).folds) == 4


def test_families_stay_together():
    table = windows(8)
    family = {"00": "x", "05": "x", "03": "y", "04": "y"}
    table["family"] = table["subject"].map(family)
    for seed in range(5):
        for fold in make_folds(table, folds=3, seed=seed).folds:
            train, test = sides(table, fold, "subject")
            assert not train & test
            assert ("00" in train) == ("05" in train)
            assert ("03" in train) == ("04" in train)
    assert resampling_groups(table)[0] == "family"


def test_a_subject_in_two_families_is_refused():
    table = windows(3)
    table["family"] = np.where(np.arange(len(table)) % 2, "x", "y")
    with pytest.raises(InputError, match="2 families"):
        make_folds(table)


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        (windows(1, n_runs=1), {}, "only one group"),
        (windows(1, n_runs=3), {"unit": "subject"}, "only one group"),
        (windows(4), {"folds": 5}, "more folds than groups"),
        (windows(4), {"folds": 1}, "at least two folds"),
        (windows(4), {"unit": "volume"}, "unknown unit"),
        (windows(4, classes=("a",)), {}, "only one class"),
        (windows(4).iloc[:0], {}, "no windows"),
        (windows(4).iloc[::2].reset_index(drop=True), {}, "not numbered"),
    ],
)
def test_impossible_requests_say_so(table, options, message):
    with pytest.raises(InputError, match=message):
        make_folds(table, **options)


def test_a_class_of_one_subject_is_named():
    table = windows(4)
    table.loc[(table["subject"] == "02") & (table["label"] == "c"), "label"] = "rare"
    with pytest.raises(InputError, match=r"'rare' is missing.*one subject only \(02\)"):
        make_folds(table)


def test_seed_changes_folds_and_repeats_them():
    table = windows(20)
    assert make_folds(table, seed=3).hash == make_folds(table, seed=3).hash
    assert make_folds(table, seed=3).hash != make_folds(table, seed=4).hash


def test_a_written_split_reads_back(tmp_path):
    table = windows(7)
    splits = make_folds(table, seed=2)
    splits.write(tmp_path / "splits.tsv")
    again = Splits.read(tmp_path / "splits.tsv", table, scheme=splits.scheme, seed=2)
    assert again.hash == splits.hash
    assert again.unit == "subject"
    for old, new in zip(splits.folds, again.folds, strict=True):
        np.testing.assert_array_equal(old.train, new.train)
        np.testing.assert_array_equal(old.test, new.test)


def test_a_random_split_of_several_subjects_is_read_as_by_subject():
    table = windows(3)
    fixed = pd.DataFrame(
        {"window": table["window"], "fold": 0, "set": np.where(table.index % 2, *SETS)}
    )
    assert Splits.from_table(fixed, table).unit == "subject"
    assert Splits.from_table(fixed[:6], table).unit == "run"


SETS = ("train", "test")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="set"), "lacks columns"),
        (lambda t: t.assign(window=t["window"] + 1), "does not fit"),
        (lambda t: t.assign(set="both"), "does not fit"),
        (lambda t: pd.concat([t, t]), "listed twice"),
        (lambda t: t.assign(set="train"), "one-sided"),
        (lambda t: t[:0], "does not fit"),
    ],
)
def test_a_broken_split_file_is_refused(change, message):
    table = windows(3)
    with pytest.raises(InputError, match=message):
        Splits.from_table(change(make_folds(table).to_table()), table)


def test_an_unreadable_split_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot read the split"):
        Splits.read(tmp_path / "none.tsv", windows(3))


@settings(max_examples=30, deadline=None)
@given(
    sizes=st.lists(st.integers(2, 9), min_size=3, max_size=12),
    folds=st.integers(2, 5),
    seed=st.integers(0, 99),
)
def test_any_split_partitions_windows_and_keeps_groups_apart(sizes, folds, seed):
    subject = np.repeat([f"{i}" for i in range(len(sizes))], sizes)
    table = pd.DataFrame(
        {
            "subject": subject,
            "session": "",
            "run": "1",
            "recording": subject,
            # Two of each class in every subject, so that no training set lacks one.
            "label": np.concatenate([np.arange(size) % 2 for size in sizes]),
        }
    )
    splits = make_folds(table, folds=min(folds, len(sizes)), seed=seed)
    assert each_tested_once(table, splits)
    for fold in splits.folds:
        train, test = sides(table, fold, "subject")
        assert train
        assert test
        assert not train & test
        assert len(fold.train) + len(fold.test) == len(table)


@given(n=st.integers(1, 30), fraction=st.floats(0.01, 0.99), seed=st.integers(0, 9))
def test_held_out_groups_are_whole_and_leave_some(n, fraction, seed):
    groups = np.repeat([f"g{i}" for i in range(n)], 3)
    held = held_out_groups(groups, fraction, seed)
    if n < 4:
        assert held is None
        return
    assert 0 < held.sum() < len(groups)
    assert not set(groups[held]) & set(groups[~held])


def test_held_out_groups_leave_every_class():
    groups = np.repeat(list("abcd"), 4)
    labels = np.where(groups == "c", 1, 0)
    for seed in range(10):
        held = held_out_groups(groups, 0.25, seed, labels)
        assert "c" not in groups[held]
    assert (
        held_out_groups(groups, 0.25, 0, np.unique(groups, return_inverse=True)[1])
        is None
    )
    assert held_out_groups(groups, 0.0) is None


def test_groups_follow_the_unit():
    table = windows(2)
    assert set(split_groups(table, "subject")) == {"00", "01"}
    assert len(set(split_groups(table, "run"))) == 4
    assert resampling_groups(table)[0] == "subject"
    assert resampling_groups(windows(1, n_runs=3))[0] == "run"
