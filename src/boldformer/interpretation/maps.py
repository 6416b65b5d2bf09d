"""Mean maps per class: where a model attends, and what moves its scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import nibabel as nib
import numpy as np
import torch
from torch import Tensor

from boldformer.data.store import Grid
from boldformer.data.windows import WindowSet
from boldformer.errors import InputError
from boldformer.models.base import DecoderModel
from boldformer.training.source import WindowSource

_BATCH = 8

DESCRIPTIONS = {
    "attention": "spatial attention relative to an even spread: 0.1 is a tenth more "
    "than even; mean over frames and over the held-out windows of the class",
    "saliency": "gradient of the class score times the signal, summed over frames; "
    "mean over the held-out windows of the class",
}


def class_maps(
    model: DecoderModel,
    windows: WindowSource,
    targets: np.ndarray,
    method: str,
    *,
    times_s: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Sum maps over the windows of each class.

    Sums, not means, so that folds can be added up before dividing.

    Parameters
    ----------
    model : DecoderModel
        Fitted model.
    windows : WindowSource
        Windows it has not seen.
    targets : ndarray of int, shape (n_windows,)
        Class of each window.
    method : {"attention", "saliency"}
        ``attention``: spatial attention averaged over frames, over that of an even
        spread, minus one. ``saliency``: gradient of
        the class's logit times the input, summed over frames.
    times_s : ndarray, shape (n_times,), optional
        Time of each frame.

    Returns
    -------
    sums : ndarray of float64, shape (n_outputs, x, y, z)
    counts : ndarray of int, shape (n_outputs,)

    Raises
    ------
    InputError
        For an unknown method, or attention of a model without any.

    References
    ----------
    Simonyan K, Vedaldi A, Zisserman A (2014). Deep inside convolutional networks.
    ICLR workshop. Shrikumar A et al. (2017). Not just a black box. arXiv:1605.01713.
    """
    if method not in _METHODS:
        raise InputError(
            f"unknown method {method!r}", wanted=f"one of {', '.join(_METHODS)}"
        )
    sums = np.zeros((model.n_outputs, *model.volume_shape))
    times = None if times_s is None else torch.as_tensor(times_s, dtype=torch.float32)
    model = model.eval()
    for rows in _batches(len(windows)):
        x = torch.from_numpy(windows.batch(rows))
        maps = _METHODS[method](model, x, torch.as_tensor(targets[rows]), times)
        np.add.at(sums, targets[rows], maps.double().numpy())
    return sums, np.bincount(targets, minlength=model.n_outputs)


def label_images(
    model: DecoderModel,
    windows: WindowSet,
    classes: Sequence[str],
    method: str,
    t_r: float,
) -> dict[str, nib.Nifti1Image]:
    """Mean map of each label that occurs, in the grid of the recordings.

    Parameters
    ----------
    model, windows, method
        As for `class_maps`.
    classes : sequence of str
        Labels by column of the model's output.
    t_r : float
        Seconds between the frames of a window.
    """
    columns = {label: i for i, label in enumerate(classes)}
    targets = np.array([columns[label] for label in windows.labels])
    times_s = np.arange(windows.shape[1]) * t_r
    sums, counts = class_maps(model, windows, targets, method, times_s=times_s)
    return {
        str(label): to_image(total / n, windows.grid, windows.box, windows.mask)
        for label, total, n in zip(classes, sums, counts, strict=True)
        if n
    }


def _attention(
    model: DecoderModel, x_BTXYZ: Tensor, targets_B: Tensor, times: Tensor | None
) -> Tensor:
    with torch.no_grad():
        space = model.attention(x_BTXYZ, times)["space"]
        shares = space * space[0, 0].numel()
        return model.upsample(shares).mean(dim=1) - 1


def _saliency(
    model: DecoderModel, x_BTXYZ: Tensor, targets_B: Tensor, times: Tensor | None
) -> Tensor:
    x_BTXYZ = x_BTXYZ.requires_grad_(True)
    logits = model(x_BTXYZ, times)
    chosen = logits.gather(1, targets_B[:, None]).sum()
    (gradient,) = torch.autograd.grad(chosen, x_BTXYZ)
    return (gradient * x_BTXYZ).detach().sum(dim=1)


_METHODS: dict[str, Callable[..., Tensor]] = {
    "attention": _attention,
    "saliency": _saliency,
}


def methods_for(model: DecoderModel) -> list[str]:
    """Methods that apply to a model, the first being its default."""
    return ["attention", "saliency"] if model.has_attention else ["saliency"]


def _batches(n: int) -> Iterator[np.ndarray]:
    for start in range(0, n, _BATCH):
        yield np.arange(start, min(start + _BATCH, n))


def to_image(
    values: np.ndarray, grid: Grid, box: Sequence[slice], mask: np.ndarray
) -> nib.Nifti1Image:
    """Place a map of the model's box back into the recordings' grid.

    Parameters
    ----------
    values : ndarray, shape (x, y, z) of the box
    grid : Grid
        Of the recordings.
    box : sequence of slice
        The part of the grid the model sees.
    mask : ndarray of bool, shape of the box
        Brain voxels; the map is zero elsewhere.
    """
    volume = np.zeros(grid.shape, dtype=np.float32)
    x, y, z = box
    volume[x, y, z] = np.where(mask, values, 0)
    image = nib.Nifti1Image(volume, grid.matrix)
    image.header.set_xyzt_units("mm")
    code = "mni" if grid.space.startswith("MNI") else "scanner"
    image.set_sform(grid.matrix, code=code)
    image.set_qform(grid.matrix, code=code)
    return image
