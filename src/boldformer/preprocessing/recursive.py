"""Regression that grows with the run: each volume predicted from those before it."""

from __future__ import annotations

import numpy as np

from boldformer.errors import InputError

# What the prior knows of each coefficient (that it is zero), in volumes.
_PRIOR_VOLUMES = 0.1


class RunningFit:
    r"""The part of a growing least-squares fit that does not depend on the voxels.

    Regressors are taken relative to their first value and joined by a constant,
    :math:`x_t = (1, r_t - r_0)`. A ridge prior says that each coefficient is zero, with
    the weight of 0.1 volumes: with the volumes :math:`s < t` that count,

    .. math:: A_t = \sum_{s<t} x_s x_s^\top + 0.1\,\mathrm{diag}(\overline{x^2}),

    the mean square of each regressor taken over the volumes so far. This makes the fit
    independent of the regressors' units, and its weight fades as the run grows.

    Parameters
    ----------
    first : ndarray, shape (n_regressors,)
        Regressors, without a constant, at the first volume.
    """

    def __init__(self, first: np.ndarray) -> None:
        self._first = np.array(first, dtype=np.float64)
        self.n_coefficients = 1 + self._first.size
        self._squares = np.zeros((self.n_coefficients, self.n_coefficients))
        self._n_counted = 0

    def design(self, regressors: np.ndarray) -> np.ndarray:
        """Return :math:`x_t`, shape (n_coefficients,), of regressors at one volume."""
        if regressors.shape != self._first.shape:
            raise InputError(
                "the number of confounds changed within the run",
                wanted=f"{self._first.size} regressors",
                received=f"{regressors.size}",
            )
        if not np.isfinite(regressors).all():
            raise InputError("regressors hold NaN or infinite values")
        return np.concatenate([[1.0], regressors - self._first])

    def weigh(self, x: np.ndarray) -> tuple[np.ndarray, float]:
        r"""How the present volume is predicted from the past.

        Parameters
        ----------
        x : ndarray, shape (n_coefficients,)

        Returns
        -------
        gain : ndarray, shape (n_coefficients,)
            :math:`A_t^{-1} x_t`: the prediction is
            :math:`\sum_{s<t} (x_s^\top A_t^{-1} x_t)\, y_s`.
        scale : float
            :math:`1/\sqrt{1 + x_t^\top A_t^{-1} x_t}`, which brings the error of
            prediction to the variance of the noise.
        """
        energy = np.diag(self._squares) + x**2
        unit = np.sqrt(np.where(energy > 0, energy, 1.0))
        scaled = self._squares / unit / unit[:, None]
        prior = _PRIOR_VOLUMES / (self._n_counted + 1)
        scaled[np.diag_indices_from(scaled)] += prior
        gain = np.linalg.solve(scaled, x / unit) / unit
        return gain, float(1 / np.sqrt(1 + x @ gain))

    def add(self, x: np.ndarray) -> None:
        """Count a volume in."""
        self._squares += np.outer(x, x)
        self._n_counted += 1


def recursive_residuals(
    data: np.ndarray, regressors: np.ndarray, good: np.ndarray | None = None
) -> np.ndarray:
    r"""Remove from each volume what the volumes before it predict: causal cleaning.

    .. math:: e_t = \frac{y_t - x_t^\top B_t}{\sqrt{1 + x_t^\top A_t^{-1} x_t}},
        \qquad B_t = A_t^{-1} \sum_{s<t} x_s y_s^\top

    with the regressors, constant and prior of `RunningFit`. The numerator is the
    innovation of recursive least squares, as used for incremental fMRI analysis; the
    denominator gives all volumes the same noise, where the few that come first would
    else be predicted wildly. Under the regression model and a vague prior these
    residuals are independent with the variance of the noise. The first is zero.

    Parameters
    ----------
    data : ndarray, shape (n_times, n_voxels)
    regressors : ndarray, shape (n_times, n_regressors)
        Without a constant.
    good : ndarray of bool, shape (n_times,), optional
        Volumes that count in fits, all where None; every volume is predicted.

    Returns
    -------
    ndarray, shape (n_times, n_voxels)

    Raises
    ------
    InputError
        When lengths differ or regressors are not finite.

    References
    ----------
    Brown RL, Durbin J, Evans JM (1975). Techniques for testing the constancy of
    regression relationships over time. Journal of the Royal Statistical Society B
    37:149-192.
    Bagarinao E et al. (2003). Estimation of general linear model coefficients for
    real-time application. NeuroImage 19:422-429.
    Hinds O et al. (2011). Computing moment-to-moment BOLD activation for real-time
    neurofeedback. NeuroImage 54:361-368.
    """
    n_times = data.shape[0]
    if regressors.shape[0] != n_times:
        raise InputError(
            "regressors and data differ in length",
            wanted=f"{n_times} rows",
            received=f"{regressors.shape[0]}",
        )
    # Every residual is a sum over volumes: one triangular matrix serves all voxels.
    operator = np.zeros((n_times, n_times))
    fit = RunningFit(regressors[0])
    past = np.zeros((n_times, fit.n_coefficients))
    for time, row in enumerate(regressors):
        x = fit.design(row)
        gain, scale = fit.weigh(x)
        operator[time, :time] = -scale * (past[:time] @ gain)
        operator[time, time] = scale
        if good is None or good[time]:
            fit.add(x)
            past[time] = x
    # The constant would absorb the first volume: without it numbers stay small.
    return operator.astype(data.dtype) @ (data - data[0])
