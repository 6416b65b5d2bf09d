"""The command line: one command a verb, no logic of its own."""

from boldformer.cli import audit, inspection, transfer, verify
from boldformer.cli.app import app, main, run_command

__all__ = ["app", "audit", "inspection", "main", "run_command", "transfer", "verify"]
