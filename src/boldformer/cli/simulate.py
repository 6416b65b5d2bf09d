"""The command that makes a cohort of known truth: `boldformer simulate`."""

from __future__ import annotations

from typing import Annotated

import typer

from boldformer.cli.app import app
from boldformer.cli.logging_setup import bars
from boldformer.cli.options import (
    Jobs,
    NameList,
    OutDir,
    Overwrite,
    Quiet,
    Size,
    Verbose,
    n_jobs_of,
    names,
    option,
)


@app.command()
def simulate(
    out: OutDir,
    subjects: Annotated[int, typer.Option(help="Number of subjects.")] = 16,
    runs: Annotated[int, typer.Option(help="Runs a subject.")] = 2,
    volumes: Annotated[int, typer.Option(help="Volumes a run.")] = 232,
    t_r: Annotated[float, typer.Option("--tr", help="Repetition time, s.")] = 2.0,
    voxel_size: Annotated[float, typer.Option(help="Voxel edge, mm.")] = 4.0,
    volume_shape: Annotated[
        Size | None, option("--volume-shape", help="Crop or zero-pad volumes to X Y Z.")
    ] = None,
    effect_size: Annotated[
        float, typer.Option(help="Times the calibrated response; 0 plants nothing.")
    ] = 1.0,
    conditions: Annotated[
        NameList, option("--conditions", help="Movements. [all six]")
    ] = None,
    noise_scale: Annotated[
        float, typer.Option(help="Times the calibrated noise of voxels.")
    ] = 1.0,
    site_offset: Annotated[
        float,
        typer.Option(help="Departure of the scanner, as a fraction of the intensity."),
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    n_jobs: Jobs = 0,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Write a simulated cohort, with its planted truth, as a BIDS dataset."""
    from boldformer.simulation import CONDITIONS, CohortSpec, simulate_cohort

    spec = CohortSpec(
        subjects=subjects,
        runs=runs,
        seed=seed,
        t_r=t_r,
        n_volumes=volumes,
        voxel_size_mm=voxel_size,
        volume_shape=volume_shape or (),
        effect_size=effect_size,
        conditions=names(conditions) if conditions else CONDITIONS,
        noise_scale=noise_scale,
        site_offset=site_offset,
    )
    path = simulate_cohort(
        out, spec, n_jobs=n_jobs_of(n_jobs), progress=bars(quiet), overwrite=overwrite
    )
    typer.echo(str(path))
