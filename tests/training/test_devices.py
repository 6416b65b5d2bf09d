"""Devices, precision and local randomness."""

import pytest
import torch

from boldformer.errors import InputError
from boldformer.training.devices import (
    Processes,
    launched_processes,
    local_seed,
    mix_seed,
    resolve_bf16,
    resolve_device,
)


def test_cpu_is_always_there():
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device("auto").type in ("cpu", "cuda")


def test_an_absent_device_is_refused():
    with pytest.raises(InputError, match="not here"):
        resolve_device("cuda:99")


@pytest.mark.parametrize("device", ["gpu", "cpu:x", "tpu", ""])
def test_an_unknown_device_is_refused(device):
    with pytest.raises(InputError, match="unknown device"):
        resolve_device(device)


def test_precision():
    cpu = torch.device("cpu")
    assert resolve_bf16("bf16", cpu)
    assert not resolve_bf16("32", cpu)
    assert isinstance(resolve_bf16("auto", cpu), bool)
    with pytest.raises(InputError, match="unknown precision"):
        resolve_bf16("16", cpu)


def test_a_local_seed_repeats_inside_and_leaves_no_trace_outside():
    before = torch.get_rng_state()
    with local_seed(1):
        first = torch.rand(3)
    with local_seed(1):
        assert torch.equal(torch.rand(3), first)
    assert torch.equal(torch.get_rng_state(), before)


def test_mixed_seeds_differ_and_depend_on_order():
    seeds = {mix_seed(a, b, c) for a in range(5) for b in range(5) for c in range(5)}
    assert len(seeds) == 125
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_processes_are_those_that_torchrun_started(monkeypatch):
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    # Other launchers set some of these for other purposes.
    monkeypatch.setenv("WORLD_SIZE", "6")
    assert launched_processes() == Processes(total=1, rank=0, per_node=1)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setenv("RANK", "4")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    assert launched_processes() == Processes(total=6, rank=4, per_node=3)
