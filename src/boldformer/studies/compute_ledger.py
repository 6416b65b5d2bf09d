"""The compute ledger: what models cost for a volume, a window, a run and a second."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from boldformer.evaluation.compute import FLOP_PER_MAC, Compute, compute_of
from boldformer.evaluation.latency import BUDGET_S, N_REPEATS, Latency, measure_latency
from boldformer.models import create
from boldformer.training.devices import local_seed, resolve_device

logger = logging.getLogger(__name__)

# Frames of the window that a publication fixes: its model reads frames as channels, or
# single volumes. The others read any number and get eight, a block of 16 s at 2 s.
_FRAMES = {"deepbrain": 27, "reference": 1, "reference_deepbrain": 1}
_ANY_FRAMES = 8

_COUNTED = """\
MAC: multiply-adds of matrix products, convolutions and attention products of the
forward pass itself, as torch.utils.flop_counter counts them; 1 MAC = 2 FLOP. Pointwise
work, normalisation, softmax and moving data are not counted.
Run: {n_times} volumes of {shape}, one every {t_r:g} s, each read once, in windows that
share no volume. Volume and second: their shares of a run. Batch: {batch}.
Memory: the most that the tensors made by a step of one batch hold at a time, in 32-bit
floats; weights, input, optimizer and working space of the libraries come on top."""

_TIMED = """\
Time: median of up to {repeats} steps of one batch in 32-bit floats, after a warm-up, on
{device}. A training step is forward, backward and AdamW's update."""


