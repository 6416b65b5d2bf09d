"""Models by name: register, list and create them."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from boldformer.config.values import fits, in_words
from boldformer.errors import BoldFormerError, InputError, did_you_mean
from boldformer.models.base import DecoderModel

_MODELS: dict[str, type[DecoderModel]] = {}
_SIZES = ("n_outputs", "n_times", "volume_shape", "in_channels")
Model = TypeVar("Model", bound=type[DecoderModel])


def register(name: str) -> Callable[[Model], Model]:
    """Class decorator that makes a model available under `name`.

    Raises
    ------
    ValueError
        When the name is taken by another class.
    """

    def decorate(model: Model) -> Model:
        if name in _MODELS and _MODELS[name] is not model:
            raise ValueError(f"the model name {name!r} is taken")
        _MODELS[name] = model
        return model

    return decorate


def list_models() -> list[str]:
    """Names of the registered models, sorted."""
    return sorted(_MODELS)


def get_model(name: str) -> type[DecoderModel]:
    """Class of the model called `name`.

    Raises
    ------
    InputError
        When there is no such model; names the nearest one.
    """
    if name not in _MODELS:
        raise _unknown("model", name, list_models())
    return _MODELS[name]


def name_of(model: DecoderModel) -> str:
    """Name under which the class of a model is registered.

    Raises
    ------
    InputError
        When it is registered under none.
    """
    for name, kind in _MODELS.items():
        if kind is type(model):
            return name
    raise InputError(
        f"the model {type(model).__name__} has no name",
        wanted="a registered class",
        fix="decorate it with boldformer.models.register",
    )


def model_parameters(name: str) -> dict[str, Any]:
    """Parameters a user may set on a model, with their defaults."""
    parameters = inspect.signature(get_model(name)).parameters
    return {key: p.default for key, p in parameters.items() if key not in _SIZES}


def parameters_of(model: DecoderModel) -> dict[str, Any]:
    """Parameters that a model was built with, but for its sizes.

    Parameters
    ----------
    model : DecoderModel
        Of a registered class.

    Returns
    -------
    dict
        What `create` takes besides the sizes to build the same.
    """
    config = model.get_config()
    return {key: value for key, value in config.items() if key not in _SIZES}


def check_parameters(name: str, parameters: Mapping[str, Any]) -> None:
    """Refuse what a model is not called, has no parameter for, or cannot take.

    Raises
    ------
    InputError
        For an unknown model or parameter, naming the nearest one, and for a value of
        another type.
    """
    allowed = model_parameters(name)
    hints = typing.get_type_hints(get_model(name).__init__)
    for key, value in parameters.items():
        if key not in allowed:
            raise _unknown(f"parameter of model {name!r}", key, sorted(allowed))
        if not fits(hints.get(key, Any), value):
            raise InputError(
                f"unusable value of {key!r} of model {name!r}",
                wanted=in_words(hints[key]),
                received=repr(value)[:60],
            )


def create(
    name: str,
    *,
    n_outputs: int,
    n_times: int,
    volume_shape: tuple[int, int, int],
    in_channels: int = 1,
    **parameters: Any,
) -> DecoderModel:
    """Build the model called `name`.

    Parameters
    ----------
    name : str
        One of `list_models`.
    n_outputs, n_times, volume_shape, in_channels
        See `boldformer.models.base.DecoderModel`.
    **parameters
        The model's own parameters.

    Returns
    -------
    DecoderModel
        With new weights, drawn from torch's global generator.

    Raises
    ------
    InputError
        For an unknown model or parameter (naming the nearest one), or sizes that the
        model cannot take.
    """
    check_parameters(name, parameters)
    given = ", ".join(f"{key}={value}" for key, value in parameters.items())
    try:
        model = get_model(name)(
            n_outputs=n_outputs,
            n_times=n_times,
            volume_shape=volume_shape,
            in_channels=in_channels,
            **parameters,
        )
        if parameters and any(weight.numel() == 0 for weight in model.parameters()):
            raise ValueError("a layer is left without weights")
    except (ArithmeticError, AssertionError, RuntimeError, ValueError) as error:
        if isinstance(error, BoldFormerError) or not parameters:
            raise
        raise InputError(
            f"the model {name!r} cannot be built with {given}",
            received=" ".join(str(error).split()) or type(error).__name__,
            fix="choose other values, or leave them to their defaults",
        ) from None
    return model


def _unknown(what: str, received: str, known: list[str]) -> InputError:
    return InputError(
        f"unknown {what} {received!r}",
        wanted=f"one of {', '.join(known)}" if known else "no parameters",
        fix=did_you_mean(received, known),
    )
