"""Fitting models: optimisation, early stopping, checkpoints, devices."""
