"""Predictions and weights in a form that can be written, hashed and checked again."""

from __future__ import annotations

import hashlib

import numpy as np

from boldformer.models.base import DecoderModel


def as_written(probabilities: np.ndarray) -> np.ndarray:
    """Round to the eight significant digits that a table of predictions holds.

    Scores are computed from these, so that they can be computed again from the table.

    Parameters
    ----------
    probabilities : ndarray, shape (n_windows, n_classes)
        NaN stays.

    Returns
    -------
    ndarray of float64, shape (n_windows, n_classes)
    """
    return np.char.mod("%.8g", np.asarray(probabilities, np.float64)).astype(np.float64)


def weights_hash(model: DecoderModel) -> str:
    """SHA-256 of the names, shapes and values of a model's weights.

    Does not depend on how a file lays them out.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        values = tensor.detach().cpu().contiguous().numpy()
        digest.update(f"{name} {values.dtype} {values.shape}\n".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()
