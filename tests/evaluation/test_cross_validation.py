"""Temperatures come from training groups; finished folds are read back whole."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from boldformer.config import ModelConfig, RunConfig, TrainingConfig, WindowConfig
from boldformer.data.cohort import read_cohort
from boldformer.data.sources.layouts import open_source
from boldformer.data.splits import Fold
from boldformer.errors import InputError
from boldformer.evaluation.cross_validation import (
    fit_fold,
    held_out_temperature,
)
from boldformer.evaluation.experiment import Experiment
from boldformer.evaluation.predictions import weights_hash


@pytest.fixture(scope="module")
def cohort(tmp_path_factory, write_bids):
    root = write_bids(tmp_path_factory.mktemp("cv") / "bids", subjects=5, runs=1)
    base = RunConfig()
    settings = replace(
        base, data=replace(base.data, path=str(root)), window=WindowConfig(4.0)
    )
    store = root.parent / "store"
    dataset = open_source(settings.data)
    return read_cohort(dataset, settings, store, n_jobs=1, progress=False)


def experiment_of(cohort, name="cnn3d", **training) -> Experiment:
    settings = TrainingConfig(max_epochs=2, **training)
    return Experiment.of(cohort, RunConfig(model=ModelConfig(name), training=settings))


def fold_of(cohort) -> Fold:
    test = (cohort.windows.table["subject"] == "05").to_numpy()
    return Fold(0, np.flatnonzero(~test), np.flatnonzero(test))


def fit(experiment: Experiment, cohort, place: Path):
    return fit_fold(experiment, fold_of(cohort), place / "fold-0", progress=False)


def test_early_stopping_gives_a_temperature_of_its_held_out_groups(cohort, tmp_path):
    without = fit(experiment_of(cohort, patience=0), cohort, tmp_path / "a")
    assert without.record.temperature is None
    experiment = experiment_of(cohort, early_stopping_groups=4)
    found = fit(experiment, cohort, tmp_path / "b")
    assert found.record.early_stopping
    assert 0.01 <= found.record.temperature <= 100
    assert found.record.model_hash == weights_hash(found.model)
    again = fit(experiment, cohort, tmp_path / "b")
    assert again.record == found.record
    for outcome in (found, again):
        used = {use.what: set(use.rows) for use in outcome.log}
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
    experiment, fold = experiment_of(cohort, "linear"), fold_of(cohort)
    first = held_out_temperature(experiment, fold, tmp_path / "a", progress=False)
    targets = cohort.targets.copy()
    targets[fold.test] = 1 - targets[fold.test]
    turned = replace(experiment, targets=targets)
    second = held_out_temperature(turned, fold, tmp_path / "b", progress=False)
    assert first is not None
    assert first[0] == second[0]
    used = {use.what: set(use.rows) for use in first[1]}
    inner = used["calibration: linear weights"], used["calibration: temperature"]
    assert set.union(*inner) == set(fold.train)
    assert not set.intersection(*inner)


def test_a_finished_fold_is_not_fitted_again(cohort, tmp_path, monkeypatch):
    experiment = experiment_of(cohort, "linear")
    found = fit(experiment, cohort, tmp_path)
    monkeypatch.setattr(Experiment, "fit", None)
    again = fit(experiment, cohort, tmp_path)
    np.testing.assert_array_equal(again.probabilities, found.probabilities)
    with pytest.raises(TypeError):
        fit(experiment_of(cohort, "linear", seed=1), cohort, tmp_path)


def test_a_fold_of_which_less_was_recorded_is_fitted_again(cohort, tmp_path):
    experiment = experiment_of(cohort, "linear")
    found = fit(experiment, cohort, tmp_path)
    file = tmp_path / "fold-0" / "fold.json"
    saved = json.loads(file.read_text())
    del saved["record"]["linear_path"]
    file.write_text(json.dumps(saved))
    again = fit(experiment, cohort, tmp_path)
    assert again.record.model_hash == found.record.model_hash
    assert json.loads(file.read_text())["record"]["linear_path"] == "off"


def test_what_was_fitted_names_rows_of_all_windows(cohort, tmp_path):
    """The rows are those that the fit was given, wherever they came from."""
    others = np.flatnonzero(cohort.windows.table["subject"] != "02")
    _, result = experiment_of(cohort, early_stopping_groups=4).fit(
        others, tmp_path, progress=False
    )
    named = np.concatenate([use.rows for use in result.uses])
    np.testing.assert_array_equal(np.unique(named), others)
    assert set(result.held_out) < set(others)


class Turned:
    """Windows of which some hold noise."""

    def __init__(self, windows, rows, kept=None):
        self.windows, self.rows = windows, rows
        self.kept = np.arange(len(windows)) if kept is None else kept

    def __getattr__(self, name):
        return getattr(self.windows[self.kept], name)

    def __len__(self):
        return len(self.kept)

    def __getitem__(self, key):
        return Turned(self.windows, self.rows, self.kept[key])

    @property
    def hash(self):
        return "turned"

    def batch(self, indices):
        return self._turn(self.windows.batch(self.kept[indices]), indices)

    def means(self, indices=None):
        indices = np.arange(len(self)) if indices is None else np.asarray(indices)
        return self._turn(self.windows.means(self.kept[indices]), indices)

    def _turn(self, values, indices):
        turned = np.isin(self.kept[indices], self.rows)
        noise = np.random.default_rng(0).normal(size=values.shape).astype(np.float32)
        values[turned] = 100 * noise[turned]
        return values


@pytest.mark.parametrize("name", ["cnn3d", "hybrid", "linear"])
def test_turning_test_labels_and_data_over_changes_no_fit(name, cohort, tmp_path):
    """Weights, temperature, training accuracy, and a test window's own prediction."""
    experiment = experiment_of(cohort, name, early_stopping_groups=4)
    fold, targets = fold_of(cohort), cohort.targets.copy()
    targets[fold.test] = 1 - targets[fold.test]
    windows = Turned(cohort.windows, fold.test[1:])
    turned = replace(experiment, windows=windows, targets=targets)
    honest, other = (
        fit_fold(one, fold, tmp_path / str(k), progress=False)
        for k, one in enumerate((experiment, turned))
    )
    for what in ("model_hash", "temperature", "training_accuracy", "epochs"):
        assert getattr(honest.record, what) == getattr(other.record, what), what
    assert name == "linear" or honest.record.temperature is not None
    np.testing.assert_array_equal(honest.probabilities[0], other.probabilities[0])
    given = experiment.predict_proba(honest.model, fold.train)
    right = (given.argmax(axis=1) == cohort.targets[fold.train]).mean()
    assert honest.record.training_accuracy == right


def test_settings_that_need_class_names_have_them(cohort, tmp_path):
    """Every experiment is made in one place, with the names of its classes."""
    with pytest.raises(InputError, match="flip_x would turn left into right"):
        fit(experiment_of(cohort, flip_x=True), cohort, tmp_path)
