"""Everything a run needs to be run again."""

from __future__ import annotations

from dataclasses import dataclass, field

from boldformer.config.decoding import EvaluationConfig, ModelConfig, TrainingConfig
from boldformer.config.recordings import DataConfig, PreprocessingConfig, WindowConfig


@dataclass(frozen=True)
class RunConfig:
    """Everything a run needs to be run again."""

    data: DataConfig = field(default_factory=DataConfig)
    preprocessing: PreprocessingConfig = field(default_factory=PreprocessingConfig)
    window: WindowConfig = field(default_factory=WindowConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
