"""The command line: one command a verb, no logic of its own."""

from __future__ import annotations

import errno
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from boldformer import __version__, config
from boldformer.cli.command import App, one_name
from boldformer.cli.logging_setup import bars, set_up_logging
from boldformer.cli.options import (
    ConfigFile,
    DataDir,
    Given,
    Jobs,
    Overwrite,
    Quiet,
    Scheduler,
    Verbose,
    configured,
    n_jobs_of,
    option,
)
from boldformer.errors import BoldFormerError, InputError

app = App(
    help="Decode task state from functional MRI: BIDS in; an honest accuracy, brain "
    "maps, a report and a shareable model out.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "token_normalize_func": one_name,
    },
)


_INTERRUPTED = 130

# typer carries a click of its own, or uses the library, depending on its version; the
# base of its usage errors is the one that both call ClickException.
_USAGE_ERROR: Any = next(
    kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException"
)


def main() -> None:
    """Run the command line; every expected failure is one line and an exit code."""
    signal.signal(signal.SIGTERM, _as_ctrl_c)
    sys.exit(run_command(sys.argv[1:]))


def _as_ctrl_c(*_: object) -> None:
    """Stop as Ctrl-C does: what a cluster cancels leaves nothing half-written."""
    raise KeyboardInterrupt


def run_command(arguments: list[str]) -> int:
    """Run one command and return its exit code.

    0 for success, 1 where runs were set aside and the rest went on, 2 for input that
    cannot be used, 3 for a leak, 130 when interrupted.
    """
    try:
        result = app(args=arguments, prog_name="boldformer", standalone_mode=False)
        code = result if isinstance(result, int) else 0
    except BoldFormerError as error:
        return _fail(str(error), error.exit_code)
    except typer.Exit as done:
        code = done.exit_code
    except _USAGE_ERROR as error:
        return _fail(error.format_message().replace("\n", " "), error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        return _fail(
            "interrupted; the same command goes on where this one stopped", 130
        )
    except OSError as error:
        return _fail(_os_error_line(error), 2)
    if code == _INTERRUPTED:  # typer turns Ctrl-C into this code, without a word
        _fail("interrupted; the same command goes on where this one stopped", code)
    return code


def _fail(line: str, code: int) -> int:
    typer.echo(f"boldformer: {line}", err=True)
    return code


def _os_error_line(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    # numpy reports a write that ended early by its text alone.
    cut_short = error.errno is None and "requested and" in str(error)
    if cut_short or error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"no space left to write{where}; free some and run the command again"
    return f"{error.strerror or error}{where}"


_UNIT_OF_LEVEL = {"participant": "run", "group": "subject"}
# What is taken away, and put out of reach of scaling, to show what it is worth.
_UNCENTRED: dict[str, Any] = {
    "centre": False,
    "normalise": "none",
    "detrend_order": -1,
    "high_pass_hz": 0.0,
    "confounds": (),
}


@app.command()
@configured("data", "preprocessing", "window", "model", "training", "evaluation")
def run(
    given: Given,
    data_dir: Annotated[
        Path | None, typer.Argument(metavar="DATA", help="Dataset.")
    ] = None,
    out: Annotated[
        Path | None, typer.Argument(metavar="OUT", help="Output folder.")
    ] = None,
    level: Annotated[
        str | None,
        typer.Argument(
            metavar="participant|group",
            help="Decode within each subject, or across subjects. [across, if several]",
        ),
    ] = None,
    no_centre: Annotated[
        bool,
        option("--no-centre", help="Keep run means (shows what centring is worth)."),
    ] = False,
    config_file: ConfigFile = None,
    scheduler: Scheduler = None,
    n_jobs: Jobs = 0,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Decode a dataset: prepare, cross-validate, explain, report.

    An interrupted run goes on where it stopped when the command is given again. Exit
    code 1 says that some runs were set aside; the report lists them.
    """
    base = config.RunConfig()
    if config_file is not None:
        base = config.load(config_file)
        # The file names the dataset, so the one path given is where to write.
        data_dir, out = (None, data_dir) if out is None else (data_dir, out)
    settings = given.over(base, data_dir)
    if no_centre:
        uncentred = replace(settings.preprocessing, **_UNCENTRED)
        settings = replace(settings, preprocessing=uncentred)
    settings = _at_level(settings, level, given)
    if not settings.data.path or out is None:
        raise InputError(
            "DATA and OUT are needed",
            fix="boldformer run DATA OUT, or boldformer run OUT --config FILE",
        )
    from boldformer.studies import run_decoding

    set_up_logging(quiet, verbose)
    report = run_decoding(
        settings,
        out,
        n_jobs=n_jobs_of(n_jobs),
        scheduler=scheduler or "",
        overwrite=overwrite,
        progress=bars(quiet),
    )
    return _told(out, report)


def _told(out: Path, report: Path) -> int:
    """Print what a run found; return 1 where runs were set aside, else 0."""
    from boldformer.studies.outcome import read_outcome

    outcome = read_outcome(out)
    for line in outcome.lines:
        typer.echo(line)
    typer.echo(str(report))
    return 1 if outcome.n_runs_set_aside else 0


def _at_level(
    settings: config.RunConfig, level: str | None, given: Given
) -> config.RunConfig:
    """Split as the level of a BIDS-App says."""
    if level is None:
        return settings
    if level not in _UNIT_OF_LEVEL:
        raise InputError("unknown level", wanted="participant or group", received=level)
    unit, asked = _UNIT_OF_LEVEL[level], settings.evaluation.unit
    if given.has("evaluation", "unit") and asked != unit:
        raise InputError(
            f"the level {level} keeps {unit}s apart",
            received=f"--split-unit {asked}",
            fix="give one of the two",
        )
    return replace(settings, evaluation=replace(settings.evaluation, unit=unit))


@app.command()
@configured("data", "preprocessing", without=("data.labels",))
def prepare(
    given: Given,
    data_dir: DataDir,
    store: Annotated[Path, typer.Argument(metavar="STORE", help="Store folder.")],
    scheduler: Scheduler = None,
    n_jobs: Jobs = 0,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Clean recordings and store them masked and compressed, for fast windows.

    Exit code 1 says that some runs were set aside; STORE/set_aside.tsv lists them.
    """
    from boldformer.studies import prepare_dataset

    set_up_logging(quiet, verbose)
    settings = given.over(config.RunConfig(), data_dir)
    summary, set_aside = prepare_dataset(
        settings.data,
        settings.preprocessing,
        store,
        n_jobs=n_jobs_of(n_jobs),
        scheduler=scheduler or "",
        progress=bars(quiet),
    )
    typer.echo(summary)
    for what, reason in set_aside:
        typer.echo(f"set aside: {what}: {reason}", err=True)
    return 1 if set_aside else 0


@app.command()
def demo(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Output folder.")] = Path(
        "demo"
    ),
    n_jobs: Jobs = 0,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Simulate a small cohort, decode it and write its report: minutes on two cores."""
    from boldformer.studies import run_demo

    set_up_logging(quiet, verbose)
    report = run_demo(
        out, n_jobs=n_jobs_of(n_jobs), overwrite=overwrite, progress=bars(quiet)
    )
    _told(report.parent, report)


@app.command()
def report(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of a run.")],
) -> None:
    """Build the figures and the report of a finished run again."""
    from boldformer.visualization import build_report

    typer.echo(str(build_report(out)))


@app.command()
def info() -> None:
    """Print versions, devices and what is installed, for bug reports."""
    from boldformer.studies import describe_system

    typer.echo(describe_system())


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"boldformer {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True)
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


if __name__ == "__main__":
    main()
