# %% [markdown]
# # Adding a model
#
# A model is one class in one file. Registered under a name, it can be used wherever a model is
# named: `Decoder`, `boldformer run`, the ledger of costs, the ablation. This page adds one, sees
# whether it keeps the contract, and trains it.
#
# The model: cut the brain into coarse cubes, average each over the window, and classify by a small
# network. It can be read at a glance, and has the parts that larger ones have.

# %%
import subprocess
import sys
from pathlib import Path

import pandas as pd
import torch

import boldformer
from boldformer import CohortSpec, Decoder, open_dataset, simulate_cohort
from boldformer.config import TrainingConfig
from boldformer.models import create, list_models

# %% [markdown]
# ## The file
#
# Four things make a class a model:
#
# 1. `@register("cubes")` gives it its name.
# 2. `__init__` takes the four sizes that every model takes, and its own parameters, all by keyword,
#    and keeps each as an attribute of the same name: that is how it is saved and built again.
# 3. `forward_features` turns windows (B, T, X, Y, Z) into features; `forward_head` turns features
#    into scores; `reset_head` puts on a head for other classes.
# 4. Frames whose time is NaN are padding and must count for nothing. `frame_times` says which are
#    real, and `masked_mean` leaves the others out.

# %%
# %%writefile cubes.py
"""Coarse cubes of brain: pooled in space, averaged in time, a small network on top."""

from __future__ import annotations

import math

from torch import Tensor, nn

from boldformer.models.base import DecoderModel
from boldformer.models.frames import frame_times, masked_mean
from boldformer.models.registry import register

# Shape suffixes: B windows  T frames  C channels  P cubes  D features  X, Y, Z voxels


@register("cubes")
class Cubes(DecoderModel):
    """Perceptron on coarse cubes: (B, T, X, Y, Z) → (B, T, P) → (B, P) → (B, n_outputs).

    Any number of frames may be read; their order plays no part.

    Parameters
    ----------
    n_outputs, n_times, volume_shape, in_channels
        See `DecoderModel`.
    grid : int
        Cubes along each axis, about; what is left at the far edge is not read.
    width : int
        Hidden features.
    drop_prob : float
        Dropout of cubes in training.

    References
    ----------
    Haxby, J. V. et al. (2001). Distributed and overlapping representations of faces
    and objects in ventral temporal cortex. Science 293 (patterns over many voxels).
    """

    def __init__(
        self,
        *,
        n_outputs: int,
        n_times: int,
        volume_shape: tuple[int, int, int],
        in_channels: int = 1,
        grid: int = 8,
        width: int = 64,
        drop_prob: float = 0.2,
    ) -> None:
        super().__init__(
            n_outputs=n_outputs,
            n_times=n_times,
            volume_shape=volume_shape,
            in_channels=in_channels,
        )
        self.grid, self.width, self.drop_prob = grid, width, drop_prob
        edges = tuple(max(1, side // grid) for side in self.volume_shape)
        self.pool = nn.AvgPool3d(edges)
        counts = (n // edge for n, edge in zip(self.volume_shape, edges, strict=True))
        n_cubes = in_channels * math.prod(counts)
        self.hidden = nn.Sequential(
            nn.LayerNorm(n_cubes),
            nn.Dropout(drop_prob),
            nn.Linear(n_cubes, width),
            nn.GELU(),
        )
        self.reset_head(self.n_outputs)

    def forward_features(
        self, x_BTXYZ: Tensor, times_s: Tensor | None = None
    ) -> Tensor:
        """Features of windows, (B, T, X, Y, Z) to (B, width)."""
        x_BTCXYZ = self._check_input(x_BTXYZ)
        _, real_BT = frame_times(x_BTCXYZ, times_s, t_r=1.0)
        cubes_BTP = self.pool(x_BTCXYZ.flatten(0, 1)).flatten(1)
        cubes_BTP = cubes_BTP.unflatten(0, real_BT.shape)
        return self.hidden(masked_mean(cubes_BTP, real_BT))

    def forward_head(self, features_BD: Tensor) -> Tensor:
        """Scores of features, (B, width) to (B, n_outputs)."""
        return self.head(features_BD)

    def reset_head(self, n_outputs: int) -> None:
        """Replace the head by a new one for `n_outputs` classes."""
        self.n_outputs = n_outputs
        self.head = nn.Linear(self.width, n_outputs)


# %% [markdown]
# Importing the file registers the model.

# %%
sys.path.insert(0, ".")
import cubes  # noqa: F401

list_models()

# %%
model = create("cubes", n_outputs=3, n_times=8, volume_shape=(30, 36, 30), grid=6)
windows = torch.randn(2, 8, 30, 36, 30)
{
    "scores": tuple(model(windows).shape),
    "features": tuple(model.forward_features(windows).shape),
    "parameters": sum(p.numel() for p in model.parameters()),
    "config": model.get_config(),
}

# %% [markdown]
# A mistyped parameter is an error that names the nearest one, for your model as for any other:

# %% tags=["raises-exception"]
create("cubes", n_outputs=3, n_times=8, volume_shape=(30, 36, 30), widht=32)

# %% [markdown]
# ## The contract
#
# `tests/contracts/test_models.py` runs over every registered model: finite scores for awkward
# shapes, a gradient to every parameter, padding that counts for nothing, one window at a time as
# well as in a batch, saving, compiling, export to ONNX. A model in the package is met by the tests
# by itself. From elsewhere, tell pytest to import your file first (`-p cubes`):

# %%
checkout = Path(boldformer.__file__).parents[2]
contracts = checkout / "tests" / "contracts" / "test_models.py"
command = [
    sys.executable,
    "-m",
    "pytest",
    "-q",
    "-p",
    "cubes",
    "-p",
    "no:cacheprovider",
]
command += [
    "--disable-warnings",
    "-k",
    "cubes",
    "--rootdir",
    str(checkout),
    str(contracts),
]
done = subprocess.run(command, capture_output=True, text=True, check=False)
print(done.stdout[-800:])
done.check_returncode()

# %% [markdown]
# ## Train it
#
# Nothing is special about a model of your own. Training, early stopping, augmentation, maps, saving
# and the report know models by the contract alone.

# %%
spec = CohortSpec(
    subjects=8,
    runs=2,
    n_volumes=120,
    voxel_size_mm=6.0,
    conditions=("left_leg", "right_leg", "tongue"),
)
simulate_cohort("cohort", spec, n_jobs=1, progress=False)
dataset = open_dataset("cohort")
train = dataset.subjects("train", test_fraction=0.25)
test = dataset.subjects("test", test_fraction=0.25)
scores = {}
for name, parameters in {"cubes": {"grid": 12}, "linear": {}}.items():
    decoder = Decoder(
        name,
        model_parameters=parameters,
        training=TrainingConfig(max_epochs=20),
        store="store",
    )
    scores[name] = decoder.fit(train).score(test)
pd.Series(scores, name="accuracy on two new people").to_frame().round(3)

# %% [markdown]
# Two test people decide nothing between models. `boldformer ablate` holds several together on the
# same folds, with intervals of their differences ([ablation](../docs/ablation.md)).
#
# ## Into the package
#
# Put the file into `src/boldformer/models/`, import the class in `models/__init__.py`, and run
# `make lint test`. A model is welcome when its docstring gives shapes and a reference, it passes
# the contract, and a benchmark says what it is good for. See
# [Contributing](../CONTRIBUTING.md).
