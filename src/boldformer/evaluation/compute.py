"""Multiply-adds and memory of a model: one counter for all of them."""

from __future__ import annotations

import contextlib
import math
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from boldformer.errors import InputError
from boldformer.models.base import DecoderModel

FLOP_PER_MAC = 2


@dataclass(frozen=True)
class Compute:
    """Multiply-adds and memory of a model; no time was measured for it.

    Parameters
    ----------
    parameters : int
        Trainable numbers.
    n_times : int
        Volumes of a run.
    t_r : float
        Seconds between volumes.
    window_frames : int
        Frames of a window.
    n_windows, last_frames : int
        Disjoint windows that read the run once, and frames of the last of them.
    batch_size : int
        Windows in a batch.
    mac_per_window, mac_per_batch, mac_per_run : int
        Multiply-adds of the forward pass.
    forward_bytes : int
        Peak of what the forward pass of a batch holds; see `peak_bytes`.
    training_bytes : int or None
        The same of a forward and backward pass; None where no gradient is used.
    """

    parameters: int
    n_times: int
    t_r: float
    window_frames: int
    n_windows: int
    last_frames: int
    batch_size: int
    mac_per_window: int
    mac_per_batch: int
    mac_per_run: int
    forward_bytes: int
    training_bytes: int | None

    @property
    def mac_per_volume(self) -> float:
        """Multiply-adds of a run, shared out among its volumes."""
        return self.mac_per_run / self.n_times

    @property
    def mac_per_second(self) -> float:
        """Multiply-adds for a second of scanning."""
        return self.mac_per_run / (self.n_times * self.t_r)


def compute_of(
    model: DecoderModel,
    *,
    n_times: int,
    window_frames: int,
    t_r: float = 2.0,
    batch_size: int = 1,
) -> Compute:
    """Count what a model costs for a window, a batch and a run.

    A run is read once, in windows that follow each other and share no volume; what is
    left at its end is one shorter window. The forward pass itself is counted, on
    tensors without content: it takes neither the memory nor the time of the real one.

    Parameters
    ----------
    model : DecoderModel
        Model, left as it is; its weights play no part.
    n_times : int
        Volumes of a run.
    window_frames : int
        Frames of a window.
    t_r : float
        Seconds between volumes.
    batch_size : int
        Windows in a batch.

    Raises
    ------
    InputError
        For sizes that are not positive.
    """
    for name, value in [
        ("n_times", n_times),
        ("window_frames", window_frames),
        ("t_r", t_r),
        ("batch_size", batch_size),
    ]:
        if not 0 < value < math.inf:
            raise InputError(
                f"{name} is out of range", wanted="more than 0", received=str(value)
            )
    sizes = (batch_size, window_frames)
    n_full, rest = divmod(n_times, window_frames)
    mac_per_window = count_macs(model, 1, window_frames)
    mac_of_rest = count_macs(model, 1, rest) if rest else 0
    trains = model.solver == "gradient"
    return Compute(
        parameters=sum(p.numel() for p in model.parameters()),
        n_times=n_times,
        t_r=t_r,
        window_frames=window_frames,
        n_windows=n_full + bool(rest),
        last_frames=rest or window_frames,
        batch_size=batch_size,
        mac_per_window=mac_per_window,
        mac_per_batch=count_macs(model, *sizes),
        mac_per_run=n_full * mac_per_window + mac_of_rest,
        forward_bytes=peak_bytes(model, *sizes),
        training_bytes=peak_bytes(model, *sizes, training=True) if trains else None,
    )


def count_macs(model: DecoderModel, batch_size: int, n_times: int) -> int:
    """Multiply-adds of the forward pass of a batch of windows.

    Those of matrix products, convolutions and attention products, as
    ``torch.utils.flop_counter`` counts them: half of its FLOP. Pointwise work,
    normalisation, softmax and moving data are not counted.

    Parameters
    ----------
    model : DecoderModel
    batch_size, n_times : int
        Windows, and frames of each.
    """
    counter = FlopCounterMode(display=False)
    inputs = _without_content(model, batch_size, n_times)
    # The counter does not know a CPU's fused attention; written as products, it does.
    with inputs as forward, sdpa_kernel(SDPBackend.MATH), counter:
        forward()
    return counter.get_total_flops() // FLOP_PER_MAC


def peak_bytes(
    model: DecoderModel, batch_size: int, n_times: int, *, training: bool = False
) -> int:
    """Most bytes that the tensors made by one step hold at a time, in 32-bit floats.

    The step is a forward pass without gradients or, for training, a forward pass, the
    cross-entropy and a backward pass; the gradients of the weights are then part of it.
    Weights, the windows themselves, the optimizer's state and what the libraries below
    torch use as working space come on top.

    Parameters
    ----------
    model : DecoderModel
    batch_size, n_times : int
        Windows, and frames of each.
    training : bool
        Whether to train.
    """
    memory, sizes = PeakMemory(), (batch_size, n_times)
    with _without_content(model, *sizes, training=training) as forward, memory:
        logits_BK = forward()
        if training:
            nn.functional.cross_entropy(logits_BK, logits_BK.argmax(dim=1)).backward()
    return memory.peak


@contextlib.contextmanager
def _without_content(
    model: DecoderModel, batch_size: int, n_times: int, *, training: bool = False
) -> Iterator[Callable[[], Tensor]]:
    """Give the forward pass on tensors with a shape and a device, and no content."""
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    named = [*model.named_parameters(), *model.named_buffers()]
    # Detached, they leave behind the gradients that the model may hold.
    state: dict[str, Tensor] = {
        name: mode.from_tensor(tensor.detach()).requires_grad_(tensor.requires_grad)
        for name, tensor in named
    }
    device = next((tensor.device for _, tensor in named), None)
    # Fused encoder layers are one operation, which the counter does not know.
    fused, was_training = torch.backends.mha.get_fastpath_enabled(), model.training
    torch.backends.mha.set_fastpath_enabled(False)
    model.train(training)
    try:
        with mode, torch.set_grad_enabled(training):
            x = torch.empty(windows_shape(model, batch_size, n_times), device=device)
            yield lambda: functional_call(model, state, (x,))
    finally:
        model.train(was_training)
        torch.backends.mha.set_fastpath_enabled(fused)


def windows_shape(
    model: DecoderModel, batch_size: int, n_times: int
) -> tuple[int, ...]:
    """Shape of a batch of windows that a model reads."""
    channels = () if model.in_channels == 1 else (model.in_channels,)
    return (batch_size, n_times, *channels, *model.volume_shape)


class PeakMemory(TorchDispatchMode):
    """Adds up the storages that operations make, until they are let go.

    Attributes
    ----------
    peak : int
        Most bytes held at a time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self._now = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        # An operation that returns a view or works in place holds nothing new.
        for given in tree_leaves((args, kwargs)):
            if isinstance(given, Tensor):
                self._meet(given, made_here=False)
        result = func(*args, **(kwargs or {}))
        for made in tree_leaves(result):
            if isinstance(made, Tensor):
                self._meet(made, made_here=True)
        return result

    def _meet(self, tensor: Tensor, *, made_here: bool) -> None:
        storage = tensor.untyped_storage()
        if storage._cdata in self._known:
            return
        size = storage.nbytes() if made_here else 0
        self._known.add(storage._cdata)
        self._now += size
        self.peak = max(self.peak, self._now)
        weakref.finalize(storage, self._let_go, storage._cdata, size)

    def _let_go(self, key: int, size: int) -> None:
        self._known.discard(key)
        self._now -= size
