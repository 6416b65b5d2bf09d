"""Parameters of a decoder that have fields of their own: read, set, kept as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from boldformer.config import (
    PreprocessingConfig,
    TrainingConfig,
    WindowConfig,
    from_dict,
)
from boldformer.errors import InputError, did_you_mean
from boldformer.models.registry import (
    check_parameters,
    list_models,
    model_parameters,
)

_SECTIONS: dict[str, Any] = {
    "preprocessing": PreprocessingConfig,
    "window": WindowConfig,
    "training": TrainingConfig,
}
_MODEL = "model_parameters"
_NESTED = (*_SECTIONS, _MODEL)
# What says how a decoder comes about; the others are about the machine it is made on,
# but for `augmentation`, which is code.
_KEPT = ("model", _MODEL, "labels", *_SECTIONS)
_TUPLE = "__tuple__"


class ParametersMixin:
    """What lets a search vary ``training__learning_rate`` and its like.

    A section that is not given (None) counts as its default, so that a field of it can
    be read and set all the same.
    """

    def get_params(self: Any, deep: bool = True) -> dict[str, Any]:
        """Get the parameters, as scikit-learn does.

        Parameters
        ----------
        deep : bool
            Also the fields of ``preprocessing``, ``window`` and ``training``, and the
            model's own parameters, as ``training__learning_rate``.

        Returns
        -------
        dict
            Values by name.
        """
        given: dict[str, Any] = super().get_params(deep=False)  # type: ignore[misc]
        if not deep:
            return given
        fields = {
            f"{name}__{key}": value
            for name in _NESTED
            for key, value in _fields(name, given).items()
        }
        return {**given, **fields}

    def set_params(self: Any, **params: Any) -> Any:
        """Set parameters, and fields of parameters as ``training__learning_rate``.

        Parameters
        ----------
        **params
            Values by name, as `get_params` has them. A section itself is set before
            its fields.

        Returns
        -------
        Decoder
            Itself.

        Raises
        ------
        InputError
            For a name that does not exist, with the nearest one, or a value of another
            type than the field's. Nothing is set then.
        """
        known = self.get_params(deep=False)
        whole = {key: value for key, value in params.items() if "__" not in key}
        _check_known(whole, list(known), "parameter")
        after = known | whole
        inner: dict[str, dict[str, Any]] = {name: {} for name in _NESTED}
        for key in params.keys() - whole.keys():
            name, _, field = key.partition("__")
            _check_known([name], list(_NESTED), "parameter with fields")
            inner[name][field] = params[key]
        for name, fields in inner.items():
            if fields:
                whole[name] = _with_fields(name, after, fields)
        for key, value in whole.items():
            setattr(self, key, value)
        return self

    def _get_params_html(self: Any, deep: bool = True, *how: Any, **more: Any) -> Any:
        # A notebook shows what was given, not every field of every section.
        return super()._get_params_html(False, *how, **more)  # type: ignore[misc]


def to_record(params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters that say how a decoder comes about, JSON-ready.

    Parameters
    ----------
    params : mapping
        What ``get_params(deep=False)`` returns.
    """
    return {name: _plain(params[name]) for name in _KEPT}


def from_record(record: Mapping[str, Any]) -> dict[str, Any]:
    """Read what `to_record` wrote, equal to what it was given.

    Raises
    ------
    InputError
        For parameters or fields that do not exist, or values of another type.
    """
    params = {str(name): _restored(value) for name, value in record.items()}
    _check_known(params, list(_KEPT), "parameter of a saved decoder")
    for name, kind in _SECTIONS.items():
        if isinstance(params.get(name), dict):
            params[name] = from_dict(kind, params[name], f"{name}.")
        elif params.get(name) is not None:
            raise _wrong_kind(name, params[name], "a JSON object or null")
    if not isinstance(params.get(_MODEL), (dict, type(None))):
        raise _wrong_kind(_MODEL, params[_MODEL], "a JSON object or null")
    labels = params.get("labels", ())
    if not isinstance(labels, (list, tuple)) or not _are_names(labels):
        raise _wrong_kind("labels", labels, "a list of names")
    return params


def _fields(name: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of one parameter, with what they are where it does not say."""
    value = params[name]
    if name == _MODEL:
        known = params["model"] in list_models()
        defaults = model_parameters(params["model"]) if known else {}
        return {**defaults, **(value if isinstance(value, Mapping) else {})}
    value = _SECTIONS[name]() if value is None else value
    names = [field.name for field in dataclasses.fields(_SECTIONS[name])]
    return {key: getattr(value, key) for key in names if hasattr(value, key)}


def _with_fields(name: str, params: Mapping[str, Any], fields: dict[str, Any]) -> Any:
    """Return the parameter with some fields changed; it is left as it was."""
    values = {
        key: value.item() if isinstance(value, np.generic) else value
        for key, value in fields.items()
    }
    if name == _MODEL:
        check_parameters(params["model"], values)
        return {**(params[name] or {}), **values}
    changed = from_dict(_SECTIONS[name], values, f"{name}__")
    base = _SECTIONS[name]() if params[name] is None else params[name]
    coerced = {key: getattr(changed, key) for key in values}
    return dataclasses.replace(base, **coerced)


def _check_known(names: Any, known: list[str], what: str) -> None:
    for name in names:
        if name not in known:
            raise InputError(
                f"unknown {what} {name!r}",
                wanted=f"one of {', '.join(known)}",
                fix=did_you_mean(str(name), known),
            )


def _plain(value: Any) -> Any:
    """JSON-ready form that tells tuples from lists."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        return {name: _plain(getattr(value, name)) for name in names}
    if isinstance(value, tuple):
        return {_TUPLE: [_plain(item) for item in value]}
    if hasattr(value, "tolist"):  # numpy's and pandas' arrays, and their scalars
        return _plain(value.tolist())
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return value


def _restored(value: Any) -> Any:
    if isinstance(value, list):
        return [_restored(item) for item in value]
    if not isinstance(value, dict):
        return value
    if list(value) == [_TUPLE] and isinstance(value[_TUPLE], list):
        return tuple(_restored(item) for item in value[_TUPLE])
    return {key: _restored(item) for key, item in value.items()}


def _are_names(values: Any) -> bool:
    return all(isinstance(value, (str, int, float)) for value in values)


def _wrong_kind(name: str, value: Any, wanted: str) -> InputError:
    return InputError(
        f"the parameter {name!r} of a saved decoder cannot be read",
        wanted=wanted,
        received=repr(value)[:60],
    )
