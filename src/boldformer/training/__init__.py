"""Fitting models: optimisation, early stopping, checkpoints, devices."""

from boldformer.training.devices import local_seed
from boldformer.training.fit import FitResult, fit_model
from boldformer.training.predict import predict_proba
from boldformer.training.source import ArrayWindows, WindowSource

__all__ = [
    "ArrayWindows",
    "FitResult",
    "WindowSource",
    "fit_model",
    "local_seed",
    "predict_proba",
]
