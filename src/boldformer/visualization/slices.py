"""Slices of a run's volumes, laid side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import nibabel as nib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from scipy.ndimage import convolve1d

from boldformer.preprocessing.spatial import bounding_box


class Planes:
    """Cuts through volumes of one grid: axial, left on the left.

    In a grid of one plane, that plane.

    Parameters
    ----------
    mask : ndarray of bool, shape (x, y, z)
        Its bounding box, with a margin, is what planes show.
    affine : ndarray, shape (4, 4)
        Voxel to world, millimetres.

    Attributes
    ----------
    n_planes : int
    aspect : float
        Height of a pixel over its width.
    width_to_height : float
        Of one picture.
    """

    def __init__(self, mask: np.ndarray, affine: np.ndarray) -> None:
        self._turn = nib.io_orientation(affine)
        turned = self._turned(mask)
        back = nib.orientations.inv_ornt_aff(self._turn, mask.shape)
        self._affine = affine @ back
        single = [axis for axis in range(3) if turned.shape[axis] == 1]
        self._axis = single[0] if single else 2
        self._others = tuple(axis for axis in range(3) if axis != self._axis)
        self._box = bounding_box(turned, margin=1)
        across, up = self._others
        size = np.linalg.norm(self._affine[:3, :3], axis=0)
        self.aspect = float(size[up] / size[across])
        self._mask = turned[self._box]
        shape = self._mask.shape
        self.width_to_height = shape[across] / (shape[up] * self.aspect)
        self.n_planes = shape[self._axis]

    def cut(
        self, volume: np.ndarray, positions: Sequence[int], n_columns: int
    ) -> np.ndarray:
        """Lay planes of a volume side by side.

        Parameters
        ----------
        volume : ndarray, shape (x, y, z)
        positions : sequence of int
            Planes to show.
        n_columns : int
            Planes in a row; the last row is filled with NaN.

        Returns
        -------
        ndarray, shape (rows, columns) of pixels
        """
        boxed = self._turned(volume)[self._box]
        tiles = [np.take(boxed, at, axis=self._axis).T[::-1] for at in positions]
        tiles += [np.full(tiles[0].shape, np.nan)] * (-len(tiles) % n_columns)
        rows = [tiles[i : i + n_columns] for i in range(0, len(tiles), n_columns)]
        return np.block(rows)

    def draw(
        self,
        axes: Axes,
        volume: np.ndarray,
        positions: Sequence[int],
        n_columns: int,
        **colours: Any,
    ) -> AxesImage:
        """Show planes of a volume, each with its place in the world.

        Parameters
        ----------
        axes : Axes
        volume, positions, n_columns
            See `cut`.
        **colours
            Of ``Axes.imshow``.
        """
        picture = self.cut(volume, positions, n_columns)
        image = axes.imshow(
            picture, aspect=self.aspect, interpolation="nearest", **colours
        )
        axes.set(xticks=[], yticks=[], facecolor="black", anchor="W")
        axes.spines[:].set_visible(False)
        n_rows = -(-len(positions) // n_columns)
        for i, at in enumerate(positions):
            row, column = divmod(i, n_columns)
            axes.text(
                (column + 0.03) / n_columns,
                1 - (row + 0.98) / n_rows,
                self.name(at),
                transform=axes.transAxes,
                color="white",
                fontsize=6,
                va="bottom",
            )
        return image

    def spread(self, n_planes: int) -> list[int]:
        """Positions of planes spread evenly over those that hold much of the mask."""
        area = self._mask.sum(axis=self._others)
        full = np.flatnonzero(area >= 0.25 * area.max())
        picked = np.linspace(full[0], full[-1], min(n_planes, len(full)))
        return np.unique(picked.round().astype(int)).tolist()

    def strongest(self, strength: np.ndarray, n_planes: int) -> list[int]:
        """Positions of the planes with most of a map's strongest hundredth."""
        boxed = np.where(self._mask, self._turned(strength)[self._box], 0)
        strong = boxed > np.quantile(boxed[self._mask], 0.99)
        count = (strong & self._mask).sum(axis=self._others).astype(float)
        count = convolve1d(count, [0.5, 1.0, 0.5], mode="constant")
        apart = max(1, self.n_planes // (4 * n_planes))
        picked: list[int] = []
        for at in np.argsort(-count, kind="stable"):
            if all(abs(at - other) >= apart for other in picked):
                picked.append(int(at))
        return sorted(picked[:n_planes])

    def name(self, position: int) -> str:
        """World coordinate of a plane's centre, such as ``z 12``."""
        voxel = np.array([(part.start + part.stop - 1) / 2 for part in self._box])
        voxel[self._axis] = self._box[self._axis].start + position
        at = (self._affine[:3, :3] @ voxel + self._affine[:3, 3])[self._axis]
        return f"{'xyz'[self._axis]} {at:.0f}".replace("-0", "0").replace("-", "−")

    def _turned(self, volume: np.ndarray) -> np.ndarray:
        return nib.apply_orientation(volume, self._turn)
