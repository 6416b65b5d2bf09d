"""How much a command says while it works."""

from __future__ import annotations

import logging
import os
import sys
import warnings

_LIBRARIES = ("lightning", "lightning.pytorch", "lightning.fabric", "nilearn")


def set_up_logging(quiet: bool, verbose: bool = False) -> None:
    """Show what the package says, or only its warnings; quieten other libraries.

    Parameters
    ----------
    quiet : bool
        Warnings and errors only.
    verbose : bool
        Also what libraries have to say, and their warnings, a line each.
    """
    logging.basicConfig(
        level=logging.WARNING if quiet else logging.INFO,
        format="%(message)s",
        force=True,
    )
    for name in _LIBRARIES:
        logging.getLogger(name).setLevel(logging.INFO if verbose else logging.ERROR)
    if verbose:
        warnings.simplefilter("default")
        warnings.showwarning = _in_one_line  # type: ignore[assignment]
        return
    # What they warn of is ours to deal with, or to say in words of our own; processes
    # that are started from here read the variable.
    warnings.simplefilter("ignore")
    os.environ.setdefault("PYTHONWARNINGS", "ignore")


def bars(quiet: bool) -> bool:
    """Whether to draw progress bars: on a terminal, where they can be redrawn."""
    return not quiet and sys.stderr.isatty()


def _in_one_line(message: Warning | str, category: type[Warning], *_: object) -> None:
    text = " ".join(str(message).split())
    logging.getLogger("boldformer").info("%s: %s", category.__name__, text)
