"""Many voxels of few windows, rotated into as many coordinates as there are windows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

_BLOCK_VALUES = 2**24


def gram_matrix(features: np.ndarray) -> np.ndarray:
    """Inner products of all rows, summed in double precision.

    Parameters
    ----------
    features : ndarray, shape (n_windows, n_features)
        Any float type; a memory map is read once, a block of columns at a time.

    Returns
    -------
    ndarray of float64, shape (n_windows, n_windows)
        ``features @ features.T``.
    """
    gram = np.zeros((len(features), len(features)))
    for columns in column_blocks(features):
        block = np.asarray(features[:, columns], dtype=np.float64)
        gram += block @ block.T
    return gram


@dataclass(frozen=True)
class Rotation:
    """Windows in the few coordinates they span, and the way back.

    A linear model penalised by the norm of its weights has its solution in the span of
    the training rows. Centred, scaled to a mean squared norm of one and rotated into
    that span, `n` rows need at most `n` coordinates, and solving there is exact
    (Hastie & Tibshirani, 2004).

    Parameters
    ----------
    coordinates : ndarray, shape (n_windows, rank)
        The training windows.
    back : ndarray, shape (rank, n_windows)
        Weights on coordinates times this are weights on centred, scaled windows.
    gram_mean : ndarray, shape (n_windows,)
        Inner product of each training window with their mean.
    scale : float
        Root mean squared norm of the centred windows.

    References
    ----------
    Hastie & Tibshirani (2004). Efficient quadratic regularization for expression
    arrays. Biostatistics 5(3), 329-340.
    """

    coordinates: np.ndarray
    back: np.ndarray
    gram_mean: np.ndarray
    scale: float

    @classmethod
    def from_gram(cls, gram: np.ndarray) -> Rotation:
        """Rotate windows given their `gram_matrix`, shape (n_windows, n_windows)."""
        mean = gram.mean(axis=0)
        centred = gram - mean - mean[:, None] + mean.mean()
        scale = float(np.sqrt(max(np.trace(centred), 0.0) / len(gram))) or 1.0
        values, vectors = np.linalg.eigh(centred / scale**2)
        kept = values > max(values[-1], 1.0) * len(gram) * np.finfo(float).eps
        roots, vectors = np.sqrt(values[kept]), vectors[:, kept]
        return cls(vectors * roots, (vectors / roots).T, mean, scale)

    def project(self, cross: np.ndarray) -> np.ndarray:
        """Coordinates of other windows.

        Parameters
        ----------
        cross : ndarray, shape (n_others, n_windows)
            Inner products of the others with the training windows.

        Returns
        -------
        ndarray, shape (n_others, rank)
            In the rotation of the training windows.
        """
        centred = cross - cross.mean(axis=1, keepdims=True) - self.gram_mean
        return ((centred + self.gram_mean.mean()) / self.scale**2) @ self.back.T

    def dual(
        self, coef: np.ndarray, intercept: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Express a model on coordinates through the raw training windows.

        Returns
        -------
        dual_coef : ndarray, shape (n_rows, n_windows)
            ``dual_coef @ X`` are the weights of the raw features.
        intercept : ndarray, shape (n_rows,)
            That goes with them.
        """
        dual = (coef @ self.back) / self.scale**2
        dual -= dual.mean(axis=1, keepdims=True)
        return dual, intercept - dual @ self.gram_mean


def column_blocks(features: np.ndarray) -> Iterator[slice]:
    """Slices of columns that are small enough to copy, in order."""
    step = max(1, _BLOCK_VALUES // max(1, features.shape[0]))
    for start in range(0, features.shape[1], step):
        yield slice(start, start + step)
