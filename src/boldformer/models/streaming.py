"""Decoding a run volume by volume, as a model would decode its windows."""

from __future__ import annotations

import math
from collections import deque

import numpy as np
import torch
from torch import Tensor

from boldformer.errors import InputError
from boldformer.models.base import DecoderModel
from boldformer.models.encoding import TokenModel

# Shape suffixes: T frames  G groups of frames  C channels  X, Y, Z voxels
# D width of a token  K classes


class Stream:
    """A model at work on one run: every volume in, the last window's logits out.

    The logits are those of the model on the window of the last `n_times` volumes
    pushed, at their times. A volume that was lost is not pushed: the window then
    reaches further back, and the times say so. What is kept does not grow.

    Parameters
    ----------
    model : DecoderModel
        Put into evaluation mode, on whichever device it is; its weights must stay as
        they are while the stream is used.
    n_times : int, optional
        Volumes of a window; the model's own number by default.

    Raises
    ------
    InputError
        When `n_times` is not positive.
    """

    def __init__(self, model: DecoderModel, n_times: int | None = None) -> None:
        n_times = model.n_times if n_times is None else n_times
        if n_times < 1:
            raise InputError(
                "a stream cannot have this window",
                wanted="n_times of at least 1",
                received=str(n_times),
            )
        self.model = model.eval()
        self.n_times = n_times
        self._times_s: deque[float] = deque(maxlen=n_times)

    @property
    def n_frames(self) -> int:
        """Volumes of the window seen so far, at most `n_times`."""
        return len(self._times_s)

    @property
    def n_bytes(self) -> int:
        """Memory of what is kept of the volumes, bytes."""
        return sum(kept.nbytes for kept in self._kept())

    @torch.inference_mode()
    def push(self, volume: Tensor | np.ndarray, time_s: float) -> Tensor | None:
        """Take the next volume.

        Parameters
        ----------
        volume : Tensor or ndarray, shape (x, y, z)
            Normalised BOLD; ``(in_channels, x, y, z)`` when `in_channels` is not 1.
        time_s : float
            Its time in seconds from any origin, later than the last one's.

        Returns
        -------
        Tensor of shape (n_outputs,), or None
            Logits, on the model's device; None until `n_times` volumes have come.

        Raises
        ------
        InputError
            For a volume of another shape or with values that are not finite, and for a
            time that is not later than the last. The stream is then as it was before.
        """
        x_CXYZ = self._checked(volume, time_s)
        self._times_s.append(float(time_s))
        self._take(x_CXYZ)
        return self._logits() if self.n_frames == self.n_times else None

    def reset(self) -> None:
        """Forget all volumes, as before a new run."""
        self._times_s.clear()

    def _kept(self) -> list[Tensor]:
        """All that is kept of the volumes."""
        raise NotImplementedError

    def _take(self, x_CXYZ: Tensor) -> None:
        """Keep what is needed of a volume."""
        raise NotImplementedError

    def _logits(self) -> Tensor:
        """Logits of the window kept, (n_outputs,)."""
        raise NotImplementedError

    def _window_times(self) -> Tensor:
        """Seconds since the window's first frame, (T,)."""
        # Subtracted before rounding to 32 bits: the origin may be hours ago.
        times_s = [time_s - self._times_s[0] for time_s in self._times_s]
        return torch.tensor(times_s, device=_weight_of(self.model).device)

    def _checked(self, volume: Tensor | np.ndarray, time_s: float) -> Tensor:
        weight, model = _weight_of(self.model), self.model
        # A copy: the caller may write the next volume into the same memory.
        x_CXYZ = torch.asarray(
            volume, dtype=weight.dtype, device=weight.device, copy=True
        )
        if model.in_channels == 1 and x_CXYZ.ndim == 3:
            x_CXYZ = x_CXYZ.unsqueeze(0)
        wanted = (model.in_channels, *model.volume_shape)
        if tuple(x_CXYZ.shape) != wanted:
            raise InputError(
                "this volume does not fit the model",
                wanted=f"shape {model.volume_shape if wanted[0] == 1 else wanted}",
                received=f"shape {tuple(volume.shape)}",
                fix="prepare the recording with the model's volume_shape",
            )
        if not torch.isfinite(x_CXYZ).all():
            raise InputError(
                "this volume has values that are not finite",
                wanted="finite numbers",
                received=f"{int((~torch.isfinite(x_CXYZ)).sum())} NaN or infinite ones",
                fix="leave the volume out",
            )
        last_s = self._times_s[-1] if self._times_s else -math.inf
        if not last_s < time_s < math.inf:
            raise InputError(
                "this volume is not later than the last one",
                wanted=f"a time after {last_s:g} s",
                received=f"{time_s:g} s",
                fix="push volumes in order; call reset() before a new run",
            )
        return x_CXYZ


