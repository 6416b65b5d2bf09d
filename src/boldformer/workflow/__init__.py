"""Whole jobs, each one call: what the command line runs."""

from boldformer.workflow.cohort import prepare_dataset
from boldformer.workflow.run import run_decoding, run_demo
from boldformer.workflow.system import describe_system

__all__ = ["describe_system", "prepare_dataset", "run_decoding", "run_demo"]
