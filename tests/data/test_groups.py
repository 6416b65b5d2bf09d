"""What belongs together stays together, and shuffles stay where they belong."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boldformer.data.groups import (
    event_shuffler,
    families_of,
    family_of,
    held_out_groups,
    natural_codes,
    resampling_groups,
    shuffle_within,
    split_groups,
)
from boldformer.errors import InputError


def windows(n_subjects=2, n_runs=2):
    subject = np.repeat([f"{s:02d}" for s in range(n_subjects)], 3 * n_runs)
    run = np.tile(np.repeat([str(r) for r in range(n_runs)], 3), n_subjects)
    table = pd.DataFrame({"subject": subject, "run": run})
    return table.assign(recording="sub-" + subject + "_run-" + run)


def test_groups_follow_the_unit():
    table = windows()
    assert set(split_groups(table, "subject")) == {"00", "01"}
    assert len(set(split_groups(table, "run"))) == 4
    assert resampling_groups(table)[0] == "subject"
    assert resampling_groups(windows(1, n_runs=3))[0] == "run"


def test_relatives_are_one_group():
    table = windows(4)
    table["family"] = table["subject"].map({"00": "x", "02": "x", "03": "n/a"})
    groups = split_groups(table, "subject")
    assert set(groups) == {"family x", "01", "03"}
    assert resampling_groups(table)[0] == "family"
    assert set(families_of(table)) == {"x", ""}


def test_a_subject_in_two_families_is_refused():
    table = windows(2)
    table["family"] = np.where(np.arange(len(table)) % 2, "x", "y")
    with pytest.raises(InputError, match="2 families"):
        split_groups(table, "subject")


@pytest.mark.parametrize(
    ("participant", "family"),
    [
        ({"family": "7"}, "7"),
        ({"Family_ID": "52259_82122"}, "52259_82122"),
        ({"family_id": "3", "age": "22"}, "3"),
        ({"age": "22"}, ""),
    ],
)
def test_families_are_named_in_several_ways(participant, family):
    assert family_of(participant) == family


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
    own_class = np.unique(groups, return_inverse=True)[1]
    assert held_out_groups(groups, 0.25, 0, own_class) is None
    assert held_out_groups(groups, 0.0) is None


def test_codes_follow_the_natural_order():
    codes = natural_codes(pd.Series(["10", "2", None, "2", "1a"]))
    assert list(codes) == [3, 2, 0, 2, 1]


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), st.integers(0, 99))
def test_a_shuffle_moves_rows_only_within_their_group(groups, seed):
    groups = np.array(groups)
    order = shuffle_within(groups, np.random.default_rng(seed))
    assert sorted(order) == list(range(len(groups)))
    np.testing.assert_array_equal(groups[order], groups)


@given(seed=st.integers(0, 999))
def test_shuffling_moves_labels_between_events_of_a_run_only(seed):
    rng = np.random.default_rng(seed)
    n_events = rng.integers(1, 5, size=6)
    events = np.repeat(np.arange(6), n_events)
    table = pd.DataFrame(
        {"recording": np.array(list("aabbbb"))[events], "block": events}
    )
    targets = rng.integers(0, 3, size=6)[events]
    shuffled = event_shuffler(table, rng)(targets)
    found = table.assign(before=targets, after=shuffled)
    assert (found.groupby("block")["after"].nunique() == 1).all()
    of_event = found.drop_duplicates("block")
    for _, run in of_event.groupby("recording"):
        assert sorted(run["before"]) == sorted(run["after"])


def test_without_blocks_each_window_is_an_event():
    table = pd.DataFrame({"recording": ["a"] * 200})
    targets = np.arange(200)
    shuffled = event_shuffler(table, np.random.default_rng(0))(targets)
    assert sorted(shuffled) == list(targets)
    assert (shuffled == targets).mean() < 0.1
