"""The command that measures what a leak is worth: `boldformer leakage`."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

import typer

from boldformer import config
from boldformer.cli.app import app
from boldformer.cli.logging_setup import set_up_logging
from boldformer.cli.options import (
    DATA,
    PREPROCESSING,
    DataDir,
    Jobs,
    OutDir,
    Overwrite,
    Quiet,
    data_options,
    n_jobs_of,
    option,
    over,
    preprocessing_config,
    shared_options,
)


@app.command()
@shared_options(DATA, PREPROCESSING)
def leakage(
    data_dir: DataDir,
    out: OutDir,
    labels: Annotated[
        list[str] | None, option("--labels", help="Labels to decode. [all]")
    ] = None,
    models: Annotated[
        str,
        typer.Option(
            "--models", help="Models, each also as NAME:raw or NAME:centred volumes."
        ),
    ] = "reference,hybrid,linear",
    schemes: Annotated[
        str, typer.Option("--schemes", help="Ways to split; subject is among them.")
    ] = "volume,block,run,subject",
    folds: Annotated[int, typer.Option("--folds", help="Folds of each scheme.")] = 3,
    delay: Annotated[
        float | None, option("--delay", help="Haemodynamic delay in seconds. [5]")
    ] = None,
    stride: Annotated[
        float | None,
        option("--stride", help="Seconds between volumes of a block. [every volume]"),
    ] = None,
    epochs: Annotated[
        int | None, option("--epochs", help="Passes of a network. [12]")
    ] = None,
    batch_size: Annotated[
        int, typer.Option("--batch-size", help="Volumes in a step.")
    ] = 32,
    learning_rate: Annotated[
        float | None, option("--learning-rate", help="Peak learning rate. [0.001]")
    ] = None,
    device: Annotated[
        str | None, option("--device", help="auto, cpu or cuda. [auto]")
    ] = None,
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
    n_resamples: Annotated[
        int | None, option("--n-resamples", help="Bootstrap resamples. [1000]")
    ] = None,
    seed: Annotated[int | None, option("--seed", help="Of all that is random.")] = None,
    n_jobs: Jobs = 0,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    **shared: Any,
) -> None:
    """Train the same models under leaky and honest splits, and plot the gap.

    An interrupted job goes on where it stopped when the command is given again.
    """
    from boldformer.workflow.leakage import LeakageSettings, run_leakage

    set_up_logging(quiet)
    base = config.RunConfig()
    trained: dict[str, Any] = {"max_epochs": epochs, "batch_size": batch_size}
    trained |= {"learning_rate": learning_rate, "device": device, "seed": seed}
    given = data_options(shared | {"data_dir": data_dir, "labels": labels})
    run = replace(
        base,
        data=over(base.data, given),
        preprocessing=preprocessing_config(base.preprocessing, shared),
        window=over(base.window, {"delay_s": delay, "stride_s": stride}),
        training=over(base.training, trained),
        evaluation=over(base.evaluation, {"n_resamples": n_resamples, "seed": seed}),
    )
    settings = LeakageSettings(
        run=run,
        models=_names(models),
        schemes=_names(schemes),
        folds=folds,
        linear_shuffles=linear_shuffles,
        network_shuffles=network_shuffles,
    )
    table = run_leakage(
        settings,
        out,
        n_jobs=n_jobs_of(n_jobs),
        overwrite=overwrite,
        progress=not quiet,
    )
    typer.echo(str(table))


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
