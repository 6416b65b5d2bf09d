"""Options of `boldformer run`, and the configuration they add up to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from boldformer import config
from boldformer.cli.options import (
    data_options,
    key_values,
    option,
    over,
    preprocessing_config,
)
from boldformer.errors import InputError

LEAVE_ONE_OUT = -1
_UNIT_OF_LEVEL = {"participant": "run", "group": "subject"}


def _folds(text: str) -> int:
    """Read a number of folds; ``loo`` leaves one group out."""
    if text == "loo":
        return LEAVE_ONE_OUT
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(
            f"wanted a number, or loo to leave one group out; received {text}"
        ) from None


EVALUATION: dict[str, Any] = {
    "folds": Annotated[
        int | None,
        option(
            "--folds",
            help="Number of folds; loo (or -1) leaves one group out. "
            "[loo up to six subjects, else 5]",
            parser=_folds,
            metavar="N|loo",
        ),
    ],
    "repeats": Annotated[
        int | None, option("--repeats", help="Draw the folds so many times. [1]")
    ],
    "split_unit": Annotated[
        str | None,
        option(
            "--split-unit",
            help="Keep subjects apart, or runs within each: subject or run.",
        ),
    ],
    "split": Annotated[
        Path | None,
        option(
            "--split",
            help="TSV that fixes the folds: fold, set, and window, recording or "
            "subject.",
        ),
    ],
    "n_resamples": Annotated[
        int | None, option("--n-resamples", help="Bootstrap resamples. [1000]")
    ],
    "allow_leakage": Annotated[
        bool | None,
        option("--allow-leakage", help="Go on after a leak; numbers are marked LEAKY."),
    ],
    "n_permutations": Annotated[
        int | None,
        option("--n-permutations", help="Label shuffles that train again. [0]"),
    ],
    "learning_curve": Annotated[
        bool | None,
        option("--learning-curve", help="Train on fewer and fewer subjects, too."),
    ],
    "causal_decoder": Annotated[
        bool | None,
        option(
            "--causal-decoder/--no-causal-decoder",
            help="Train again on past volumes only, too. [yes]",
        ),
    ],
    "calibrate": Annotated[
        bool | None,
        option("--calibrate", help="Fit temperatures on held-out training groups."),
    ],
}


def run_config(options: dict[str, Any]) -> config.RunConfig:
    """Lay the options that were given over the configuration file or the defaults."""
    base = config.RunConfig()
    if options["config_file"] is not None:
        base = config.load(options["config_file"])
    no_centre: dict[str, Any] = {"centre": False, "normalise": "none"}
    no_centre |= {"detrend_order": -1, "high_pass_hz": 0.0, "confounds": ()}
    preprocessing = preprocessing_config(base.preprocessing, options)
    if options["no_centre"]:
        preprocessing = replace(preprocessing, **no_centre)
    return replace(
        base,
        data=over(base.data, data_options(options)),
        preprocessing=preprocessing,
        window=over(
            base.window,
            {
                "delay_s": options["delay"],
                "length_s": options["length"],
                "stride_s": options["stride"],
                "step_s": options["step"],
            },
        ),
        model=over(
            base.model,
            {
                "name": options["model"],
                "parameters": key_values(options["model_parameter"]),
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
        evaluation=over(base.evaluation, _evaluation(options)),
    )


def _evaluation(options: dict[str, Any]) -> dict[str, Any]:
    """Pick fields of `EvaluationConfig` out of a command's options."""
    level, unit, split = (options[name] for name in ("level", "split_unit", "split"))
    if level is not None and level not in _UNIT_OF_LEVEL:
        raise InputError("unknown level", wanted="participant or group", received=level)
    of_level = _UNIT_OF_LEVEL.get(level, unit)
    if unit is not None and unit != of_level:
        raise InputError(
            f"the level {level} keeps {of_level}s apart",
            received=f"--split-unit {unit}",
            fix="give one of the two",
        )
    names = [name for name in EVALUATION if name not in ("split", "split_unit")]
    return {
        "unit": of_level,
        "split": None if split is None else str(split.resolve()),
        "seed": options["seed"],
        **{name: options[name] for name in names},
    }
