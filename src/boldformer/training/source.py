"""What training reads: windows by index, whole or as mean vectors of brain voxels."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from boldformer.errors import InputError


class WindowSource(Protocol):
    """Windows that are read when they are needed.

    Attributes
    ----------
    shape : tuple of int
        ``(n_windows, n_times, x, y, z)``.
    """

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """``(n_windows, n_times, x, y, z)``."""
        ...

    def __len__(self) -> int:
        """Return the number of windows."""
        ...

    def batch(self, indices: np.ndarray) -> np.ndarray:
        """Windows, float32 of shape (batch, n_times, x, y, z)."""
        ...

    def means(self, indices: np.ndarray) -> np.ndarray:
        """Mean volume of windows in brain voxels, float32 (batch, n_voxels)."""
        ...

    def unmask(self, weights: np.ndarray) -> np.ndarray:
        """Put (k, n_voxels) back on the grid: (k, x, y, z), zero outside the brain."""
        ...


class ArrayWindows:
    """Windows held in memory.

    Parameters
    ----------
    windows : ndarray, shape (n_windows, n_times, x, y, z)
        Normalised BOLD of any float or integer type, or a memory map of it.
    mask : ndarray of bool, shape (x, y, z), optional
        Brain voxels; all of them where not given.

    Raises
    ------
    InputError
        For an array of another dimension, or a mask of another grid.
    """

    def __init__(self, windows: np.ndarray, mask: np.ndarray | None = None) -> None:
        if windows.ndim != 5:
            raise InputError(
                "these are not windows",
                wanted="an array (n_windows, n_times, x, y, z)",
                received=f"an array of shape {windows.shape}",
            )
        if mask is None:
            mask = np.ones(windows.shape[2:], dtype=bool)
        if mask.shape != windows.shape[2:]:
            raise InputError(
                "mask and windows have different grids",
                wanted=f"a mask of shape {windows.shape[2:]}",
                received=f"shape {mask.shape}",
            )
        self.windows = windows
        self.mask = mask.astype(bool)

    @classmethod
    def of(cls, X: np.ndarray) -> ArrayWindows:
        """View an array of windows, volumes or features as windows."""
        shapes = {2: (X.shape[0], 1, X.shape[-1], 1, 1), 4: (len(X), 1, *X.shape[1:])}
        if X.ndim not in (*shapes, 5):
            raise InputError(
                "unusable array of windows",
                wanted="(n, n_times, x, y, z), (n, x, y, z) or (n, n_features)",
                received=f"{X.ndim} dimensions",
            )
        return cls(X.reshape(shapes.get(X.ndim, X.shape)))

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """``(n_windows, n_times, x, y, z)``."""
        n, t, x, y, z = self.windows.shape
        return n, t, x, y, z

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self.windows)

    def batch(self, indices: np.ndarray) -> np.ndarray:
        """Windows, float32 of shape (batch, n_times, x, y, z)."""
        return np.asarray(self.windows[np.asarray(indices)], dtype=np.float32)

    def means(self, indices: np.ndarray) -> np.ndarray:
        """Mean volume of windows in brain voxels, float32 (batch, n_voxels)."""
        chosen = self.windows[np.asarray(indices)]
        return chosen.mean(axis=1, dtype=np.float32)[:, self.mask]

    def unmask(self, weights: np.ndarray) -> np.ndarray:
        """Put (k, n_voxels) back on the grid: (k, x, y, z), zero outside the brain."""
        volumes = np.zeros((len(weights), *self.mask.shape), dtype=weights.dtype)
        volumes[:, self.mask] = weights
        return volumes


def gather_means(
    source: WindowSource, indices: np.ndarray, chunk: int = 64
) -> np.ndarray:
    """Mean volumes of many windows, read `chunk` at a time; (n, n_voxels) float32."""
    indices = np.asarray(indices)
    starts = range(0, len(indices), chunk)
    return np.concatenate([source.means(indices[i : i + chunk]) for i in starts])
