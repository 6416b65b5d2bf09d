"""Small trainings, each in a process of its own, to be killed, resumed or divided.

``python trained.py JOBS``: `JOBS` is a JSON list of ``[folder, settings, kill_after]``.
Each job leaves the weights, history and draws of a training under the settings in its
folder; after reading ``kill_after`` pieces (0 for never) its process kills itself. The
exit codes are printed as a JSON list. Processes are forked, so that the libraries are
imported once.
"""

import json
import os
import signal
import sys
import traceback
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from boldformer.config import TrainingConfig
from boldformer.models import create
from boldformer.training import ArrayWindows, fit_model, local_seed

SHAPE = (10, 9, 8)


class Deadly(ArrayWindows):
    """Windows that kill the process, as SLURM does, after some batches."""

    left = 0

    def batch(self, indices: np.ndarray) -> np.ndarray:
        """Windows, or the end."""
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().batch(indices)


def planted() -> tuple[Deadly, np.ndarray, np.ndarray]:
    """Windows of three classes, of which one is rare, for several groups."""
    rng = np.random.default_rng(0)
    labels = np.tile([0, 1, 2, 0, 1, 0, 1, 0], 6)
    x = rng.normal(size=(len(labels), 4, *SHAPE)).astype(np.float32)
    for window, label in zip(x, labels, strict=True):
        window[:, 2 + 2 * label : 4 + 2 * label, 3:6, 3:6] += 1.0
    return Deadly(x), labels, np.repeat([f"sub-{i}" for i in range(6)], 8)


def main(folder: Path, settings: dict, kill_after: int) -> None:
    """Train and write what came out."""
    torch.set_num_threads(1)
    windows, labels, groups = planted()
    windows.left = kill_after
    parameters = settings.pop("model_parameters", {})
    with local_seed(0):
        model = create(
            "hybrid", n_outputs=3, n_times=4, volume_shape=SHAPE, **parameters
        )
    config = TrainingConfig(device="cpu", precision="32", **settings)
    result = fit_model(
        model,
        windows,
        labels,
        groups,
        config,
        checkpoint_dir=folder,
        draws=folder / "draws.jsonl",
        progress=False,
    )
    rank = os.environ.get("RANK", "0")
    save_file(model.state_dict(), folder / f"model-{rank}.safetensors")
    result.history.to_csv(folder / f"history-{rank}.tsv", sep="\t", index=False)


def forked(folder: str, settings: dict, kill_after: int) -> int:
    """Exit code of a child that trains."""
    child = os.fork()
    if child == 0:
        try:
            Path(folder).mkdir(exist_ok=True)
            main(Path(folder), settings, kill_after)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    codes = [forked(*job) for job in json.loads(sys.argv[1])]
    sys.stdout.write(json.dumps(codes) + "\n")
