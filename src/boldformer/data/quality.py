"""Measures of a run's noise and motion, and its carpet plot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2

from boldformer.errors import InputError
from boldformer.preprocessing.normalisation import NEGLIGIBLE, centre, zscore
from boldformer.preprocessing.regression import regress_out
from boldformer.preprocessing.temporal import polynomial_drifts

HEAD_RADIUS_MM = 50.0
_NORMAL_IQR = 1.349  # interquartile range of the standard normal distribution
_FAMILYWISE_LEVEL = 0.05
_RELEVANT_PERCENT = 5.0
# Voxels measured at once: what a measure copies stays a small part of a run.
_BLOCK = 16384


def by_blocks(
    measure: Callable[[np.ndarray], np.ndarray], data: np.ndarray
) -> np.ndarray:
    """Measure some voxels at a time, so that no second run fills the memory.

    Parameters
    ----------
    measure : callable
        Takes (n_times, n_some) voxels and gives an array whose last axis is theirs.
    data : ndarray, shape (n_times, n_voxels)

    Returns
    -------
    ndarray, shape (..., n_voxels)
    """
    starts = range(0, max(data.shape[1], 1), _BLOCK)
    parts = [measure(data[:, start : start + _BLOCK]) for start in starts]
    return np.concatenate(parts, axis=-1)


# --- noise and motion -------------------------------------------------------------


def temporal_snr(data: np.ndarray) -> np.ndarray:
    r"""Temporal signal-to-noise ratio of each voxel, :math:`\bar y / s`.

    :math:`s` is the standard deviation about a fitted line, with n − 2 degrees of
    freedom, so that a linear drift does not count as noise.

    Parameters
    ----------
    data : ndarray, shape (n_times, n_voxels)
        Image intensities, neither centred nor scaled.

    Returns
    -------
    ndarray of float32, shape (n_voxels,)
        0 for a voxel without noise, which is no measurement.

    Raises
    ------
    InputError
        With fewer than three volumes.

    References
    ----------
    Parrish TB et al. (2000). Impact of signal-to-noise on functional MRI. Magnetic
    Resonance in Medicine 44:925-932.
    Welvaert M, Rosseel Y (2013). On the definition of signal-to-noise ratio and
    contrast-to-noise ratio for fMRI data. PLoS ONE 8:e77089.
    """
    n_times = data.shape[0]
    if n_times < 3:
        raise InputError(
            "too short for a temporal signal-to-noise ratio",
            wanted="at least 3 volumes",
            received=f"{n_times}",
        )
    drifts = polynomial_drifts(n_times, 1)

    def ratio(block: np.ndarray) -> np.ndarray:
        mean = block.mean(axis=0, dtype=np.float64)
        residual = centre(regress_out(block, drifts))
        squares = np.einsum("tv,tv->v", residual, residual, dtype=np.float64)
        noise = np.sqrt(squares / (n_times - 2))
        real = noise > NEGLIGIBLE * np.abs(mean)
        return np.divide(mean, noise, out=np.zeros_like(mean), where=real)

    return by_blocks(ratio, data).astype(np.float32)


def framewise_displacement(
    motion: np.ndarray, radius_mm: float = HEAD_RADIUS_MM
) -> np.ndarray:
    r"""How far the head moved since the volume before.

    :math:`\mathrm{FD}_t = \sum_{k=1}^{3} |\Delta d_{kt}| + r \sum_{k=1}^{3}
    |\Delta\alpha_{kt}|`: rotations count as arcs on a sphere.

    Parameters
    ----------
    motion : ndarray, shape (n_times, 6)
        Three translations in millimetres, then three rotations in radians.
    radius_mm : float
        Radius r of the sphere.

    Returns
    -------
    ndarray, shape (n_times,)
        Millimetres; NaN for the first volume, which has none before it.

    References
    ----------
    Power JD et al. (2012). Spurious but systematic correlations in functional
    connectivity MRI networks arise from subject motion. NeuroImage 59:2142-2154.
    """
    if motion.ndim != 2 or motion.shape[1] != 6:
        raise InputError(
            "unusable motion parameters",
            wanted="three translations and three rotations a volume",
            received=f"an array of shape {motion.shape}",
        )
    steps = np.abs(np.diff(motion, axis=0))
    moved = steps[:, :3].sum(axis=1) + radius_mm * steps[:, 3:].sum(axis=1)
    return np.concatenate([[np.nan], moved])


def dvars(data: np.ndarray) -> np.ndarray:
    r"""Root mean square over voxels of the change since the volume before.

    :math:`\mathrm{DVARS}_t = \sqrt{\frac{1}{V} \sum_v (y_{tv} - y_{t-1,v})^2}`.

    Parameters
    ----------
    data : ndarray, shape (n_times, n_voxels)

    Returns
    -------
    ndarray, shape (n_times,)
        In units of `data`; NaN for the first volume.

    References
    ----------
    Power et al. (2012), see `framewise_displacement`.
    """
    changes = np.full(data.shape[0], np.nan)
    for time in range(1, data.shape[0]):
        step = (data[time] - data[time - 1]).astype(np.float64)
        changes[time] = np.sqrt(step @ step / max(step.size, 1))
    return changes


@dataclass(frozen=True)
class DvarsTest:
    """DVARS held against what it would be without artefacts.

    Parameters
    ----------
    dvars : ndarray, shape (n_times,)
        In units of the data; NaN for the first volume, here and below.
    relative : ndarray, shape (n_times,)
        DVARS over its expectation under the null: 1 is an ordinary volume.
    p_value : ndarray, shape (n_times,)
        Of so large a DVARS under the null, uncorrected.
    excess_percent : ndarray, shape (n_times,)
        Variance added by the volume's change, in percent of the run's variance.
    outlier : ndarray of bool, shape (n_times,)
        Significant (family-wise 5 %, Bonferroni) and an excess above 5 %.
    """

    dvars: np.ndarray
    relative: np.ndarray
    p_value: np.ndarray
    excess_percent: np.ndarray
    outlier: np.ndarray


def dvars_test(data: np.ndarray) -> DvarsTest:
    r"""Test each volume's DVARS against the bulk of the run.

    Under the null :math:`\nu D_t^2/\mu_0 \sim \chi^2_\nu` with
    :math:`\nu = 2\mu_0^2/\sigma_0^2`; :math:`\mu_0` is the median of
    :math:`D_t^2 = \mathrm{DVARS}_t^2`, and :math:`\sigma_0` comes from the lower half
    of its interquartile range after a cube root, back by the delta method: artefacts,
    which only ever raise DVARS, move neither. The excess is
    :math:`100 (D_t^2 - \mu_0) / (4A)` with A the mean variance of the voxels.

    Parameters
    ----------
    data : ndarray, shape (n_times, n_voxels)
        Thousands of voxels: of few hundred, an ordinary volume may stand out.

    References
    ----------
    Afyouni S, Nichols TE (2018). Insight and inference for DVARS. NeuroImage
    172:291-312.
    """
    change = dvars(data)
    squares = change**2
    expected, spread = _null_of(squares[1:])
    variance = by_blocks(lambda block: block.var(axis=0, dtype=np.float64), data).mean()
    nothing = np.full_like(change, np.nan)
    if not (expected > 0 and spread > 0 and variance > 0):
        none = np.zeros(len(change), dtype=bool)
        return DvarsTest(change, nothing, nothing, nothing, none)
    freedom = 2 * expected**2 / spread**2
    p_value = chi2.sf(freedom * squares / expected, freedom)
    excess = 100 * (squares - expected) / (4 * variance)
    significant = p_value < _FAMILYWISE_LEVEL / (len(change) - 1)
    outlier = significant & (excess > _RELEVANT_PERCENT)
    return DvarsTest(change, change / np.sqrt(expected), p_value, excess, outlier)


def _null_of(squares: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of DVARS² without the volumes it is to find."""
    if squares.size == 0:
        return 0.0, 0.0
    lower, middle = np.quantile(np.cbrt(squares), [0.25, 0.5])
    of_root = 2 * (middle - lower) / _NORMAL_IQR
    return float(np.median(squares)), float(3 * middle**2 * of_root)


