"""Solvers behind the linear decoder, for a few hundred windows in many classes."""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC
from sklearn.utils import check_X_y
from sklearn.utils.class_weight import compute_class_weight

# With more rows to a column than this, going through inner products of rows is slower
# and takes more memory than scikit-learn's solver.
MOST_ROWS_A_COLUMN = 2
WARM_STEPS = 10
_MAX_STEPS = 100
_SHORTEST_STEP = 1e-6


class NewtonSVC(LinearSVC):
    r"""Squared-hinge support vector machine, solved exactly through inner products.

    The same model as :class:`~sklearn.svm.LinearSVC` with ``dual=False``, penalised
    intercept included, and several times faster for many classes: inner products of
    all rows are computed once, and every class then needs only systems as large as its
    support set. With :math:`K = XX^\top + 1`, signs :math:`s` and penalties :math:`c`,
    the coefficients of the support set :math:`A = \{i: s_i f_i < 1\}` solve

    .. math:: (K_{AA} + \tfrac12 \mathrm{diag}(c_A)^{-1})\, \alpha_A = s_A,

    and :math:`f = K\alpha`; a set that gives itself is the solution. Steps are
    shortened where the loss would not fall otherwise [1]_ [2]_. `tol` and `max_iter`
    matter only where rows are `MOST_ROWS_A_COLUMN` times the columns: there
    scikit-learn's own solver is used.

    References
    ----------
    .. [1] Keerthi & DeCoste (2005). A modified finite Newton method for fast solution
       of large scale linear SVMs. Journal of Machine Learning Research 6, 341-361.
    .. [2] Chapelle (2007). Training a support vector machine in the primal. Neural
       Computation 19(5), 1155-1178, doi:10.1162/neco.2007.19.5.1155.
    """

    def fit(
        self, X: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None
    ) -> NewtonSVC:
        """Fit to rows.

        Parameters
        ----------
        X : ndarray, shape (n_rows, n_columns)
            Whatever is separated, centred and of unit size.
        y : ndarray, shape (n_rows,)
            Labels.
        sample_weight : ndarray, shape (n_rows,), optional
            Multiplies `C` row by row.

        Returns
        -------
        NewtonSVC
            Itself.
        """
        if len(X) > MOST_ROWS_A_COLUMN * X.shape[1]:
            return super().fit(X, y, sample_weight)
        X, y = check_X_y(X, y, dtype=np.float64)
        self.n_features_in_ = X.shape[1]
        self.classes_, signs, penalties = one_against_rest(
            y, self.class_weight, sample_weight
        )
        dual = solve_squared_hinge(X @ X.T + 1.0, signs, self.C * penalties)
        self.coef_, self.intercept_ = dual @ X, dual.sum(axis=1)
        return self


