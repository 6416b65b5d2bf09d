"""How long a model takes on this device, where memory and time allow to try."""

from __future__ import annotations

import copy
import logging
import math
import platform
import re
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from boldformer.evaluation.compute import Compute, windows_shape
from boldformer.models.base import DecoderModel

logger = logging.getLogger(__name__)

N_REPEATS = 5
BUDGET_S = 60.0
_FLOAT_BYTES = 4
_PROBE = 1024
# Working space of the libraries and of the allocator: full-size steps took up to
# 1.64 times what their tensors add up to.
_OVERHEAD = 1.7

Step = Callable[[], object]


@dataclass(frozen=True)
class Latency:
    """Measured time of a model.

    Parameters
    ----------
    device : str
        Where it was measured; with how many threads, on a CPU.
    forward_s, training_s : float or None
        Median duration of a forward pass and of a training step of a batch, seconds;
        None where it was not measured.
    remarks : tuple of str
        Why it was not.
    """

    device: str
    forward_s: float | None
    training_s: float | None
    remarks: tuple[str, ...] = ()


def measure_latency(
    model: DecoderModel,
    compute: Compute,
    device: torch.device,
    *,
    budget_s: float = BUDGET_S,
) -> Latency:
    """Time a forward pass and a training step of a batch of random windows.

    In 32-bit floats, the median of five after a warm-up. The training step is forward
    pass, cross-entropy, backward pass and AdamW's update. What needs more memory than
    is free, or is expected to take longer than `budget_s` once, is not begun.

    Parameters
    ----------
    model : DecoderModel
        Model, left as it is.
    compute : Compute
        Its counts for the same windows.
    device : torch.device
        Where to compute.
    budget_s : float
        Seconds that the repeats of one measurement may take.
    """
    sizes = (compute.batch_size, compute.window_frames)
    weights = _FLOAT_BYTES * compute.parameters
    windows = _FLOAT_BYTES * math.prod(windows_shape(model, *sizes))
    bench = _Bench(device, budget_s)
    forward_s = bench.measure(
        "forward pass",
        lambda: _forward_step(model, *sizes, device),
        needed=compute.forward_bytes + windows + weights,
        at_least_s=compute.mac_per_batch / _mac_rate(device),
    )
    training_s = None
    if compute.training_bytes is None:
        bench.remarks.append("training step not timed: the weights have a closed form")
    elif forward_s is not None:
        training_s = bench.measure(
            "training step",
            lambda: _training_step(model, *sizes, device),
            # A copy of the weights, and AdamW's two averages of their gradients.
            needed=compute.training_bytes + windows + 3 * weights,
            at_least_s=2 * forward_s,
        )
    return Latency(_describe(device), forward_s, training_s, tuple(bench.remarks))


def median_time(
    step: Step, device: torch.device, *, n_repeats: int, budget_s: float
) -> float:
    """Median duration of a step in seconds, after one that warms up.

    Parameters
    ----------
    step : callable
        What to time.
    device : torch.device
        Where it computes; a GPU is waited for.
    n_repeats : int
        Times to repeat it.
    budget_s : float
        Seconds after which no further repeat is begun; where the warm-up alone took
        them, its duration is returned.
    """
    began = time.perf_counter()
    times = [_time(step, device)]
    while len(times) <= n_repeats and time.perf_counter() - began < budget_s:
        times.append(_time(step, device))
    return statistics.median(times[1:] or times)


def _time(step: Step, device: torch.device) -> float:
    began = time.perf_counter()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


class _Bench:
    """Times what fits into memory and time, and notes what does not."""

    def __init__(self, device: torch.device, budget_s: float) -> None:
        self.device = device
        self.budget_s = budget_s
        self.remarks: list[str] = []

    def measure(
        self,
        what: str,
        prepare: Callable[[], Step],
        *,
        needed: float,
        at_least_s: float,
    ) -> float | None:
        free, needed = _free_bytes(self.device), _OVERHEAD * needed
        if needed > free:
            reason = f"may need {_gb(needed)} of memory, {_gb(free)} are free"
        elif at_least_s > self.budget_s:
            reason = f"takes {at_least_s:.0f} s or more, {self.budget_s:g} s are given"
        else:
            logger.info("Timing a %s", what)
            try:
                return median_time(
                    prepare(),
                    self.device,
                    n_repeats=N_REPEATS,
                    budget_s=self.budget_s,
                )
            except RuntimeError as error:  # how torch says that memory ran out
                if "allocate" not in str(error):
                    raise
                reason = f"ran out of memory, of which {_gb(free)} were free"
        self.remarks.append(f"{what} not timed: it {reason}")
        return None


def _forward_step(
    model: DecoderModel, batch_size: int, n_times: int, device: torch.device
) -> Step:
    model = copy.deepcopy(model).to(device).eval()
    x = torch.randn(windows_shape(model, batch_size, n_times), device=device)
    return torch.inference_mode()(lambda: model(x))


def _training_step(
    model: DecoderModel, batch_size: int, n_times: int, device: torch.device
) -> Step:
    model = copy.deepcopy(model).to(device).train()
    x = torch.randn(windows_shape(model, batch_size, n_times), device=device)
    labels_B = torch.arange(batch_size, device=device) % model.n_outputs
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)

    def step() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), labels_B).backward()
        optimizer.step()

    return step


def _mac_rate(device: torch.device) -> float:
    """Multiply-adds a second of a large matrix product: what a model may reach."""
    factor = torch.ones(_PROBE, _PROBE, device=device)
    seconds = median_time(lambda: factor @ factor, device, n_repeats=5, budget_s=1)
    return _PROBE**3 / seconds


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    memory = Path("/proc/meminfo")
    if not memory.exists():  # not Linux: the operating system would swap
        return sys.maxsize
    available = re.search(r"MemAvailable:\s+(\d+) kB", memory.read_text())
    return 1024 * int(available[1]) if available else sys.maxsize


def _describe(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    n_threads = torch.get_num_threads()
    threads = "thread" if n_threads == 1 else "threads"
    return f"CPU ({platform.machine()}, {n_threads} {threads})"


def _gb(size: float) -> str:
    return f"{size / 1e9:.1f} GB"
