"""Labels that follow from timing, motion or site are seen, and no others."""

import numpy as np
import pandas as pd
import pytest

from boldformer.data.audit.predictability import (
    predict_from_motion,
    predict_from_properties,
)
from boldformer.data.splits import make_folds

N_RUNS, N_WINDOWS = 4, 12
MOTION = [f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"]


def cohort(rng, n_subjects=10, one_class_a_run=False):
    """Three classes in an order drawn for each run, or one class drawn for each run."""
    rows = []
    for subject in range(n_subjects):
        of_run = rng.permutation(np.arange(N_RUNS) % 2)
        for run in range(N_RUNS):
            order = rng.permutation(np.repeat([0, 1, 2], N_WINDOWS // 3))
            for place in range(N_WINDOWS):
                label = of_run[run] if one_class_a_run else order[place]
                rows.append((f"{subject:02d}", str(run + 1), place, "abc"[label]))
    table = pd.DataFrame(rows, columns=["subject", "run", "place", "label"])
    table["recording"] = table["subject"] + "_" + table["run"]
    table["onset"] = 20.0 * table["place"]
    return table.assign(
        session="", t_r=2.0, n_run_frames=130, first_frame=10 * table["place"]
    )


def drift(rng, table):
    """Motion that differs between subjects and runs and tells no label."""
    run = pd.factorize(table["recording"])[0]
    slow = rng.standard_normal((run.max() + 1, len(MOTION)))[run]
    values = slow + 0.3 * rng.standard_normal((len(table), len(MOTION)))
    frame = pd.DataFrame(values, columns=MOTION)
    frame["framewise_displacement"] = rng.exponential(0.1, len(table))
    return frame.assign(global_signal=0.0, position=table["first_frame"])


def telling(found):
    return {p.name for p in found if p.suspicious}


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def test_timing_of_an_honest_design_tells_nothing(rng):
    table = cohort(rng)
    assert not telling(predict_from_properties(table, make_folds(table)))


def test_only_known_columns_are_judged(rng):
    table = cohort(rng)
    splits = make_folds(table)
    bare = table[["subject", "recording", "label"]]
    assert predict_from_properties(bare, splits) == []
    with_run = table[["subject", "recording", "label", "run"]]
    (found,) = predict_from_properties(with_run, splits)
    assert found.name == "order of the run"


def test_maps_have_no_order_that_could_tell(rng):
    table = cohort(rng)
    table["label"] = table["place"].map(lambda place: f"map {place}")
    splits = make_folds(table)
    assert "order of the window in its run" in telling(
        predict_from_properties(table, splits)
    )
    maps = table.assign(timing="map")
    assert not telling(predict_from_properties(maps, splits))


def test_a_class_that_comes_in_certain_runs_is_seen(rng):
    table = cohort(rng, one_class_a_run=True)
    assert not telling(predict_from_properties(table, make_folds(table)))
    table["run"] = table["label"].map({"a": "1", "b": "2"})
    assert "order of the run" in telling(
        predict_from_properties(table, make_folds(table))
    )


def test_lengths_of_runs_that_never_recur_may_still_tell(rng):
    table = cohort(rng, one_class_a_run=True)
    run = pd.factorize(table["recording"])[0]
    jitter = rng.permutation(run.max() + 1)[run]
    table["n_run_frames"] = 200 + jitter
    assert not telling(predict_from_properties(table, make_folds(table)))
    table["n_run_frames"] += 100 * (table["label"] == "b")
    assert telling(predict_from_properties(table, make_folds(table))) >= {
        "length of the run"
    }


@pytest.mark.parametrize("column", ["trans_z", "rot_x", "framewise_displacement"])
def test_motion_that_goes_with_the_task_is_seen(rng, column):
    table = cohort(rng)
    motion = drift(rng, table)
    splits = make_folds(table)
    assert not telling(predict_from_motion(motion, table, splits))
    motion[column] += 0.45 * (table["label"] == "b")  # 1.5 SD within a run
    assert column in telling(predict_from_motion(motion, table, splits))


def test_motion_that_goes_with_runs_of_one_class_is_seen(rng):
    table = cohort(rng, one_class_a_run=True)
    motion = drift(rng, table)
    splits = make_folds(table)
    assert not telling(predict_from_motion(motion, table, splits))
    motion["trans_y"] += 4.0 * (table["label"] == "b")
    assert telling(predict_from_motion(motion, table, splits)) == {"trans_y"}


def test_global_signal_is_no_motion(rng):
    table = cohort(rng)
    nuisance = pd.DataFrame({"global_signal": (table["label"] == "a").astype(float)})
    assert predict_from_motion(nuisance, table, make_folds(table)) == []
    assert predict_from_motion(None, table, make_folds(table)) == []


@pytest.mark.parametrize("one_class_a_run", [False, True])
def test_false_alarms_about_motion_are_rare(one_class_a_run):
    """At most 1 % by construction: two alarms in 20 have probability 0.02 then."""
    alarms = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        table = cohort(rng, 6, one_class_a_run)
        found = predict_from_motion(
            drift(rng, table), table, make_folds(table), seed=seed
        )
        alarms += bool(telling(found))
    assert alarms <= 1
