"""Every event has its row: what is decoded of it, or why nothing is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from boldformer import Decoder, open_dataset
from boldformer.config import RunConfig, WindowConfig
from boldformer.data.cohort import read_cohort
from boldformer.data.recording import Dataset, Recording
from boldformer.errors import InputError

MakeBids = Callable[..., Path]
PROBABILITIES = ["probability_left", "probability_right"]


@pytest.fixture(scope="module")
def dataset(write_bids: MakeBids, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = tmp_path_factory.mktemp("events") / "bids"
    return open_dataset(write_bids(root, subjects=3, runs=1, preprocessed=True))


@pytest.fixture(scope="module")
def decoder(dataset: Dataset) -> Decoder:
    return Decoder("linear", labels=["right", "left"]).fit(dataset)


def with_events(recording: Recording, *more: tuple[float, float, object]) -> Recording:
    added = pd.DataFrame(more, columns=["onset", "duration", "trial_type"])
    events = pd.concat([recording.events, added]).sort_values("onset")
    return replace(recording, events=events.reset_index(drop=True))


def test_a_recording_has_one_row_an_event_in_their_order(
    dataset: Dataset, decoder: Decoder
) -> None:
    recording = dataset.recordings[0]
    table = decoder.predict_events(recording)
    first = ["onset", "duration", "label", "start_s", "prediction"]
    assert list(table) == [*first, *PROBABILITIES, "reason"]
    assert table["onset"].tolist() == recording.events["onset"].tolist()
    assert table["label"].tolist() == recording.events["trial_type"].tolist()
    assert (table["duration"] == 8.0).all()
    np.testing.assert_allclose(table["start_s"], table["onset"] + 5.0)
    assert (table["reason"] == "").all()
    given = decoder.predict_proba(recording)
    np.testing.assert_array_equal(table[PROBABILITIES].to_numpy(), given)
    assert table["prediction"].tolist() == decoder.predict(recording).tolist()


def test_events_that_are_left_out_say_why(dataset: Dataset, decoder: Decoder) -> None:
    extra = [(1.0, 8.0, "rest"), (40.0, 1.0, None), (500.0, 8.0, "left")]
    first = with_events(dataset.recordings[0], *extra, (6.0, 8.0, None))
    table = decoder.predict_events(first)
    assert table["onset"].is_monotonic_increasing
    assert len(table) == 12
    lost = table[table["reason"] != ""].set_index("onset")
    assert sorted(lost.index) == [1.0, 6.0, 40.0, 500.0]
    assert "none of the classes (right, left)" in lost.loc[1.0, "reason"]
    assert "leaves the run" in lost.loc[500.0, "reason"]
    assert lost.loc[40.0, "label"] is None
    assert lost["prediction"].isna().all()
    assert lost[PROBABILITIES].isna().all(axis=None)
    decoded = table[table["reason"] == ""]
    assert decoded["prediction"].notna().all()
    np.testing.assert_array_equal(
        decoded[PROBABILITIES].to_numpy(dtype=float), decoder.predict_proba(first)
    )


def test_an_event_counted_once_and_a_run_that_cannot_be_read_are_there(
    make_bids: MakeBids, dataset: Dataset
) -> None:
    root = make_bids(subjects=3, runs=1, preprocessed=True)
    damaged = next(root.rglob("sub-02*preproc_bold.nii.gz"))
    damaged.write_bytes(damaged.read_bytes()[:2000])
    bad = open_dataset(root)
    first = bad.recordings[0]
    onset, label = first.events.loc[0, ["onset", "trial_type"]]
    twice = with_events(first, (onset, 8.0, label))
    bad = replace(bad, recordings=(twice, *bad.recordings[1:]))
    table = Decoder("linear").fit(dataset).predict_events(bad)
    assert table.columns[0] == "recording"
    assert table["recording"].unique().tolist() == [r.name for r in bad]
    assert len(table) == 9 + 8 + 8
    lost = table[table["reason"] != ""]
    assert lost["recording"].tolist() == [first.name] + 8 * [bad.recordings[1].name]
    assert "counted once" in lost["reason"].iloc[0]
    assert "truncated" in lost["reason"].iloc[1] or "read" in lost["reason"].iloc[1]


def test_where_no_event_has_a_window_each_says_why(
    dataset: Dataset, decoder: Decoder
) -> None:
    recording = dataset.recordings[0]
    late = replace(recording, events=recording.events.assign(onset=900.0)[:2])
    table = decoder.predict_events(late)
    assert table["prediction"].isna().all()
    assert table["reason"].str.contains("leaves the run").all()
    with pytest.raises(InputError, match="no window lies inside its run"):
        decoder.predict_proba(late)
    none = replace(recording, events=recording.events[:0])
    empty = decoder.predict_events(none)
    assert len(empty) == 0
    assert list(empty) == list(table)


def test_with_a_stride_a_row_is_a_window(dataset: Dataset) -> None:
    window = WindowConfig(length_s=4.0, stride_s=2.0)
    decoder = Decoder("linear", window=window).fit(dataset)
    recording = dataset.recordings[0]
    table = decoder.predict_events(recording)
    assert len(table) == len(decoder.predict_proba(recording)) == 24
    assert table.groupby("onset")["start_s"].nunique().eq(3).all()
    assert table["start_s"].is_monotonic_increasing
    np.testing.assert_array_equal(
        table[PROBABILITIES].to_numpy(), decoder.predict_proba(recording)
    )


def test_windows_have_their_events_and_arrays_have_none(
    dataset: Dataset, decoder: Decoder, tmp_path: Path
) -> None:
    windows = read_cohort(dataset, RunConfig(), tmp_path / "s", progress=False).windows
    table = decoder.predict_events(windows)
    assert table["recording"].tolist() == windows.table["recording"].tolist()
    assert table["onset"].tolist() == windows.table["onset"].tolist()
    assert table["prediction"].tolist() == decoder.predict(windows).tolist()
    X = np.random.default_rng(0).standard_normal((8, 5))
    plain = Decoder("linear").fit(X, ["a", "b"] * 4)
    with pytest.raises(InputError, match="an array has no events"):
        plain.predict_events(X)
    with pytest.raises(InputError, match="fitted to arrays"):
        plain.predict_events(dataset)


def test_stretches_of_sets_of_labels_and_events_beside_them(dataset: Dataset) -> None:
    def overlapping(recording: Recording) -> Recording:
        onsets = 6.0 + 14.0 * np.arange(8)
        left = [(t, 8.0, "left") for t in onsets]
        right = [(t + 4.0, 8.0, "right") for t in onsets]
        bare = replace(recording, events=recording.events[:0])
        return with_events(bare, *left, *right, (3.0, 1.0, "cue"))

    both = replace(dataset, recordings=tuple(map(overlapping, dataset)))
    only = ["left", "right"]
    window = WindowConfig(length_s=4.0)
    decoder = Decoder("linear", labels=only, window=window).fit(both)
    assert decoder.classes_.tolist() == ["left", "left+right", "right"]
    table = decoder.predict_events(both.recordings[0])
    assert table["onset"].is_monotonic_increasing
    cue = table[table["label"] == "cue"]
    assert len(cue) == 1
    assert "none of the classes" in cue["reason"].item()
    decoded = table[table["reason"] == ""]
    assert len(decoded) == len(decoder.predict_proba(both.recordings[0]))
