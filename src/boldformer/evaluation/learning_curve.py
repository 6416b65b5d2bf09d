"""How much is gained by every further subject: scores of fewer training groups."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from boldformer.data.splits import Fold, Splits
from boldformer.evaluation.intervals import Estimate, GroupBootstrap
from boldformer.evaluation.judge import MAIN_METRIC
from boldformer.training.linear_decoder import DEFAULT_C, Rotation, make_solver

N_SIZES = 6
N_REPEATS = 5

Predict = Callable[[Fold], np.ndarray]


@dataclass(frozen=True)
class CurvePoint:
    """A score after training on so many groups.

    Parameters
    ----------
    n_groups : int
        Training groups (subjects, or runs within one) in every fold.
    n_windows : float
        Training windows, the mean over folds.
    score : Estimate
        Balanced accuracy over all tested windows, the mean over draws of groups.
    """

    n_groups: int
    n_windows: float
    score: Estimate


def curve_sizes(
    splits: Splits, groups: np.ndarray, n_sizes: int = N_SIZES
) -> list[int]:
    """Numbers of training groups to try, evenly on a logarithmic scale.

    Parameters
    ----------
    splits : Splits
        Folds.
    groups : ndarray of str, shape (n_windows,)
        What folds keep apart.
    n_sizes : int
        How many at the most.

    Returns
    -------
    list of int
        Ascending, up to what every fold has.
    """
    most = min(len(np.unique(groups[fold.train])) for fold in splits.folds)
    return np.unique(np.geomspace(1, most, n_sizes).round().astype(int)).tolist()


def smaller_fold(
    fold: Fold, y: np.ndarray, groups: np.ndarray, size: int, seed: int
) -> Fold | None:
    """Keep the training windows of some groups, drawn at random.

    Draws of one seed are nested: a larger size adds groups to a smaller one.

    Parameters
    ----------
    fold : Fold
        Its test side is kept.
    y, groups : ndarray, shape (n_windows,)
        Class and group of every window.
    size : int
        Groups to keep.
    seed : int
        Of the order of groups.

    Returns
    -------
    Fold or None
        None where the groups drawn lack a class that the fold has.
    """
    names = np.unique(groups[fold.train])
    order = np.random.default_rng([seed, fold.index]).permutation(names)
    kept = fold.train[np.isin(groups[fold.train], order[:size])]
    if len(np.unique(y[kept])) < len(np.unique(y[fold.train])):
        return None
    return Fold(fold.index, kept, fold.test)


def learning_curve(
    predict: Predict,
    y: np.ndarray,
    splits: Splits,
    groups: np.ndarray,
    bootstrap: GroupBootstrap,
    *,
    n_repeats: int = N_REPEATS,
    seed: int = 0,
) -> Iterator[CurvePoint]:
    """Score a decoder trained on fewer and fewer groups, on the same test windows.

    Parameters
    ----------
    predict : callable
        Fits to the training rows of a `Fold` and returns the classes of its test rows,
        int (n_test,).
    y : ndarray of int, shape (n_windows,)
        Column of each window's class.
    splits : Splits
        Folds.
    groups : ndarray of str, shape (n_windows,)
        What folds keep apart.
    bootstrap : GroupBootstrap
        Resamples of all windows.
    n_repeats : int
        Draws of groups at each size; one where all are taken.
    seed : int
        Of the draws.

    Yields
    ------
    CurvePoint
        By size; a size at which a draw lacks a class in some fold is left out.
    """
    sizes = curve_sizes(splits, groups)
    for size in sizes:
        draws = []
        for repeat in range(n_repeats):
            folds = [
                smaller_fold(fold, y, groups, size, seed + repeat)
                for fold in splits.folds
            ]
            complete = [fold for fold in folds if fold is not None]
            if len(complete) == len(folds):
                draws.append((complete, _predictions(predict, complete, len(y))))
            all_taken = size == sizes[-1] and _takes_all(splits, groups, size)
            if all_taken:
                break
        if draws:
            yield _point(size, draws, y, bootstrap)


def _takes_all(splits: Splits, groups: np.ndarray, size: int) -> bool:
    return all(len(np.unique(groups[f.train])) == size for f in splits.folds)


def _predictions(predict: Predict, folds: list[Fold], n_windows: int) -> np.ndarray:
    predicted = np.full(n_windows, -1)
    for fold in folds:
        predicted[fold.test] = predict(fold)
    return predicted


def _point(
    size: int,
    draws: list[tuple[list[Fold], np.ndarray]],
    y: np.ndarray,
    bootstrap: GroupBootstrap,
) -> CurvePoint:
    one_hot, found = np.eye(int(y.max()) + 1), []
    for _, predicted in draws:
        tested = predicted >= 0
        given = one_hot[predicted[tested]]
        found.append(
            bootstrap.only(tested).draw(y[tested], given, names=(MAIN_METRIC,))
        )
    n_windows = [len(fold.train) for folds, _ in draws for fold in folds]
    score = bootstrap.mean(found, MAIN_METRIC)
    return CurvePoint(size, float(np.mean(n_windows)), score)


def linear_predict(gram: np.ndarray, y: np.ndarray) -> Predict:
    """Predict with a linear support vector machine of fixed penalty.

    Parameters
    ----------
    gram : ndarray, shape (n_windows, n_windows)
        `boldformer.training.linear_decoder.gram_matrix` of all windows.
    y : ndarray of int, shape (n_windows,)
        Class of each window.
    """

    def predict(fold: Fold) -> np.ndarray:
        rotation = Rotation.from_gram(gram[np.ix_(fold.train, fold.train)])
        solver = make_solver("svm", DEFAULT_C, tol=1e-3)
        # Many small systems: several threads at each only wait for one another.
        with threadpool_limits(1):
            solver.fit(rotation.coordinates, y[fold.train])
        across = gram[np.ix_(fold.test, fold.train)]
        return solver.predict(rotation.project(across))

    return predict


def curve_table(curves: dict[str, list[CurvePoint]]) -> pd.DataFrame:
    """One row a decoder and size: ``decoder``, ``n_groups``, ``n_windows``, score."""
    return pd.DataFrame(
        [
            {
                "decoder": name,
                "n_groups": point.n_groups,
                "n_windows": point.n_windows,
                "balanced_accuracy": point.score.value,
                "low": point.score.low,
                "high": point.score.high,
            }
            for name, points in curves.items()
            for point in points
        ],
        columns=[
            *("decoder", "n_groups", "n_windows"),
            *("balanced_accuracy", "low", "high"),
        ],
    )
