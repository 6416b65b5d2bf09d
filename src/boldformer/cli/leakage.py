"""The command that measures what a leak is worth: `boldformer leakage`."""

from __future__ import annotations

from typing import Annotated

import typer

from boldformer.cli.app import app
from boldformer.cli.logging_setup import bars, set_up_logging
from boldformer.cli.options import (
    DataDir,
    Given,
    Jobs,
    NameList,
    OutDir,
    Overwrite,
    Quiet,
    Verbose,
    configured,
    n_jobs_of,
    names,
    option,
)
from boldformer.config import RunConfig, TrainingConfig

_MODELS, _SCHEMES = "reference,hybrid,linear", "volume,block,run,subject"
_BASE = RunConfig(training=TrainingConfig(batch_size=32))


@app.command()
@configured(
    "data",
    "preprocessing",
    "window.delay_s",
    "window.stride_s",
    "training",
    "evaluation.n_resamples",
    "evaluation.seed",
    base=_BASE,
    defaults={"window.stride_s": "every volume"},
)
def leakage(
    given: Given,
    data_dir: DataDir,
    out: OutDir,
    models: Annotated[
        NameList,
        option(
            "--models",
            help="Models, each also as NAME:raw or NAME:centred volumes: {models}. "
            f"[{_MODELS}]",
        ),
    ] = None,
    schemes: Annotated[
        NameList,
        option("--schemes", help=f"Ways to split; subject is one. [{_SCHEMES}]"),
    ] = None,
    folds: Annotated[int, typer.Option("--folds", help="Folds of each scheme.")] = 3,
    linear_shuffles: Annotated[
        int,
        typer.Option(
            "--linear-shuffles", help="Controls with shuffled labels, of the SVM."
        ),
    ] = 5,
    network_shuffles: Annotated[
        int,
        typer.Option(
            "--network-shuffles", help="The same for networks; each trains every fold."
        ),
    ] = 0,
    n_jobs: Jobs = 0,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Train the same models under leaky and honest splits, and plot the gap.

    An interrupted job goes on where it stopped when the command is given again.
    """
    from boldformer.studies.leakage import LeakageSettings, run_leakage

    set_up_logging(quiet, verbose)
    settings = LeakageSettings(
        run=given.over(_BASE, data_dir),
        models=names(models or _MODELS),
        schemes=names(schemes or _SCHEMES),
        folds=folds,
        linear_shuffles=linear_shuffles,
        network_shuffles=network_shuffles,
    )
    table = run_leakage(
        settings,
        out,
        n_jobs=n_jobs_of(n_jobs),
        overwrite=overwrite,
        progress=bars(quiet),
    )
    typer.echo(str(table))
