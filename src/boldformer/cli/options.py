"""Options that commands share: those of the configuration's fields, and a few more."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import os
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from boldformer import config
from boldformer.config import Flag, RunConfig
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
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Warnings only.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Also what libraries have to say.")
]
Size = tuple[int, int, int]
LEAVE_ONE_OUT = -1


def option(*names: str, help: str, **more: Any) -> Any:
    """Declare an option whose default the help text tells in its own words."""
    return typer.Option(*names, help=help, show_default=False, **more)


NameList = list[str] | None
Scheduler = Annotated[
    str | None,
    option("--scheduler", help="Prepare runs on the Dask cluster at tcp://…"),
]
ConfigFile = Annotated[
    Path | None,
    option("--config", help="run.toml of another run; options override it."),
]
_PIPELINE = Annotated[
    Path | None,
    option(
        "--pipeline",
        help="TOML file with settings or steps.",
        rich_help_panel="Preprocessing",
    ),
]
_FILTER_FILE = Annotated[
    Path | None,
    option(
        "--bids-filter-file",
        help="The same as fMRIPrep's JSON; bold is read.",
        rich_help_panel="Recordings",
    ),
]
# Text fields that hold the full path of a file or folder.
_PATHS = ("derivatives", "grid_like", "split")
_PANELS = {
    "data": "Recordings",
    "preprocessing": "Preprocessing",
    "window": "Windows",
    "model": "Model",
    "training": "Training",
    "evaluation": "Evaluation",
}
# Options that stand for something else than one field, beside the fields of a section.
_BESIDE = {
    "data": {"bids_filter_file": _FILTER_FILE},
    "preprocessing": {"pipeline": _PIPELINE},
}


# --- from fields to options -------------------------------------------------------


@dataclass(frozen=True)
class Given:
    """What was given of a command's options that stand for fields.

    Parameters
    ----------
    fields : dict of (str, str) to value
        By section and field of `RunConfig`.
    beside : dict of str to value
        Options that stand for something else.
    """

    fields: dict[tuple[str, str], Any]
    beside: dict[str, Any]

    def over(self, base: RunConfig, data_dir: Path | None = None) -> RunConfig:
        """Lay what was given over a configuration."""
        if self.beside.get("pipeline") is not None:
            file = self.beside["pipeline"]
            steps = config.load(file, config.PreprocessingConfig)
            base = replace(base, preprocessing=steps)
        sections: dict[str, dict[str, Any]] = {}
        for (section, name), value in self.fields.items():
            sections.setdefault(section, {})[name] = _read(section, name, value)
        if self.beside.get("bids_filter_file") is not None:
            from boldformer.data.sources.bids_filters import read_filter_file

            data = sections.setdefault("data", {})
            found = read_filter_file(self.beside["bids_filter_file"])
            data["filters"] = found | data.get("filters", {})
        if data_dir is not None:
            sections.setdefault("data", {})["path"] = _full_path(data_dir)
        if "seed" in sections.get("evaluation", {}):
            seed = sections["evaluation"]["seed"]
            sections.setdefault("training", {})["seed"] = seed
        changed = {
            name: replace(getattr(base, name), **values)
            for name, values in sections.items()
        }
        return replace(base, **changed)

    def has(self, section: str, name: str) -> bool:
        """Whether a field was given."""
        return (section, name) in self.fields


def configured(
    *asked: str,
    without: tuple[str, ...] = (),
    base: RunConfig | None = None,
    defaults: Mapping[str, str] | None = None,
) -> Callable:
    """Give a command options for fields of the configuration.

    The command receives what was given of them as its first parameter, a `Given`.

    Parameters
    ----------
    *asked : str
        Sections of `RunConfig`, such as ``"data"``, or fields, such as
        ``"training.device"``. Their options are those that the fields name.
    without : tuple of str
        Fields of these sections to leave out.
    base : RunConfig, optional
        What the command lays them over, where that is not the default.
    defaults : mapping of str to str, optional
        What the help says of the default of a field that the command settles itself.
    """
    declared = _declared(asked, without, base or RunConfig(), defaults or {})

    def decorate(command: Callable) -> Callable:
        _, *own = inspect.signature(command, eval_str=True).parameters.values()
        more = [
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind
            )
            for name, kind in declared.items()
        ]
        own = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]

        @functools.wraps(command)
        def wrapper(**values: Any) -> Any:
            named = {name: values.pop(name) for name in declared}
            stated = {k: v for k, v in named.items() if v is not None and v != []}
            fields = {_place(k): v for k, v in stated.items() if "__" in k}
            beside = {k: v for k, v in stated.items() if "__" not in k}
            return command(Given(fields, beside), **values)

        signature = inspect.Signature([*own, *more])
        wrapper.__signature__ = signature  # type: ignore[attr-defined]
        wrapper.__annotations__ = {p.name: p.annotation for p in [*own, *more]}
        return wrapper

    return decorate


def _place(parameter: str) -> tuple[str, str]:
    section, _, field = parameter.partition("__")
    return section, field


def _declared(
    asked: tuple[str, ...],
    without: tuple[str, ...],
    base: RunConfig,
    defaults: Mapping[str, str],
) -> dict[str, Any]:
    """Options by the name of their parameter: ``section__field``, or of their own."""
    found: dict[str, Any] = {}
    for text in asked:
        section, _, only = text.partition(".")
        for name, kind, flag, default in _flags(section, base):
            if only in ("", name) and f"{section}.{name}" not in without:
                told = defaults.get(f"{section}.{name}")
                found[f"{section}__{name}"] = _option(
                    name, kind, flag, default, told, _PANELS[section]
                )
        if not only:
            found |= _BESIDE.get(section, {})
    return found


def _flags(section: str, base: RunConfig) -> list[tuple[str, Any, Flag, Any]]:
    """Name, type, flag and default of the fields of a section that have a flag."""
    kind = typing.get_type_hints(RunConfig)[section]
    hints = typing.get_type_hints(kind, include_extras=True)
    found = []
    for field in dataclasses.fields(kind):
        type_, *notes = typing.get_args(hints[field.name]) or (None,)
        flags = [note for note in notes if isinstance(note, Flag)]
        if flags:
            default = getattr(getattr(base, section), field.name)
            found.append((field.name, type_, flags[0], default))
    return found


def _option(
    name: str, kind: Any, flag: Flag, default: Any, told: str | None, panel: str
) -> Any:
    """Type of an option, None unless it is given; its help tells the default."""
    if told is None:
        told = _written(default) if flag.default is None else flag.default
    text = f"{flag.help} [{told}]" if told else flag.help
    more: dict[str, Any] = {"metavar": flag.metavar} if flag.metavar else {}
    more["rich_help_panel"] = panel
    if _given_as(name, kind) == list[str]:
        more.setdefault("metavar", "A B …")
    if flag.name == "--folds":
        more["parser"] = _folds
    return Annotated[_given_as(name, kind) | None, option(flag.name, help=text, **more)]


def _written(default: Any) -> str:
    if isinstance(default, tuple):
        return ",".join(default)
    return f"{default:g}" if isinstance(default, float) else str(default)


def _given_as(name: str, kind: Any) -> Any:
    """Type in which a field is given on the command line."""
    origin = typing.get_origin(kind)
    if name in _PATHS:
        return Path
    if origin is dict or kind == tuple[str, ...]:
        return list[str]
    return Size if origin is tuple else kind


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


# --- from what was given to fields ------------------------------------------------


def _read(section: str, name: str, value: Any) -> Any:
    """Turn what was given into what the field holds."""
    if (section, name) == ("data", "filters"):
        return _filters(value)
    if (section, name) == ("model", "parameters"):
        return key_values(value)
    if name in _PATHS:
        return str(Path(value).resolve())
    if name == "label_table":
        # A file is found again wherever the run is; a built-in name stays as it is.
        return str(Path(value).resolve()) if Path(value).is_file() else value
    if isinstance(value, list):
        listed = names(value)
        return () if name == "confounds" and listed == ("none",) else listed
    return value


def _full_path(path: Path) -> str:
    """Full path of a folder; a name such as ds004044 as it is."""
    return str(path.resolve()) if path.exists() else str(path)


def _filters(pairs: list[str]) -> dict[str, list[str]]:
    # Needs the readers of files, which a command that reads none spares.
    from boldformer.data.sources.bids_filters import short_name

    given: dict[str, list[str]] = {}
    for pair in pairs:
        entity, separator, labels = pair.partition("=")
        if not separator:
            raise InputError("unusable filter", wanted="ENTITY=LABEL", received=pair)
        listed = [label.strip() for label in labels.split(",")]
        given.setdefault(short_name(entity.strip()), []).extend(listed)
    return given


def key_values(pairs: list[str] | None) -> dict[str, Any]:
    """Read KEY=VALUE pairs, the values as TOML (``drop_prob=0.2``), else as text."""
    values: dict[str, Any] = {}
    for pair in pairs or ():
        key, separator, text = pair.partition("=")
        if not separator or not key:
            raise InputError(
                "unusable model parameter", wanted="KEY=VALUE", received=pair
            )
        values[key] = config.parse_value(text)
    return values


def names(given: str | Iterable[str]) -> tuple[str, ...]:
    """Names with commas or spaces between, as the line gave them."""
    text = given if isinstance(given, str) else ",".join(given)
    return tuple(part.strip() for part in text.split(",") if part.strip())


def n_jobs_of(asked: int) -> int:
    """Return the number of jobs asked for; every core for 0."""
    return asked if asked > 0 else (os.cpu_count() or 1)
