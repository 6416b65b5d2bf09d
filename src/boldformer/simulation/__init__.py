"""A simulated cohort with planted truth, written as a BIDS dataset."""

from boldformer.simulation.activation import load_foci
from boldformer.simulation.simulated_cohort import simulate_cohort
from boldformer.simulation.spec import CONDITIONS, CohortSpec

__all__ = ["CONDITIONS", "CohortSpec", "load_foci", "simulate_cohort"]
