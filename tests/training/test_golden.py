"""Numbers that must not move unnoticed: outputs of new models, five training steps.

Where a change is meant to move them, write them anew with
``python tests/training/test_golden.py`` and say in the commit why.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from boldformer.config import TrainingConfig
from boldformer.models import create, list_models
from boldformer.training import ArrayWindows, fit_model, local_seed

GOLDEN = Path(__file__).with_name("golden.json")
SHAPE = (12, 14, 12)
TRAINED = ("hybrid", "cnn3d", "transformer")


def windows(n: int = 20) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 3
    x = rng.normal(size=(n, 4, *SHAPE)).astype(np.float32)
    x += rng.normal(size=(3, 1, *SHAPE)).astype(np.float32)[labels]
    return x, labels


def build(name: str) -> torch.nn.Module:
    with local_seed(0):
        return create(name, n_outputs=3, n_times=4, volume_shape=SHAPE)


def outputs(name: str) -> list[float]:
    """Logits of two windows, which stand for weights and architecture."""
    x, _ = windows(2)
    with torch.inference_mode(), local_seed(0):
        logits = build(name).eval()(torch.from_numpy(x))
    return [float(value) for value in logits.flatten()]


def losses(name: str) -> list[float]:
    """Mean loss of each of five epochs of a single step."""
    x, labels = windows()
    config = TrainingConfig(
        max_epochs=5, batch_size=20, patience=0, device="cpu", precision="32"
    )
    groups = np.repeat(np.arange(5), 4).astype(str)
    found = fit_model(
        build(name), ArrayWindows(x), labels, groups, config, progress=False
    )
    return [float(value) for value in found.history["train_loss"]]


def measured() -> dict[str, dict[str, list[float]]]:
    return {
        "outputs": {name: outputs(name) for name in list_models()},
        "losses": {name: losses(name) for name in TRAINED},
    }


@pytest.mark.parametrize("name", list_models())
def test_a_new_model_gives_the_outputs_it_gave(name: str) -> None:
    wanted = json.loads(GOLDEN.read_text())["outputs"][name]
    np.testing.assert_allclose(outputs(name), wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", TRAINED)
def test_five_steps_lead_where_they_led(name: str) -> None:
    wanted = json.loads(GOLDEN.read_text())["losses"][name]
    np.testing.assert_allclose(losses(name), wanted, rtol=2e-3)


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(measured(), indent=1) + "\n")
