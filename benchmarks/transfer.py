"""What a decoder keeps when it is brought to another site, measured on simulated ones.

Three cohorts of different people that differ in repetition time, voxel size, effect
size (which stands for noise: the response shrinks, the noise does not) and movements;
each is left out in turn. A second transfer trains on shuffled labels and should be at
chance. Prints Markdown tables.

    python benchmarks/transfer.py --folder SITES --seed 100
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from boldformer.config import DataConfig, EvaluationConfig, ModelConfig, RunConfig
from boldformer.simulation import CohortSpec, simulate_cohort
from boldformer.studies.transfer import TransferSettings, run_transfer

LIMBS = ("left_leg", "right_leg", "forearm", "upper_arm")
# Runs of 464 s at every site.
SITES = {
    "tr2000": {"t_r": 2.0, "n_volumes": 232, "voxel_size_mm": 4.0, "conditions": LIMBS},
    "tr1500": {
        "t_r": 1.5,
        "n_volumes": 309,
        "voxel_size_mm": 5.0,
        "conditions": (*LIMBS, "hand"),
        "noise_scale": 1.25,
        "site_offset": 0.2,
    },
    "tr0720": {
        "t_r": 0.72,
        "n_volumes": 645,
        "voxel_size_mm": 4.0,
        "conditions": (*LIMBS, "tongue"),
        "site_offset": 0.3,
        "effect_size": 0.7,
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("--subjects", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where to keep the cohorts")
    parser.add_argument("--n-jobs", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        measure(arguments, arguments.folder or Path(temporary))


def measure(arguments: argparse.Namespace, folder: Path) -> None:
    started = time.perf_counter()
    sites = []
    for number, (name, settings) in enumerate(SITES.items()):
        spec = CohortSpec(
            subjects=arguments.subjects, seed=arguments.seed + number, **settings
        )
        path = folder / name
        simulate_cohort(path, spec, n_jobs=arguments.n_jobs, progress=False)
        sites.append(DataConfig(path=str(path)))
    print(f"Simulated in {time.perf_counter() - started:.0f} s.\n")
    settings = TransferSettings(
        run=RunConfig(
            model=ModelConfig("linear"),
            evaluation=EvaluationConfig(seed=arguments.seed),
        )
    )
    for title, train, test in (
        ("Each site left out", sites, None),
        ("Training labels shuffled", [shuffled(sites[0], folder)], sites[1]),
    ):
        started = time.perf_counter()
        out = folder / ("out_shuffled" if test else "out")
        table = run_transfer(
            train,
            test,
            out,
            settings,
            n_jobs=arguments.n_jobs,
            overwrite=True,
            progress=False,
        )
        print(f"{title} ({time.perf_counter() - started:.0f} s)\n")
        print(markdown(pd.read_csv(table, sep="\t", dtype={"shots": str})))


def shuffled(site: DataConfig, folder: Path) -> DataConfig:
    """Copy a cohort, its labels permuted within each run."""
    source, copy = Path(site.path), folder / "shuffled"
    if not copy.exists():
        shutil.copytree(source, copy)
    rng = np.random.default_rng(0)
    for file in sorted(copy.rglob("*_events.tsv")):
        events = pd.read_csv(file, sep="\t")
        events["trial_type"] = rng.permutation(events["trial_type"])
        events.to_csv(file, sep="\t", index=False)
    return DataConfig(path=str(copy))


def markdown(table: pd.DataFrame) -> str:
    """One line a setting, a column a test site."""
    cell = [
        f"{row.balanced_accuracy:.3f} ({row.low:.2f}–{row.high:.2f})"
        for row in table.itertuples()
    ]
    keys = ["setting", "alignment", "shots"]
    wide = table.assign(cell=cell).pivot_table(
        index=keys, columns="test", values="cell", aggfunc="first", sort=False
    )
    mean = table.groupby(keys, sort=False)["balanced_accuracy"].mean()
    lines = [
        f"| setting | alignment | shots | {' | '.join(wide.columns)} | mean |",
        "|" + "---|" * (len(wide.columns) + 4),
    ]
    for index, row in wide.iterrows():
        lines.append(f"| {' | '.join([*index, *row])} | {mean[index]:.3f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
