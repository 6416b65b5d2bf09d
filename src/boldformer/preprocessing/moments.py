"""Mean and standard deviation of each voxel over the volumes so far."""

from __future__ import annotations

import numpy as np

from boldformer.errors import InputError


class RunningMoments:
    r"""Mean and variance of what has been seen, over all of it or with a fading memory.

    A volume enters with the weight :math:`\alpha`, :math:`d = y - \mu`:

    .. math:: \mu \leftarrow \mu + \alpha d, \qquad
        \sigma^2 \leftarrow (1 - \alpha)(\sigma^2 + \alpha d^2).

    Over all of the past, :math:`\alpha = 1/n` (Welford's recursion). With a memory of
    :math:`\tau` seconds, :math:`\alpha = \max(1/n, 1 - e^{-T_R/\tau})`, so that it
    starts like the former; a volume that comes after k lost ones counts for them,
    :math:`1 - (1 - \alpha)^{k+1}`.

    Parameters
    ----------
    t_r : float
        Repetition time, seconds.
    memory_s : float
        Time constant of the memory, seconds; 0 forgets nothing.

    Raises
    ------
    InputError
        When the memory is negative.

    References
    ----------
    Welford BP (1962). Note on a method for calculating corrected sums of squares and
    products. Technometrics 4:419-420.
    """

    def __init__(self, t_r: float, memory_s: float = 0.0) -> None:
        if memory_s < 0:
            raise InputError(
                "unusable memory",
                wanted="memory_s of 0 or more",
                received=f"{memory_s}",
            )
        self._decay = np.exp(-t_r / memory_s) if memory_s else 1.0
        self._mean: np.ndarray | None = None
        self._variance: np.ndarray | None = None
        self._squared_weights = 0.0  # of all volumes; they sum to one
        self.n_seen = 0

    def mean(self, volume: np.ndarray) -> np.ndarray:
        """Mean of the volumes before, (n_voxels,); `volume` itself before any."""
        return volume.astype(np.float64) if self._mean is None else self._mean

    def spread(self) -> np.ndarray:
        """Sample standard deviation of two volumes or more, (n_voxels,).

        It corrects for the weights as ``ddof=1`` does for equal ones.
        """
        if self._variance is None or self.n_seen < 2:
            raise InputError("one volume has no standard deviation")
        return np.sqrt(self._variance / (1 - self._squared_weights))

    def add(self, volume: np.ndarray, n_missed: int = 0) -> None:
        """Take a volume, (n_voxels,), into account.

        Parameters
        ----------
        volume : ndarray, shape (n_voxels,)
        n_missed : int
            Volumes lost just before it.
        """
        self.n_seen += 1
        if self._mean is None or self._variance is None:
            self._mean = volume.astype(np.float64)
            self._variance = np.zeros_like(self._mean)
            self._squared_weights = 1.0
            return
        weight = max(1 / self.n_seen, 1 - self._decay ** (n_missed + 1))
        deviation = volume - self._mean
        self._mean += weight * deviation
        deviation *= deviation
        deviation *= weight
        self._variance += deviation
        self._variance *= 1 - weight
        kept = (1 - weight) ** 2
        self._squared_weights = kept * self._squared_weights + weight**2
