"""The command that brings a decoder to another site: `boldformer transfer`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from boldformer import config
from boldformer.cli.app import app
from boldformer.cli.logging_setup import set_up_logging
from boldformer.cli.options import (
    DATA,
    PREPROCESSING,
    Jobs,
    Overwrite,
    Quiet,
    data_options,
    n_jobs_of,
    option,
    over,
    preprocessing_config,
    shared_options,
)
from boldformer.errors import InputError


@app.command()
@shared_options(DATA, PREPROCESSING)
def transfer(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="TRAIN… OUT",
            help="Data sets to train on, and the output folder last. A data set may be "
            "a TOML file of its own settings (path, task, participants …).",
        ),
    ],
    test: Annotated[Path | None, option("--test", help="Data set to test on.")] = None,
    leave_one_out: Annotated[
        bool,
        typer.Option("--leave-one-out", help="Test on each data set in turn instead."),
    ] = False,
    level: Annotated[
        str,
        typer.Option(
            "--level", help="What is decoded: label, effector, side or category."
        ),
    ] = "label",
    ontology: Annotated[
        Path | None,
        option("--ontology", help="TSV that says what labels mean, over the built-in."),
    ] = None,
    align: Annotated[
        str, typer.Option("--align", help="Feature alignments to compare.")
    ] = "none,run,site,coral",
    shots: Annotated[
        str,
        typer.Option(
            "--shots", help="Labelled blocks of each class, or runs (1run), to compare."
        ),
    ] = "1,2,4",
    any_space: Annotated[
        bool,
        typer.Option("--any-space", help="Take coordinates of other spaces as equal."),
    ] = False,
    model: Annotated[str, typer.Option("--model", help="Model.")] = "linear",
    tune: Annotated[
        str, typer.Option("--tune", help="What shots change of a network: head or all.")
    ] = "head",
    epochs: Annotated[
        int | None, option("--epochs", help="Passes over the training windows.")
    ] = None,
    delay: Annotated[
        float | None, option("--delay", help="Haemodynamic delay in seconds. [5]")
    ] = None,
    length: Annotated[
        float | None, option("--length", help="Window in seconds. [shortest median]")
    ] = None,
    n_resamples: Annotated[
        int | None, option("--n-resamples", help="Bootstrap resamples. [1000]")
    ] = None,
    seed: Annotated[int | None, option("--seed", help="Of all that is random.")] = None,
    allow_leakage: Annotated[
        bool, typer.Option("--allow-leakage", help="Go on; numbers are marked LEAKY.")
    ] = False,
    n_jobs: Jobs = 0,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    **shared: Any,
) -> None:
    """Train on data sets, test on another: zero-shot, and with some of its labels."""
    from boldformer.workflow.transfer import TransferSettings, run_transfer

    set_up_logging(quiet)
    *train, out = paths
    if leave_one_out == (test is not None):
        raise InputError(
            "which data set is tested is not clear",
            wanted="either --test DATA or --leave-one-out",
            received="both" if leave_one_out else "neither",
        )
    base = config.RunConfig(model=config.ModelConfig(model))
    judged = {"n_resamples": n_resamples, "seed": seed, "allow_leakage": allow_leakage}
    run = replace(
        base,
        preprocessing=preprocessing_config(base.preprocessing, shared),
        window=over(base.window, {"delay_s": delay, "length_s": length}),
        training=over(base.training, {"max_epochs": epochs, "seed": seed}),
        evaluation=over(base.evaluation, judged),
    )
    settings = TransferSettings(
        run=run,
        level=level,
        ontology=str(ontology.resolve()) if ontology else "",
        alignments=_names(align),
        shots=_names(shots),
        any_space=any_space,
        tuned=tune,
    )
    table = run_transfer(
        [_data(path, shared) for path in train],
        _data(test, shared) if test else None,
        out,
        settings,
        n_jobs=n_jobs_of(n_jobs),
        overwrite=overwrite,
        progress=not quiet,
    )
    typer.echo(str(table))


def _data(path: Path, shared: dict[str, Any]) -> config.DataConfig:
    """Read the settings of a data set: its TOML file, else those of the command."""
    if path.suffix == ".toml":
        own = config.load(path, config.DataConfig)
        return replace(own, path=str((path.parent / own.path).resolve()))
    return over(config.DataConfig(), data_options(shared | {"data_dir": path}))


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
