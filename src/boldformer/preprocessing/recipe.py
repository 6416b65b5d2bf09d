"""The usual order of steps, from the settings of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from boldformer.config import PreprocessingConfig
from boldformer.errors import InputError

_NORMALISATIONS = ("zscore", "percent_signal_change", "none")


def steps_from_config(
    config: PreprocessingConfig, grid: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Write out the steps a configuration asks for.

    In this order: ``drop_volumes``, ``brain_mask``, ``resample``, ``pad_or_crop``,
    ``smooth`` while a run is read; then ``despike``, ``scrub``, ``centre``, ``clean``,
    ``filter``, ``smooth_time``, ``zscore``. ``percent_signal_change`` takes the place
    of ``centre``: it needs the mean that centring removes, and what follows is linear,
    so percent stay percent.

    Parameters
    ----------
    config : PreprocessingConfig
    grid : mapping, optional
        ``{"shape", "affine"}`` of the image that ``config.grid_like`` names.

    Returns
    -------
    list of dict
        JSON-ready, each ``{"step": name, **settings}``.

    Raises
    ------
    InputError
        For settings that contradict each other or are out of range.
    """
    if config.steps:
        return [dict(step) for step in config.steps]
    _check(config)
    return [*_reading_steps(config, grid), *_steps_in_time(config)]


def _reading_steps(
    config: PreprocessingConfig, grid: Mapping[str, Any] | None
) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = [
        {"step": "drop_volumes", "dummy_scans": config.dummy_scans},
        {"step": "brain_mask"},
    ]
    if config.grid_like:
        if grid is None:
            raise InputError(
                "the image of grid_like has not been read", received=config.grid_like
            )
        shape = [int(n) for n in grid["shape"]]
        affine = np.asarray(grid["affine"], dtype=float).tolist()
        steps.append({"step": "resample", "shape": shape, "affine": affine})
    elif config.voxel_size_mm > 0:
        steps.append({"step": "resample", "voxel_size_mm": config.voxel_size_mm})
    if config.volume_shape:
        steps.append({"step": "pad_or_crop", "shape": list(config.volume_shape)})
    if config.smooth_mm > 0:
        steps.append({"step": "smooth", "fwhm_mm": config.smooth_mm})
    return steps


def _steps_in_time(config: PreprocessingConfig) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = []
    if config.despike:
        steps.append({"step": "despike"})
    if config.scrub_fd_mm > 0:
        steps.append({"step": "scrub", "fd_mm": config.scrub_fd_mm})
    if config.normalise == "percent_signal_change":
        steps.append({"step": "percent_signal_change"})
    elif config.centre:
        steps.append({"step": "centre"})
    if config.detrend_order > 0 or config.high_pass_hz > 0 or config.confounds:
        steps.append(_clean_step(config))
    if config.low_pass_hz > 0:
        steps.append({"step": "filter", "low_pass_hz": config.low_pass_hz})
    if config.smooth_s > 0:
        steps.append({"step": "smooth_time", "fwhm_s": config.smooth_s})
    if config.normalise == "zscore":
        steps.append({"step": "zscore"})
    return steps


def _clean_step(config: PreprocessingConfig) -> dict[str, Any]:
    step = {
        "step": "clean",
        "detrend_order": config.detrend_order,
        "high_pass_hz": config.high_pass_hz,
        "confounds": list(config.confounds),
    }
    if config.confound_options:
        step["confound_options"] = dict(config.confound_options)
    return step


def _check(config: PreprocessingConfig) -> None:
    if config.normalise not in _NORMALISATIONS:
        raise InputError(
            "unknown normalisation",
            wanted=f"one of {', '.join(map(repr, _NORMALISATIONS))}",
            received=repr(config.normalise),
        )
    if config.normalise != "none" and not config.centre:
        name = "z-score" if config.normalise == "zscore" else "percent signal change"
        raise InputError(
            f"a {name} centres every voxel",
            fix="set normalise = 'none' to keep run means, or centre = true",
        )
    _check_ranges(config)
    shape = config.volume_shape
    if shape and (len(shape) != 3 or min(shape) < 1):
        raise InputError(
            "unusable volume shape",
            wanted="three positive numbers",
            received=str(shape),
        )
    if config.grid_like and config.voxel_size_mm > 0:
        raise InputError(
            "grid_like and voxel_size_mm both say how to resample",
            fix="set one of them",
        )


def _check_ranges(config: PreprocessingConfig) -> None:
    for name in (
        "voxel_size_mm",
        "smooth_mm",
        "scrub_fd_mm",
        "high_pass_hz",
        "low_pass_hz",
        "smooth_s",
    ):
        value = getattr(config, name)
        if not 0 <= value < np.inf:
            raise InputError(
                f"{name} cannot be negative or infinite", received=str(value)
            )
    for name in ("dummy_scans", "detrend_order"):
        if getattr(config, name) < -1:
            raise InputError(
                f"{name} cannot be negative, except -1",
                received=str(getattr(config, name)),
            )
    if 0 < config.low_pass_hz <= config.high_pass_hz:
        raise InputError(
            "no frequency lies above high_pass_hz and below low_pass_hz",
            wanted="high_pass_hz < low_pass_hz",
            received=f"{config.high_pass_hz} and {config.low_pass_hz}",
        )
