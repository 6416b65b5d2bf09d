"""Checks of a pipeline as it is written down: names, settings, types, order."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from boldformer.config.values import fits, in_words
from boldformer.errors import InputError, did_you_mean
from boldformer.preprocessing.base import Step


# Steps on the grid and on the choice of volumes, done while a run is read, with the
# settings they take; they are part of the record and of its hash.
class ReadingStep(NamedTuple):
    """A step done while volumes are read: its settings, and what it does."""

    settings: tuple[str, ...]
    meaning: str


READING_STEPS: dict[str, ReadingStep] = {
    "drop_volumes": ReadingStep(
        ("dummy_scans",), "Leave out volumes from before the signal is steady"
    ),
    "brain_mask": ReadingStep(("n_first",), "Keep the voxels inside the brain"),
    "resample": ReadingStep(
        ("voxel_size_mm", "shape", "affine"),
        "Resample every volume to another grid of the same space",
    ),
    "pad_or_crop": ReadingStep(("shape",), "Bring every volume to one shape"),
    "smooth": ReadingStep(("fwhm_mm",), "Smooth every volume with a Gaussian"),
}
# What a step is written with beside its settings.
_OWN_KEYS = ("step", "causal")


def settings_of(step: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a written step, without its name and form."""
    return {key: value for key, value in step.items() if key not in _OWN_KEYS}


def parameters_of(step: Step, causal: bool) -> dict[str, inspect.Parameter]:
    """List the settings that a form of a step takes."""
    form: Callable[..., Any] = step.twin if causal else step.batch
    given = ("data", "run", "t_r")
    parameters = inspect.signature(form, eval_str=True).parameters
    return {name: p for name, p in parameters.items() if name not in given}


def check_steps(
    written: Sequence[Mapping[str, Any]], registry: Mapping[str, Step]
) -> None:
    """Check a written pipeline.

    Parameters
    ----------
    written : sequence of mappings
        Each ``{"step": name, **settings}``.
    registry : mapping of str to Step
        The steps along time.

    Raises
    ------
    InputError
        For a step or setting that does not exist, a value of another type, or a step of
        reading after one along time.
    """
    last_in_time = ""
    for step in written:
        name = step.get("step")
        known = (*READING_STEPS, *registry)
        if name not in known:
            raise InputError(
                f"unknown preprocessing step {name!r}",
                wanted=f"one of {', '.join(known)}",
                fix=did_you_mean(str(name), known),
            )
        if name in registry:
            last_in_time = str(name)
            _check_settings(step, registry[last_in_time])
            continue
        if last_in_time:
            raise InputError(
                f"the step {name!r} comes after {last_in_time!r}",
                wanted="steps done while reading before steps along time",
                fix=f"move {name!r} to the front",
            )
        _check_names(str(name), settings_of(step), READING_STEPS[str(name)].settings)


def _check_settings(step: Mapping[str, Any], form: Step) -> None:
    name, causal = step["step"], step.get("causal", False)
    if not isinstance(causal, bool):
        raise InputError(
            f"step {name!r}: unusable setting 'causal'",
            wanted="true or false",
            received=repr(causal),
        )
    settings = settings_of(step)
    parameters = parameters_of(form, causal)
    _check_names(name, settings, tuple(parameters))
    for key, value in settings.items():
        hint = parameters[key].annotation
        if not fits(hint, value):
            raise InputError(
                f"step {name!r}: setting {key!r} has the wrong type",
                wanted=in_words(hint),
                received=repr(value)[:60],
            )
    for key, parameter in parameters.items():
        if parameter.default is parameter.empty and key not in settings:
            raise InputError(f"step {name!r} lacks its setting {key!r}")


def _check_names(name: str, settings: Mapping[str, Any], known: Sequence[str]) -> None:
    for key in settings:
        if key not in known:
            raise InputError(
                f"step {name!r} has no setting {key!r}",
                wanted=f"one of {', '.join(known)}" if known else "no setting",
                fix=did_you_mean(key, known),
            )
