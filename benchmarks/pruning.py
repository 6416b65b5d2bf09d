"""What pruning saves and costs: `python benchmarks/pruning.py RUN OUT [--scratch]`.

RUN is the folder of a finished run of the hybrid, such as `boldformer demo` leaves in
``demo/results``. Prints the accuracy-compute curve, and the time of a forward pass of
networks of the same shares at full size (`--no-curve`: only that).
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import torch

from boldformer.evaluation.compute import count_macs
from boldformer.evaluation.latency import median_time
from boldformer.models import create
from boldformer.studies.pruning import PruningSettings, prune_run
from boldformer.studies.pruning_fits import channels_for
from boldformer.training.channel_pruning import channels_of, resized

FULL_SIZE = (100, 100, 100)
N_TIMES = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument("out", type=Path, nargs="?")
    parser.add_argument("--target-macs", type=float, default=0.2)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--scratch", action="store_true")
    parser.add_argument("--no-curve", action="store_true")
    given = parser.parse_args()
    settings = PruningSettings(
        given.target_macs, given.steps, given.epochs, given.scratch
    )
    if not given.no_curve:
        table = prune_run(given.run, given.out, settings, overwrite=True)
        print_curve(pd.read_csv(table, sep="\t"))
    print_full_size(settings.shares)


def print_curve(curve: pd.DataFrame) -> None:
    print(
        "| network | channels | parameters | MACs | forward | accuracy | difference |"
    )
    print("|---|---|---|---|---|---|---|")
    for row in curve.itertuples():
        print(
            f"| {row.network} | {row.stem_channels}, {row.out_channels} "
            f"| {row.parameters / 1e6:.2f} M | {row.mac_share:.3f} "
            f"| {1e3 * row.forward_s:.1f} ms | {row.accuracy:.3f} "
            f"({row.accuracy_low:.3f} to {row.accuracy_high:.3f}) "
            f"| {row.difference:+.3f} "
            f"({row.difference_low:+.3f} to {row.difference_high:+.3f}) |"
        )


def print_full_size(shares: list[float]) -> None:
    whole = create("hybrid", n_outputs=4, n_times=N_TIMES, volume_shape=FULL_SIZE)
    sizes = [channels_of(whole), *channels_for(whole, shares, N_TIMES)]
    models = [resized(whole, channels).eval() for channels in sizes]
    x = torch.randn(1, N_TIMES, *FULL_SIZE)
    full = count_macs(whole, 1, N_TIMES)
    print("\n| channels | MACs | share | forward |\n|---|---|---|---|")
    for channels, model in zip(sizes, models, strict=True):
        macs = count_macs(model, 1, N_TIMES)
        with torch.inference_mode():
            seconds = median_time(
                lambda model=model: model(x),
                torch.device("cpu"),
                n_repeats=25,
                budget_s=30,
            )
        named = ", ".join(map(str, asdict(channels).values()))
        print(
            f"| {named} | {macs / 1e9:.3f} G | {macs / full:.3f} "
            f"| {1e3 * seconds:.1f} ms |"
        )


if __name__ == "__main__":
    main()
