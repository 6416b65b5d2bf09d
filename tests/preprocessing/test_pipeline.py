"""Pipelines: what a configuration becomes, and the hash that names it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from boldformer.config import PreprocessingConfig
from boldformer.errors import InputError
from boldformer.preprocessing.pipeline import (
    Pipeline,
    RunContext,
    pipeline_from_config,
)

DEFAULT = PreprocessingConfig()
RAW = PreprocessingConfig(
    centre=False, detrend_order=-1, high_pass_hz=0.0, confounds=(), normalise="none"
)


def test_the_hash_names_the_settings() -> None:
    changed = [
        replace(DEFAULT, detrend_order=2),
        replace(DEFAULT, high_pass_hz=0.01),
        replace(DEFAULT, volume_shape=(4, 4, 4)),
        replace(DEFAULT, dummy_scans=3),
        replace(DEFAULT, confounds=()),
        RAW,
    ]
    hashes = {pipeline_from_config(config).hash for config in [DEFAULT, *changed]}
    assert len(hashes) == 7
    again = Pipeline(pipeline_from_config(DEFAULT).steps)
    assert again.hash == pipeline_from_config(DEFAULT).hash


def test_the_raw_pipeline_changes_nothing() -> None:
    data = np.random.default_rng(0).random((20, 5)).astype(np.float32)
    result = pipeline_from_config(RAW).apply(data, RunContext(2.0))
    np.testing.assert_array_equal(result, data)


def test_confounds_and_drifts_are_taken_out() -> None:
    rng = np.random.default_rng(0)
    confounds = rng.standard_normal((100, 3))
    drift = np.cos(np.pi * (np.arange(100) + 0.5) / 100)[:, None]
    signal = rng.standard_normal((100, 4))
    data = 900 + signal + 5 * confounds @ rng.random((3, 4)) + 20 * drift
    pipeline = pipeline_from_config(DEFAULT)
    cleaned = pipeline.apply(data, RunContext(2.0, confounds))
    assert cleaned.dtype == np.float32
    for column in range(4):
        kept = np.corrcoef(cleaned[:, column], signal[:, column])[0, 1]
        assert kept > 0.95
    ignored = pipeline.apply(data, RunContext(2.0, None))
    assert np.corrcoef(ignored[:, 0], signal[:, 0])[0, 1] < 0.7


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (replace(DEFAULT, normalise="minmax"), "unknown normalisation"),
        (replace(DEFAULT, centre=False), "z-score centres"),
        (replace(DEFAULT, high_pass_hz=-1.0), "negative"),
        (replace(DEFAULT, volume_shape=(3, 3)), "volume shape"),
    ],
)
def test_contradictions_are_refused(config: PreprocessingConfig, message: str) -> None:
    with pytest.raises(InputError, match=message):
        pipeline_from_config(config)


def test_an_unknown_step_is_refused() -> None:
    with pytest.raises(InputError, match="unknown preprocessing step 'magic'"):
        Pipeline(({"step": "magic"},))
