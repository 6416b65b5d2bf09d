"""The command that says what models cost to compute: `boldformer ledger`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from boldformer.cli.app import app
from boldformer.cli.logging_setup import set_up_logging
from boldformer.cli.options import Quiet, Size, Verbose, key_values, option


@app.command()
def ledger(
    models: Annotated[
        list[str], typer.Argument(metavar="MODEL…", help="Names of models: {models}.")
    ],
    volume_shape: Annotated[
        Size, option("--volume-shape", help="Voxels of a volume, X Y Z.")
    ],
    n_times: Annotated[int, option("--n-times", help="Volumes of a run.")],
    n_outputs: Annotated[int, typer.Option("--n-outputs", help="Classes.")] = 4,
    window_frames: Annotated[
        int | None,
        option("--window-frames", help="Frames of a window. [the model's own, or 8]"),
    ] = None,
    t_r: Annotated[float, typer.Option("--tr", help="Repetition time, s.")] = 2.0,
    model_parameter: Annotated[
        list[str] | None,
        option("--model-parameter", help="KEY=VALUE of the models."),
    ] = None,
    batch: Annotated[int, typer.Option("--batch", help="Windows in a batch.")] = 1,
    latency: Annotated[
        bool | None,
        option(
            "--latency/--no-latency",
            help="Measure times, too. [yes; no with --json]",
        ),
    ] = None,
    device: Annotated[
        str, typer.Option("--device", help="Where to time: auto, cpu or cuda.")
    ] = "auto",
    as_json: Annotated[
        bool, option("--json", help="Print a list of objects, and nothing else.")
    ] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Say what models cost: parameters, MAC and FLOP, memory, time on this device.

    Numbers are per volume, window, run and second of scan, all by one counter.
    """
    from boldformer.studies.compute_ledger import compute_ledger, ledger_text

    set_up_logging(quiet, verbose)
    entries = compute_ledger(
        models,
        volume_shape=volume_shape,
        n_times=n_times,
        n_outputs=n_outputs,
        window_frames=window_frames,
        t_r=t_r,
        parameters=key_values(model_parameter),
        batch_size=batch,
        latency=not as_json if latency is None else latency,
        device=device,
    )
    if as_json:
        typer.echo(json.dumps([entry.to_dict() for entry in entries], indent=2))
    else:
        typer.echo(ledger_text(entries))
