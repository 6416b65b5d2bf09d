"""Models come back from disk as they were, and from nothing but safe formats."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

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
