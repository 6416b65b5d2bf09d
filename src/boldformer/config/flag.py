"""How a field of the configuration is given on the command line."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Flag:
    """How a field is given on the command line.

    Parameters
    ----------
    name : str
        Option, such as ``--smooth``; of a switch also ``--yes/--no``.
    help : str
        One line; the default follows it in brackets.
    default : str, optional
        What the brackets hold, where the field's own default would say little.
    metavar : str
        What stands for the value.
    """

    name: str
    help: str
    default: str | None = None
    metavar: str = ""
