"""The command that looks for leaks in a split: `boldformer audit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from boldformer import config
from boldformer.cli.app import app
from boldformer.cli.logging_setup import bars, set_up_logging
from boldformer.cli.options import (
    Given,
    Jobs,
    Quiet,
    Verbose,
    configured,
    n_jobs_of,
    option,
)
from boldformer.errors import InputError, LeakageError


@app.command()
@configured("data", "preprocessing")
def audit(
    given: Given,
    data_dir: Annotated[
        Path | None,
        typer.Argument(metavar="DATA", help="Dataset, or a TSV table of windows."),
    ] = None,
    split: Annotated[
        Path | None,
        option(
            "--split",
            help="TSV: fold, set, and window, recording or subject. [default split]",
        ),
    ] = None,
    config_file: Annotated[
        Path | None,
        option("--config", help="run.toml of the run that wrote the split."),
    ] = None,
    store: Annotated[
        Path | None, option("--store", help="Keep prepared runs here. [temporary]")
    ] = None,
    out: Annotated[
        Path | None, option("--out", help="Also write audit.json into this folder.")
    ] = None,
    n_jobs: Jobs = 0,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Look for leaks in a split: what training and test windows must not share.

    Exit code 0: no leak (there may be warnings); 2: unusable input; 3: a leak.
    """
    from boldformer.data.atomic import write_json
    from boldformer.studies.dataset_audit import (
        AUDIT_FILE,
        audit_dataset,
        audit_table,
        check_out,
    )

    set_up_logging(quiet, verbose)
    base = config.load(config_file) if config_file else config.RunConfig()
    if data_dir is not None and data_dir.is_file():
        if out is not None:
            check_out(out)
        report = audit_table(data_dir, split=split, evaluation=base.evaluation)
    else:
        settings = given.over(base, data_dir)
        if not settings.data.path:
            raise InputError(
                "DATA is needed",
                fix="boldformer audit DATA, or boldformer audit --config FILE",
            )
        report = audit_dataset(
            settings,
            split=split,
            store=store,
            out=out,
            n_jobs=n_jobs_of(n_jobs),
            progress=bars(quiet),
        )
    typer.echo(report.to_text())
    if out is not None:
        write_json(out / AUDIT_FILE, report.to_dict())
    return LeakageError.exit_code if report.audit.verdict == "leak" else 0
