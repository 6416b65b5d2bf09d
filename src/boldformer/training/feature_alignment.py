"""Bringing window features of different sites together, without their labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.covariance import ledoit_wolf
from sklearn.utils.extmath import randomized_svd

from boldformer.errors import InputError

# Directions in which `coral` recolours; with few windows the others are noise.
N_COMPONENTS = 100


@dataclass(frozen=True)
class Alignment:
    """A way to align features.

    Parameters
    ----------
    apply : callable
        ``(features, runs, sites, is_target) -> aligned features``: it is given no
        labels.
    sees_target : bool
        Whether it looks at all test windows, so that a score with it is transductive.
    affine : bool
        Whether it shifts and scales each voxel of a group, which holds for frames as
        it does for window means; see `centring`.
    description : str
        For a reader.
    """

    apply: Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]
    sees_target: bool
    affine: bool
    description: str


def centring(
    features: np.ndarray, groups: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean and standard deviation of each feature over the windows of each group.

    Parameters
    ----------
    features : ndarray, shape (n_windows, n_features)
    groups : ndarray of str, shape (n_windows,)
        Run or site of each window.

    Returns
    -------
    mean, scale : ndarray of float32, shape (n_groups, n_features)
        A constant feature has scale 1.
    which : ndarray of int, shape (n_windows,)
        Row of each window's group.
    """
    names, which = np.unique(groups, return_inverse=True)
    means = np.empty((len(names), features.shape[1]), dtype=np.float32)
    scales = np.empty_like(means)
    for row in range(len(names)):
        members = features[which == row]
        means[row] = members.mean(axis=0, dtype=np.float64)
        scales[row] = members.std(axis=0, dtype=np.float64)
    scales[scales < 1e-6] = 1.0
    return means, scales, which


def centre(features: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Centre and scale each feature within each group (see `centring`)."""
    means, scales, which = centring(features, groups)
    return (features - means[which]) / scales[which]


def coral(
    source: np.ndarray, target: np.ndarray, n_components: int = N_COMPONENTS
) -> np.ndarray:
    r"""Give one set of windows the covariance of another.

    :math:`X_s' = X_s C_s^{-1/2} C_t^{1/2}` in the leading principal components of both
    sets together, with covariances :math:`C` shrunk towards a multiple of the identity
    by the amount of Ledoit and Wolf; what lies outside those components stays as it is.
    Means stay as they are.

    Parameters
    ----------
    source : ndarray, shape (n_source, n_features)
        Windows to recolour.
    target : ndarray, shape (n_target, n_features)
        Windows whose covariance they get.
    n_components : int
        Number of components.

    Returns
    -------
    ndarray of float32, shape (n_source, n_features)

    References
    ----------
    Sun, Feng & Saenko (2016). Return of frustratingly easy domain adaptation. AAAI.
    Ledoit & Wolf (2004). A well-conditioned estimator for large-dimensional covariance
    matrices. Journal of Multivariate Analysis 88(2), 365-411.
    """
    mean = source.mean(axis=0)
    both = np.concatenate([source - mean, target - target.mean(axis=0)])
    count = min(n_components, *both.shape)
    vectors, roots, axes = randomized_svd(both, count, random_state=0)
    kept = roots > roots[0] * np.sqrt(np.finfo(np.float32).eps)
    scores = vectors[:, kept] * roots[kept]
    ours, theirs = scores[: len(source)], scores[len(source) :]
    change = _power(_covariance(ours), -0.5) @ _power(_covariance(theirs), 0.5)
    return (source + (ours @ change - ours) @ axes[kept]).astype(np.float32)


def _covariance(scores: np.ndarray) -> np.ndarray:
    return ledoit_wolf(scores, assume_centered=True)[0]


def _power(covariance: np.ndarray, exponent: float) -> np.ndarray:
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.maximum(values, np.finfo(float).tiny) ** exponent) @ vectors.T


def _none(features: np.ndarray, *_: np.ndarray) -> np.ndarray:
    return features


def _by_run(features: np.ndarray, runs: np.ndarray, *_: np.ndarray) -> np.ndarray:
    return centre(features, runs)


def _by_site(
    features: np.ndarray, _: np.ndarray, sites: np.ndarray, __: np.ndarray
) -> np.ndarray:
    return centre(features, sites)


def _coral(
    features: np.ndarray, _: np.ndarray, sites: np.ndarray, is_target: np.ndarray
) -> np.ndarray:
    aligned = centre(features, sites)
    target = aligned[is_target].copy()
    for site in np.unique(sites[~is_target]):
        rows = (sites == site) & ~is_target
        aligned[rows] = coral(aligned[rows], target)
    return aligned


ALIGNMENTS: dict[str, Alignment] = {
    "none": Alignment(_none, False, True, "nothing beyond preprocessing"),
    "run": Alignment(
        _by_run, True, True, "every voxel centred and scaled over the windows of a run"
    ),
    "site": Alignment(
        _by_site,
        True,
        True,
        "every voxel centred and scaled over the windows of a data set",
    ),
    "coral": Alignment(
        _coral,
        True,
        False,
        "centred and scaled by site, then training sites given the test site's "
        "covariance (CORAL)",
    ),
}


def get_alignment(name: str) -> Alignment:
    """Return an alignment by name.

    Raises
    ------
    InputError
        For an unknown name.
    """
    if name not in ALIGNMENTS:
        raise InputError(
            f"unknown alignment {name!r}", wanted=f"one of {', '.join(ALIGNMENTS)}"
        )
    return ALIGNMENTS[name]
