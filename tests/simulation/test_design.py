"""Block designs and haemodynamic responses."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boldformer.errors import InputError
from boldformer.simulation import CONDITIONS, CohortSpec
from boldformer.simulation.design import block_responses, draw_events, draw_hrf


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    t_r=st.floats(0.5, 4.0),
    n_volumes=st.integers(20, 500),
    block_s=st.floats(4.0, 30.0),
    n_conditions=st.integers(1, 6),
)
def test_a_design_is_balanced_and_fits_its_run(
    seed, t_r, n_volumes, block_s, n_conditions
):
    try:
        spec = CohortSpec(
            t_r=t_r,
            n_volumes=n_volumes,
            block_s=block_s,
            conditions=CONDITIONS[:n_conditions],
        )
    except InputError:
        return
    events = draw_events(np.random.default_rng(seed), spec)
    counts = events["trial_type"].value_counts()
    assert set(counts.index) == set(spec.conditions)
    assert set(counts) == {spec.cycles}
    ends = events["onset"] + events["duration"]
    assert events["onset"].iloc[0] >= 9.9
    assert ends.iloc[-1] <= spec.duration_s - 9.9
    assert (events["onset"].to_numpy()[1:] >= ends.to_numpy()[:-1] - 0.11).all()
    types = events["trial_type"].to_numpy()
    assert n_conditions == 1 or (types[1:] != types[:-1]).all()


def test_orders_and_onsets_differ_between_draws():
    spec = CohortSpec()
    drawn = [draw_events(np.random.default_rng(seed), spec) for seed in range(6)]
    assert len({tuple(events["trial_type"]) for events in drawn}) == 6
    assert len({tuple(events["onset"]) for events in drawn}) == 6


def test_a_condition_is_not_told_by_its_position_in_the_run():
    spec = CohortSpec()
    first = [
        draw_events(np.random.default_rng(seed), spec)["trial_type"][0]
        for seed in range(600)
    ]
    shares = pd.Series(first).value_counts(normalize=True)
    assert shares.between(0.10, 0.24).all()


def test_responses_peak_some_seconds_late_and_differ_between_people():
    rng = np.random.default_rng(0)
    peaks_s = [draw_hrf(rng).argmax() * 0.1 for _ in range(200)]
    assert np.mean(peaks_s) == pytest.approx(5.5, abs=0.7)
    assert 0.3 < np.std(peaks_s) < 1.5


def test_a_block_answers_after_its_onset_up_to_one():
    spec = CohortSpec(conditions=("hand",), n_volumes=50, block_s=30.0)
    events = pd.DataFrame({"onset": [20.0], "duration": [30.0], "trial_type": ["hand"]})
    course = block_responses(events, draw_hrf(np.random.default_rng(0)), spec)
    assert course.shape == (50, 1)
    assert np.abs(course[:10]).max() == 0.0
    assert course[11, 0] < 0.35
    assert course.max() == pytest.approx(1.0, abs=0.02)
    assert 28.0 <= course.argmax() * spec.t_r <= 40.0
