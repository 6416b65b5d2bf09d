"""Models on disk: weights as safetensors, what they belong to as JSON."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from boldformer.data.atomic import atomic_path, write_json
from boldformer.data.files import read_json, require_content
from boldformer.errors import InputError
from boldformer.models.base import DecoderModel
from boldformer.models.registry import get_model, name_of

WEIGHTS = "model.safetensors"
ARCHITECTURE = "model.json"

# Far beyond any scanner's volume, and small enough to hold.
MOST_VOXELS = 2**27
# No count in an architecture is as large, but for the volume's.
_MOST_OF_ANYTHING = 2**20
_MOST_FACTS_BYTES = 2**24
_DEPTHS = ("_layers", "_blocks")

_FAULTS: tuple[type[Exception], ...] = (
    *(OSError, ValueError, KeyError, TypeError, AttributeError, AssertionError),
    *(SafetensorError, RuntimeError, RecursionError, OverflowError, MemoryError),
)


def save_model(model: DecoderModel, folder: Path) -> None:
    """Write a model's weights and its architecture into a folder.

    Parameters
    ----------
    model : DecoderModel
        Any registered model.
    folder : Path
        Made where it is missing.
    """
    tensors = {
        key: value.detach().cpu().contiguous().clone()
        for key, value in model.state_dict().items()
    }
    with atomic_path(folder / WEIGHTS) as temporary:
        save_file(tensors, temporary)
    described = {"name": name_of(model), "config": model.get_config()}
    write_json(folder / ARCHITECTURE, described)


def load_model(folder: Path) -> DecoderModel:
    """Read a model that `save_model` wrote.

    Names, shapes and types of the weights are compared with the architecture's before
    anything of the size that either states is made.

    Raises
    ------
    InputError
        When files are missing or damaged, the weights do not fit the architecture, or
        are not finite numbers.
    """
    described = read_architecture(folder)
    try:
        kind, config = get_model(described["name"]), described["config"]
        shapes = _shapes(folder)
        _check_depth(config, len(shapes))
        _check_shapes(shapes, _on_paper(kind, config))
        model, weights = kind.from_config(config), load_file(folder / WEIGHTS)
        _check_types(weights, model.state_dict())
        model.load_state_dict(weights)
    except _FAULTS as error:
        raise _unreadable(folder, error) from None
    for name, value in weights.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise InputError(
                f"the weights in {folder} are not usable",
                wanted="finite numbers",
                received=f"NaN or infinity in {name}",
                fix="fit the model again",
            )
    return model.eval()


def read_architecture(folder: Path) -> dict[str, Any]:
    """Read the name and the arguments of a saved model, nothing of it being built.

    Returns
    -------
    dict
        ``name`` and ``config``.

    Raises
    ------
    InputError
        When there is none, or it asks for what no model has.
    """
    try:
        described = read_facts(folder / ARCHITECTURE)
        name, config = described["name"], described["config"]
        if not isinstance(name, str) or not isinstance(config, dict):
            raise TypeError(f"{ARCHITECTURE} lacks a name or a table of arguments")
        _check_plausible(config)
    except _FAULTS as error:
        raise _unreadable(folder, error) from None
    return described


def read_facts(path: Path) -> dict[str, Any]:
    """Read a JSON object that can only be small.

    Raises
    ------
    InputError
        When it is none, or larger than what describes a model ever is.
    """
    require_content(path, InputError)
    size = path.stat().st_size
    if size > _MOST_FACTS_BYTES:
        raise InputError(
            f"{path.name}: implausibly large",
            wanted=f"at most {_MOST_FACTS_BYTES >> 20} MiB",
            received=f"{size >> 20} MiB",
        )
    return read_json(path, InputError)


def _check_plausible(config: dict[str, Any]) -> None:
    for name, value in config.items():
        values = value if isinstance(value, list) else [value]
        counts = [v for v in values if isinstance(v, int)]
        if not all(-_MOST_OF_ANYTHING <= v <= _MOST_OF_ANYTHING for v in counts):
            raise ValueError(f"{name} is {value!r:.40}")
    volume = config["volume_shape"]
    if not all(type(size) is int and size > 0 for size in volume) or len(volume) != 3:
        raise ValueError(f"volume_shape is {volume!r:.40}")
    if math.prod(volume) > MOST_VOXELS:
        raise ValueError(f"volume_shape is {volume!r:.40}, of too many voxels")


def _on_paper(
    kind: type[DecoderModel], config: dict[str, Any]
) -> dict[str, torch.Tensor] | None:
    """State of a model without memory for it; None where its class needs some."""
    try:
        with torch.device("meta"):
            return kind.from_config(config).state_dict()
    except InputError:
        raise
    except (RuntimeError, NotImplementedError):
        return None


def _shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of the weights by name, as their file states them."""
    require_content(folder / WEIGHTS, InputError)
    with safe_open(folder / WEIGHTS, framework="pt") as file:
        names = list(file.keys())
        return {name: tuple(file.get_slice(name).get_shape()) for name in names}


def _check_depth(config: dict[str, Any], n_tensors: int) -> None:
    """Refuse more layers than there are weights: even on paper they take memory."""
    for name, value in config.items():
        if name.endswith(_DEPTHS) and isinstance(value, int) and value > n_tensors:
            raise ValueError(f"{name} is {value}, with {n_tensors} tensors of weights")


def _check_shapes(
    shapes: dict[str, tuple[int, ...]], expected: dict[str, torch.Tensor] | None
) -> None:
    if expected is None:
        return
    for name in sorted(expected.keys() ^ shapes.keys()):
        where = WEIGHTS if name in expected else "the model"
        raise ValueError(f"{where} lacks {name}")
    for name, shape in shapes.items():
        wanted = tuple(expected[name].shape)
        if shape != wanted:
            raise ValueError(f"{name} has shape {shape}, and not {wanted}")


def _check_types(
    weights: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]
) -> None:
    for name in weights.keys() & expected.keys():
        found, wanted = weights[name], expected[name]
        if found.is_floating_point() != wanted.is_floating_point():
            raise ValueError(f"{name} is {found.dtype}, and not {wanted.dtype}")


def _unreadable(folder: Path, error: BaseException) -> InputError:
    kind = "" if isinstance(error, InputError) else f"{type(error).__name__}: "
    told = [*f"{kind}{error}".splitlines(), ""][0]
    return InputError(
        f"{folder} holds no model that can be read",
        wanted=f"{ARCHITECTURE} and {WEIGHTS}",
        received=told[:160],
    )
