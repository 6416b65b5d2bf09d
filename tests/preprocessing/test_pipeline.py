"""Pipelines: what a configuration becomes, and the hash that names it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from boldformer.config import PreprocessingConfig
from boldformer.errors import InputError
from boldformer.preprocessing.base import Frame
from boldformer.preprocessing.pipeline import (
    READING_STEPS,
    STEPS,
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


def names(pipeline: Pipeline) -> list[str]:
    return [step["step"] for step in pipeline.steps]


def test_the_default_pipeline_is_what_it_always_was() -> None:
    # Models and stores made before name this hash.
    before = replace(DEFAULT, confounds=("motion", "wm_csf"))
    assert pipeline_from_config(before).hash == "aa33d72ba641b6b6"
    assert pipeline_from_config(DEFAULT).hash == "c194b436f58f0c2a"


def test_every_setting_has_its_place() -> None:
    config = replace(
        DEFAULT,
        voxel_size_mm=3.0,
        volume_shape=(60, 70, 60),
        smooth_mm=6.0,
        despike=True,
        scrub_fd_mm=0.5,
        low_pass_hz=0.1,
        smooth_s=4.0,
        confound_options={"n_compcor": 6},
    )
    pipeline = pipeline_from_config(config)
    assert names(pipeline) == [
        *("drop_volumes", "brain_mask", "resample", "pad_or_crop", "smooth"),
        *("despike", "scrub", "centre", "clean", "filter", "smooth_time", "zscore"),
    ]
    assert set(names(pipeline)) | {"percent_signal_change"} == {*READING_STEPS, *STEPS}
    assert pipeline.settings("scrub") == {"fd_mm": 0.5}
    assert pipeline.settings("clean")["confound_options"] == {"n_compcor": 6}
    percent = pipeline_from_config(replace(config, normalise="percent_signal_change"))
    assert names(percent)[5:] == [
        *("despike", "scrub", "percent_signal_change"),
        *("clean", "filter", "smooth_time"),
    ]


def test_percent_stay_percent() -> None:
    level = np.array([200.0, 1000.0])
    signal = np.sin(np.arange(80) * 0.9)[:, None]
    pipeline = pipeline_from_config(replace(DEFAULT, normalise="percent_signal_change"))
    result = pipeline.apply(level * (1 + 0.03 * signal), RunContext(2.0))
    np.testing.assert_allclose(result, 3 * (signal - signal.mean()) + [0, 0], atol=0.5)


def test_a_grid_is_written_into_the_steps() -> None:
    config = replace(DEFAULT, grid_like="template.nii.gz")
    grid = {"shape": (4, 5, 6), "affine": np.diag([3.0, 3.0, 3.0, 1.0])}
    pipeline = pipeline_from_config(config, grid)
    assert pipeline.settings("resample")["shape"] == [4, 5, 6]
    assert pipeline.hash != pipeline_from_config(DEFAULT).hash
    with pytest.raises(InputError, match="has not been read"):
        pipeline_from_config(config)


def test_steps_written_out_replace_the_settings() -> None:
    written = ({"step": "zscore"}, {"step": "smooth_time", "fwhm_s": 4})
    pipeline = pipeline_from_config(replace(DEFAULT, steps=written))
    assert pipeline.steps == written
    causal = pipeline_from_config(replace(DEFAULT, steps=written, causal=True))
    assert causal.is_causal


def test_the_causal_pipeline_sees_no_volume_to_come() -> None:
    whole = pipeline_from_config(replace(DEFAULT, despike=True, smooth_s=3.0))
    causal = whole.causal()
    assert not whole.is_causal
    assert causal.is_causal
    assert causal.hash != whole.hash
    assert causal.causal() == causal
    assert pipeline_from_config(replace(DEFAULT, causal=True)).is_causal
    assert causal.settings("drop_volumes") == {"dummy_scans": 4}
    assert causal.settings("brain_mask") == {"n_first": 10}
    assert causal.settings("clean")["high_pass_hz"] == 0
    kept = pipeline_from_config(replace(DEFAULT, dummy_scans=2)).causal()
    assert kept.settings("drop_volumes") == {"dummy_scans": 2}


def test_only_a_causal_pipeline_streams() -> None:
    with pytest.raises(InputError, match=r"received centre, clean, zscore.*causal ="):
        pipeline_from_config(DEFAULT).stream(2.0)
    unsteady = ({"step": "drop_volumes", "dummy_scans": -1},)
    with pytest.raises(InputError, match="received drop_volumes"):
        Pipeline(unsteady).stream(2.0)


def test_a_stream_needs_nothing_but_volumes() -> None:
    pipeline = Pipeline(({"step": "centre", "causal": True},))
    stream, again = pipeline.stream(2.0), pipeline.stream(2.0)
    volumes = np.array([[4.0, 2.0], [5.0, 2.0], [9.0, 1.0]])
    results = [stream.update(volume) for volume in volumes]
    np.testing.assert_allclose(results, [[0, 0], [1, 0], [4.5, -1]])
    np.testing.assert_allclose(again.update(volumes[2], Frame(bad=True)), 0)


def test_maps_in_no_order_keep_what_needs_no_time() -> None:
    config = replace(
        DEFAULT, despike=True, scrub_fd_mm=0.5, low_pass_hz=0.1, smooth_mm=6.0
    )
    expected = ["drop_volumes", "brain_mask", "smooth", "centre", "zscore"]
    whole = pipeline_from_config(config)
    for pipeline in (whole, whole.causal()):
        maps = pipeline.without_time()
        assert names(maps) == expected
        assert maps.settings("drop_volumes") == {"dummy_scans": 0}
        assert maps.settings("brain_mask") == {}
        assert maps.settings("zscore") == {}
    fading = Pipeline(({"step": "zscore", "causal": True, "memory_s": 60.0},))
    assert fading.without_time().steps == ({"step": "zscore"},)


@pytest.mark.parametrize(
    ("drift", "settings"),
    [
        (np.cos(np.pi * 2 * (np.arange(120) + 0.5) / 120), {"high_pass_hz": 1 / 128}),
        (np.linspace(-1, 1, 120), {"detrend_order": 1}),
    ],
)
def test_drifts_run_over_the_time_scanned(
    drift: np.ndarray, settings: dict[str, Any]
) -> None:
    numbers = np.concatenate([np.arange(3, 40), np.arange(60, 123)])
    noise = np.random.default_rng(0).standard_normal((100, 5))
    data = 100 + noise + 50 * drift[numbers - 3, None]
    pipeline = Pipeline(({"step": "clean", **settings},))
    told = pipeline.apply(data, RunContext(2.0, frame_numbers=numbers))
    assert np.ptp(told, axis=0).max() < 7
    untold = pipeline.apply(data, RunContext(2.0))
    assert np.ptp(untold, axis=0).max() > 1.5 * np.ptp(told, axis=0).max()


def test_scrubbed_volumes_neither_teach_nor_stick_out() -> None:
    rng = np.random.default_rng(0)
    motion, bad = rng.standard_normal((150, 2)), rng.random(150) < 0.1
    signal = rng.standard_normal((150, 6))
    data = 500 + signal + 4 * motion @ rng.standard_normal((2, 6))
    data[bad] += 200
    spiky = motion + 40 * bad[:, None]
    config = replace(DEFAULT, scrub_fd_mm=0.5, high_pass_hz=0.0, confounds=("motion",))
    for causal, least in ((False, 0.95), (True, 0.85)):
        pipeline = pipeline_from_config(replace(config, causal=causal))
        told = pipeline.apply(data, RunContext(2.0, spiky, bad=bad))
        untold = pipeline.apply(data, RunContext(2.0, spiky))
        kept, lost = (
            np.corrcoef(result[~bad][40:].ravel(), signal[~bad][40:].ravel())[0, 1]
            for result in (told, untold)
        )
        assert kept > max(least, lost + 0.1)
        assert np.abs(told[bad]).max() < 5


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (replace(DEFAULT, normalise="minmax"), "unknown normalisation"),
        (replace(DEFAULT, centre=False), "z-score centres"),
        (
            replace(DEFAULT, centre=False, normalise="percent_signal_change"),
            "percent signal change centres",
        ),
        (replace(DEFAULT, high_pass_hz=-1.0), "negative"),
        (replace(DEFAULT, smooth_s=-1.0), "smooth_s cannot be negative"),
        (replace(DEFAULT, smooth_mm=float("nan")), "smooth_mm cannot be negative"),
        (replace(DEFAULT, dummy_scans=-2), "dummy_scans cannot be negative"),
        (replace(DEFAULT, detrend_order=-2), "detrend_order cannot be negative"),
        (replace(DEFAULT, low_pass_hz=0.001), "no frequency"),
        (replace(DEFAULT, volume_shape=(3, 3)), "volume shape"),
        (replace(DEFAULT, volume_shape=(3, 3, 0)), "volume shape"),
        (replace(DEFAULT, grid_like="a.nii", voxel_size_mm=2.0), "both say"),
    ],
)
def test_contradictions_are_refused(config: PreprocessingConfig, message: str) -> None:
    with pytest.raises(InputError, match=message):
        pipeline_from_config(config)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"step": "magic"}, "unknown preprocessing step 'magic'"),
        ({}, "unknown preprocessing step None"),
        ({"step": "zscor"}, "did you mean 'zscore'"),
        ({"step": "clean", "detrend": 1}, "no setting 'detrend'.*'detrend_order'"),
        ({"step": "centre", "fwhm": 1}, "wanted no setting"),
        ({"step": "zscore", "warm_up": 3}, "no setting 'warm_up'"),
        ({"step": "clean", "detrend_order": 1.5}, "wanted a whole number"),
        ({"step": "clean", "detrend_order": True}, "wanted a whole number"),
        ({"step": "clean", "confounds": "motion"}, "wanted a list"),
        ({"step": "clean", "confounds": [1]}, "wanted a list"),
        ({"step": "clean", "confound_options": 3}, "wanted a table"),
        ({"step": "filter", "low_pass_hz": "0.1"}, "wanted a number"),
        ({"step": "filter"}, "above 0"),
        ({"step": "scrub"}, "lacks its setting 'fd_mm'"),
        ({"step": "scrub", "fd_mm": 0.0}, "fd_mm above 0"),
        ({"step": "centre", "causal": "yes"}, "wanted true or false"),
        ({"step": "clean", "causal": True, "high_pass_hz": 0.01}, "'filter'"),
        ({"step": "smooth", "fwhm": 6}, "did you mean 'fwhm_mm'"),
    ],
)
def test_a_step_that_cannot_be_done_is_refused_at_once(
    step: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        Pipeline((step,))


def test_reading_steps_come_first() -> None:
    with pytest.raises(InputError, match="'smooth' comes after 'centre'"):
        Pipeline(({"step": "centre"}, {"step": "smooth", "fwhm_mm": 6.0}))


@pytest.mark.parametrize("values", [{"fwhm_s": 4}, {"fwhm_s": 4.0}])
def test_whole_numbers_pass_for_numbers(values: dict[str, Any]) -> None:
    assert Pipeline(({"step": "smooth_time", **values},)).settings("smooth_time")
