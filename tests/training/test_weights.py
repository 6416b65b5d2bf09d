"""Models come back from disk as they were, and from nothing but safe formats."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from boldformer.errors import InputError
from boldformer.models import create, list_models
from boldformer.training.weights import load_model, save_model


@pytest.mark.parametrize("name", list_models())
def test_a_model_comes_back_as_it_was(name: str, tmp_path: Path) -> None:
    model = create(name, n_outputs=3, n_times=4, volume_shape=(9, 8, 7)).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    save_model(model, tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"model.json", "model.safetensors"}
    x = torch.randn(2, 4, 9, 8, 7)
    with torch.no_grad():
        torch.testing.assert_close(load_model(tmp_path)(x), model(x), rtol=0, atol=0)


def test_a_pickle_in_the_place_of_weights_is_refused(tmp_path: Path) -> None:
    model = create("linear", n_outputs=2, n_times=1, volume_shape=(4, 4, 4))
    save_model(model, tmp_path)
    torch.save(model.state_dict(), tmp_path / "model.safetensors")
    with pytest.raises(InputError, match="no model that can be read"):
        load_model(tmp_path)


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    for shape in ((5, 4, 4), (4, 4, 4)):
        model = create("linear", n_outputs=2, n_times=1, volume_shape=shape)
        save_model(model, tmp_path / str(shape[0]))
    (tmp_path / "5" / "model.safetensors").replace(tmp_path / "4" / "model.safetensors")
    with pytest.raises(InputError, match="no model that can be read"):
        load_model(tmp_path / "4")


def change_config(name: str, value: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        file = folder / "model.json"
        described = json.loads(file.read_text())
        described["config"][name] = value
        file.write_text(json.dumps(described))

    return change


def write_architecture(text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / "model.json").write_text(text) and None


def drop_a_weight(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights.pop(sorted(weights)[0])
    save_file(weights, folder / "model.safetensors")


def round_the_weights(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    rounded = {name: value.int() for name, value in weights.items()}
    save_file(rounded, folder / "model.safetensors")


SPOILT = {
    "nested deep": write_architecture("[" * 200_000),
    "a list": write_architecture("[]"),
    "null": write_architecture("null"),
    "a number": write_architecture("1" * 10_000),
    "no config": write_architecture('{"name": "hybrid"}'),
    "config is a list": write_architecture('{"name": "hybrid", "config": []}'),
    "name is a list": write_architecture('{"name": [], "config": {}}'),
    "another model": write_architecture('{"name": "hybird", "config": {}}'),
    "no volume": change_config("volume_shape", None),
    "volume of text": change_config("volume_shape", ["9", "8", "7"]),
    "a huge volume": change_config("volume_shape", [5000, 5000, 5000]),
    "an endless volume": change_config("volume_shape", [1e300, 1, 1]),
    "many classes": change_config("n_outputs", 10**9),
    "wide": change_config("width", 2**19),
    "deep": change_config("n_layers", 2**19),
    "not a number": change_config("width", float("nan")),
    "an unknown argument": change_config("colour", "red"),
    "a weight less": drop_a_weight,
    "weights of another type": round_the_weights,
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
def test_an_architecture_that_is_none_is_refused_unbuilt(
    spoil: Callable[[Path], None], tmp_path: Path
) -> None:
    model = create("hybrid", n_outputs=3, n_times=4, volume_shape=(9, 8, 7))
    save_model(model, tmp_path)
    spoil(tmp_path)
    with pytest.raises(InputError, match="no model that can be read") as caught:
        load_model(tmp_path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400 + len(str(tmp_path))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(value: float, tmp_path: Path) -> None:
    model = create("hybrid", n_outputs=3, n_times=4, volume_shape=(9, 8, 7))
    with torch.no_grad():
        next(model.parameters()).view(-1)[0] = value
    save_model(model, tmp_path)
    with pytest.raises(InputError, match="NaN or infinity in"):
        load_model(tmp_path)


def test_weights_that_were_not_fetched_say_how(tmp_path: Path) -> None:
    model = create("linear", n_outputs=2, n_times=1, volume_shape=(4, 4, 4))
    save_model(model, tmp_path)
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    (tmp_path / "model.safetensors").write_text(pointer)
    with pytest.raises(InputError, match="git lfs pull"):
        load_model(tmp_path)
