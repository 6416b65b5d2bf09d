"""How commands read their line and show their help, the same for all of them."""

from __future__ import annotations

from typing import Any

import typer
import typer.core

from boldformer.errors import InputError

OPTIONS = "Options"
MODELS = "{models}"
# What options were once called, or are called elsewhere; help shows one name.
_OTHER_NAMES = {"param": "model-parameter", "label": "labels", "window": "length"}
_LEVELS = ("participant", "group")


def one_name(token: str) -> str:
    """Turn an option's name into the one it has here; BIDS-Apps write underscores."""
    plain = token.replace("_", "-")
    return _OTHER_NAMES.get(plain, plain)


class Command(typer.core.TyperCommand):
    """A command whose lists take spaces, and whose help is in groups and never cut."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the line, once every value of a list has its option before it."""
        return super().parse_args(ctx, self._spread(args))

    def _spread(self, args: list[str]) -> list[str]:
        """Repeat a list's option before each value, as ``--task a b`` means it.

        Values are taken up to the next option, once the folders have been given: before
        that what follows the first value may be a folder.

        Raises
        ------
        InputError
            For a word that may be a value or the level, or a folder of which there may
            be any number.
        """
        known = {name: p for p in self.params for name in (*p.opts, *p.secondary_opts)}
        has_config = any(word.partition("=")[0] == "--config" for word in args)
        wanted = _n_before(self.params) - has_config
        has_level = any(p.name == "level" for p in self.params)
        spread: list[str] = []
        left, given = list(args), 0
        while left:
            token = left.pop(0)
            spread.append(token)
            if not token.startswith("-") or token == "-":
                given += 1
                has_level = has_level and token not in _LEVELS
                continue
            name, separator, _ = token.partition("=")
            option: Any = known.get("--" + one_name(name.lstrip("-")))
            if option is None or getattr(option, "is_flag", False):
                continue
            n_own = 0 if separator else option.nargs
            spread += left[:n_own]
            del left[:n_own]
            while option.multiple and left and not left[0].startswith("-"):
                if (given and wanted == float("inf")) or (
                    given >= wanted and has_level and left[0] in _LEVELS
                ):
                    raise _ambiguous(name, left[0])
                if given < wanted:
                    break
                spread += [name, left.pop(0)]
        return spread

    def get_params(self, ctx: Any) -> list[Any]:
        """List options; one that takes a model names those there are."""
        found = super().get_params(ctx)
        parameter: Any
        for parameter in found:
            text = getattr(parameter, "help", None)
            if text and MODELS in text:
                # Takes torch, which a command of models needs anyway.
                from boldformer.models import list_models

                parameter.help = text.replace(MODELS, ", ".join(list_models()))
        return found

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments, then options under the heading of each group."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                kind = "Arguments" if parameter.param_type_name == "argument" else ""
                panel = getattr(parameter, "rich_help_panel", None)
                groups.setdefault(kind or panel or OPTIONS, []).append(record)
        # What every command has comes last.
        own = groups.pop(OPTIONS, [])
        for heading, records in [*groups.items(), (OPTIONS, own)]:
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)

    def get_short_help_str(self, limit: int = 0) -> str:
        """Return the whole first line of the help, however long."""
        return (self.help or "").strip().partition("\n")[0]


class App(typer.Typer):
    """The program: every command of it is a `Command`."""

    def command(self, *args: Any, **more: Any) -> Any:
        """Register a command."""
        return super().command(*args, **({"cls": Command} | more))


def _n_before(parameters: list[Any]) -> float:
    """How many arguments come first on the line, before lists may take spaces."""
    arguments = [p for p in parameters if p.param_type_name == "argument"]
    needed = [p for p in arguments if p.required]
    first = needed or [p for p in arguments if p.name != "level"]
    return sum(p.nargs if p.nargs > 0 else float("inf") for p in first)


def _ambiguous(option: str, word: str) -> InputError:
    return InputError(
        f"{word!r} may be a value of {option}, or stand for itself",
        wanted=f"values of {option} with commas between",
        fix="or folders and level before the options",
    )
