"""Training steps a second: the hybrid beside others on the same windows, in one run.

    python benchmarks/training_throughput.py hybrid deepbrain --volume-shape 75 93 81
    python benchmarks/training_throughput.py hybrid --volume-shape 100 100 100 \
        --n-times 16 --batch-size 8

A step is everything that `boldformer run` does to a batch by default: augmentation,
forward, backward, clipping, AdamW and averaged weights. Models take turns, so that a
noisy machine troubles them alike; ratios are of medians. Memory is the most the process
held, so give one model to read it.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections.abc import Iterator

import torch

from boldformer.config import TrainingConfig
from boldformer.models import create
from boldformer.training.augment import Augmentation, apply, apply_to_targets, draw

N_OUTPUTS = 7


def steps(
    name: str, windows: torch.Tensor, labels: torch.Tensor, *, augmented: bool
) -> Iterator[float]:
    """Seconds of one training step after another."""
    config = TrainingConfig()
    torch.manual_seed(0)
    model = create(
        name,
        n_outputs=N_OUTPUTS,
        n_times=windows.shape[1],
        volume_shape=tuple(windows.shape[2:]),
    ).train()
    if getattr(model, "skip", None) is not None:
        model.skip.requires_grad_(False)
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-3, fused=True)
    averaged = torch.optim.swa_utils.AveragedModel(model)
    settings = Augmentation.from_config(config) if augmented else Augmentation()
    targets = torch.nn.functional.one_hot(labels, N_OUTPUTS).float()
    step = 0
    while True:
        began = time.perf_counter()
        drawn = draw(settings, len(windows), windows.shape[1], step)
        x, times_s = model.average_frames(windows)
        x = apply(drawn.averaged(windows.shape[1], x.shape[1]), x)
        logits = model.forward_head(model.averaged_features(x, times_s))
        mixed = apply_to_targets(drawn, targets)
        loss = torch.nn.functional.cross_entropy(logits, mixed, label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, config.gradient_clip)
        optimizer.step()
        averaged.update_parameters(model)
        yield time.perf_counter() - began
        step += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+")
    parser.add_argument("--volume-shape", type=int, nargs=3, default=[75, 93, 81])
    parser.add_argument("--n-times", type=int, default=27)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--plain", action="store_true", help="no augmentation")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    shape = (options.batch_size, options.n_times, *options.volume_shape)
    windows = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(options.batch_size) % N_OUTPUTS
    running = {
        name: steps(name, windows, labels, augmented=not options.plain)
        for name in options.models
    }
    took: dict[str, list[float]] = {name: [] for name in running}
    for step in range(options.steps + 1):
        for name, series in running.items():
            seconds = next(series)
            if step:  # the first one warms up
                took[name].append(seconds)
    medians = {name: statistics.median(values) for name, values in took.items()}
    slowest = max(medians.values())
    print("| model | s a step | windows a second | times the slowest |")
    print("|---|---|---|---|")
    for name, seconds in medians.items():
        rate = options.batch_size / seconds
        print(f"| {name} | {seconds:.2f} | {rate:.2f} | {slowest / seconds:.1f} |")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"\nMost memory held: {peak:.1f} GiB")


if __name__ == "__main__":
    main()
