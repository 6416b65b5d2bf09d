"""The search chooses by training windows alone, and what is better there."""

from dataclasses import replace

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from boldformer import errors
from boldformer.config import ModelConfig, RunConfig, TrainingConfig, WindowConfig
from boldformer.data.sources import open_source
from boldformer.data.splits import Fold
from boldformer.errors import InputError, MissingExtraError
from boldformer.evaluation import search as module
from boldformer.evaluation.cross_validation import Plan
from boldformer.evaluation.search import search
from boldformer.workflow.cohort import read_cohort

# At the first rate nothing is learned, at the second one everything.
RATES = {"training.learning_rate": CategoricalDistribution([1e-9, 1e-2])}


@pytest.fixture(scope="module")
def plan(tmp_path_factory, write_bids):
    root = write_bids(tmp_path_factory.mktemp("search") / "bids", subjects=4, runs=1)
    base = RunConfig()
    settings = replace(
        base, data=replace(base.data, path=str(root)), window=WindowConfig(4.0)
    )
    dataset = open_source(settings.data)
    cohort = read_cohort(
        dataset, settings, root.parent / "store", n_jobs=1, progress=False
    )
    training = TrainingConfig(
        max_epochs=4, learning_rate=1e-9, device="cpu", precision="32", ema_decay=0.5
    )
    return Plan(cohort.windows, cohort.targets, 2, ModelConfig("cnn3d"), training)


@pytest.fixture
def fold(plan):
    test = (plan.windows.table["subject"] == "04").to_numpy()
    return Fold(2, np.flatnonzero(~test), np.flatnonzero(test))


def test_what_learns_is_chosen_over_what_does_not(plan, fold):
    found = search(plan, fold, RATES, n_trials=3)
    assert found.plan.training.learning_rate == 1e-2
    assert found.plan.training == replace(plan.training, learning_rate=1e-2)
    assert found.plan.windows is plan.windows
    trials = found.trials
    assert trials["trial"].tolist() == [0, 1, 2, 3]
    assert np.isnan(trials["training.learning_rate"][0])
    best = trials.loc[trials["balanced_accuracy"].idxmax()]
    assert best["training.learning_rate"] == 1e-2
    assert found.score == best["balanced_accuracy"] > 0.8


def test_test_windows_are_never_used(plan, fold):
    """Neither to fit nor to choose: what reads them, or their class, is an error."""
    read = []
    whole = type(plan.windows)

    class Watched(whole):
        def __getitem__(self, rows):
            read.append(np.arange(len(self))[rows])
            return whole.__getitem__(self, rows)

    windows = Watched(plan.windows.table, plan.windows.runs)
    targets = plan.targets.copy()
    targets[fold.test] = 99  # no such class: fitting to one of them fails
    found = search(
        replace(plan, windows=windows, targets=targets), fold, RATES, n_trials=2
    )
    used = np.unique(np.concatenate(read))
    np.testing.assert_array_equal(used, fold.train)
    expected = search(plan, fold, RATES, n_trials=2)
    assert found.trials.equals(expected.trials)
    (use,) = found.protocol
    assert (use.purpose, use.fold) == ("select", 2)
    np.testing.assert_array_equal(use.rows, fold.train)


def test_the_plans_own_settings_stay_unless_a_trial_is_better(plan, fold, monkeypatch):
    tried = []

    def score(plan, inner):
        tried.append(plan)
        return 0.75

    monkeypatch.setattr(module, "_score", score)
    space = {
        "training.weight_decay": FloatDistribution(0.0, 0.1),
        "model.width": CategoricalDistribution([8, 16]),
    }
    found = search(plan, fold, space, n_trials=3, seed=5)
    assert found.plan is plan
    assert found.score == 0.75
    assert tried[1].model.parameters["width"] in (8, 16)
    decays = [p.training.weight_decay for p in tried[1:]]
    assert len(set(decays)) == 3
    again = search(plan, fold, space, n_trials=3, seed=5)
    assert again.trials.equals(found.trials)
    assert not search(plan, fold, space, n_trials=3, seed=6).trials.equals(found.trials)


@pytest.mark.parametrize(
    ("space", "n_trials", "message"),
    [
        ({}, 2, "nothing to search"),
        (RATES, 0, "nothing to search"),
        ({"learning_rate": FloatDistribution(0, 1)}, 1, "unknown setting"),
        ({"data.path": CategoricalDistribution(["a"])}, 1, r"model\.<name>"),
        ({"training.lerning_rate": FloatDistribution(0, 1)}, 1, "'learning_rate'"),
        ({"model.widht": CategoricalDistribution([8])}, 1, "'width'"),
    ],
)
def test_what_cannot_be_searched_is_refused(plan, fold, space, n_trials, message):
    with pytest.raises(InputError, match=message):
        search(plan, fold, space, n_trials=n_trials)


def test_a_single_group_is_refused(plan):
    one = np.flatnonzero(plan.windows.table["subject"] == "01")
    with pytest.raises(InputError, match="single group"):
        search(plan, Fold(0, one, one), RATES, n_trials=1)


def test_a_missing_library_names_the_extra(plan, fold, monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(errors.importlib, "import_module", missing)
    with pytest.raises(MissingExtraError, match=r"boldformer\[tune\]"):
        search(plan, fold, RATES)
