"""Class probabilities of windows from a trained model."""

from __future__ import annotations

import numpy as np
import torch

from boldformer.models import DecoderModel
from boldformer.training.devices import resolve_bf16, resolve_device
from boldformer.training.source import WindowSource


@torch.inference_mode()
def predict_proba(
    model: DecoderModel,
    windows: WindowSource,
    *,
    batch_size: int = 16,
    times_s: np.ndarray | None = None,
    device: str = "auto",
    precision: str = "auto",
) -> np.ndarray:
    """Probability of each class for each window.

    Parameters
    ----------
    model : DecoderModel
        Moved to the device and back, otherwise unchanged.
    windows : WindowSource
        Windows to decode.
    batch_size : int
        Windows at a time.
    times_s : ndarray, shape (n_times,) or (n_windows, n_times), optional
        Seconds of the frames.
    device, precision : str
        See `resolve_device` and `resolve_bf16`.

    Returns
    -------
    ndarray, shape (n_windows, n_outputs)
        Rows sum to one.
    """
    target = resolve_device(device)
    use_bf16 = resolve_bf16(precision, target)
    home = next(model.parameters()).device
    was_training = model.training
    model.to(target).eval()
    rows = np.array_split(
        np.arange(len(windows)), max(1, -(-len(windows) // batch_size))
    )
    logits = []
    try:
        for indices in rows:
            x = torch.from_numpy(windows.batch(indices)).to(target)
            times = _times_of(times_s, indices)
            with torch.autocast(target.type, torch.bfloat16, enabled=use_bf16):
                logits.append(model(x, times).float().cpu())
    finally:
        model.to(home).train(was_training)
    return torch.cat(logits).double().softmax(dim=1).numpy()


def _times_of(times_s: np.ndarray | None, indices: np.ndarray) -> torch.Tensor | None:
    if times_s is None:
        return None
    times_s = np.asarray(times_s, dtype=np.float32)
    return torch.from_numpy(times_s if times_s.ndim == 1 else times_s[indices])
