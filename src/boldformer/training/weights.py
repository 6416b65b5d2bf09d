"""Models on disk: weights as safetensors, what they belong to as JSON."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from boldformer.data.atomic import atomic_path, write_json
from boldformer.errors import InputError
from boldformer.models.base import DecoderModel
from boldformer.models.registry import get_model, name_of

WEIGHTS = "model.safetensors"
ARCHITECTURE = "model.json"


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

    Raises
    ------
    InputError
        When files are missing or damaged, or the weights do not fit the architecture.
    """
    try:
        described = json.loads((folder / ARCHITECTURE).read_text(encoding="utf-8"))
        model = get_model(described["name"]).from_config(described["config"])
        model.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unreadable(folder, error) from None
    except (SafetensorError, RuntimeError) as error:
        raise _unreadable(folder, error) from None
    return model.eval()


def _unreadable(folder: Path, error: Exception) -> InputError:
    return InputError(
        f"{folder} holds no model that can be read",
        wanted=f"{ARCHITECTURE} and {WEIGHTS}",
        received=f"{type(error).__name__}: {error}".splitlines()[0][:160],
    )
