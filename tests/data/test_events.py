"""Overlapping events become stretches of constant labels."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boldformer import open_dataset
from boldformer.data.events import (
    choose_labels,
    indicators,
    label_sets,
    overlap,
    resolve_labels,
    with_label_sets,
)
from boldformer.errors import InputError

MakeBids = Callable[..., Path]


def table(rows: list[tuple[float, float, str]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["onset", "duration", "trial_type"])


@given(
    st.lists(
        st.tuples(st.integers(0, 50), st.integers(1, 20), st.sampled_from("abc")),
        min_size=1,
        max_size=12,
    )
)
def test_at_every_moment_the_set_is_what_goes_on(
    rows: list[tuple[int, int, str]],
) -> None:
    events = table([(float(a), float(b), c) for a, b, c in rows])
    sets = label_sets(events, ["a", "b", "c"])
    ends = sets["onset"] + sets["duration"]
    assert (sets["onset"].to_numpy()[1:] == ends.to_numpy()[:-1]).all()
    for moment in np.arange(events["onset"].min(), ends.max()) + 0.5:
        on = (events["onset"] <= moment) & (
            events["onset"] + events["duration"] > moment
        )
        expected = "+".join(sorted(set(events.loc[on, "trial_type"]))) or "rest"
        now = sets[(sets["onset"] <= moment) & (ends > moment)]
        assert now["trial_type"].tolist() == [expected]


def test_touching_events_and_rounding_do_not_overlap() -> None:
    events = table([(0, 16.1, "a"), (16, 16, "b"), (32, 0, "a")])
    assert not overlap(events, ["a", "b"])
    assert overlap(table([(0, 16, "a"), (8, 16, "b")]), ["a", "b"])
    assert not overlap(table([(0, 16, "a"), (8, 16, "b")]), ["a"])
    assert not overlap(table([(0, 16, "a"), (8, 16, "a")]), ["a"])


def test_label_sets_of_a_real_run(recordings_dir: Path) -> None:
    dataset, labels = resolve_labels(
        open_dataset(recordings_dir / "audiovisual"), ["visual", "auditory"]
    )
    assert set(labels) == {"auditory", "auditory+visual", "rest", "visual"}
    (recording,) = dataset
    assert recording.events["duration"].min() == 15
    flags = indicators(recording.events["trial_type"], labels)
    assert list(flags) == ["auditory", "visual"]
    some, chosen = resolve_labels(
        open_dataset(recordings_dir / "audiovisual"), ["auditory+visual", "rest"]
    )
    assert chosen == ["auditory+visual", "rest"]
    again = with_label_sets(
        open_dataset(recordings_dir / "audiovisual"), ["auditory+visual", "rest"]
    )
    pd.testing.assert_frame_equal(again.recordings[0].events, some.recordings[0].events)


def test_labels_that_cannot_be_joined_are_refused(make_bids: MakeBids) -> None:
    dataset = open_dataset(make_bids(subjects=1, runs=1))
    events = table([(0, 20, "a+b"), (10, 20, "c")])
    clash = replace(
        dataset, recordings=tuple(replace(r, events=events) for r in dataset)
    )
    with pytest.raises(InputError, match="label table"):
        resolve_labels(clash, ())


def test_labels(make_bids: MakeBids) -> None:
    dataset = open_dataset(make_bids("labels", subjects=1, runs=1))
    assert choose_labels(dataset, []) == ["left", "right"]
    assert resolve_labels(dataset, ["right", "left"]) == (dataset, ["right", "left"])
    with pytest.raises(InputError, match=r"unknown label 'up'.*left, right"):
        resolve_labels(dataset, ["left", "up"])
    with pytest.raises(InputError, match="two classes"):
        choose_labels(dataset, ["left"])
    with pytest.raises(InputError, match="two classes"):
        choose_labels(dataset, ["left", "left"])


@given(
    st.lists(
        st.tuples(st.integers(0, 40), st.integers(0, 15), st.sampled_from("abc")),
        max_size=12,
    )
)
def test_overlap_is_that_of_every_pair(rows: list[tuple[int, int, str]]) -> None:
    pairs = [
        (one, other)
        for k, one in enumerate(rows)
        for other in rows[k + 1 :]
        if one[2] != other[2] and "c" not in (one[2], other[2])
    ]

    def share(one: tuple, other: tuple) -> bool:
        shared = min(one[0] + one[1], other[0] + other[1]) - max(one[0], other[0])
        return shared > 0 and shared > 0.25 * min(one[1], other[1])

    events = table([(float(a), float(b), c) for a, b, c in rows])
    assert overlap(events, ["a", "b"]) == any(share(*pair) for pair in pairs)


def test_many_events_take_little_memory_and_time() -> None:
    n = 20_000
    events = table([(2.0 * k, 1.9, "ab"[k % 2]) for k in range(n)])
    nested = table([(float(k), 1.4, "ab"[k % 2]) for k in range(n)])
    tracemalloc.start()
    started = time.monotonic()
    assert not overlap(events, ["a", "b"])
    assert len(label_sets(nested, ["a", "b"])) > n
    seconds, (_, peak) = time.monotonic() - started, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200e6  # an n × n matrix of numbers has 3200e6 bytes
    assert seconds < 60
