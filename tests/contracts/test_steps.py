"""Every registered step along time keeps the contract."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boldformer.config import PreprocessingConfig
from boldformer.errors import InputError
from boldformer.preprocessing.base import RunContext, replay
from boldformer.preprocessing.pipeline import STEPS, Pipeline, pipeline_from_config

T_R = 1.5
SETTINGS: dict[str, dict[str, Any]] = {
    "scrub": {"fd_mm": 0.5},
    "clean": {"detrend_order": 2, "confounds": ["motion"]},
    "filter": {"low_pass_hz": 0.1, "high_pass_hz": 0.01},
    "smooth_time": {"fwhm_s": 4.0},
}
WHOLE = PreprocessingConfig(
    despike=True, scrub_fd_mm=0.5, low_pass_hz=0.1, smooth_s=3.0, causal=True
)


@dataclass(frozen=True)
class Run:
    data: np.ndarray
    context: RunContext


def make_run(
    n_times: int = 300, seed: int = 0, bad: bool = True, gaps: bool = False
) -> Run:
    """Intensities that drift and follow confounds, with spikes in bad frames."""
    rng = np.random.default_rng(seed)
    confounds = np.cumsum(0.05 * rng.standard_normal((n_times, 4)), axis=0)
    confounds[:, 3] = 300 + 5 * confounds[:, 3]
    data = 800 + 300 * rng.random(12) + 10 * rng.standard_normal((n_times, 12))
    data += 20 * confounds @ rng.standard_normal((4, 12))
    data += np.linspace(0, 40, n_times)[:, None]
    data[:, 5] = 321.0
    marks = rng.random(n_times) < 0.08
    marks[0] = marks[7:10] = True
    data[marks] += 90
    confounds[marks] += 3
    numbers = np.sort(rng.choice(n_times + n_times // 5, n_times, replace=False))
    context = RunContext(
        T_R, confounds, numbers + 3 if gaps else None, marks if bad else None
    )
    return Run(data.astype(np.float32), context)


def subset(run: RunContext, n_times: int) -> RunContext:
    parts = (run.confounds, run.frame_numbers, run.bad)
    return RunContext(run.t_r, *(None if p is None else p[:n_times] for p in parts))


@pytest.fixture(params=sorted(STEPS))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=["batch", "causal"])
def form(request: pytest.FixtureRequest) -> str:
    return request.param


def apply(name: str, form: str, data: np.ndarray, context: RunContext) -> np.ndarray:
    return getattr(STEPS[name], form)(data, context, **SETTINGS.get(name, {}))


def scale_of(data: np.ndarray) -> float:
    return float(np.abs(data).max())


@pytest.mark.parametrize("bad", [False, True])
def test_a_step_keeps_shape_type_and_input(name: str, form: str, bad: bool) -> None:
    run = make_run(120, bad=bad)
    before = run.data.copy()
    result = apply(name, form, run.data, run.context)
    assert result.shape == run.data.shape
    assert result.dtype == np.float32
    assert np.isfinite(result).all()
    assert not np.shares_memory(result, run.data)
    np.testing.assert_array_equal(run.data, before)


@pytest.mark.parametrize("bad", [False, True])
def test_a_step_works_voxel_by_voxel(name: str, form: str, bad: bool) -> None:
    run = make_run(120, bad=bad)
    some = [7, 2, 5]
    whole = apply(name, form, run.data, run.context)
    part = apply(name, form, run.data[:, some], run.context)
    # A matrix product may sum in another order for another number of columns.
    np.testing.assert_allclose(part, whole[:, some], atol=1e-6 * scale_of(run.data))


def test_a_step_agrees_with_itself_in_double_precision(name: str, form: str) -> None:
    run = make_run(120)
    single = apply(name, form, run.data, run.context)
    double = apply(name, form, run.data.astype(np.float64), run.context)
    assert double.dtype == np.float64
    varies = np.arange(12) != 5  # rounding alone decides what a constant voxel gives
    error = np.abs(single - double)[:, varies].max()
    assert error <= 1e-5 * scale_of(run.data)


def test_a_step_says_what_it_does(name: str) -> None:
    step = STEPS[name]
    for function in (step.batch, step.causal, step.twin):
        assert function.__doc__
        assert len(function.__doc__) > 15


def test_only_irregular_frames_are_refused_by_steps_that_cannot(name: str) -> None:
    run = make_run(120, bad=False, gaps=True)
    pipeline = Pipeline(({"step": name, **SETTINGS.get(name, {})},))
    if STEPS[name].regular:
        with pytest.raises(InputError, match="evenly spaced"):
            pipeline.apply(run.data, run.context)
    else:
        assert np.isfinite(pipeline.apply(run.data, run.context)).all()


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("bad", [False, True])
def test_replaying_the_twin_equals_the_causal_form(
    name: str, bad: bool, gaps: bool
) -> None:
    run = make_run(300, bad=bad, gaps=gaps)
    twin = STEPS[name].twin(T_R, **SETTINGS.get(name, {}))
    replayed = replay(twin, run.data, run.context)
    causal = apply(name, "causal", run.data, run.context)
    np.testing.assert_allclose(replayed, causal, atol=1e-5 * scale_of(causal))


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 79), st.integers(0, 2**31), st.booleans())
def test_the_future_changes_nothing_in_the_past(
    cut: int, seed: int, gaps: bool
) -> None:
    run = make_run(80, seed, gaps=gaps)
    context = run.context
    changed, moved = run.data.copy(), context.confounds.copy()
    marks = context.bad.copy()
    changed[cut:] = np.random.default_rng(seed).random(changed[cut:].shape)
    moved[cut:] *= -7
    marks[cut:] = ~marks[cut:]
    other = RunContext(T_R, moved, context.frame_numbers, marks)
    for name in STEPS:
        before = apply(name, "causal", run.data, context)[:cut]
        after = apply(name, "causal", changed, other)[:cut]
        np.testing.assert_array_equal(after, before, err_msg=name)


@pytest.mark.parametrize("n_kept", [1, 2, 40])
def test_a_run_cut_short_gives_the_same_beginning(name: str, n_kept: int) -> None:
    run = make_run(80, gaps=True)
    whole = apply(name, "causal", run.data, run.context)[:n_kept]
    short = apply(name, "causal", run.data[:n_kept], subset(run.context, n_kept))
    np.testing.assert_allclose(short, whole, atol=1e-5 * scale_of(run.data))


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize(
    "config", [PreprocessingConfig(causal=True), WHOLE], ids=["default", "every step"]
)
def test_streaming_a_pipeline_equals_applying_it(
    config: PreprocessingConfig, gaps: bool
) -> None:
    run = make_run(300, gaps=gaps)
    pipeline = pipeline_from_config(config)
    applied = pipeline.apply(run.data, run.context)
    stream = pipeline.stream(T_R)
    frames = run.context.frames(len(run.data))
    streamed = np.stack(
        [stream.update(v, f) for v, f in zip(run.data, frames, strict=True)]
    )
    assert streamed.dtype == np.float32
    varies = np.arange(12) != 5
    np.testing.assert_allclose(
        streamed[:, varies], applied[:, varies], atol=1e-5 * scale_of(applied)
    )
