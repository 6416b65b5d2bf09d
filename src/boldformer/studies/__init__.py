"""Whole jobs, each one call: what the command line runs."""

from boldformer.studies.preparation import prepare_dataset
from boldformer.studies.run import run_decoding, run_demo
from boldformer.studies.system import describe_system

__all__ = ["describe_system", "prepare_dataset", "run_decoding", "run_demo"]
