"""How much a command says while it works."""

from __future__ import annotations

import logging


def set_up_logging(quiet: bool) -> None:
    """Show what the package says, or only its warnings; quieten other libraries."""
    logging.basicConfig(
        level=logging.WARNING if quiet else logging.INFO,
        format="%(message)s",
        force=True,
    )
    for name in ("lightning", "lightning.pytorch", "lightning.fabric", "nilearn"):
        logging.getLogger(name).setLevel(logging.ERROR)
