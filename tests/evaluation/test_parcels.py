"""Parcels are compact, of like size, and know nothing but places."""

import numpy as np

from boldformer.evaluation.parcels import parcel_means, parcellate


def ball(radius=9):
    places = np.indices((21, 21, 21)) - 10
    return np.linalg.norm(places, axis=0) <= radius


def test_parcels_cover_the_mask_and_are_compact():
    mask = ball()
    parcels = parcellate(mask, (2.0, 2.0, 2.0), 40)
    assert parcels.shape == (mask.sum(),)
    assert len(np.unique(parcels)) == 40
    places_mm = 2.0 * np.argwhere(mask)
    spread = [places_mm[parcels == k].std(axis=0).max() for k in range(40)]
    assert max(spread) < 0.6 * places_mm.std(axis=0).min()
    counts = np.bincount(parcels)
    assert counts.max() < 5 * counts.mean()
    np.testing.assert_array_equal(parcels, parcellate(mask, (2.0, 2.0, 2.0), 40))


def test_long_voxels_count_as_long():
    mask = np.ones((6, 6, 6), dtype=bool)
    parcels = parcellate(mask, (1.0, 1.0, 50.0), 6)
    z = np.argwhere(mask)[:, 2]
    assert all(len(np.unique(z[parcels == k])) == 1 for k in range(6))


def test_a_small_mask_has_few_parcels():
    assert len(np.unique(parcellate(np.ones((4, 4, 1), bool), (3, 3, 3)))) == 2


def test_means_are_means():
    values = np.random.default_rng(0).normal(size=(3, 10)).astype(np.float32)
    parcels = np.array([0, 0, 1, 1, 1, 4, 4, 4, 4, 0])
    expected = [values[:, parcels == k].mean(axis=1) for k in (0, 1, 4)]
    np.testing.assert_allclose(
        parcel_means(values, parcels), np.stack(expected, axis=1), rtol=1e-5
    )
