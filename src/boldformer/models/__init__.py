"""Decoding models: one file each, one contract, one registry."""

from boldformer.models.base import DecoderModel
from boldformer.models.cnn3d import CNN3d
from boldformer.models.hybrid import Hybrid
from boldformer.models.linear import Linear
from boldformer.models.registry import (
    create,
    get_model,
    list_models,
    model_parameters,
    register,
)
from boldformer.models.transformer import Transformer

__all__ = [
    "CNN3d",
    "DecoderModel",
    "Hybrid",
    "Linear",
    "Transformer",
    "create",
    "get_model",
    "list_models",
    "model_parameters",
    "register",
]
