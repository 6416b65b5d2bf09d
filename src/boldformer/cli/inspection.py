"""The command that shows one run: `boldformer inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from boldformer.cli.app import app
from boldformer.cli.logging_setup import set_up_logging
from boldformer.cli.options import NameList, Overwrite, Quiet, Verbose, names, option


@app.command()
def inspect(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN",
            help="4-D image, prepared run, or (with --recording) a dataset or store.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Argument(metavar="OUT", help="Output folder. [<run name>_inspect]"),
    ] = None,
    recording: Annotated[
        str, option("--recording", help="Name of a run in a dataset or a store.")
    ] = "",
    labels: Annotated[
        NameList, option("--labels", help="Event types to average. [all]")
    ] = None,
    delay: Annotated[
        float, option("--delay", help="Begin of the response after onset, s. [5]")
    ] = 5.0,
    length: Annotated[
        float,
        option("--length", help="Length of the response, s. [median duration]"),
    ] = 0.0,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Draw the noise, motion and responses of one run on a page.

    Temporal SNR, framewise displacement, DVARS, mean response per condition and a
    carpet plot, as a figure, NIfTI maps and tables.
    """
    from boldformer.studies.dataset_inspection import inspect_run

    set_up_logging(quiet, verbose)
    figure = inspect_run(
        run,
        out,
        recording=recording,
        labels=names(labels or ()),
        delay_s=delay,
        window_s=length,
        overwrite=overwrite,
    )
    typer.echo(str(figure))
