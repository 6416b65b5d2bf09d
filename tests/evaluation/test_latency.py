"""Times are medians; what does not fit into memory or time is said, not tried."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from boldformer.evaluation import latency
from boldformer.evaluation.compute import compute_of
from boldformer.evaluation.latency import Latency, measure_latency, median_time
from boldformer.models import DecoderModel, create

CPU = torch.device("cpu")


def build(name: str = "hybrid") -> DecoderModel:
    return create(name, n_outputs=3, n_times=4, volume_shape=(8, 9, 7))


def measured(model: DecoderModel, budget_s: float = 60.0) -> Latency:
    compute = compute_of(model, n_times=8, window_frames=4, batch_size=2)
    return measure_latency(model, compute, CPU, budget_s=budget_s)


def sleeper(durations_s: list[float]) -> Callable[[], None]:
    left = iter(durations_s)
    return lambda: time.sleep(next(left))


def test_the_median_leaves_the_warm_up_out() -> None:
    step = sleeper([0.3, 0.02, 0.02, 0.2])
    assert 0.02 <= median_time(step, CPU, n_repeats=3, budget_s=10) < 0.15


def test_no_repeat_is_begun_after_the_budget() -> None:
    assert median_time(sleeper([0.05]), CPU, n_repeats=3, budget_s=0.01) >= 0.05
    assert median_time(sleeper([0.0, 0.05]), CPU, n_repeats=9, budget_s=0.04) >= 0.05


def test_forward_and_training_are_timed_and_the_model_is_left_as_it_is() -> None:
    model = build().train()
    before = [parameter.clone() for parameter in model.parameters()]
    found = measured(model)
    assert found.forward_s is not None
    assert found.training_s is not None
    assert 0 < found.forward_s < found.training_s
    assert found.remarks == ()
    assert "thread" in found.device
    assert model.training
    for now, then in zip(model.parameters(), before, strict=True):
        assert torch.equal(now, then)


def test_a_closed_form_is_not_trained_by_steps() -> None:
    found = measured(build("linear"))
    assert found.forward_s is not None
    assert found.training_s is None
    assert "closed form" in found.remarks[0]


def test_what_needs_more_memory_than_is_free_is_not_begun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(latency, "_free_bytes", lambda device: 1000)
    found = measured(build())
    assert (found.forward_s, found.training_s) == (None, None)
    assert len(found.remarks) == 1
    assert "memory" in found.remarks[0]


def test_training_may_not_fit_where_a_forward_pass_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compute = compute_of(build(), n_times=8, window_frames=4, batch_size=2)
    assert compute.training_bytes is not None
    free = 3 * 4 * compute.parameters + compute.training_bytes
    monkeypatch.setattr(latency, "_free_bytes", lambda device: free)
    found = measured(build())
    assert found.forward_s is not None
    assert found.training_s is None
    assert found.remarks[0].startswith("training step not timed")


def test_what_takes_too_long_is_not_begun() -> None:
    found = measured(build(), budget_s=0.0)
    assert (found.forward_s, found.training_s) == (None, None)
    assert "0 s are given" in found.remarks[0]


def failing(model: DecoderModel, message: str) -> DecoderModel:
    def forward(x: Tensor) -> Tensor:
        raise RuntimeError(message)

    model.forward = forward
    return model


def test_running_out_of_memory_is_said_and_other_faults_are_not_hidden() -> None:
    compute = compute_of(build(), n_times=8, window_frames=4)
    full = failing(build(), "DefaultCPUAllocator: can't allocate memory")
    assert "ran out of memory" in measure_latency(full, compute, CPU).remarks[0]
    with pytest.raises(RuntimeError, match="shapes differ"):
        measure_latency(failing(build(), "shapes differ"), compute, CPU)
