"""Options that commands share, and the configuration they add up to."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from boldformer import config
from boldformer.errors import InputError

DataDir = Annotated[
    Path,
    typer.Argument(metavar="DATA", help="BIDS, HCP, class-folder or map dataset."),
]
OutDir = Annotated[Path, typer.Argument(metavar="OUT", help="Output folder.")]
Jobs = Annotated[
    int, typer.Option("--n-jobs", help="Runs prepared at once; 0 takes every core.")
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace what OUT holds from another run.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress.")]
Size = tuple[int, int, int]


def option(*names: str, help: str, **more: Any) -> Any:
    """Declare an option whose default the help text tells in its own words."""
    return typer.Option(*names, help=help, show_default=False, **more)


VolumeShape = Annotated[
    Size | None, option("--volume-shape", help="Crop or zero-pad volumes to X Y Z.")
]

DATA: dict[str, Any] = {
    "participant_label": Annotated[
        list[str] | None,
        option(
            "--participant-label", help="Subjects, without sub-; repeat or use commas."
        ),
    ],
    "task": Annotated[list[str] | None, option("--task", help="Tasks, without task-.")],
    "session_label": Annotated[
        list[str] | None, option("--session-label", help="Sessions.")
    ],
    "space": Annotated[
        str | None,
        option("--space", help="Space, with its cohort as X:cohort-1."),
    ],
    "resolution": Annotated[
        str | None, option("--resolution", help="res- entity of the recordings.")
    ],
    "acquisition": Annotated[str | None, option("--acquisition", help="acq- entity.")],
    "filter": Annotated[
        list[str] | None,
        option(
            "--filter",
            help="ENTITY=LABEL of any BIDS entity, such as rec=a; repeatable.",
        ),
    ],
    "bids_filter_file": Annotated[
        Path | None,
        option("--bids-filter-file", help="The same as fMRIPrep's JSON; bold is read."),
    ],
    "derivatives": Annotated[
        Path | None,
        option("--derivatives", help="Preprocessed recordings lying elsewhere."),
    ],
    "raw": Annotated[bool | None, option("--raw", help="Ignore derivatives.")],
    "source": Annotated[
        str | None,
        option(
            "--source",
            help="Layout: bids, hcp, class-folders or maps. [recognised]",
        ),
    ],
    "t_r": Annotated[
        float | None,
        option("--tr", help="Repetition time in seconds, where no sidecar says it."),
    ],
    "label_table": Annotated[
        str | None,
        option(
            "--label-table",
            help="TSV that chooses, merges and renames event types, or the name of a "
            "built-in one.",
        ),
    ],
}

PREPROCESSING: dict[str, Any] = {
    "voxel_size": Annotated[
        float | None, option("--voxel-size", help="Resample to voxels of so many mm.")
    ],
    "grid_like": Annotated[
        Path | None, option("--grid-like", help="Resample to the grid of this image.")
    ],
    "volume_shape": VolumeShape,
    "smooth": Annotated[
        float | None, option("--smooth", help="FWHM in space, mm. [0]")
    ],
    "dummy_scans": Annotated[
        int | None,
        option("--dummy-scans", help="Volumes dropped at the start. [detected]"),
    ],
    "despike": Annotated[bool | None, option("--despike", help="Squash spikes.")],
    "scrub_fd": Annotated[
        float | None,
        option("--scrub-fd", help="Replace volumes that moved more than so many mm."),
    ],
    "detrend_order": Annotated[
        int | None,
        option("--detrend-order", help="Polynomial removed; -1 for none. [1]"),
    ],
    "high_pass": Annotated[
        float | None, option("--high-pass", help="Cut-off in Hz; 0 for none. [1/128]")
    ],
    "low_pass": Annotated[
        float | None, option("--low-pass", help="Cut-off in Hz; 0 for none. [0]")
    ],
    "smooth_time": Annotated[
        float | None, option("--smooth-time", help="FWHM along time, s. [0]")
    ],
    "confounds": Annotated[
        str | None,
        option("--confounds", help="fMRIPrep groups, or none. [motion,wm_csf]"),
    ],
    "normalise": Annotated[
        str | None,
        option("--normalise", help="zscore, percent_signal_change or none. [zscore]"),
    ],
    "causal": Annotated[
        bool | None,
        option("--causal", help="Let every step see past volumes only."),
    ],
    "pipeline": Annotated[
        Path | None,
        option("--pipeline", help="TOML file with settings or steps."),
    ],
}

PARALLEL: dict[str, Any] = {
    "scheduler": Annotated[
        str | None,
        option("--scheduler", help="Prepare runs on the Dask cluster at tcp://…"),
    ],
}


def shared_options(*groups: Mapping[str, Any]) -> Callable[[Callable], Callable]:
    """Give a command the options of some groups; it receives them as ``**options``.

    Every option is None unless it was given.
    """
    declared = {name: kind for group in groups for name, kind in group.items()}

    def decorate(command: Callable) -> Callable:
        own = list(inspect.signature(command, eval_str=True).parameters.values())[:-1]
        more = [
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind
            )
            for name, kind in declared.items()
        ]
        own = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]

        @functools.wraps(command)
        def wrapper(**values: Any) -> Any:
            return command(**values)

        wrapper.__signature__ = inspect.Signature([*own, *more])  # type: ignore[attr-defined]
        wrapper.__annotations__ = {p.name: p.annotation for p in [*own, *more]}
        return wrapper

    return decorate


def n_jobs_of(asked: int) -> int:
    """Return the number of jobs asked for; every core for 0."""
    return asked if asked > 0 else (os.cpu_count() or 1)


def data_options(options: dict[str, Any]) -> dict[str, Any]:
    """Pick fields of `DataConfig` out of a command's options."""
    path = options["data_dir"]
    # A folder is remembered by its full path; a name such as ds004044 as it is.
    located = str(path.resolve()) if path and path.exists() else path and str(path)
    return {
        "path": located,
        "derivatives": _full_path(options["derivatives"]),
        "participants": _listed(options["participant_label"]),
        "tasks": _listed(options["task"]),
        "sessions": _listed(options["session_label"]),
        "space": options["space"],
        "resolution": options["resolution"],
        "acquisition": options["acquisition"],
        "raw": options["raw"],
        "source": options["source"],
        "t_r": options["t_r"],
        "label_table": _table(options["label_table"]),
        "labels": _listed(options.get("labels")),
        "filters": _filters(options["bids_filter_file"], options["filter"]),
    }


