"""Where and in which arithmetic to compute, and randomness that stays local."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.distributed

from boldformer.errors import InputError


def resolve_device(device: str = "auto") -> torch.device:
    """Device to compute on.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda", "cuda:N"}
        "auto" takes the GPU where there is one.

    Raises
    ------
    InputError
        For an unknown device, or one this machine does not have.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, index = device.partition(":")
    if kind not in ("cpu", "cuda") or (index and not index.isdigit()):
        raise InputError(
            "unknown device",
            wanted="'auto', 'cpu', 'cuda' or 'cuda:N'",
            received=repr(device),
        )
    n_gpus = torch.cuda.device_count()
    if kind == "cuda" and int(index or 0) >= n_gpus:
        raise InputError(
            "this device is not here",
            wanted=f"one of this machine's {n_gpus} CUDA devices, or 'cpu'",
            received=repr(device),
            fix="use device='auto', or install a CUDA build of torch",
        )
    return torch.device(device)


def resolve_bf16(precision: str, device: torch.device) -> bool:
    """Whether to compute in bfloat16 where autocast holds it safe.

    Parameters
    ----------
    precision : {"auto", "32", "bf16"}
        "auto" takes bf16 where the hardware multiplies it natively.
    device : torch.device

    Raises
    ------
    InputError
        For another precision.
    """
    if precision not in ("auto", "32", "bf16"):
        raise InputError(
            "unknown precision",
            wanted="'auto', '32' or 'bf16'",
            received=repr(precision),
        )
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return _cpu_has_bf16()


def _cpu_has_bf16() -> bool:
    # Old releases of torch cannot tell; they then compute in 32 bits.
    capabilities: dict = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


class Processes(NamedTuple):
    """The processes that train one model together, and which of them this is.

    Parameters
    ----------
    total : int
        All of them.
    rank : int
        This one.
    per_node : int
        Those on a machine.
    """

    total: int = 1
    rank: int = 0
    per_node: int = 1


def launched_processes() -> Processes:
    """Tell the processes that `torchrun` started; a single one otherwise."""
    if not torch.distributed.is_torchelastic_launched():
        return Processes()
    names = ("WORLD_SIZE", "RANK", "LOCAL_WORLD_SIZE")
    return Processes(*(int(os.environ[name]) for name in names))


@contextlib.contextmanager
def local_seed(seed: int) -> Iterator[None]:
    """Seed torch inside the block and restore its generators afterwards."""
    devices = list(range(torch.cuda.device_count()))
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def mix_seed(*numbers: int) -> int:
    """One seed from several non-negative numbers, the same on every machine."""
    value = 0x9E3779B97F4A7C15
    for number in numbers:
        value ^= number
        value = (value * 0xBF58476D1CE4E5B9) % 2**64
        value ^= value >> 31
    return value % 2**63
