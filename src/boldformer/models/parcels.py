"""Parcels of the brain made from the places of voxels alone: no signal, no labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse

N_PARCELS = 400
# Fewer voxels a parcel than this would be hardly a summary.
_FEWEST_VOXELS = 8


def parcellate(
    mask: np.ndarray,
    voxel_size_mm: Sequence[float],
    n_parcels: int = N_PARCELS,
    seed: int = 0,
) -> np.ndarray:
    """Divide the voxels of a mask into compact parcels of like size.

    Parameters
    ----------
    mask : ndarray of bool, shape (x, y, z)
        Voxels to divide.
    voxel_size_mm : sequence of float
        Edge lengths of a voxel.
    n_parcels : int
        How many; fewer where a parcel would have less than eight voxels.
    seed : int
        Of the first centres.

    Returns
    -------
    ndarray of int, shape (n_voxels,)
        Parcel of each voxel, in C order: k-means of the voxels' places.

    References
    ----------
    Sculley (2010). Web-scale k-means clustering. WWW, 1177-1178.
    """
    # Only those who train need it, and it is slow to import.
    from sklearn.cluster import MiniBatchKMeans

    places_mm = np.argwhere(mask) * np.asarray(voxel_size_mm)
    count = int(np.clip(len(places_mm) // _FEWEST_VOXELS, 1, n_parcels))
    clusters = MiniBatchKMeans(count, batch_size=4096, n_init=1, random_state=seed)
    return clusters.fit_predict(places_mm)


def parcel_means(values: np.ndarray, parcels: np.ndarray) -> np.ndarray:
    """Average voxels within parcels.

    Parameters
    ----------
    values : ndarray, shape (n_windows, n_voxels)
        Such as window means.
    parcels : ndarray of int, shape (n_voxels,)
        From `parcellate`.

    Returns
    -------
    ndarray, shape (n_windows, n_parcels)
        Of the parcels that hold a voxel.
    """
    _, members, counts = np.unique(parcels, return_inverse=True, return_counts=True)
    cells = (1.0 / counts[members], (np.arange(len(members)), members))
    averaging = sparse.csr_array(cells, shape=(len(members), len(counts)))
    return values @ averaging


def box_parcels(
    volume_shape: tuple[int, int, int], n_parcels: int = N_PARCELS
) -> np.ndarray:
    """Divide a whole volume into like boxes, where no mask is known.

    Parameters
    ----------
    volume_shape : tuple of int
        ``(x, y, z)``.
    n_parcels : int
        How many at most.

    Returns
    -------
    ndarray of int, shape (x * y * z,)
        Box of each voxel, in C order.
    """
    # Cuts go where pieces are longest, as long as the boxes are not too many.
    cuts = np.ones(3, dtype=int)
    sizes = np.asarray(volume_shape)
    while True:
        longest = np.zeros(3, dtype=int)
        longest[np.argmax(sizes / cuts)] = 1
        if (sizes <= cuts).all() or np.prod(cuts + longest) > n_parcels:
            break
        cuts = cuts + longest
    places = np.indices(volume_shape).reshape(3, -1)
    return np.ravel_multi_index(tuple(places * cuts[:, None] // sizes[:, None]), cuts)