def _filters(file: Path | None, pairs: list[str] | None) -> dict[str, list[str]] | None:
    """Lay filters given one by one over those of a file."""
    if file is None and not pairs:
        return None
    # Needs the readers of files, which a command that reads none spares.
    from boldformer.data.filters import read_filter_file, short_name

    found = {} if file is None else read_filter_file(file)
    given: dict[str, list[str]] = {}
    for pair in pairs or ():
        entity, separator, labels = pair.partition("=")
        if not separator:
            raise InputError("unusable filter", wanted="ENTITY=LABEL", received=pair)
        listed = [label.strip() for label in labels.split(",")]
        given.setdefault(short_name(entity.strip()), []).extend(listed)
    return found | given


def preprocessing_config(
    base: config.PreprocessingConfig, options: dict[str, Any]
) -> config.PreprocessingConfig:
    """Lay a command's options over a pipeline file, where given, or over `base`."""
    if options["pipeline"] is not None:
        base = config.load(options["pipeline"], config.PreprocessingConfig)
    confounds = options["confounds"]
    groups = None if confounds is None else _listed([confounds])
    given = {
        "voxel_size_mm": options["voxel_size"],
        "grid_like": _full_path(options["grid_like"]),
        "volume_shape": options["volume_shape"] or None,
        "smooth_mm": options["smooth"],
        "dummy_scans": options["dummy_scans"],
        "despike": options["despike"],
        "scrub_fd_mm": options["scrub_fd"],
        "detrend_order": options["detrend_order"],
        "high_pass_hz": options["high_pass"],
        "low_pass_hz": options["low_pass"],
        "smooth_s": options["smooth_time"],
        "confounds": () if confounds == "none" else groups,
        "normalise": options["normalise"],
        "causal": options["causal"],
    }
    return over(base, given)


def over(base: Any, given: dict[str, Any]) -> Any:
    """Replace the fields of a configuration that were given."""
    return replace(base, **{k: v for k, v in given.items() if v is not None})


def _full_path(path: Path | None) -> str | None:
    return None if path is None else str(path.resolve())


def _table(name: str | None) -> str | None:
    """Path of a label table, so that it is found again; a built-in name as it is."""
    return str(Path(name).resolve()) if name and Path(name).is_file() else name


def _listed(values: list[str] | None) -> tuple[str, ...] | None:
    if not values:
        return None
    parts = [part.strip() for value in values for part in value.split(",")]
    return tuple(part for part in parts if part)


def key_values(pairs: list[str] | None) -> dict[str, Any] | None:
    """Read KEY=VALUE pairs, the values as TOML (``drop_prob=0.2``), else as text."""
    if not pairs:
        return None
    values: dict[str, Any] = {}
    for pair in pairs:
        key, separator, text = pair.partition("=")
        if not separator or not key:
            raise InputError(
                "unusable model parameter", wanted="KEY=VALUE", received=pair
            )
        values[key] = config.parse_value(text)
    return values
