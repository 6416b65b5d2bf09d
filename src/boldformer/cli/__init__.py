"""The command line: one command a verb, no logic of its own."""

from boldformer.cli import (
    ablate,
    audit,
    inspection,
    leakage,
    ledger,
    prune,
    simulate,
    transfer,
    verify,
)
from boldformer.cli.app import app, main, run_command

__all__ = [
    "ablate",
    "app",
    "audit",
    "inspection",
    "leakage",
    "ledger",
    "main",
    "prune",
    "run_command",
    "simulate",
    "transfer",
    "verify",
]
