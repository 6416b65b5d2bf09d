"""Frozen settings of a run, and their way to TOML and back."""

from boldformer.config.decoding import EvaluationConfig, ModelConfig, TrainingConfig
from boldformer.config.files import (
    from_dict,
    from_toml,
    load,
    parse_value,
    to_dict,
    to_toml,
)
from boldformer.config.flag import Flag
from boldformer.config.recordings import DataConfig, PreprocessingConfig, WindowConfig
from boldformer.config.run import RunConfig

__all__ = [
    "DataConfig",
    "EvaluationConfig",
    "Flag",
    "ModelConfig",
    "PreprocessingConfig",
    "RunConfig",
    "TrainingConfig",
    "WindowConfig",
    "from_dict",
    "from_toml",
    "load",
    "parse_value",
    "to_dict",
    "to_toml",
]
