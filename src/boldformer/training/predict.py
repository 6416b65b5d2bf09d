"""Class probabilities of windows from a trained model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from boldformer.models import DecoderModel
from boldformer.training.devices import resolve_bf16, resolve_device
from boldformer.training.source import WindowSource


def predict_proba(model: DecoderModel, windows: WindowSource, **how: Any) -> np.ndarray:
    """Probability of each class for each window.

    Parameters
    ----------
    model : DecoderModel
        Moved to the device and back, otherwise unchanged.
    windows : WindowSource
        Windows to decode.
    **how
        ``batch_size``: windows at a time, 16 by default; ``times_s``: seconds of the
        frames, (n_times,) or (n_windows, n_times); ``device`` and ``precision``: see
        `resolve_device` and `resolve_bf16`.

    Returns
    -------
    ndarray, shape (n_windows, n_outputs)
        Rows sum to one.
    """
    whole = _predict(model, windows, lambda x, times: {"": model(x, times)}, **how)
    return whole[""]


def predict_parts(
    model: DecoderModel, windows: WindowSource, **how: Any
) -> dict[str, np.ndarray]:
    """Probabilities by each part of a model alone; see `DecoderModel.part_logits`.

    Parameters
    ----------
    model, windows, **how
        As for `predict_proba`.

    Returns
    -------
    dict of str to ndarray, shape (n_windows, n_outputs)
        Empty for a model that is one part.
    """
    return _predict(model, windows, model.part_logits, **how)


@torch.inference_mode()
def _predict(
    model: DecoderModel,
    windows: WindowSource,
    logits_of: Callable[[torch.Tensor, torch.Tensor | None], dict[str, torch.Tensor]],
    *,
    batch_size: int = 16,
    times_s: np.ndarray | None = None,
    device: str = "auto",
    precision: str = "auto",
) -> dict[str, np.ndarray]:
    target = resolve_device(device)
    use_bf16 = resolve_bf16(precision, target)
    home = next(model.parameters()).device
    was_training = model.training
    model.to(target).eval()
    rows = np.array_split(
        np.arange(len(windows)), max(1, -(-len(windows) // batch_size))
    )
    found: dict[str, list[torch.Tensor]] = {}
    try:
        for indices in rows:
            x = torch.from_numpy(windows.batch(indices)).to(target)
            times = _times_of(times_s, indices)
            with torch.autocast(target.type, torch.bfloat16, enabled=use_bf16):
                given = logits_of(x, times)
            for name, logits in given.items():
                found.setdefault(name, []).append(logits.float().cpu())
            if not given:
                break
    finally:
        model.to(home).train(was_training)
    return {
        name: torch.cat(parts).double().softmax(dim=1).numpy()
        for name, parts in found.items()
    }


def _times_of(times_s: np.ndarray | None, indices: np.ndarray) -> torch.Tensor | None:
    if times_s is None:
        return None
    times_s = np.asarray(times_s, dtype=np.float32)
    return torch.from_numpy(times_s if times_s.ndim == 1 else times_s[indices])
