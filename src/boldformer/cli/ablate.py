"""The command that holds models and parts of the hybrid together: `ablate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from boldformer.cli.app import app
from boldformer.cli.logging_setup import set_up_logging
from boldformer.cli.options import (
    DATA,
    PREPROCESSING,
    DataDir,
    OutDir,
    Overwrite,
    Quiet,
    n_jobs_of,
    option,
    shared_options,
)
from boldformer.cli.run_options import EVALUATION, run_config

_FOLDS = ("folds", "repeats", "split_unit", "split", "n_resamples", "allow_leakage")
# Options of `run` that mean nothing here.
_UNUSED = dict.fromkeys([*EVALUATION, "level", "model", "no_centre"])


@app.command()
@shared_options({name: EVALUATION[name] for name in _FOLDS}, DATA, PREPROCESSING)
def ablate(
    data_dir: DataDir,
    out: OutDir,
    models: Annotated[
        str, typer.Option("--models", help="Models, with commas between.")
    ] = "all",
    arms: Annotated[
        str,
        typer.Option("--arms", help="What to change in the hybrid; none for nothing."),
    ] = "all",
    labels: Annotated[
        list[str] | None, option("--labels", help="Labels to decode. [all]")
    ] = None,
    delay: Annotated[
        float | None, option("--delay", help="Haemodynamic delay in seconds. [5]")
    ] = None,
    length: Annotated[
        float | None,
        option("--length", help="Window in seconds. [median event duration]"),
    ] = None,
    stride: Annotated[
        float | None,
        option("--stride", help="Seconds between windows of an event. [one window]"),
    ] = None,
    step: Annotated[
        float | None,
        option("--step", help="Seconds between frames of a window. [longest TR]"),
    ] = None,
    model_parameter: Annotated[
        list[str] | None,
        option("--model-parameter", help="KEY=VALUE of the hybrid and its arms."),
    ] = None,
    epochs: Annotated[
        int | None, option("--epochs", help="Epochs at the most.")
    ] = None,
    batch_size: Annotated[
        int | None, option("--batch-size", help="Windows in a step.")
    ] = None,
    learning_rate: Annotated[
        float | None, option("--learning-rate", help="Peak learning rate.")
    ] = None,
    device: Annotated[
        str | None, option("--device", help="auto, cpu or cuda. [auto]")
    ] = None,
    seed: Annotated[
        int | None, option("--seed", help="Of folds, weights, order. [0]")
    ] = None,
    config_file: Annotated[
        Path | None,
        option("--config", help="run.toml of a run; options override it."),
    ] = None,
    n_jobs: Annotated[
        int,
        typer.Option("--n-jobs", help="Processes, of one thread each; 0: every core."),
    ] = 1,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    **shared: Any,
) -> None:
    """Compare models, and the hybrid with one thing changed, on the same folds.

    An interrupted ablation goes on where it stopped when the command is given again.
    """
    options = _UNUSED | locals() | shared
    from boldformer.workflow.ablation import AblationSettings, run_ablation

    set_up_logging(quiet)
    settings = AblationSettings(run_config(options), _names(models), _names(arms))
    table = run_ablation(
        settings,
        out,
        n_jobs=n_jobs_of(n_jobs),
        overwrite=overwrite,
        progress=not quiet,
    )
    typer.echo(str(table))


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
