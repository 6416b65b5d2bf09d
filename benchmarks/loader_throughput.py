"""Whether reading windows keeps up with the model that is trained on them.

    python benchmarks/loader_throughput.py [--shape 91 109 91] [--frames 8]

Windows read a second (by one process) beside windows trained on a second (forward,
backward and update of the hybrid) on this machine's CPU, and on its GPU if it has one,
there also with batches read ahead by processes.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from boldformer import open_dataset
from boldformer.config import PreprocessingConfig, WindowConfig
from boldformer.data.event_windows import make_table
from boldformer.data.prepare import configured_pipeline, prepare
from boldformer.data.windows import WindowSet
from boldformer.models import DecoderModel, create
from boldformer.training.batches import Batches, SeededBatches, batch_loader
from boldformer.training.devices import resolve_bf16
from full_size_run import T_R, write_dataset


def read_windows(root: Path, n_frames: int) -> WindowSet:
    dataset = open_dataset(root)
    pipeline = configured_pipeline(PreprocessingConfig(confounds=()))
    runs, _ = prepare(dataset, root / "store", pipeline)
    window = WindowConfig(length_s=n_frames * T_R)
    table, _ = make_table(dataset, runs, ["a", "b"], window)
    return WindowSet(table, runs)


def per_second(batches: Iterable[dict], seconds: float) -> float:
    """Windows a second that come out of `batches`, the first batch not counted."""
    count, started = 0, 0.0
    for batch in batches:
        if not started:
            started = time.perf_counter()
            continue
        count += len(batch["labels"])
        if time.perf_counter() - started > seconds:
            break
    return count / (time.perf_counter() - started)


def trained(model: DecoderModel, batches: Iterable[dict], device: torch.device):
    """Train on each batch and pass it on."""
    use_bf16 = resolve_bf16("auto", device)
    model.to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    for batch in batches:
        x = batch["windows"].to(device, non_blocking=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=use_bf16):
            loss = nn.functional.cross_entropy(model(x), batch["labels"].to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        yield batch


def forever(loader: Iterable[dict]) -> Iterable[dict]:
    while True:
        yield from loader


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", type=int, nargs=3, default=(91, 109, 91))
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_dataset(root / "bids", tuple(options.shape), 232, 2)
        windows = read_windows(root / "bids", options.frames)
        labels = (windows.labels == "b").astype(np.int64)
        batches = Batches(windows, labels, None, None)
        order = SeededBatches(np.arange(len(windows)), options.batch_size, 0)
        devices = ["cpu"] + ["cuda"] * torch.cuda.is_available()
        print(f"windows of {windows.shape[1:]}, batches of {options.batch_size}\n")
        print("| device | processes that read | read alone, windows/s ", end="")
        print("| read and trained, windows/s |\n|---|---|---|---|")
        for name in devices:
            device = torch.device(name)
            choices = {batch_loader(batches, order, torch.device("cpu"))}
            choices |= {batch_loader(batches, order, device)}
            for loader in sorted(choices, key=lambda choice: choice.num_workers):
                model = create(
                    "hybrid",
                    n_outputs=2,
                    n_times=windows.shape[1],
                    volume_shape=windows.shape[2:],
                    t_r=T_R,
                )
                alone = per_second(forever(loader), options.seconds / 2)
                both = per_second(
                    trained(model, forever(loader), device), options.seconds
                )
                print(f"| {name} ({os.cpu_count()} cores) ", end="")
                print(f"| {loader.num_workers} | {alone:.0f} | {both:.1f} |")
                if name == "cpu":
                    break


if __name__ == "__main__":
    main()
