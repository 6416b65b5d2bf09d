"""Options that commands share, and the configuration they add up to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from boldformer import config
from boldformer.errors import InputError

DataDir = Annotated[Path, typer.Argument(metavar="BIDS_DIR", help="BIDS dataset.")]
OutDir = Annotated[Path, typer.Argument(metavar="OUT", help="Output folder.")]
Jobs = Annotated[
    int, typer.Option("--n-jobs", help="Runs prepared at once; 0 takes every core.")
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace what OUT holds from another run.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress.")]


def option(*names: str, help: str, **more: Any) -> Any:
    """Declare an option whose default the help text tells in its own words."""
    return typer.Option(*names, help=help, show_default=False, **more)


Participants = Annotated[
    list[str] | None,
    option("--participant-label", help="Subjects, without sub-; repeat or use commas."),
]
Tasks = Annotated[list[str] | None, option("--task", help="Tasks, without task-.")]
Sessions = Annotated[list[str] | None, option("--session-label", help="Sessions.")]
Space = Annotated[str | None, option("--space", help="Space of the recordings.")]
Acquisition = Annotated[str | None, option("--acquisition", help="acq- entity.")]
Derivatives = Annotated[
    Path | None,
    option("--derivatives", help="Preprocessed recordings lying elsewhere."),
]
Raw = Annotated[bool | None, option("--raw", help="Ignore derivatives.")]
VolumeShape = Annotated[
    tuple[int, int, int] | None,
    option("--volume-shape", help="Crop or zero-pad volumes to X Y Z."),
]
DummyScans = Annotated[
    int | None,
    option("--dummy-scans", help="Volumes dropped at the start; default: detected."),
]
HighPass = Annotated[
    float | None, option("--high-pass", help="Cut-off in Hz; 0 for none. [1/128]")
]
Confounds = Annotated[
    str | None,
    option("--confounds", help="fMRIPrep groups, or none. [motion,wm_csf]"),
]


def run_config(options: dict[str, Any]) -> config.RunConfig:
    """Lay the options that were given over the configuration file or the defaults."""
    base = config.RunConfig()
    if options["config_file"] is not None:
        base = config.load(options["config_file"])
    units = {"participant": "run", "group": "subject", None: None}
    if options["level"] not in units:
        raise InputError(
            "unknown level", wanted="participant or group", received=options["level"]
        )
    no_centre = {"centre": False, "normalise": "none", "detrend_order": -1}
    no_centre |= {"high_pass_hz": 0.0, "confounds": ()}
    preprocessing = {
        **preprocessing_options(options),
        **(no_centre if options["no_centre"] else {}),
    }
    return replace(
        base,
        data=over(base.data, data_options(options)),
        preprocessing=over(base.preprocessing, preprocessing),
        window=over(
            base.window, {"delay_s": options["delay"], "length_s": options["length"]}
        ),
        model=over(
            base.model,
            {
                "name": options["model"],
                "parameters": _key_values(options["model_parameter"]),
            },
        ),
        training=over(
            base.training,
            {
                "max_epochs": options["epochs"],
                "batch_size": options["batch_size"],
                "learning_rate": options["learning_rate"],
                "device": options["device"],
                "seed": options["seed"],
            },
        ),
        evaluation=over(
            base.evaluation,
            {
                "folds": options["folds"],
                "unit": units[options["level"]],
                "n_resamples": options["n_resamples"],
                "seed": options["seed"],
                "allow_leakage": options["allow_leakage"],
            },
        ),
    )


def data_options(options: dict[str, Any]) -> dict[str, Any]:
    """Pick fields of `DataConfig` out of a command's options."""
    path, derivatives = options["bids_dir"], options["derivatives"]
    return {
        "path": str(path.resolve()) if path else None,
        "derivatives": str(derivatives.resolve()) if derivatives else None,
        "participants": _listed(options["participant_label"]),
        "tasks": _listed(options["task"]),
        "sessions": _listed(options["session_label"]),
        "space": options["space"],
        "acquisition": options["acquisition"],
        "raw": options["raw"],
        "labels": _listed(options.get("labels")),
    }


def preprocessing_options(options: dict[str, Any]) -> dict[str, Any]:
    """Pick fields of `PreprocessingConfig` out of a command's options."""
    confounds = options["confounds"]
    groups = None if confounds is None else _listed([confounds])
    return {
        "volume_shape": options["volume_shape"] or None,
        "dummy_scans": options["dummy_scans"],
        "high_pass_hz": options["high_pass"],
        "confounds": () if confounds == "none" else groups,
    }


def over(base: Any, given: dict[str, Any]) -> Any:
    """Replace the fields of a configuration that were given."""
    return replace(base, **{k: v for k, v in given.items() if v is not None})


def _listed(values: list[str] | None) -> tuple[str, ...] | None:
    if not values:
        return None
    parts = [part.strip() for value in values for part in value.split(",")]
    return tuple(part for part in parts if part)


def _key_values(pairs: list[str] | None) -> dict[str, Any] | None:
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