@dataclass(frozen=True)
class LedgerEntry:
    """What one model costs.

    Parameters
    ----------
    model : str
        Name in the registry.
    volume_shape : tuple of int
        ``(x, y, z)`` of a volume.
    n_outputs : int
        Classes.
    compute : Compute
        Counts.
    latency : Latency, optional
        Measured times.
    """

    model: str
    volume_shape: tuple[int, int, int]
    n_outputs: int
    compute: Compute
    latency: Latency | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: a row of ``boldformer ledger --json`` (see docs/ledger.md)."""
        counted, timed = self.compute, self.latency
        mac = {
            "volume": round(counted.mac_per_volume),
            "window": counted.mac_per_window,
            "batch": counted.mac_per_batch,
            "run": counted.mac_per_run,
            "second": round(counted.mac_per_second),
        }
        return {
            "model": self.model,
            "parameters": counted.parameters,
            **{f"mac_per_{unit}": value for unit, value in mac.items()},
            **{f"flop_per_{unit}": FLOP_PER_MAC * n for unit, n in mac.items()},
            "forward_bytes": counted.forward_bytes,
            "training_bytes": counted.training_bytes,
            "forward_s": timed and timed.forward_s,
            "training_s": timed and timed.training_s,
            "volume_shape": list(self.volume_shape),
            "n_outputs": self.n_outputs,
            "n_times": counted.n_times,
            "t_r": counted.t_r,
            "window_frames": counted.window_frames,
            "windows_per_run": counted.n_windows,
            "last_window_frames": counted.last_frames,
            "batch_size": counted.batch_size,
            "device": timed and timed.device,
            "remarks": list(timed.remarks) if timed else [],
        }


def compute_ledger(
    models: Sequence[str],
    *,
    volume_shape: tuple[int, int, int],
    n_times: int,
    n_outputs: int = 4,
    window_frames: int | None = None,
    t_r: float = 2.0,
    parameters: dict[str, Any] | None = None,
    batch_size: int = 1,
    latency: bool = True,
    device: str = "auto",
    budget_s: float = BUDGET_S,
) -> list[LedgerEntry]:
    """Count and time models on volumes of one shape.

    Parameters
    ----------
    models : sequence of str
        Names in the registry.
    volume_shape : tuple of int
        ``(x, y, z)``.
    n_times : int
        Volumes of a run.
    n_outputs : int
        Classes.
    window_frames : int, optional
        Frames of a window; by default those of the model's publication where it fixes
        them, else eight.
    t_r : float
        Seconds between volumes.
    parameters : dict, optional
        Parameters of the models, of every one of them.
    batch_size : int
        Windows in a batch.
    latency : bool
        Whether to time them.
    device : {"auto", "cpu", "cuda"}
        Where to time them.
    budget_s : float
        Seconds that the steps of one measurement may take. What is known to take
        longer, or more memory than is free, is not begun, and a remark says so.

    Raises
    ------
    InputError
        For an unknown model, parameter or device, or sizes that no model takes.
    """
    where = resolve_device(device)
    entries = []
    for name in models:
        logger.info("%s", name)
        frames = window_frames
        if frames is None:
            frames = _FRAMES.get(name, _ANY_FRAMES)
        with local_seed(0):
            model = create(
                name,
                n_outputs=n_outputs,
                n_times=frames,
                volume_shape=volume_shape,
                **(parameters or {}),
            )
            compute = compute_of(
                model,
                n_times=n_times,
                window_frames=frames,
                t_r=t_r,
                batch_size=batch_size,
            )
            timed = None
            if latency:
                timed = measure_latency(model, compute, where, budget_s=budget_s)
        entries.append(LedgerEntry(name, model.volume_shape, n_outputs, compute, timed))
    return entries


# --- for a person -----------------------------------------------------------------


def ledger_text(entries: Sequence[LedgerEntry]) -> str:
    """Lay a ledger out: a row a quantity, a column a model, then what was counted."""
    timed = entries[0].latency is not None
    columns = [[""], *([entry.model] for entry in entries)]
    for title, key, unit in _ROWS:
        if timed or not key.endswith("_s"):
            cells = (_cell(entry.to_dict()[key], unit) for entry in entries)
            for column, cell in zip(columns, (title, *cells), strict=True):
                column.append(cell)
    for column, entry in zip(columns[1:], entries, strict=True):
        column.insert(3, _windows(entry.compute))
    columns[0].insert(3, "windows a run")
    widths = [max(map(len, column)) for column in columns]
    lines = [
        "  ".join([title.ljust(widths[0]), *map(str.rjust, cells, widths[1:])])
        for title, *cells in zip(*columns, strict=True)
    ]
    remarks = [
        f"{entry.model}: {remark}"
        for entry in entries
        for remark in entry.to_dict()["remarks"]
    ]
    return "\n".join([*lines, "", *remarks, *_notes(entries[0])])


_ROWS = (
    ("parameters", "parameters", 1),
    ("frames a window", "window_frames", 1),
    *(
        (f"G{kind}, a {unit}", f"{kind.lower()}_per_{unit}", 1e9)
        for kind in ("MAC", "FLOP")
        for unit in ("volume", "window", "batch", "run", "second")
    ),
    ("forward memory, MB", "forward_bytes", 1e6),
    ("training memory, MB", "training_bytes", 1e6),
    ("forward time, ms", "forward_s", 1e-3),
    ("training time, ms", "training_s", 1e-3),
)


def _windows(counted: Compute) -> str:
    if counted.last_frames == counted.window_frames:
        return str(counted.n_windows)
    return f"{counted.n_windows - 1} + 1 of {counted.last_frames}"


def _cell(value: float | None, unit: float) -> str:
    """Write a number in its unit: whole, or with four digits that count."""
    if value is None:
        return "–"
    if unit == 1:
        return f"{value:,}"
    scaled = value / unit
    before_point = math.floor(math.log10(scaled)) + 1 if scaled > 0 else 1
    return f"{scaled:,.{max(0, 4 - before_point)}f}"


def _notes(entry: LedgerEntry) -> list[str]:
    counted = entry.compute
    batch = f"{counted.batch_size} window" + "s" * (counted.batch_size > 1)
    notes = [
        _COUNTED.format(
            n_times=counted.n_times,
            shape="×".join(map(str, entry.volume_shape)),
            t_r=counted.t_r,
            batch=batch,
        )
    ]
    if entry.latency is not None:
        notes.append(_TIMED.format(repeats=N_REPEATS, device=entry.latency.device))
    return notes
