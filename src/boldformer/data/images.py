"""NIfTI files opened defensively: every fault becomes one line that says what to do."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.spatialimages import SpatialImage
from nilearn.masking import compute_epi_mask

from boldformer.data.files import require_content
from boldformer.errors import BadRunError

# deflate packs no more than 1032 bytes into one.
_MOST_PACKED = 1032
# Beyond this an image is nearly empty, which a small one may be and a large one is not.
_PLAUSIBLY_PACKED = 200
_SMALL_BYTES = 2**30


def open_volume(path: Path) -> SpatialImage:
    """Open an image of any dimensionality from 3 on, for its grid."""
    image = _load(path)
    if len(image.shape) < 3:
        raise BadRunError(f"{path.name}: not a volume image")
    return image


def open_image(path: Path, n_dimensions: int) -> SpatialImage:
    """Open an image without reading its voxels.

    Parameters
    ----------
    path : Path
        NIfTI file.
    n_dimensions : int
        4 for a recording, 3 for a mask.

    Raises
    ------
    BadRunError
        When the file is missing, is no NIfTI image, or has another dimensionality.
    """
    image = _load(path)
    shape = image.shape
    if len(shape) == 4 and n_dimensions == 3 and shape[3] == 1:
        return image.slicer[..., 0]
    if len(shape) != n_dimensions or min(shape) < 1:
        raise BadRunError(
            f"{path.name}: wrong number of dimensions",
            wanted=f"a {n_dimensions}-D image",
            received=f"shape {tuple(shape)}",
            fix="a run is one 4-D file with time last" if n_dimensions == 4 else "",
        )
    return image


def open_header(path: Path) -> SpatialImage:
    """Open an image for what its header says, whatever may be wrong with it.

    Raises
    ------
    BadRunError
        When the file's content is missing.
    Exception
        Of many kinds, from nibabel, when it is no image.
    """
    require_content(path)
    image: Any = nib.load(path, keep_file_open=True)
    return image


def _load(path: Path) -> SpatialImage:
    try:
        image = open_header(path)
    except BadRunError:
        raise
    except Exception as error:  # nibabel raises many kinds on broken headers
        raise BadRunError(
            f"{path.name}: cannot be read as an image",
            wanted="a NIfTI file",
            received=_one_line(error),
            fix="copy or convert it again",
        ) from None
    if not isinstance(image, SpatialImage):
        raise BadRunError(
            f"{path.name}: not a volume image", received=type(image).__name__
        )
    if not np.isfinite(image.affine).all() or _is_singular(image.affine):
        raise BadRunError(f"{path.name}: the affine is not usable")
    _check_size(path, image)
    return image


def _check_size(path: Path, image: SpatialImage) -> None:
    """Refuse a compressed file that cannot hold what its header says, unread."""
    if path.suffix != ".gz":
        return
    declared = math.prod(map(int, image.shape)) * image.get_data_dtype().itemsize
    packed = path.stat().st_size
    large = declared > _SMALL_BYTES
    if declared > packed * (_PLAUSIBLY_PACKED if large else _MOST_PACKED):
        raise BadRunError(
            f"{path.name}: the voxels cannot be read",
            wanted=f"{tuple(image.shape)} values ({declared / 1e9:.3g} GB)",
            received=f"{packed} bytes, too few to hold them",
            fix="the header or the file is damaged; copy it again",
        )


def read_voxels(image: SpatialImage, name: str) -> np.ndarray:
    """Read all voxels.

    Parameters
    ----------
    image : SpatialImage
        Opened by `open_image`.
    name : str
        For the error message.

    Returns
    -------
    ndarray of real numbers
        In the image's own shape, scaled as its header says.

    Raises
    ------
    BadRunError
        When the file is truncated, damaged, or not of real numbers.
    """
    return _read(image, (), name)


def read_frames(image: SpatialImage, frames: slice, name: str) -> np.ndarray:
    """Read some frames of a 4-D image, (x, y, z, n_frames); see `read_voxels`.

    Read in order, a compressed file is decompressed only once.
    """
    return _read(image, (..., frames), name)


def _read(image: SpatialImage, what: tuple, name: str) -> np.ndarray:
    kind = image.get_data_dtype().kind
    if kind not in "iuf":
        raise BadRunError(
            f"{name}: not an image of real numbers",
            received=str(image.get_data_dtype()),
        )
    try:
        return np.asanyarray(image.dataobj[what])
    except Exception as error:  # zlib, EOF, OS and value errors of many kinds
        raise BadRunError(
            f"{name}: the voxels cannot be read",
            wanted=f"{tuple(image.shape)} values",
            received=_one_line(error),
            fix="the file may be truncated; copy it again",
        ) from None


def read_mask(path: Path, shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    """Read a brain mask that lies on a given grid.

    Parameters
    ----------
    path : Path
        3-D image, positive in the brain.
    shape : tuple of int
        ``(x, y, z)`` of the recording.
    affine : ndarray, shape (4, 4)
        Affine of the recording.

    Returns
    -------
    ndarray of bool, shape (x, y, z)

    Raises
    ------
    BadRunError
        When its grid is another, or it is empty.
    """
    image = open_image(path, 3)
    if image.shape != shape or not np.allclose(image.affine, affine, atol=1e-3):
        same = image.shape == shape
        raise BadRunError(
            f"{path.name}: mask and recording have different grids",
            wanted=f"shape {shape} and the affine of the recording",
            received=f"shape {tuple(image.shape)}"
            + (" with another affine" if same else ""),
            fix="resample the mask to the recording",
        )
    mask = read_voxels(image, path.name) > 0
    if not mask.any():
        raise BadRunError(f"{path.name}: the mask is empty")
    return mask


def brain_mask(mean_volume: np.ndarray, affine: np.ndarray, name: str) -> np.ndarray:
    """Compute a brain mask from a mean volume where the source brings none.

    nilearn's EPI mask; where that keeps less than half of the bright voxels (a single
    slice, a very coarse grid), those above a fifth of the 98th percentile.

    Parameters
    ----------
    mean_volume : ndarray, shape (x, y, z)
        Mean over time.
    affine : ndarray, shape (4, 4)
        Voxel to world, millimetres.
    name : str
        For the error message.

    Returns
    -------
    ndarray of bool, shape (x, y, z)
    """
    finite = np.nan_to_num(mean_volume.astype(np.float32), posinf=0, neginf=0)
    bright = finite > 0.2 * np.percentile(finite, 98)
    if not bright.any() or finite.max() <= 0:
        raise BadRunError(
            f"{name}: no brain found", received="a volume without positive values"
        )
    if min(finite.shape) < 8:
        return bright
    try:
        image = compute_epi_mask(nib.Nifti1Image(finite, affine))
    except Exception:  # nilearn raises several kinds when a histogram has no valley
        return bright
    mask = np.asanyarray(image.dataobj) > 0
    return mask if mask.sum() >= 0.5 * bright.sum() else bright


def is_mean_free(mean: np.ndarray, spread: np.ndarray) -> bool:
    """Whether images were demeaned or z-scored: voxels vary more than their mean.

    Parameters
    ----------
    mean, spread : ndarray of the same shape
        Mean and standard deviation of each voxel over time.
    """
    high = [np.percentile(np.abs(np.nan_to_num(v)), 98) for v in (mean, spread)]
    return bool(high[0] < high[1])


def _is_singular(affine: np.ndarray) -> bool:
    return abs(np.linalg.det(affine[:3, :3])) < 1e-9


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:160]
