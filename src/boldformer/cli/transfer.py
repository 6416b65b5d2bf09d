"""The command that brings a decoder to another site: `boldformer transfer`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from boldformer import config
from boldformer.cli.app import app
from boldformer.cli.logging_setup import bars, set_up_logging
from boldformer.cli.options import (
    Given,
    Jobs,
    NameList,
    Overwrite,
    Quiet,
    Verbose,
    configured,
    n_jobs_of,
    names,
    option,
)
from boldformer.config import DataConfig, ModelConfig, RunConfig
from boldformer.errors import InputError

_ALIGNMENTS, _SHOTS = "none,run,site,coral", "1,2,4"
_BASE = RunConfig(model=ModelConfig("linear"))


@app.command()
@configured(
    "data",
    "preprocessing",
    "window.delay_s",
    "window.length_s",
    "model.name",
    "training.max_epochs",
    "evaluation.n_resamples",
    "evaluation.seed",
    "evaluation.allow_leakage",
    without=("data.labels",),
    base=_BASE,
    defaults={"window.length_s": "shortest median"},
)
def transfer(
    given: Given,
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
        NameList,
        option("--align", help=f"Feature alignments to compare. [{_ALIGNMENTS}]"),
    ] = None,
    shots: Annotated[
        NameList,
        option(
            "--shots",
            help="Labelled blocks of each class, or runs (1run), to compare. "
            f"[{_SHOTS}]",
        ),
    ] = None,
    any_space: Annotated[
        bool,
        typer.Option("--any-space", help="Take coordinates of other spaces as equal."),
    ] = False,
    tune: Annotated[
        str, typer.Option("--tune", help="What shots change of a network: head or all.")
    ] = "head",
    n_jobs: Jobs = 0,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Train on data sets, test on another: zero-shot, and with some of its labels."""
    from boldformer.studies.transfer import TransferSettings, run_transfer

    set_up_logging(quiet, verbose)
    *train, out = paths
    if leave_one_out == (test is not None):
        raise InputError(
            "which data set is tested is not clear",
            wanted="either --test DATA or --leave-one-out",
            received="both" if leave_one_out else "neither",
        )
    settings = TransferSettings(
        run=replace(given.over(_BASE), data=DataConfig()),
        level=level,
        ontology=str(ontology.resolve()) if ontology else "",
        alignments=names(align or _ALIGNMENTS),
        shots=names(shots or _SHOTS),
        any_space=any_space,
        tuned=tune,
    )
    table = run_transfer(
        [_data(path, given) for path in train],
        _data(test, given) if test else None,
        out,
        settings,
        n_jobs=n_jobs_of(n_jobs),
        overwrite=overwrite,
        progress=bars(quiet),
    )
    typer.echo(str(table))


def _data(path: Path, given: Given) -> DataConfig:
    """Read the settings of a data set: its TOML file, else those of the command."""
    if path.suffix == ".toml":
        own = config.load(path, DataConfig)
        return replace(own, path=str((path.parent / own.path).resolve()))
    return given.over(_BASE, path).data
