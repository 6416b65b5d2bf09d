"""No baseline is fitted to anything of a test window, and what it says it is, it is."""

from __future__ import annotations

import numpy as np
import pytest

from boldformer.data.audit.fit_log import FitLog
from boldformer.data.splits import Fold, Splits
from boldformer.evaluation.baselines import BASELINES
from boldformer.evaluation.out_of_fold import OutOfFold, out_of_fold

N, N_TEST = 60, 15


def drawn(p: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, Splits]:
    rng = np.random.default_rng(0)
    y = np.tile(np.arange(3), N // 3)
    X = rng.normal(size=(N, p)) + 0.7 * rng.normal(size=(3, p))[y]
    groups = np.repeat(np.arange(N // 6), 6).astype(str)
    test = np.arange(N - N_TEST, N)
    fold = Fold(0, np.setdiff1d(np.arange(N), test), test)
    return X, y, groups, Splits((fold,), "subject", "one fold")


def judge(name: str, X: np.ndarray, y: np.ndarray, *rest: object) -> OutOfFold:
    groups, splits = rest
    return out_of_fold(BASELINES[name].make(), X, y, splits, groups, 3)  # type: ignore[arg-type]


@pytest.mark.parametrize("p", [20, 200])
@pytest.mark.parametrize("name", BASELINES)
def test_turning_test_labels_and_data_over_changes_no_fit(name: str, p: int) -> None:
    X, y, groups, splits = drawn(p)
    (fold,) = splits.folds
    honest = judge(name, X, y, groups, splits)
    labels, data = y.copy(), X.copy()
    labels[fold.test] = (labels[fold.test] + 1) % 3
    data[fold.test[1:]] = 1e3 * np.random.default_rng(1).normal(size=(N_TEST - 1, p))
    turned = judge(name, data, labels, groups, splits)
    probe = fold.test[0]
    np.testing.assert_array_equal(
        honest.probabilities[probe], turned.probabilities[probe]
    )
    assert honest.training_accuracy == turned.training_accuracy
    assert honest.temperatures == turned.temperatures


@pytest.mark.parametrize("name", BASELINES)
def test_what_is_recorded_is_what_the_classifier_was_given(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y, groups, splits = drawn(20)
    model, log, seen = BASELINES[name].make(), FitLog(), []
    kind, fit = type(model), type(model).fit

    def watched(self: object, X: np.ndarray, *rest: object, **more: object) -> object:
        seen.append(X)
        return fit(self, X, *rest, **more)

    monkeypatch.setattr(kind, "fit", watched)
    out_of_fold(model, X, y, splits, groups, 3, log, name)
    uses = {use.what: use for use in log}
    assert uses[name].purpose == "fit"
    np.testing.assert_array_equal(X[uses[name].rows], seen[0])
    inner = uses.get(f"{name}: inner folds")
    assert (inner is not None) == hasattr(model, "n_voxels")
