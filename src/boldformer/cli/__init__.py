"""The command line: one command a verb, no logic of its own."""

from boldformer.cli import inspection
from boldformer.cli.app import app, main, run_command

__all__ = ["app", "inspection", "main", "run_command"]