def one_against_rest(
    y: np.ndarray,
    class_weight: str | dict | None = "balanced",
    sample_weight: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pose a problem of several classes as LIBLINEAR does.

    Parameters
    ----------
    y : ndarray, shape (n_rows,)
        Labels of two classes or more.
    class_weight : {"balanced"}, dict or None
        As in scikit-learn. Of several classes, the rest weighs 1.
    sample_weight : ndarray, shape (n_rows,), optional
        Multiplies penalties.

    Returns
    -------
    classes : ndarray, shape (n_classes,)
        Labels.
    signs : ndarray, shape (n_problems, n_rows)
        1 for rows of the problem's class, -1 for others; two classes share the problem
        of the second.
    penalties : ndarray, shape (n_problems, n_rows)
        Weight of each row.
    """
    classes, codes = np.unique(y, return_inverse=True)
    weight = compute_class_weight(
        class_weight, classes=classes, y=y, sample_weight=sample_weight
    )
    rest = np.ones_like(weight)
    mine = codes == np.arange(len(classes))[:, None]
    if len(classes) == 2:
        mine, weight, rest = mine[1:], weight[1:], weight[:1]
    penalties = np.where(mine, weight[:, None], rest[:, None])
    if sample_weight is not None:
        penalties = penalties * sample_weight
    return classes, np.where(mine, 1.0, -1.0), penalties


def solve_squared_hinge(
    inner: np.ndarray, signs: np.ndarray, penalties: np.ndarray
) -> np.ndarray:
    r"""Minimise :math:`\frac12 \alpha^\top K\alpha + \sum c_i \max(0, 1-s_i f_i)^2`.

    Parameters
    ----------
    inner : ndarray, shape (n_rows, n_rows)
        Inner products :math:`K` of all rows; :math:`f = K\alpha`.
    signs : ndarray, shape (n_problems, n_rows)
        Side of each row, 1 or -1.
    penalties : ndarray, shape (n_problems, n_rows)
        At least 0; rows of 0 do not count.

    Returns
    -------
    ndarray, shape (n_problems, n_rows)
        The coefficients :math:`\alpha`, 0 outside the support set.
    """
    # Cheap steps for all problems at once, as if all rows were in every support set,
    # find most of each; the first one gives the least-squares solution.
    highest = penalties.max()
    ridge = inner + np.diag(np.full(len(inner), 0.5 / highest))
    factor = cho_factor(ridge, lower=True, overwrite_a=True)
    starts = np.zeros_like(signs)
    for _ in range(WARM_STEPS):
        short = np.maximum(0.0, 1.0 - signs * (starts @ inner))
        missing = 2 * penalties * signs * short - starts
        starts += cho_solve(factor, missing.T).T / (2 * highest)
    return np.array(
        [
            _newton(inner, *problem)
            for problem in zip(signs, penalties, starts, strict=True)
        ]
    )


def _newton(
    inner: np.ndarray, signs: np.ndarray, penalties: np.ndarray, dual: np.ndarray
) -> np.ndarray:
    """Solve one problem from a start; a state is the coefficients and decisions."""

    def loss(state: np.ndarray) -> float:
        short = np.maximum(0.0, 1.0 - signs * state[1])
        return float(0.5 * state[0] @ state[1] + penalties @ short**2)

    def support(state: np.ndarray) -> np.ndarray:
        return (signs * state[1] < 1.0) & (penalties > 0.0)

    state = np.stack([dual, inner @ dual])
    lowest = loss(state)
    for _ in range(_MAX_STEPS):
        kept = support(state)
        goal = _solution_within(kept, inner, signs, penalties)
        if np.array_equal(support(goal), kept):
            return goal[0]
        step = 1.0
        while (reached := loss(state + step * (goal - state))) >= lowest:
            step /= 2
            if step < _SHORTEST_STEP:
                # Some rows lie on the margin, to rounding: this is the solution.
                return state[0]
        state, lowest = state + step * (goal - state), reached
    return state[0]


def _solution_within(
    kept: np.ndarray, inner: np.ndarray, signs: np.ndarray, penalties: np.ndarray
) -> np.ndarray:
    """State that would be the solution if these rows were the support set."""
    rows = inner[kept]
    system = rows[:, kept]
    system.flat[:: len(system) + 1] += 0.5 / penalties[kept]
    factor = cho_factor(system, lower=True, overwrite_a=True, check_finite=False)
    state = np.zeros((2, len(inner)))
    state[0, kept] = cho_solve(factor, signs[kept], check_finite=False)
    state[1] = state[0, kept] @ rows
    return state


def make_solver(
    loss: Literal["svm", "logistic"],
    C: float,
    class_weight: str | dict | None = "balanced",
    tol: float = 1e-4,
) -> LinearSVC | LogisticRegression:
    """Solver behind `LinearDecoder`, for centred, scaled coordinates.

    Parameters
    ----------
    loss : {"svm", "logistic"}
        Squared hinge, one class against the rest, or multinomial log-loss.
    C : float
        Inverse strength of the penalty.
    class_weight : {"balanced"}, dict or None
        As in scikit-learn.
    tol : float
        Of solvers that approach their solution.
    """
    if loss == "svm":
        # Of scikit-learn's solvers the primal one draws no random numbers.
        kind, options = NewtonSVC, {"dual": False}
    else:
        kind, options = LogisticRegression, {}
    return kind(C=C, class_weight=class_weight, tol=tol, max_iter=10_000, **options)
