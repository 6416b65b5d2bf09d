"""What linear decoders cost: baselines of a real data set, and a permutation test.

    OMP_NUM_THREADS=1 python benchmarks/linear_speed.py [DATA] [--classes 2 4 8]

With a data set: both linear baselines over its default folds, choice of penalty and
voxels included, and one fit of the support vector machine beside scikit-learn's.
Always: 200 shuffles × 5 folds of 600 windows that hold little but noise. Seconds of
the processor beside those of the clock, for machines that are shared. Prints Markdown.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import balanced_accuracy_score
from sklearn.svm import LinearSVC

from boldformer.config import DataConfig, RunConfig
from boldformer.data.cohort import read_cohort
from boldformer.data.sources.layouts import open_source
from boldformer.data.splits import Fold, Splits, make_folds, split_groups
from boldformer.evaluation.baselines import BASELINES
from boldformer.evaluation.out_of_fold import out_of_fold
from boldformer.evaluation.permutation import permutation_test
from boldformer.training.linear_decoder import Rotation, gram_matrix
from boldformer.training.solvers import NewtonSVC

N_WINDOWS, N_VOXELS, N_SUBJECTS, RUNS_EACH = 600, 30_000, 15, 5


@contextmanager
def timed(what: str, result: Callable[[], str]) -> Iterator[None]:
    """Print a line of a table once the block is done."""
    wall, processor = time.perf_counter(), time.process_time()
    yield
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    print(f"| {what} | {result()} | {processor:.1f} | {wall:.1f} |", flush=True)


def baselines(path: str) -> None:
    """Time the linear baselines of a data set over its default folds."""
    settings = RunConfig(data=DataConfig(path=path))
    dataset = open_source(settings.data)
    with tempfile.TemporaryDirectory() as folder:
        cohort = read_cohort(dataset, settings, Path(folder), n_jobs=1, progress=False)
        table, means = cohort.windows.table, cohort.windows.means()
    splits, y = make_folds(table), cohort.targets
    groups = split_groups(table, splits.unit)
    print(f"| {dataset.name}, {len(y)} windows, {len(cohort.labels)} classes ", end="")
    print("| result | processor, s | clock, s |\n|---|---|---|---|")
    found: dict[str, Any] = {}
    for name in ("linear_svm", "logistic"):

        def accuracy() -> str:
            given = found["given"].probabilities.argmax(axis=1)
            return f"{balanced_accuracy_score(y, given):.3f}"

        with timed(f"{name}, {len(splits.folds)} folds", accuracy):
            found["given"] = out_of_fold(
                BASELINES[name].make(), means, y, splits, groups, len(cohort.labels)
            )
    one_fit(means, y, splits.folds[0])


def one_fit(means: np.ndarray, y: np.ndarray, fold: Fold) -> None:
    """Time both solvers on one fold; the result is how far their decisions differ."""
    rotation = Rotation.from_gram(gram_matrix(means[fold.train]))
    rows, labels = rotation.coordinates, y[fold.train]
    tested = rotation.project(means[fold.test] @ means[fold.train].T.astype(float))
    for C in (0.1, 1.0, 10.0, 100.0):
        options = {"C": C, "dual": False, "class_weight": "balanced", "tol": 1e-4}
        ours, theirs = NewtonSVC(**options), LinearSVC(**options, max_iter=10_000)
        with timed(f"scikit-learn, C = {C:g}", lambda: ""):
            theirs.fit(rows, labels)
        wanted = theirs.decision_function(tested)

        def difference(ours: Any = ours, wanted: np.ndarray = wanted) -> str:
            off = np.abs(ours.decision_function(tested) - wanted).max()
            return f"{off / np.abs(wanted).max():.0e}"

        with timed(f"ours, C = {C:g}", difference):
            ours.fit(rows, labels)


def permutations(n_classes: int) -> None:
    """Time a permutation test of a cohort with a small effect."""
    rng = np.random.default_rng(0)
    runs = np.arange(N_WINDOWS) * N_SUBJECTS * RUNS_EACH // N_WINDOWS
    subjects = runs // RUNS_EACH
    y = np.empty(N_WINDOWS, dtype=int)
    for run in np.unique(runs):
        y[runs == run] = rng.permutation(np.arange(np.sum(runs == run)) % n_classes)
    patterns = 0.03 * rng.standard_normal((n_classes, N_VOXELS), dtype=np.float32)
    offsets = rng.standard_normal((N_SUBJECTS, N_VOXELS), dtype=np.float32)
    X = rng.standard_normal((N_WINDOWS, N_VOXELS), dtype=np.float32)
    X += patterns[y] + offsets[subjects]
    sides = [
        (np.flatnonzero(subjects % 5 != k), np.flatnonzero(subjects % 5 == k))
        for k in range(5)
    ]
    folds = tuple(Fold(k, *side) for k, side in enumerate(sides))
    splits = Splits(folds, "subject", "five folds")
    found: dict[str, Any] = {}
    table = pd.DataFrame({"recording": runs})

    def result() -> str:
        test = found["test"]
        return f"{test.score:.3f}, null {test.null.mean():.3f}, p = {test.p_value:.3f}"

    with timed(f"{n_classes} classes", result):
        found["test"] = permutation_test(gram_matrix(X), y, table, splits)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="?", help="data set")
    parser.add_argument("--classes", type=int, nargs="*", default=[2, 4, 8])
    arguments = parser.parse_args()
    if arguments.data:
        baselines(arguments.data)
        print()
    print("| 200 shuffles × 5 folds, 600 windows | score | processor, s | clock, s |")
    print("|---|---|---|---|")
    for n_classes in arguments.classes:
        permutations(n_classes)


if __name__ == "__main__":
    main()
