"""Steps along time: drift regressors and the volumes before the steady state."""

from __future__ import annotations

import numpy as np
from scipy.special import eval_legendre

_MAD_TO_SD = 0.6745
_OUTLIER = 3.5


def polynomial_drifts(n_times: int, order: int) -> np.ndarray:
    """Legendre polynomials of degree 1 to `order` over the run.

    Parameters
    ----------
    n_times : int
        Volumes of the run.
    order : int
        Highest degree; below 1 there is no regressor.

    Returns
    -------
    ndarray, shape (n_times, max(order, 0))
    """
    grid = np.linspace(-1, 1, n_times) if n_times > 1 else np.zeros(n_times)
    columns = [eval_legendre(degree, grid) for degree in range(1, order + 1)]
    return np.stack(columns, axis=1) if columns else np.zeros((n_times, 0))


def power_drifts(time_s: np.ndarray, order: int) -> np.ndarray:
    """Powers 1 to `order` of the time in units of 100 s.

    They span what `polynomial_drifts` spans, but need not know how long the run will
    be.

    Parameters
    ----------
    time_s : ndarray, shape (n_times,)
        Seconds since the first volume.
    order : int
        Highest power; below 1 there is no regressor.

    Returns
    -------
    ndarray, shape (n_times, max(order, 0))
    """
    return (np.asarray(time_s)[:, None] / 100) ** np.arange(1, max(order, 0) + 1)


def cosine_drifts(n_times: int, t_r: float, high_pass_hz: float) -> np.ndarray:
    r"""Discrete cosine regressors below a cut-off frequency.

    Column k is :math:`\sqrt{2/n}\cos(\pi k (t + 1/2) / n)` for
    :math:`1 \le k \le \lfloor 2 n\,T_R f \rfloor`: the high-pass set of SPM, and of
    nilearn's ``filter='cosine'``.

    Parameters
    ----------
    n_times : int
        Volumes of the run.
    t_r : float
        Repetition time, seconds.
    high_pass_hz : float
        Cut-off; 0 gives no regressor.

    Returns
    -------
    ndarray, shape (n_times, n_regressors)

    References
    ----------
    Friston KJ et al. (2007). Statistical Parametric Mapping, chapter 8. Elsevier.
    """
    n_regressors = min(int(np.floor(2 * n_times * t_r * high_pass_hz)), n_times - 1)
    time = np.arange(n_times)[:, None] + 0.5
    degree = np.arange(1, max(n_regressors, 0) + 1)[None]
    return np.sqrt(2 / n_times) * np.cos(np.pi * degree * time / n_times)


def count_non_steady(global_signal: np.ndarray, n_first: int = 50) -> int:
    """Count the volumes before the magnetisation reaches its steady state.

    The leading run of outliers (modified z-score above 3.5, from the median absolute
    deviation) among the first volumes of the global signal; the rule of fMRIPrep's
    ``non_steady_state_outlier`` columns.

    Parameters
    ----------
    global_signal : ndarray, shape (n_times,)
        Mean over the brain of each volume.
    n_first : int
        Volumes looked at.

    Returns
    -------
    int

    References
    ----------
    Iglewicz B, Hoaglin DC (1993). How to detect and handle outliers. ASQC.
    """
    first = np.asarray(global_signal, dtype=np.float64)[:n_first]
    deviation = first - np.median(first)
    spread = np.median(np.abs(deviation))
    if not spread > 0:
        return 0
    outlier = _MAD_TO_SD * np.abs(deviation) / spread > _OUTLIER
    leading = int(np.argmin(outlier)) if not outlier.all() else 0
    return min(leading, first.size // 5)
