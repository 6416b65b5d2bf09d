"""Stretches are contiguous, and windows of an event stay together."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boldformer.config import EvaluationConfig
from boldformer.data.audit.split_audit import audit
from boldformer.data.splits import make_folds, undivided_subjects
from boldformer.data.stretches import stretches
from boldformer.errors import InputError


def one_run(n_events=24, n_classes=3, per_event=2, subject="01", run="1"):
    event = np.repeat(np.arange(n_events), per_event)
    name = f"sub-{subject}_run-{run}"
    table = pd.DataFrame(
        {
            "subject": subject,
            "session": "",
            "run": run,
            "recording": name,
            "block": [f"{name}@{k}" for k in event],
            "onset": 10.0 * event,
            "label": [f"class {k % n_classes}" for k in event],
        }
    )
    return table.assign(window=np.arange(len(table)))


@given(st.integers(6, 40), st.integers(2, 5), st.integers(1, 3))
def test_stretches_are_contiguous_and_about_as_long(n_events, count, per_event):
    table = one_run(n_events, 3, per_event)
    names = stretches(table, count)
    changes = np.flatnonzero(names[1:] != names[:-1])
    assert len(changes) == count - 1
    assert pd.Series(names).groupby(table["block"]).nunique().max() == 1
    sizes = pd.Series(names).value_counts()
    assert sizes.max() - sizes.min() <= per_event


def test_one_run_can_be_cut_and_the_audit_says_what_that_is():
    table = one_run()
    splits = make_folds(table, unit="stretch")
    assert len(splits.folds) == 5
    tested = np.sort(np.concatenate([fold.test for fold in splits.folds]))
    np.testing.assert_array_equal(tested, np.arange(len(table)))
    found = {c.name: c.verdict for c in audit(table, splits).checks}
    assert found["run"] == "leak"
    assert found["block"] == "clean"
    with pytest.raises(InputError, match="--split-unit stretch --allow-leakage"):
        make_folds(table)


def test_subjects_that_cannot_be_divided_are_named_unless_all_are():
    alone = one_run(subject="02")
    both = [one_run(subject="01", run=run) for run in ("1", "2")]
    table = pd.concat([*both, alone]).reset_index(drop=True)
    table["window"] = np.arange(len(table))
    within = EvaluationConfig(unit="run")
    assert list(undivided_subjects(table, within)) == ["02"]
    assert undivided_subjects(table, EvaluationConfig()) == {}
    several = pd.concat([alone, one_run(subject="03")]).reset_index(drop=True)
    several["window"] = np.arange(len(several))
    assert undivided_subjects(several, within) == {}
