"""Temperatures come from training groups; finished folds are read back whole."""

from pathlib import Path

import numpy as np
import pytest

from boldformer.config import ModelConfig, RunConfig, TrainingConfig, WindowConfig
from boldformer.data.sources import open_source
from boldformer.data.splits import Fold
from boldformer.evaluation import cross_validation
from boldformer.evaluation.cross_validation import (
    Plan,
    fit_fold,
    held_out_temperature,
)
from boldformer.evaluation.predictions import weights_hash
from boldformer.workflow.cohort import read_cohort


@pytest.fixture(scope="module")
def cohort(tmp_path_factory, write_bids):
    root = write_bids(tmp_path_factory.mktemp("cv") / "bids", subjects=5, runs=1)
    from dataclasses import replace

    base = RunConfig()
    settings = replace(
        base, data=replace(base.data, path=str(root)), window=WindowConfig(4.0)
    )
    store = root.parent / "store"
    dataset = open_source(settings.data)
    return read_cohort(dataset, settings, store, n_jobs=1, progress=False)


def plan_of(cohort, name="cnn3d", **training) -> Plan:
    settings = TrainingConfig(max_epochs=2, **training)
    return Plan(cohort.windows, cohort.targets, 2, ModelConfig(name), settings)


def fold_of(cohort) -> Fold:
    test = (cohort.windows.table["subject"] == "05").to_numpy()
    return Fold(0, np.flatnonzero(~test), np.flatnonzero(test))


def fit(plan: Plan, cohort, place: Path):
    return fit_fold(plan, fold_of(cohort), place / "fold-0", progress=False)


def test_early_stopping_gives_a_temperature_of_its_held_out_groups(cohort, tmp_path):
    without = fit(plan_of(cohort, patience=0), cohort, tmp_path / "a")
    assert without.record.temperature is None
    plan = plan_of(cohort, early_stopping_groups=4)
    found = fit(plan, cohort, tmp_path / "b")
    assert found.record.early_stopping
    assert 0.01 <= found.record.temperature <= 100
    assert found.record.model_hash == weights_hash(found.model)
    again = fit(plan, cohort, tmp_path / "b")
    assert again.record == found.record
    for outcome in (found, again):
        used = {use.what: set(use.rows) for use in outcome.protocol}
        held = used["early stopping"]
        assert held == used["temperature"]
        assert not held & used["network weights"]
        assert held | used["network weights"] == set(fold_of(cohort).train)
        subjects = cohort.windows.table["subject"].to_numpy()
        stopped, trained = (
            set(subjects[list(used[what])])
            for what in ("early stopping", "network weights")
        )
        assert not stopped & trained


def test_test_labels_have_no_part_in_the_temperature(cohort, tmp_path):
    plan, fold = plan_of(cohort, "linear"), fold_of(cohort)
    first = held_out_temperature(plan, fold, tmp_path / "a", progress=False)
    targets = cohort.targets.copy()
    targets[fold.test] = 1 - targets[fold.test]
    turned = Plan(plan.windows, targets, 2, plan.model, plan.training)
    second = held_out_temperature(turned, fold, tmp_path / "b", progress=False)
    assert first is not None
    assert first[0] == second[0]
    used = {use.what: set(use.rows) for use in first[1]}
    inner = used["calibration: linear weights"], used["calibration: temperature"]
    assert set.union(*inner) == set(fold.train)
    assert not set.intersection(*inner)


def test_a_finished_fold_is_not_fitted_again(cohort, tmp_path, monkeypatch):
    plan = plan_of(cohort, "linear")
    found = fit(plan, cohort, tmp_path)
    monkeypatch.setattr(cross_validation, "estimate", None)
    again = fit(plan, cohort, tmp_path)
    np.testing.assert_array_equal(again.probabilities, found.probabilities)
    with pytest.raises(TypeError):
        fit(plan_of(cohort, "linear", seed=1), cohort, tmp_path)


def test_what_was_fitted_names_rows_of_all_windows(cohort, tmp_path):
    """The rows are those that the fit was given, wherever they came from."""
    others = np.flatnonzero(cohort.windows.table["subject"] != "02")
    _, result = plan_of(cohort, early_stopping_groups=4).estimate(
        others, tmp_path, progress=False
    )
    named = np.concatenate([use.rows for use in result.uses])
    np.testing.assert_array_equal(np.unique(named), others)
    assert set(result.held_out) < set(others)
