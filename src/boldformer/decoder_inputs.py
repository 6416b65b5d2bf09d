"""What a decoder is given: recordings, windows or an array, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from nibabel.spatialimages import SpatialImage

from boldformer.data.recording import Dataset, Recording
from boldformer.data.windows import WindowSet
from boldformer.errors import InputError

_WANTED = (
    "a Dataset, a Recording, a WindowSet or an array (n_windows, n_times, x, y, z), "
    "(n_windows, x, y, z) or (n_windows, n_features)"
)
_OPEN = "open_dataset(FOLDER) gives recordings with their events"
# What an array, a tensor of any library or a sparse matrix has.
_OF_ARRAYS = ("__array__", "__array_interface__", "__dlpack__", "shape")


def checked(X: Any) -> Any:
    """Take what a decoder can read, a recording as a dataset of one.

    Arrays are looked at no further: scikit-learn's own checks follow.

    Parameters
    ----------
    X : object
        What a user gave.

    Returns
    -------
    Dataset, WindowSet or array-like

    Raises
    ------
    InputError
        For anything else, such as an image, a path or nothing.
    """
    if isinstance(X, Recording):
        return Dataset(X.name, X.bold.parent, (X,))
    if isinstance(X, (Dataset, WindowSet)):
        if not len(X):
            raise InputError(
                f"nothing to decode: {type(X).__name__} is empty",
                wanted="at least one recording or window",
                fix="look at what was filtered out",
            )
        return X
    told = _received(X)
    if told:
        raise InputError(
            "a decoder cannot read this", wanted=_WANTED, received=told[0], fix=told[1]
        )
    return X


def _received(X: Any) -> tuple[str, str] | None:
    """Say what was given that is no array, and what to do about it."""
    kind = type(X).__name__
    if isinstance(X, SpatialImage):
        return f"an image ({kind})", f"{_OPEN}, or pass an array of windows"
    if isinstance(X, (str, bytes, Path)):
        return f"the text {str(X)!r:.60}", _OPEN
    if isinstance(X, (list, tuple)):
        return _received_items(X)
    if isinstance(X, pd.DataFrame):
        return _received_table(X)
    if not _is_array(X):
        return ("nothing (None)" if X is None else f"a {kind}"), _OPEN
    return None


def _received_items(X: list[Any] | tuple[Any, ...]) -> tuple[str, str] | None:
    """Let a list be an array, but for one of recordings, images, paths and such."""
    first = X[0] if X else 0
    if isinstance(first, (Recording, Dataset, WindowSet)):
        name = type(first).__name__
        fix = "dataset.filter and dataset.subjects choose recordings of a Dataset"
        return f"a {type(X).__name__} of {name}s", fix
    if isinstance(first, (SpatialImage, str, bytes, Path, Mapping)) or first is None:
        return f"a {type(X).__name__} of {type(first).__name__}", _OPEN
    return None


def _received_table(X: pd.DataFrame) -> tuple[str, str] | None:
    try:
        X.to_numpy(dtype=np.float32)
    except (TypeError, ValueError):
        names = ", ".join(map(str, X.columns[:4]))
        return (
            f"a DataFrame with columns that hold no numbers ({names:.60})",
            f"pass its columns of numbers; {_OPEN}",
        )
    return None


def _is_array(X: Any) -> bool:
    return any(hasattr(X, name) for name in _OF_ARRAYS)
