"""Voxels that tell classes apart, and the coordinates in which decoders are solved."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
from sklearn.feature_selection import f_classif

from boldformer.training.rotation import Rotation, column_blocks, gram_matrix

Folds = list[tuple[np.ndarray, np.ndarray]]
# Coordinates of all windows for an inner fold, and its training and test rows.
Part = tuple[np.ndarray, np.ndarray, np.ndarray]


def strongest(X: np.ndarray, codes: np.ndarray, count: int) -> np.ndarray:
    """Features that differ most between classes, by the F statistic of one-way ANOVA.

    Parameters
    ----------
    X : ndarray, shape (n_windows, n_features)
        Training windows only.
    codes : ndarray of int, shape (n_windows,)
        Class of each.
    count : int
        How many.

    Returns
    -------
    ndarray of int, shape (count,)
        Columns, ascending.
    """
    with np.errstate(invalid="ignore", divide="ignore"), warnings.catch_warnings():
        # A feature that is constant in these rows tells nothing: its F is not a number.
        warnings.simplefilter("ignore", UserWarning)
        statistic = np.concatenate(
            [f_classif(X[:, columns], codes)[0] for columns in column_blocks(X)]
        )
    order = np.argsort(
        np.nan_to_num(statistic, nan=-1.0, posinf=np.finfo(float).max), kind="stable"
    )
    return np.sort(order[-count:])


def inner_parts(
    X: np.ndarray, codes: np.ndarray, folds: Folds, n_voxels: int
) -> Iterator[Part]:
    """Put inner folds into coordinates of the voxels their training rows choose.

    Parameters
    ----------
    X : ndarray, shape (n_windows, n_features)
        Training windows.
    codes : ndarray of int, shape (n_windows,)
        Class of each.
    folds : list of (ndarray, ndarray)
        Rows to train on and to test, of these windows.
    n_voxels : int
        How many features each fold keeps.

    Yields
    ------
    coordinates : ndarray, shape (n_windows, n_coordinates)
        All windows.
    train, test : ndarray of int
        The fold.
    """
    everything = None if n_voxels < X.shape[1] else coordinates_of(X) if folds else None
    for train, test in folds:
        if everything is not None:
            yield everything, train, test
        else:
            kept = strongest(X[train], codes[train], n_voxels)
            yield coordinates_of(X[:, kept]), train, test


def coordinates_of(X: np.ndarray) -> np.ndarray:
    """Rows in which solving is cheap and `C` means the same for any data."""
    if X.shape[0] < X.shape[1]:
        return Rotation.from_gram(gram_matrix(X)).coordinates
    mean, scale = centre_and_scale(X)
    return (X - mean) / scale


def centre_and_scale(X: np.ndarray) -> tuple[np.ndarray, float]:
    """Mean row, (n_features,), and root mean squared norm of the rows about it."""
    mean = X.mean(axis=0, dtype=np.float64)
    squares = np.sum((X - mean) ** 2, axis=1)
    return mean, float(np.sqrt(squares.mean())) or 1.0
