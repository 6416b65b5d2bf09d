"""Sign flips hold their level; corrections are Holm's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score

from boldformer.evaluation.paired_tests import (
    contributions,
    holm,
    least_p_value,
    sign_flip_test,
)


def test_sign_flips_by_hand():
    """All of three units agree: 2 of 8 swaps are as extreme."""
    assert sign_flip_test(np.array([1.0, 2, 3]), np.arange(3)) == pytest.approx(2 / 8)
    assert sign_flip_test(np.array([1.0, -1]), np.arange(2)) == 1.0
    # Windows of a group are swapped together.
    assert sign_flip_test(np.ones(30), np.arange(30) % 3) == pytest.approx(2 / 8)


def test_sign_flips_hold_their_level():
    rng = np.random.default_rng(0)
    p = [
        sign_flip_test(rng.normal(size=18), np.arange(18), seed=seed)
        for seed in range(300)
    ]
    assert np.mean(np.array(p) <= 0.05) < 0.09
    assert np.mean(p) == pytest.approx(0.5, abs=0.06)


def test_holm_by_hand():
    np.testing.assert_allclose(
        holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02]
    )


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_lies_between_none_and_bonferroni(p):
    p = np.array(p)
    corrected = holm(p)
    assert (corrected >= p).all()
    assert (corrected <= np.minimum(1, p * len(p)) + 1e-12).all()


def test_contributions_add_up_to_balanced_accuracy():
    y = np.repeat([0, 1, 2], [30, 12, 6])
    predicted = np.random.default_rng(0).integers(0, 3, len(y))
    total = contributions(y, predicted).sum()
    assert total == pytest.approx(balanced_accuracy_score(y, predicted))


def test_a_widened_sign_flip_test_is_harder_to_pass():
    rng = np.random.default_rng(3)
    differences = 0.4 + rng.normal(size=15)
    p_values = [
        sign_flip_test(differences, np.arange(15), widening=w) for w in (1.0, 1.5)
    ]
    assert p_values[0] < p_values[1] < 1


@pytest.mark.parametrize("n_units", [2, 3, 6, 13])
def test_the_least_p_value_is_reached_and_never_undercut(n_units):
    agreed = sign_flip_test(np.ones(n_units), np.arange(n_units))
    assert agreed == pytest.approx(least_p_value(n_units))
