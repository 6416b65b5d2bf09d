"""Models of other kinds made as large, and as costly, as a given one."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

from boldformer.config import ModelConfig
from boldformer.evaluation.compute import count_macs
from boldformer.models import DecoderModel, create
from boldformer.training.devices import local_seed


def match_size(
    config: ModelConfig,
    parameter: str,
    values: Iterable[int],
    like: DecoderModel,
    n_times: int,
) -> ModelConfig:
    """Choose the size of a model so that it is held against an equal.

    Parameters
    ----------
    config : ModelConfig
        The model.
    parameter : str
        Parameter of the model that sets its size.
    values : iterable of int
        Values to choose from.
    like : DecoderModel
        Model to be matched, on the same windows.
    n_times : int
        Frames of a window.

    Returns
    -------
    ModelConfig
        With the value whose parameters and multiply-adds are nearest: the smallest sum
        of ``|log ratio|`` of the two.
    """

    def distance(value: int) -> float:
        with local_seed(0):
            model = create(
                config.name,
                n_outputs=like.n_outputs,
                n_times=n_times,
                volume_shape=like.volume_shape,
                **{**config.parameters, parameter: value},
            )
        ratios = (
            _n_parameters(model) / _n_parameters(like),
            count_macs(model, 1, n_times) / count_macs(like, 1, n_times),
        )
        return sum(abs(math.log(ratio)) for ratio in ratios)

    best = min(values, key=distance)
    return replace(config, parameters={**config.parameters, parameter: best})


def _n_parameters(model: DecoderModel) -> int:
    """Numbers that training of the network changes: not those of a linear path."""
    skip = getattr(model, "skip", None)
    n_skip = sum(p.numel() for p in skip.parameters()) if skip is not None else 0
    return sum(p.numel() for p in model.parameters()) - n_skip
