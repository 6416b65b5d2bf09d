"""The command that checks a result against its record: `boldformer verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from boldformer.cli.app import app


@app.command()
def verify(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of a run.")],
) -> int:
    """Check that a finished run still agrees with its record, in one line.

    All files are hashed, the report and the recordings among them, and what follows
    from tables and settings is computed again. Exit code 0 says that the result holds,
    1 that it does not.
    """
    from boldformer.studies.verification import verify as verify_result

    found = verify_result(out)
    typer.echo(found.line)
    return 0 if found.holds else 1
