"""Checkpoints without pickle: tensors as safetensors, everything else as JSON."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.plugins.io import CheckpointIO
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from boldformer.config import TrainingConfig, to_dict
from boldformer.data.atomic import atomic_path
from boldformer.errors import InputError
from boldformer.models import DecoderModel
from boldformer.training.source import WindowSource

_KEY = "tree"
_HASHED = 32
# Containers that JSON lacks are written as {mark: content}.
_TENSOR, _TUPLE, _ITEMS = "__tensor__", "__tuple__", "__items__"


def save_tree(tree: Any, path: Path) -> None:
    """Write nested dicts, lists and tuples of tensors and plain values to one file.

    Parameters
    ----------
    tree : nested dict, list, tuple, Tensor, str, int, float, bool or None
        Dict keys may be integers.
    path : Path
        A safetensors file, complete or not there at all; its header holds the JSON.

    Raises
    ------
    TypeError
        For a value of another type.
    """
    tensors: dict[str, Tensor] = {}
    text = json.dumps(_encode(tree, tensors))
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata={_KEY: text})


def load_tree(path: Path) -> Any:
    """Read what `save_tree` wrote, with tensors on the CPU.

    Raises
    ------
    InputError
        When the file is damaged or something else.
    """
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {})[_KEY]
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return _decode(json.loads(text), tensors)
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise InputError(
            f"cannot read the checkpoint {str(path)!r}",
            wanted="a checkpoint of this package",
            received=str(error),
            fix="remove it to train from the start",
        ) from None


def _encode(value: Any, tensors: dict[str, Tensor]) -> Any:
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, Tensor):
        name = str(len(tensors))
        # A copy: safetensors refuses tensors that share memory or are strided.
        tensors[name] = value.detach().to("cpu", copy=True).contiguous()
        return {_TENSOR: name}
    if isinstance(value, tuple):
        return {_TUPLE: [_encode(item, tensors) for item in value]}
    if isinstance(value, list):
        return [_encode(item, tensors) for item in value]
    if isinstance(value, dict):
        marks = {_TENSOR, _TUPLE, _ITEMS}
        if all(isinstance(key, str) and key not in marks for key in value):
            return {key: _encode(item, tensors) for key, item in value.items()}
        pairs = [[_encode(k, tensors), _encode(v, tensors)] for k, v in value.items()]
        return {_ITEMS: pairs}
    raise TypeError(f"a checkpoint cannot hold a {type(value).__name__}")


def _decode(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_decode(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if _TENSOR in value:
        return tensors[value[_TENSOR]]
    if _TUPLE in value:
        return tuple(_decode(item, tensors) for item in value[_TUPLE])
    if _ITEMS in value:
        pairs = value[_ITEMS]
        return {_decode(k, tensors): _decode(v, tensors) for k, v in pairs}
    return {key: _decode(item, tensors) for key, item in value.items()}


def fingerprint(
    model: DecoderModel,
    windows: WindowSource,
    labels: np.ndarray,
    groups: np.ndarray,
    config: TrainingConfig,
    transform: Callable | None = None,
) -> str:
    """Tell a training from others: a hash of model, settings, data, labels and groups.

    Of the data the means of some windows count, spread over all of them. The device
    plays no part, and of a transform only its name is known.
    """
    some = np.unique(np.linspace(0, len(windows) - 1, _HASHED).astype(int))
    data = hashlib.sha256(np.ascontiguousarray(windows.means(some)).tobytes())
    settings = to_dict(config)
    del settings["device"]
    named = getattr(transform, "__qualname__", type(transform).__qualname__)
    facts = [
        type(model).__name__,
        model.get_config(),
        settings,
        list(windows.shape),
        labels.tolist(),
        groups.astype(str).tolist(),
        named,
        data.hexdigest(),
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


class SafeCheckpointIO(CheckpointIO):
    """Lightning's checkpoints in one safetensors file; nothing is ever unpickled."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write a checkpoint under a temporary name and rename it."""
        save_tree(checkpoint, Path(path))

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint; Lightning moves it to its device."""
        return load_tree(Path(path))

    def remove_checkpoint(self, path: Any) -> None:
        """Remove a checkpoint."""
        path = Path(path)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
