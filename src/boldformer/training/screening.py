"""Voxels that tell classes apart, and the coordinates in which decoders are solved."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.feature_selection import f_classif
from sklearn.utils.validation import check_consistent_length

from boldformer.data import splits
from boldformer.data.splits import Fold
from boldformer.training.rotation import Rotation, column_blocks, gram_matrix

INNER_FOLDS = 5

Folds = list[tuple[np.ndarray, np.ndarray]]
# Coordinates of all windows for an inner fold, and its training and test rows.
Part = tuple[np.ndarray, np.ndarray, np.ndarray]


def weakest_first(X: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Order features by how much they differ between classes.

    Parameters
    ----------
    X : ndarray, shape (n_windows, n_features)
        Training windows only.
    codes : ndarray of int, shape (n_windows,)
        Class of each.

    Returns
    -------
    ndarray of int, shape (n_features,)
        Columns, by the F statistic of one-way ANOVA, ascending.
    """
    with np.errstate(invalid="ignore", divide="ignore"), warnings.catch_warnings():
        # A feature that is constant in these rows tells nothing: its F is not a number.
        warnings.simplefilter("ignore", UserWarning)
        statistic = np.concatenate(
            [f_classif(X[:, columns], codes)[0] for columns in column_blocks(X)]
        )
    return np.argsort(
        np.nan_to_num(statistic, nan=-1.0, posinf=np.finfo(float).max), kind="stable"
    )


def grouped_folds(codes: np.ndarray, groups: Any, most: int) -> Folds:
    """Divide windows by `boldformer.data.splits.inner_folds`, given arrays.

    Parameters
    ----------
    codes : ndarray of int, shape (n_windows,)
        Class of each window.
    groups : sequence, shape (n_windows,)
        What is kept apart.
    most : int
        Folds at the most; no more than the most frequent class has windows.

    Returns
    -------
    list of (ndarray, ndarray)
        Rows to train on and to test; none for a single group.
    """
    check_consistent_length(codes, groups)
    table = pd.DataFrame({"subject": groups, "recording": groups, "label": codes})
    everything = Fold(0, np.arange(len(codes)), np.arange(0))
    with warnings.catch_warnings():
        # Rare classes are stratified as far as they go.
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        found = splits.inner_folds(table, everything, folds=most).folds
    return [(fold.train, fold.test) for fold in found]


def inner_folds(codes: np.ndarray, groups: Any = None) -> Folds:
    """Divide training windows again, to choose voxels and penalty by.

    Parameters
    ----------
    codes : ndarray of int, shape (n_windows,)
        Class of each window.
    groups : sequence, shape (n_windows,), optional
        What is kept apart; every window by itself otherwise.

    Returns
    -------
    list of (ndarray, ndarray)
        Rows to train on and to test, at most `INNER_FOLDS` times; none where a class
        would be missing from the training rows.
    """
    counts = np.bincount(codes)
    most = min(INNER_FOLDS, int(counts.min()))
    if most < 2:
        return []
    apart = np.arange(len(codes)) if groups is None else groups
    folds = grouped_folds(codes, apart, most)
    complete = all(len(np.unique(codes[train])) == len(counts) for train, _ in folds)
    return folds if complete else []


def inner_parts(
    X: np.ndarray, codes: np.ndarray, folds: Folds, counts: Sequence[int]
) -> Iterator[list[Part]]:
    """Put inner folds into coordinates of the voxels their training rows choose.

    Parameters
    ----------
    X : ndarray, shape (n_windows, n_features)
        Training windows.
    codes : ndarray of int, shape (n_windows,)
        Class of each.
    folds : list of (ndarray, ndarray)
        Rows to train on and to test, of these windows.
    counts : sequence of int
        How many features to keep.

    Yields
    ------
    list of (coordinates, train, test)
        For each count, in its order, the folds; coordinates are of all windows,
        (n_windows, n_coordinates).
    """
    orders: list[np.ndarray] = []
    for count in counts:
        if count >= X.shape[1]:
            everything = coordinates_of(X) if folds else X
            yield [(everything, *fold) for fold in folds]
            continue
        orders = orders or [weakest_first(X[train], codes[train]) for train, _ in folds]
        yield [
            (coordinates_of(X[:, np.sort(order[-count:])]), *fold)
            for order, fold in zip(orders, folds, strict=True)
        ]


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
