"""Alignment of features between sites: what it undoes, and what it cannot see."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.covariance import ledoit_wolf

from boldformer.errors import InputError
from boldformer.training.feature_alignment import (
    ALIGNMENTS,
    centre,
    coral,
    get_alignment,
)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_no_alignment_is_given_labels() -> None:
    for alignment in ALIGNMENTS.values():
        names = [
            name.strip("_") for name in inspect.signature(alignment.apply).parameters
        ]
        assert not {"y", "labels", "targets"} & set(names)


@given(offset=st.floats(-100, 100), gain=st.floats(0.1, 10), seed=st.integers(0, 1000))
def test_centring_undoes_any_shift_and_gain_of_a_site(
    offset: float, gain: float, seed: int
) -> None:
    features = np.random.default_rng(seed).standard_normal((24, 7))
    groups = np.repeat(["a", "b"], 12)
    moved = features.copy()
    moved[12:] = gain * moved[12:] + offset
    np.testing.assert_allclose(
        centre(moved, groups), centre(features, groups), rtol=1e-3, atol=1e-3
    )


def test_a_constant_feature_becomes_zero() -> None:
    aligned = centre(np.full((6, 2), 3.0), np.repeat(["a", "b"], 3))
    np.testing.assert_allclose(aligned, 0, atol=1e-6)


def test_coral_gives_the_source_the_shrunken_covariance_of_the_target(
    rng: np.random.Generator,
) -> None:
    mixing = rng.standard_normal((5, 5))
    source = rng.standard_normal((4000, 5))
    target = rng.standard_normal((4000, 5)) @ mixing
    target -= target.mean(axis=0)
    aligned = coral(source, target)
    np.testing.assert_allclose(aligned.mean(axis=0), source.mean(axis=0), atol=1e-3)
    wanted = ledoit_wolf(target, assume_centered=True)[0]
    np.testing.assert_allclose(np.cov(aligned.T), wanted, atol=0.05 * wanted.max())


def test_coral_of_equal_sides_changes_nothing(rng: np.random.Generator) -> None:
    same = rng.standard_normal((30, 200))
    np.testing.assert_allclose(coral(same, same), same, atol=1e-3)


def test_coral_leaves_what_lies_outside_its_components(
    rng: np.random.Generator,
) -> None:
    source, target = rng.standard_normal((2, 40, 60))
    target[:, 0] *= 30
    aligned = coral(source, target, n_components=1)
    change = aligned - source
    assert np.linalg.matrix_rank(change, tol=1e-3) == 1


def test_alignments_leave_the_target_alone_but_for_centring(
    rng: np.random.Generator,
) -> None:
    features = rng.standard_normal((40, 9)).astype(np.float32)
    is_target = np.arange(40) >= 20
    # Correlated voxels: those of white noise have nothing to match.
    features[is_target, 1:5] += 2 * features[is_target, :1]
    runs = np.repeat(["a", "b", "c", "d"], 10)
    sites = np.repeat(["s", "t"], 20)
    site = get_alignment("site").apply(features, runs, sites, is_target)
    moved = get_alignment("coral").apply(features, runs, sites, is_target)
    np.testing.assert_array_equal(moved[is_target], site[is_target])
    assert not np.allclose(moved[~is_target], site[~is_target])
    same = get_alignment("none").apply(features, runs, sites, is_target)
    np.testing.assert_array_equal(same, features)


def test_unknown_alignment() -> None:
    with pytest.raises(InputError, match="coral"):
        get_alignment("procrustes")
