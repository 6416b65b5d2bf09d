"""Linear decoders for many more voxels than windows, solved among the windows."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from joblib import Parallel, cpu_count, delayed
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.svm import LinearSVC
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from threadpoolctl import threadpool_limits

from boldformer.errors import InputError
from boldformer.training.rotation import Rotation, column_blocks, gram_matrix
from boldformer.training.screening import (
    Folds,
    Part,
    centre_and_scale,
    inner_folds,
    inner_parts,
    weakest_first,
)
from boldformer.training.solvers import make_solver

__all__ = ["LinearDecoder", "Rotation", "fit_temperature", "gram_matrix", "make_solver"]

C_GRID = (0.1, 1.0, 10.0, 100.0)
# With far more voxels than windows, the customary C = 1 on z-scored voxels separates
# the training windows completely; so does 10 on features of unit mean square norm.
DEFAULT_C = 10.0
# How many of the most discriminating voxels "auto" tries besides all of them.
SCREENED = (2000, 500)


# Values times classes from which inner folds are fitted side by side.
_LARGE = 2_000_000


def fit_temperature(logits: np.ndarray, y: np.ndarray) -> float:
    """Temperature that minimises the log-loss of ``softmax(logits / temperature)``.

    Parameters
    ----------
    logits : ndarray, shape (n, n_classes)
        Scores of samples that the scorer was not fitted to.
    y : ndarray of int, shape (n,)
        Column of each sample's class.

    Returns
    -------
    float
        Between 0.01 and 100.

    References
    ----------
    Guo, Pleiss, Sun & Weinberger (2017). On calibration of modern neural networks.
    ICML.
    """

    def loss(log_temperature: float) -> float:
        scaled = log_softmax(logits / np.exp(log_temperature), axis=1)
        return -float(scaled[np.arange(len(y)), y].mean())

    bounds = (np.log(0.01), np.log(100.0))
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x))


class LinearDecoder(ClassifierMixin, BaseEstimator):
    """Linear support vector machine or logistic regression, exact for many voxels.

    Rows are centred by the training mean and divided by one number, the root mean
    squared norm of the centred training rows, so that `C` means the same whatever the
    number of voxels or their unit. Several classes are one-vs-rest for the machine and
    multinomial for the regression. Deterministic.

    Parameters
    ----------
    loss : {"svm", "logistic"}
        Squared hinge or log-loss, both with an L2 penalty.
    C : float or "auto"
        Inverse strength of the penalty. "auto" takes the best of 0.1, 1, 10 and 100 by
        balanced accuracy (the smallest of equals) over at most five inner folds that
        keep groups apart; 10 where there are fewer than three folds.
    n_voxels : int, "auto" or None
        Keep this many features, those with the largest F statistic between the classes
        of the training rows; None keeps all. "auto" takes the best of all, 2000 and 500
        by balanced accuracy over the same inner folds, which screen their own training
        rows; all where there are no inner folds.
    class_weight : {"balanced"}, dict or None
        As in scikit-learn.
    tol : float
        Of the solver.

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
        Labels, in the order of the columns of probabilities.
    coef_ : ndarray, shape (n_classes, n_features), or (1, n_features) for two classes
        Weights of the raw features.
    intercept_ : ndarray, shape (n_classes,) or (1,)
        Goes with `coef_`.
    dual_coef_ : ndarray, shape (n_classes or 1, n_windows)
        Weights of the training windows, ``coef_ = dual_coef_ @ X`` (in the features
        kept); only where windows are fewer than features.
    C_ : float
        The penalty used.
    n_voxels_ : int
        How many features were kept; weights of the others are zero.
    temperature_ : float
        Divides decisions before the softmax. For the machine it is fitted to the
        decisions of inner folds (1 where no two groups allow any); 1 for the
        regression.
    """

    def __init__(
        self,
        loss: Literal["svm", "logistic"] = "svm",
        C: float | Literal["auto"] = "auto",
        n_voxels: int | Literal["auto"] | None = "auto",
        class_weight: str | dict | None = "balanced",
        tol: float = 1e-4,
    ) -> None:
        self.loss = loss
        self.C = C
        self.n_voxels = n_voxels
        self.class_weight = class_weight
        self.tol = tol

    def fit(self, X: np.ndarray, y: np.ndarray, groups: Any = None) -> LinearDecoder:
        """Fit to windows.

        Parameters
        ----------
        X : ndarray, shape (n_windows, n_features)
            One row a window.
        y : sequence, shape (n_windows,)
            Labels.
        groups : sequence, shape (n_windows,), optional
            What inner folds keep apart; without it every window is its own group.

        Returns
        -------
        LinearDecoder
            Itself.

        Raises
        ------
        InputError
            For an unknown loss or penalty, or a single class.
        """
        X, y = validate_data(self, X, y, dtype=[np.float64, np.float32])
        codes = self._encode(y)
        self._check_settings()
        parts, known = self._screen(X, codes, inner_folds(codes, groups))
        self._choose(parts, codes, known)
        kept: Any = slice(None)
        if self.n_voxels_ < X.shape[1]:
            kept = np.sort(weakest_first(X, codes)[-self.n_voxels_ :])
        coef, self.intercept_ = self._solve(X[:, kept], codes)
        self.coef_ = np.zeros((len(coef), X.shape[1]))
        self.coef_[:, kept] = coef
        return self

    def _screen(
        self, X: np.ndarray, codes: np.ndarray, folds: Folds
    ) -> tuple[list[Part], dict[float, np.ndarray]]:
        """Set `n_voxels_`; return the inner folds in its voxels, logits by penalty."""
        n_features = X.shape[1]
        counts = [n_features]
        if self.n_voxels == "auto":
            counts += [n for n in SCREENED if n < n_features and folds]
        elif self.n_voxels is not None:
            counts = [min(int(self.n_voxels), n_features)]
        candidates = zip(counts, inner_parts(X, codes, folds, counts), strict=True)
        if len(counts) == 1:
            ((self.n_voxels_, chosen),) = candidates
            return chosen, {}
        best, known = -1.0, {}
        for n_voxels, parts in candidates:
            logits = self._inner_logits(parts, codes, self._usual_penalty)
            score = _score(logits, parts, codes)
            if score > best:
                best, self.n_voxels_, chosen = score, n_voxels, parts
                known = {self._usual_penalty: logits}
        return chosen, known

    def _solve(self, X: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weights and intercept on raw features, with the choices made."""
        if X.shape[0] < X.shape[1]:
            rotation = Rotation.from_gram(gram_matrix(X))
            solver = self._solver(self.C_).fit(rotation.coordinates, codes)
            self.dual_coef_, intercept = rotation.dual(solver.coef_, solver.intercept_)
            coef = np.empty((len(self.dual_coef_), X.shape[1]))
            for columns in column_blocks(X):
                coef[:, columns] = self.dual_coef_ @ X[:, columns]
            return coef, intercept
        mean, scale = centre_and_scale(X)
        solver = self._solver(self.C_).fit((X - mean) / scale, codes)
        coef = solver.coef_ / scale
        return coef, solver.intercept_ - coef @ mean

    def fit_gram(
        self, gram: np.ndarray, y: np.ndarray, groups: Any = None
    ) -> LinearDecoder:
        """Fit to inner products of windows, setting all but `coef_`; never screens.

        Parameters
        ----------
        gram : ndarray, shape (n_windows, n_windows)
            `gram_matrix` of the training windows.
        y, groups : sequence, shape (n_windows,)
            As in `fit`.

        Returns
        -------
        LinearDecoder
            Itself.
        """
        codes = self._encode(y)
        self._check_settings()
        rotation = Rotation.from_gram(gram)
        folds = inner_folds(codes, groups)
        self._choose([(rotation.coordinates, *fold) for fold in folds], codes, {})
        solver = self._solver(self.C_).fit(rotation.coordinates, codes)
        self.dual_coef_, self.intercept_ = rotation.dual(
            solver.coef_, solver.intercept_
        )
        return self

    def decision_function(self, X: np.ndarray) -> np.ndarray:
        """Signed distances, shape (n_windows, n_classes), or (n_windows,) for two."""
        check_is_fitted(self, "coef_")
        X = validate_data(self, X, reset=False, dtype=[np.float64, np.float32])
        return self._shape(X @ self.coef_.T + self.intercept_)

    def decision_from_gram(self, cross: np.ndarray) -> np.ndarray:
        """`decision_function` of windows given by their inner products.

        Parameters
        ----------
        cross : ndarray, shape (n_others, n_windows)
            Inner products with the training windows.

        Returns
        -------
        ndarray, shape (n_others, n_classes), or (n_others,) for two classes
            Signed distances.
        """
        return self._shape(cross @ self.dual_coef_.T + self.intercept_)

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Labels, shape (n_windows,)."""
        best = _logits(self.decision_function(X)).argmax(axis=1)
        return self.classes_[best]

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Probabilities, shape (n_windows, n_classes)."""
        return self.probabilities(self.decision_function(X))

    def probabilities(self, decisions: np.ndarray) -> np.ndarray:
        """Turn decisions into probabilities, shape (n_windows, n_classes)."""
        return softmax(_logits(decisions) / self.temperature_, axis=1)

    @staticmethod
    def _shape(decisions: np.ndarray) -> np.ndarray:
        return decisions[:, 0] if decisions.shape[1] == 1 else decisions

    def _encode(self, y: np.ndarray) -> np.ndarray:
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise InputError(
                "a classifier cannot be fitted to one class",
                wanted="at least two classes",
                received=f"only {self.classes_[0]!r}",
            )
        return codes

    def _check_settings(self) -> None:
        penalty_ok = self.C == "auto" or (not isinstance(self.C, str) and self.C > 0)
        n_voxels = self.n_voxels
        count_ok = n_voxels in ("auto", None) or (
            not isinstance(n_voxels, str) and n_voxels >= 1
        )
        if self.loss not in ("svm", "logistic") or not penalty_ok or not count_ok:
            raise InputError(
                "unknown settings of the linear decoder",
                wanted="loss 'svm' or 'logistic', C 'auto' or above 0, "
                "n_voxels 'auto', None or above 0",
                received=f"loss={self.loss!r}, C={self.C!r}, n_voxels={n_voxels!r}",
            )

    @property
    def _usual_penalty(self) -> float:
        return DEFAULT_C if self.C == "auto" else float(self.C)

    def _choose(
        self, parts: list[Part], codes: np.ndarray, known: dict[float, np.ndarray]
    ) -> None:
        """Set `C_` and `temperature_` from inner folds, where they are needed."""
        self.temperature_ = 1.0
        self.C_ = self._usual_penalty
        grid = C_GRID if self.C == "auto" and len(parts) >= 3 else (self.C_,)
        if not parts or (len(grid) == 1 and self.loss == "logistic"):
            return
        tested = np.concatenate([test for *_, test in parts])
        best = -1.0
        for C in grid:
            logits = known[C] if C in known else self._inner_logits(parts, codes, C)
            score = _score(logits, parts, codes)
            if score > best:
                best, self.C_ = score, C
                if self.loss == "svm":
                    self.temperature_ = fit_temperature(logits, codes[tested])

    def _inner_logits(
        self, parts: list[Part], codes: np.ndarray, C: float
    ) -> np.ndarray:
        """Logits of the test rows of inner folds, one fold after the other."""

        def fitted(coordinates: np.ndarray, train: Any, test: Any) -> np.ndarray:
            solver = self._solver(C).fit(coordinates[train], codes[train])
            return _logits(solver.decision_function(coordinates[test]))

        size = max(coordinates.size for coordinates, *_ in parts) * len(self.classes_)
        if size < _LARGE:
            return np.concatenate([fitted(*part) for part in parts])
        # Products of this size keep one thread busy; folds need nothing of each other.
        with threadpool_limits(1):
            side_by_side = Parallel(min(len(parts), cpu_count()), prefer="threads")
            return np.concatenate(side_by_side(delayed(fitted)(*p) for p in parts))

    def _solver(self, C: float) -> LinearSVC | LogisticRegression:
        weight = self.class_weight
        if isinstance(weight, dict):
            weight = {k: weight.get(name, 1.0) for k, name in enumerate(self.classes_)}
        return make_solver(self.loss, C, weight, self.tol)


def _score(logits: np.ndarray, parts: list[Part], codes: np.ndarray) -> float:
    tested = np.concatenate([test for *_, test in parts])
    return float(balanced_accuracy_score(codes[tested], logits.argmax(axis=1)))


def _logits(decisions: np.ndarray) -> np.ndarray:
    """Decisions as one column a class; two classes share theirs in equal parts."""
    if decisions.ndim == 2:
        return decisions
    return np.stack([-decisions / 2, decisions / 2], axis=1)
