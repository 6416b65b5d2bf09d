"""Decoding models: one file each, one contract, one registry."""

from boldformer.models.base import DecoderModel
from boldformer.models.cnn3d import CNN3d
from boldformer.models.deepbrain import DeepBrain
from boldformer.models.hybrid import Hybrid
from boldformer.models.linear import Linear
from boldformer.models.parcel_mlp import ParcelMLP
from boldformer.models.reference import Reference
from boldformer.models.reference_deepbrain import ReferenceDeepBrain
from boldformer.models.registry import (
    create,
    get_model,
    list_models,
    model_parameters,
    register,
)
from boldformer.models.streaming import open_stream
from boldformer.models.transformer import Transformer

__all__ = [
    "CNN3d",
    "DecoderModel",
    "DeepBrain",
    "Hybrid",
    "Linear",
    "ParcelMLP",
    "Reference",
    "ReferenceDeepBrain",
    "Transformer",
    "create",
    "get_model",
    "list_models",
    "model_parameters",
    "open_stream",
    "register",
]