# --- carpet plot ------------------------------------------------------------------


def global_order(data: np.ndarray) -> np.ndarray:
    """Order voxels by their correlation with the mean over voxels, highest first.

    Parameters
    ----------
    data : ndarray, shape (n_times, n_voxels)

    Returns
    -------
    ndarray of int, shape (n_voxels,)
        Voxels that do not vary come last.

    References
    ----------
    Aquino KM et al. (2020). Identifying and removing widespread signal deflections
    from fMRI data: rethinking the global signal regression problem. NeuroImage
    212:116614.
    """
    signal = data.mean(axis=1, dtype=np.float64)
    signal = (signal - signal.mean()).astype(data.dtype)

    def likeness(block: np.ndarray) -> np.ndarray:
        spread = block.std(axis=0)
        varies = spread > NEGLIGIBLE * np.abs(block).max(axis=0, initial=0)
        lowest = np.full_like(spread, -np.inf)
        return np.divide(signal @ block, spread, out=lowest, where=varies)

    return np.argsort(-by_blocks(likeness, data), kind="stable")


def carpet(data: np.ndarray, order: np.ndarray, n_rows: int = 400) -> np.ndarray:
    """Picture of a whole run: voxels down, time across, each voxel a z-score.

    Neighbours in `order` share a row, which is the mean of their z-scores. A linear
    trend is taken out of each voxel first.

    Parameters
    ----------
    data : ndarray, shape (n_times, n_voxels)
    order : ndarray of int, shape (n_voxels,)
        From `global_order`, or by tissue.
    n_rows : int
        Rows of the picture; fewer voxels give one row each.

    Returns
    -------
    ndarray of float32, shape (min(n_rows, n_voxels), n_times)

    References
    ----------
    Power JD (2017). A simple but useful way to assess fMRI scan qualities.
    NeuroImage 154:150-158.
    """
    drifts = polynomial_drifts(data.shape[0], 1)
    parts = np.array_split(order, max(1, min(n_rows, len(order))))
    rows = [zscore(regress_out(data[:, part], drifts)).mean(axis=1) for part in parts]
    return np.stack(rows).astype(np.float32)
