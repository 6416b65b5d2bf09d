"""A simulated cohort with planted truth, written as a BIDS dataset."""
