"""The command that holds models and parts of the hybrid together: `ablate`."""

from __future__ import annotations

from typing import Annotated

import typer

from boldformer import config
from boldformer.cli.app import app
from boldformer.cli.logging_setup import bars, set_up_logging
from boldformer.cli.options import (
    ConfigFile,
    DataDir,
    Given,
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


@app.command()
@configured(
    "data",
    "preprocessing",
    "window",
    "model.parameters",
    "training",
    "evaluation",
    without=(
        "evaluation.n_permutations",
        "evaluation.learning_curve",
        "evaluation.causal_decoder",
        "evaluation.calibrate",
    ),
)
def ablate(
    given: Given,
    data_dir: DataDir,
    out: OutDir,
    models: Annotated[
        NameList, option("--models", help="Models: {models}. [all]")
    ] = None,
    arms: Annotated[
        NameList,
        option("--arms", help="What to change in the hybrid; none for nothing. [all]"),
    ] = None,
    config_file: ConfigFile = None,
    n_jobs: Annotated[
        int,
        typer.Option("--n-jobs", help="Processes, of one thread each; 0: every core."),
    ] = 1,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Compare models, and the hybrid with one thing changed, on the same folds.

    An interrupted ablation goes on where it stopped when the command is given again.
    """
    from boldformer.studies.ablation import AblationSettings, run_ablation

    set_up_logging(quiet, verbose)
    base = config.load(config_file) if config_file else config.RunConfig()
    table = run_ablation(
        AblationSettings(
            given.over(base, data_dir), names(models or "all"), names(arms or "all")
        ),
        out,
        n_jobs=n_jobs_of(n_jobs),
        overwrite=overwrite,
        progress=bars(quiet),
    )
    typer.echo(str(table))
