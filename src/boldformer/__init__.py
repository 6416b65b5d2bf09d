"""Decode task state from functional MRI."""

__version__ = "0.1.0"
