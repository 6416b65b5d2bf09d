"""Folds keep groups apart, cover every window once, and survive a trip to disk."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boldformer.config import EvaluationConfig
from boldformer.data.splits import (
    LEAVE_ONE_OUT,
    Fold,
    Splits,
    configured_splits,
    inner_folds,
    make_folds,
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
    table["onset"] = 12.5 * table.groupby("recording").cumcount()
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
        (windows(4), {"folds": -2}, "at least two folds"),
        (windows(4), {"repeats": 0}, "once at least"),
        (windows(4), {"repeats": 2}, "the same every time"),
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
    splits.write(tmp_path / "splits.tsv", table)
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
SPARE = ["window", "fold", "set"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="set"), "lacks columns"),
        (lambda t: t[SPARE].assign(window=t["window"] + 1), "does not fit"),
        (lambda t: t.assign(recording="sub-99"), "other windows.*recording sub-99"),
        (lambda t: t.assign(onset=t["onset"] + 1), "other windows.*onset"),
        (lambda t: t.assign(subject="0").drop(columns="onset"), "other windows"),
        (lambda t: t.assign(set="both"), "does not fit"),
        (lambda t: pd.concat([t, t]), "listed twice"),
        (lambda t: t.assign(set="train"), "one-sided"),
        (lambda t: t[:0], "does not fit"),
    ],
)
def test_a_broken_split_file_is_refused(change, message):
    table = windows(3)
    with pytest.raises(InputError, match=message):
        Splits.from_table(change(make_folds(table).to_table(table)), table)


def test_an_unreadable_split_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"none.tsv: the file is missing"):
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


def test_one_subject_at_a_time_however_many():
    splits = make_folds(windows(9), folds=LEAVE_ONE_OUT)
    assert len(splits.folds) == 9
    assert splits.scheme == "Leave one subject out: 9 folds over 9 subjects."


def test_repeats_divide_anew_and_test_every_window_once_each():
    table = windows(12)
    splits = make_folds(table, folds=4, repeats=3, seed=5)
    assert (len(splits.folds), splits.repeats) == (12, 3)
    assert [fold.index for fold in splits.folds] == list(range(12))
    assert splits.scheme.endswith("3 times over.")
    parts = [splits.folds[i : i + 4] for i in (0, 4, 8)]
    for repeat, part in enumerate(parts):
        tested = np.concatenate([fold.test for fold in part])
        assert sorted(tested) == list(range(len(table)))
        alone = make_folds(table, folds=4, seed=5 + repeat)
        for one, other in zip(part, alone.folds, strict=True):
            np.testing.assert_array_equal(one.test, other.test)
    assert len({tuple(part[0].test) for part in parts}) > 1
    assert make_folds(table, folds=4).repeats == 1


@pytest.mark.parametrize(
    ("key", "named"),
    [
        ("subject", {"sub-00": "test", "sub-01": "train", "sub-02": "train"}),
        ("subject", {"00": "test", "01": "train", "02": "train"}),
        ("recording", {"sub-00_run-1": "test", "sub-02_run-2": "train"}),
    ],
)
def test_a_split_file_may_name_subjects_or_recordings(tmp_path, key, named):
    table = windows(3)
    path = tmp_path / "split.tsv"
    pd.DataFrame({key: named.keys(), "set": named.values()}).to_csv(
        path, sep="\t", index=False
    )
    (fold,) = Splits.read(path, table).folds
    for side, rows in (("train", fold.train), ("test", fold.test)):
        wanted = [n.removeprefix("sub-") for n in named if named[n] == side]
        found = table[key].str.removeprefix("sub-")
        assert sorted(rows) == list(np.flatnonzero(found.isin(wanted)))


def test_a_split_file_of_unknown_subjects_is_refused():
    named = pd.DataFrame({"subject": ["00", "99"], "fold": 0, "set": SETS})
    with pytest.raises(InputError, match=r"names a subject that has no window.*99"):
        Splits.from_table(named, windows(3))


@given(
    n_subjects=st.integers(2, 8),
    n_runs=st.integers(1, 3),
    unit=st.sampled_from(["subject", "run"]),
    folds=st.sampled_from([0, 2, LEAVE_ONE_OUT]),
    repeats=st.integers(1, 2),
    seed=st.integers(0, 9),
)
def test_any_split_reads_back_equal(
    tmp_path_factory, n_subjects, n_runs, unit, folds, repeats, seed
):
    table = windows(n_subjects, n_runs)
    try:
        splits = make_folds(table, unit=unit, folds=folds, repeats=repeats, seed=seed)
    except InputError:
        return
    path = tmp_path_factory.mktemp("split") / "splits.tsv"
    splits.write(path, table)
    again = Splits.read(path, table, scheme=splits.scheme, seed=seed)
    assert (again.unit, again.scheme, again.hash) == (unit, splits.scheme, splits.hash)
    assert len(again.folds) == len(splits.folds)


@settings(max_examples=40)
@given(
    sizes=st.lists(st.integers(2, 8), min_size=3, max_size=7),
    families=st.integers(2, 9),
    seed=st.integers(0, 9),
)
def test_inner_folds_divide_training_windows_and_keep_groups_apart(
    sizes, families, seed
):
    subject = np.repeat([f"{i}" for i in range(len(sizes))], sizes)
    table = pd.DataFrame({"subject": subject, "recording": subject})
    table["family"] = [f"f{int(s) % families}" for s in subject]
    table["label"] = np.concatenate([np.arange(size) % 2 for size in sizes])
    for outer in make_folds(table, seed=seed).folds:
        inner = inner_folds(table, outer, folds=3, seed=seed)
        several = table["family"].iloc[outer.train].nunique() > 1
        assert inner.unit == ("subject" if several else "run")
        if inner.folds:
            tested = np.concatenate([fold.test for fold in inner.folds])
            assert sorted(tested) == sorted(outer.train)
        for fold in inner.folds:
            train, test = sides(table, fold, "family" if several else "recording")
            assert not train & test
            assert not set(fold.train) & set(outer.test)


def test_inner_folds_of_one_subject_keep_runs_apart():
    table = windows(2, n_runs=3)
    outer = make_folds(table).folds[0]
    inner = inner_folds(table, outer)
    assert inner.unit == "run"
    assert len(inner.folds) == 3
    for fold in inner.folds:
        train, test = sides(table, fold, "recording")
        assert not train & test
    alone = windows(2, n_runs=1)
    assert inner_folds(alone, make_folds(alone).folds[0]).folds == ()


def test_a_split_follows_its_windows_to_other_rows(tmp_path):
    """A run set aside moves all later rows; what is meant is what is described."""
    table = windows(5)
    splits = make_folds(table, folds=2)
    splits.write(tmp_path / "splits.tsv", table)
    kept = table[::-1].reset_index(drop=True)
    kept["window"] = np.arange(len(kept))
    again = Splits.read(tmp_path / "splits.tsv", kept)
    for old, new in zip(splits.folds, again.folds, strict=True):
        for side in ("train", "test"):
            before = table.iloc[getattr(old, side)].drop(columns="window")
            after = kept.iloc[getattr(new, side)].drop(columns="window")
            pd.testing.assert_frame_equal(
                before.sort_values(["recording", "onset"], ignore_index=True),
                after.sort_values(["recording", "onset"], ignore_index=True),
            )


def test_a_split_of_windows_that_are_gone_is_refused(tmp_path):
    table = windows(5)
    make_folds(table, folds=2).write(tmp_path / "splits.tsv", table)
    fewer = table[table["recording"] != "sub-01_run-1"].reset_index(drop=True)
    fewer["window"] = np.arange(len(fewer))
    with pytest.raises(InputError, match=r"12 rows.* 01, recording sub-01_run-1"):
        Splits.read(tmp_path / "splits.tsv", fewer)


def test_windows_of_one_event_cannot_be_found_by_its_onset(tmp_path):
    table = windows(5)
    table["onset"] = 0.0
    splits = make_folds(table, folds=2)
    splits.write(tmp_path / "splits.tsv", table)
    assert Splits.read(tmp_path / "splits.tsv", table).hash == splits.hash
    with pytest.raises(InputError, match="other windows"):
        Splits.read(tmp_path / "splits.tsv", table[::-1].reset_index(drop=True))


def test_a_split_without_descriptions_is_read_by_number():
    table = windows(5)
    splits = make_folds(table)
    assert Splits.from_table(splits.to_table(table)[SPARE], table).hash == splits.hash


def test_folds_that_test_a_window_again_begin_a_repeat():
    table = windows(4)
    rows = [np.flatnonzero(table["subject"] == f"{s:02d}") for s in range(4)]
    order = (0, 1, 2, 2, 0, 0)
    folds = [Fold(k, rows[3], rows[s]) for k, s in enumerate(order)]
    parts = Splits(tuple(folds), "subject", "").parts
    found = [[fold.index for fold in part.folds] for part in parts]
    assert found == [[0, 1, 2], [3, 4], [5]]


def test_settings_make_a_split_or_name_a_file(tmp_path):
    table, path = windows(9), tmp_path / "split.tsv"
    asked = EvaluationConfig(folds=3, repeats=2, seed=4)
    made = configured_splits(table, asked)
    assert made.hash == make_folds(table, folds=3, repeats=2, seed=4).hash
    made.write(path, table)
    read = configured_splits(table, EvaluationConfig(split=str(path)))
    assert (read.hash, read.repeats) == (made.hash, 2)
    with pytest.raises(InputError, match=r"nothing to divide.*folds, repeats"):
        configured_splits(table, EvaluationConfig(3, 2, split=str(path)))
