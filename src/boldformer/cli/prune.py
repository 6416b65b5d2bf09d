"""The command that makes a run's networks smaller: `boldformer prune`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from boldformer.cli.app import app
from boldformer.cli.logging_setup import bars, set_up_logging
from boldformer.cli.options import (
    Jobs,
    OutDir,
    Overwrite,
    Quiet,
    Verbose,
    n_jobs_of,
    option,
)


@app.command()
def prune(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")
    ],
    out: OutDir,
    target_macs: Annotated[
        float, typer.Option("--target-macs", help="Share of multiply-adds to keep.")
    ] = 0.6,
    steps: Annotated[
        int,
        typer.Option("--steps", help="Steps of pruning, each followed by training."),
    ] = 2,
    epochs: Annotated[
        int, typer.Option("--epochs", help="Epochs of training after a step.")
    ] = 4,
    scratch: Annotated[
        bool,
        option("--scratch", help="Also train networks as small from scratch."),
    ] = False,
    n_jobs: Jobs = 0,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Prune the networks of a run, fold by fold, and draw accuracy against compute.

    Every network is pruned by its own training windows and tested on its test windows.
    OUT/model is the run's shared decoder, pruned in the same way.
    """
    from boldformer.studies.pruning import PruningSettings, prune_run

    set_up_logging(quiet, verbose)
    table = prune_run(
        run,
        out,
        PruningSettings(target_macs, steps, epochs, scratch),
        n_jobs=n_jobs_of(n_jobs),
        overwrite=overwrite,
        progress=bars(quiet),
    )
    typer.echo(str(table))
