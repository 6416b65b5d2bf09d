"""The one judge: scikit-learn's scores, paired differences, p-values by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score

from boldformer.config import EvaluationConfig
from boldformer.evaluation.judge import MAIN_METRIC, Judge, Scored
from boldformer.evaluation.metrics import SCORES, weighted_scores

HYBRID = "hybrid"


@pytest.fixture(scope="module")
def drawn() -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    rng = np.random.default_rng(3)
    n_subjects, per_subject = 10, 12
    y = np.tile(np.arange(3), n_subjects * per_subject // 3)
    groups = np.repeat([f"s{k}" for k in range(n_subjects)], per_subject)

    def decoder(skill: float) -> np.ndarray:
        scores = rng.normal(size=(len(y), 3)) + skill * np.eye(3)[y]
        return np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)

    skills = {HYBRID: 1.5, "cnn3d": 1.5, "linear": 1.2, "odd": 0.0}
    return y, groups, {name: decoder(skill) for name, skill in skills.items()}


def judged(drawn: tuple, n_resamples: int = 50) -> tuple[Judge, dict[str, Scored]]:
    y, groups, given = drawn
    judge = Judge(y, groups, EvaluationConfig(n_resamples=n_resamples))
    return judge, {name: judge.score(p) for name, p in given.items()}


@given(seed=st.integers(0, 99))
def test_balanced_accuracy_under_weights_is_that_of_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y, scores = rng.integers(0, 3, 40), rng.normal(size=(40, 3))
    weights = rng.integers(0, 4, (5, 40))
    weights[:, :3], y[:3] = 1, range(3)
    found = weighted_scores(y, scores, weights, names=[MAIN_METRIC])[MAIN_METRIC]
    wanted = [
        balanced_accuracy_score(y, scores.argmax(axis=1), sample_weight=w)
        for w in weights
    ]
    np.testing.assert_allclose(found, wanted)


def test_only_the_scores_that_are_asked_for_are_taken(drawn: tuple) -> None:
    y, groups, given = drawn
    few = Judge(y, groups, EvaluationConfig(n_resamples=10), scores=["accuracy"])
    scored = few.score(given["odd"])
    assert not set(scored.draws.values) & (set(SCORES) - {"accuracy"})
    every, all_scored = judged(drawn, 10)
    wanted = every.estimate(all_scored["odd"], "accuracy")
    assert few.estimate(scored, "accuracy") == wanted


def test_differences_are_paired_and_add_up(drawn: tuple) -> None:
    y, _, given = drawn
    judge, scored = judged(drawn)
    assert judge.n_units == 10
    score = {k: balanced_accuracy_score(y, p.argmax(axis=1)) for k, p in given.items()}
    pairs = [(name, HYBRID) for name in given if name != HYBRID]
    found = [c for c in judge.compare(scored, pairs) if c.metric == MAIN_METRIC]
    assert [(c.a, c.b) for c in found] == pairs
    for one in found:
        gap = score[one.a] - score[one.b]
        assert one.difference.value == pytest.approx(gap)
        assert one.to_dict()["difference"] == pytest.approx(gap)
        assert judge.estimate(scored[one.a]).value == pytest.approx(score[one.a])


def test_a_decoder_does_not_differ_from_itself(drawn: tuple) -> None:
    judge, scored = judged(drawn)
    twins = {"a": scored[HYBRID], "b": scored[HYBRID]}
    for one in judge.compare(twins, [("a", "b")]):
        gap = one.difference
        assert (gap.value, gap.low, one.p_value) == (0, -gap.high, 1)
        assert one.reading == "undecided"


def test_p_values_by_hand(drawn: tuple) -> None:
    y, groups, given = drawn
    judge, scored = judged(drawn)
    right = {name: given[name].argmax(axis=1) == y for name in given}
    names = [name for name in given if name != HYBRID]
    p_values = []
    for name in names:
        # Classes are balanced: balanced accuracy is accuracy.
        gap = right[name].astype(float) - right[HYBRID]
        sums = np.array([gap[groups == g].sum() for g in np.unique(groups)])
        signs = np.array(np.meshgrid(*[[1, -1]] * 10)).reshape(10, -1)
        p_values.append(np.mean(np.abs(sums @ signs) >= abs(sums.sum()) - 1e-9))
    corrected, highest = np.empty(3), 0.0
    for place, k in enumerate(np.argsort(p_values)):
        highest = max(highest, min(1.0, (3 - place) * p_values[k]))
        corrected[k] = highest
    found = judge.compare(scored, [(name, HYBRID) for name in names])
    for metric in ("accuracy", MAIN_METRIC):
        some = [one for one in found if one.metric == metric]
        assert [one.p_value for one in some] == pytest.approx(p_values)
        assert [one.p_holm for one in some] == pytest.approx(corrected.tolist())
