"""Responses to events find what was planted and say what limits them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from boldformer.data.store import Grid
from boldformer.errors import InputError
from boldformer.studies.inspection_files import LoadedRun
from boldformer.studies.inspection_responses import (
    choose_events,
    measure_responses,
    response_window,
)

T_R, N_TIMES, SHAPE = 2.0, 150, (8, 8, 8)


def events_of(**onsets: list[float]) -> pd.DataFrame:
    rows = [(at, 8.0, label) for label, times in onsets.items() for at in times]
    return pd.DataFrame(sorted(rows), columns=["onset", "duration", "trial_type"])


def run_of(events: pd.DataFrame) -> LoadedRun:
    """Noise of 1 %; the first voxel answers to `a` with 5 %."""
    rng = np.random.default_rng(0)
    mask = np.ones(SHAPE, dtype=bool)
    data = rng.normal(1000, 10, (N_TIMES, mask.sum())).astype("f4")
    time = T_R * np.arange(N_TIMES)
    for onset in events.loc[events["trial_type"] == "a", "onset"]:
        data[(time >= onset + 4) & (time < onset + 14), :20] += 50
    frames = pd.DataFrame({"time_s": time})
    grid = Grid.from_arrays(SHAPE, np.eye(4))
    return LoadedRun("run", T_R, grid, 1000.0 * mask, mask, data, frames, events=events)


def test_the_planted_response_is_found_where_it_is() -> None:
    events = events_of(a=[20, 80, 140, 200], b=[50, 110, 170, 230])
    (a, b), notes = measure_responses(run_of(events), events, (5.0, 13.0))
    assert (a.label, a.n_events, a.duration_s) == ("a", 4, 8.0)
    assert a.response.flat[:20].mean() == pytest.approx(5, abs=0.6)
    assert abs(a.response.flat[20:].mean()) < 0.2
    assert a.strength.flat[:20].min() > 4 > np.median(a.strength.flat[20:])
    assert np.abs(b.response).mean() < 1
    inside = a.course["time_s"].between(5, 13)
    assert a.course.loc[inside, "mean"].mean() == pytest.approx(5, abs=0.6)
    assert notes == []


def test_without_events_there_is_nothing() -> None:
    events = events_of()
    assert measure_responses(run_of(events), events, (5.0, 5.0)) == ([], [])


@pytest.mark.parametrize(
    ("onsets", "words"),
    [
        ({"a": [20, 100], "b": [100, 200]}, "Events overlap"),
        ({"a": [0, 50, 100]}, "1 of 3 events are left out"),
        ({"a": [50, 150], "b": [100]}, "b: a single event"),
        ({"a": [50, 150], "b": [65, 165]}, "baselines of 50%"),
    ],
)
def test_what_limits_an_average_is_said(onsets: dict, words: str) -> None:
    events = events_of(**onsets)
    _, notes = measure_responses(run_of(events), events, (5.0, 13.0))
    assert len(notes) == 1
    assert words in notes[0]


def test_the_window_follows_the_events() -> None:
    assert response_window(events_of(a=[1, 2]), 5.0, 0.0) == (5.0, 13.0)
    assert response_window(events_of(a=[1]).assign(duration=1.0), 4.0, 0.0) == (4, 10)
    assert response_window(events_of(a=[1]), 5.0, 3.0) == (5.0, 8.0)
    assert response_window(events_of(), 5.0, 0.0) == (5.0, 5.0)


def test_event_types_can_be_chosen() -> None:
    events = events_of(a=[1], b=[2])
    assert choose_events(events, ["b"])["trial_type"].tolist() == ["b"]
    assert len(choose_events(events, [])) == 2
    with pytest.raises(InputError, match="one of a, b"):
        choose_events(events, ["c"])
    with pytest.raises(InputError, match="a run with events"):
        choose_events(events_of(), ["a"])
