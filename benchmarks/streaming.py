"""What one new volume costs in a stream: multiply-adds and time.

    python benchmarks/streaming.py [MODEL[:PARAMETER=VALUE,...] ...] [--threads 1 2]

A window of `--n-times` frames moves on by a volume at each push. Multiply-adds are
those of a push at 100×100×100, as PyTorch's counter counts them, beside those of the
window read whole. Times are of untrained models, whose weights play no part.
"""

from __future__ import annotations

import argparse
import ast
import statistics
import time
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from boldformer.evaluation.compute import count_macs
from boldformer.models import create, open_stream
from boldformer.models.base import DecoderModel

COUNTED = (100, 100, 100)
TIMED = [(91, 109, 91), (74, 89, 79)]  # MNI152 2 mm, and the box of its brain


def build(spec: str, volume_shape: tuple[int, int, int], n_times: int) -> DecoderModel:
    """Make a model from ``name:parameter=value,...``."""
    name, _, rest = spec.partition(":")
    parameters: dict[str, Any] = {}
    for pair in filter(None, rest.split(",")):
        key, _, value = pair.partition("=")
        parameters[key] = ast.literal_eval(value)
    torch.manual_seed(0)
    return create(
        name, n_outputs=4, n_times=n_times, volume_shape=volume_shape, **parameters
    )


def push_times(model: DecoderModel, n_pushes: int) -> list[float]:
    """Milliseconds of each push once the window is full."""
    stream, times_ms = open_stream(model), []
    volumes = torch.randn(4, *model.volume_shape).numpy()
    for i in range(model.n_times + n_pushes):
        began = time.perf_counter()
        stream.push(volumes[i % 4], 2.0 * i)
        times_ms.append(1000 * (time.perf_counter() - began))
    return times_ms[model.n_times :]


def push_macs(model: DecoderModel) -> int:
    """Multiply-adds of a push once the window is full."""
    stream, volume = open_stream(model), torch.randn(model.volume_shape)
    for i in range(model.n_times):
        stream.push(volume, 2.0 * i)
    with FlopCounterMode(display=False) as counter:
        stream.push(volume, 2.0 * model.n_times)
    return counter.get_total_flops() // 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "models", nargs="*", default=["hybrid", "cnn3d", "transformer", "linear"]
    )
    parser.add_argument("--n-times", type=int, default=8)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--pushes", type=int, default=25)
    options = parser.parse_args()

    timed = [
        f"{'×'.join(map(str, shape))}, {n} thread{'s' if n > 1 else ''}"
        for shape in TIMED
        for n in options.threads
    ]
    columns = ["model", "window, GMAC a volume", "stream, GMAC a volume", *timed]
    print(f"Window of {options.n_times} frames; median (least) of {options.pushes}, ms")
    print(f"\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for spec in options.models:
        model = build(spec, COUNTED, options.n_times)
        window = count_macs(model, 1, options.n_times) / options.n_times
        row = [spec, f"{window / 1e9:.3f}", f"{push_macs(model) / 1e9:.3f}"]
        for shape in TIMED:
            model = build(spec, shape, options.n_times)
            for n_threads in options.threads:
                torch.set_num_threads(n_threads)
                times_ms = push_times(model, options.pushes)
                row.append(f"{statistics.median(times_ms):.0f} ({min(times_ms):.0f})")
        print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