class WindowStream(Stream):
    """Streaming form of any model: the last volumes are kept and read as a window.

    A volume is read again in every window that it is part of, so it costs what a
    window costs.
    """

    def __init__(self, model: DecoderModel, n_times: int | None = None) -> None:
        super().__init__(model, n_times)
        self._volumes: deque[Tensor] = deque(maxlen=self.n_times)

    def reset(self) -> None:
        """Forget all volumes, as before a new run."""
        super().reset()
        self._volumes.clear()

    def _kept(self) -> list[Tensor]:
        return list(self._volumes)

    def _take(self, x_CXYZ: Tensor) -> None:
        self._volumes.append(x_CXYZ)

    def _logits(self) -> Tensor:
        x_TCXYZ = torch.stack(list(self._volumes))
        x = x_TCXYZ.squeeze(1) if self.model.in_channels == 1 else x_TCXYZ
        return self.model(x.unsqueeze(0), self._window_times())[0]


class TokenStream(Stream):
    """Streaming form of models that encode each group of frames by itself.

    A window is cut into groups of ``n = model.frames_per_token`` frames from its first
    frame on. When it moves on by a volume, all its groups do: their means are those of
    n volumes in a row that ended a multiple of n volumes ago. The mean of the last n
    volumes is therefore encoded once, when the last of them comes, and its token used
    again n, 2n, … volumes later. Where n does not divide `n_times`, the r volumes left
    over are a shorter group at the window's end, which moves on with every volume and
    is encoded each time beside the other. The skip path is linear, so what it gives for
    each volume is cached too.

    A volume costs one or two encoded volumes, however long the window.

    Attributes
    ----------
    n_tokens : int
        Tokens in the cache: at most ``n_times - n + 1``.
    """

    model: TokenModel

    def __init__(self, model: TokenModel, n_times: int | None = None) -> None:
        super().__init__(model, n_times)
        self._size = size = model.frames_per_token
        self._recent: deque[Tensor] = deque(maxlen=min(size, self.n_times))
        # The last one stands for the n volumes up to the newest.
        self._tokens: deque[Tensor] = deque(maxlen=max(self.n_times - size + 1, 0))
        self._skips: deque[Tensor] = deque(maxlen=self.n_times)

    @property
    def n_tokens(self) -> int:
        """Tokens in the cache."""
        return len(self._tokens)

    def reset(self) -> None:
        """Forget all volumes, as before a new run."""
        super().reset()
        for kept in (self._recent, self._tokens, self._skips):
            kept.clear()

    def _kept(self) -> list[Tensor]:
        return [*self._recent, *self._tokens, *self._skips]

    def _take(self, x_CXYZ: Tensor) -> None:
        self._recent.append(x_CXYZ)
        if len(self._recent) == self._size:
            self._tokens.append(self._token_of_last(self._size))
        if self.model.skip is not None:
            self._skips.append(self.model.skip(x_CXYZ.flatten()))

    def _logits(self) -> Tensor:
        n_left = self.n_times % self._size
        ago = range(self.n_times - self._size, n_left - 1, -self._size)
        tokens = [self._tokens[-1 - n_frames] for n_frames in ago]
        if n_left:
            tokens.append(self._token_of_last(n_left))
        tokens_BGD = torch.stack(tokens).unsqueeze(0)
        groups = self._window_times().split(self._size)
        times_BG = torch.stack([group.mean() for group in groups]).unsqueeze(0)
        real_BG = torch.ones_like(times_BG, dtype=torch.bool)
        model = self.model
        logits_K = model.forward_head(model.mix(tokens_BGD, times_BG, real_BG))[0]
        if model.skip is None:
            return logits_K
        return logits_K + torch.stack(list(self._skips)).mean(dim=0)

    def _token_of_last(self, n_frames: int) -> Tensor:
        """Token of the mean of the last volumes, (D,)."""
        x_CXYZ = torch.stack(list(self._recent)[-n_frames:]).mean(dim=0)
        return self.model.encode(x_CXYZ.unsqueeze(0))[0]


def open_stream(model: DecoderModel, n_times: int | None = None) -> Stream:
    """Decode a run volume by volume, each window as the model itself would.

    Parameters
    ----------
    model, n_times
        See `Stream`.

    Returns
    -------
    Stream
        Models whose tokens depend on one volume each encode each only once
        (`TokenStream`); the others read the whole window at every volume
        (`WindowStream`).
    """
    kind = TokenStream if isinstance(model, TokenModel) else WindowStream
    return kind(model, n_times)  # type: ignore[arg-type]


def _weight_of(model: DecoderModel) -> Tensor:
    return next(model.parameters())
