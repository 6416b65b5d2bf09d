"""The contract of a step along time: what it is given, and the forms it has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class RunContext:
    """What a step may need to know of the run it works on.

    Parameters
    ----------
    t_r : float
        Repetition time, seconds.
    confounds : ndarray, shape (n_times, n_confounds), optional
        Confound time series of the run, where it has them.
    frame_numbers : ndarray of int, shape (n_times,), optional
        Position of each frame in the complete run, rising, where frames are missing.
    bad : ndarray of bool, shape (n_times,), optional
        Frames that are scrubbed: they inform no estimate.
    """

    t_r: float
    confounds: np.ndarray | None = None
    frame_numbers: np.ndarray | None = None
    bad: np.ndarray | None = None

    @property
    def good(self) -> np.ndarray | None:
        """Frames that inform estimates, (n_times,); None where all of them do."""
        if self.bad is None or not np.any(self.bad):
            return None
        return ~np.asarray(self.bad, dtype=bool)

    @property
    def has_gaps(self) -> bool:
        """Whether frames are missing between others."""
        return self.frame_numbers is not None and bool(
            np.any(np.diff(self.frame_numbers) != 1)
        )

    def positions(self, n_times: int) -> np.ndarray:
        """Count the volumes scanned from the first frame to each frame.

        Parameters
        ----------
        n_times : int
            Frames of the run.

        Returns
        -------
        ndarray of int, shape (n_times,)
            Begins with 0.
        """
        if self.frame_numbers is None:
            return np.arange(n_times)
        numbers = np.asarray(self.frame_numbers)
        return numbers - numbers[0]

    def frames(self, n_times: int) -> Iterator[Frame]:
        """Tell the run volume by volume, as a scanner would.

        Parameters
        ----------
        n_times : int
            Frames of the run.

        Yields
        ------
        Frame
        """
        n_missed = np.diff(self.positions(n_times), prepend=-1) - 1
        for time in range(n_times):
            yield Frame(
                None if self.confounds is None else self.confounds[time],
                self.bad is not None and bool(self.bad[time]),
                int(n_missed[time]),
            )


@dataclass(frozen=True)
class Frame:
    """What a causal twin is told of one volume.

    Parameters
    ----------
    confounds : ndarray, shape (n_confounds,), optional
        Confounds at this volume.
    bad : bool
        The volume is scrubbed: it informs no estimate.
    n_missed : int
        Volumes lost just before it.
    """

    confounds: np.ndarray | None = None
    bad: bool = False
    n_missed: int = 0


class CausalStep(Protocol):
    """A step with a memory, fed one volume at a time."""

    def update(self, volume: np.ndarray, frame: Frame) -> np.ndarray:
        """Take the next volume in and return what the step makes of it.

        Parameters
        ----------
        volume : ndarray of float32, shape (n_voxels,)
            Left as it is.
        frame : Frame

        Returns
        -------
        ndarray of float32, shape (n_voxels,)
        """
        ...


@dataclass(frozen=True)
class Step:
    """A step along time in its three forms, all of them voxel by voxel.

    Parameters
    ----------
    batch : callable
        ``batch(data, run, **settings)`` sees the whole run: ``data`` (n_times,
        n_voxels) in, new data of the same shape and type out.
    causal : callable
        ``causal(data, run, **settings)``: each volume of the result depends on that
        volume and earlier ones only.
    twin : callable
        ``twin(t_r, **settings)`` makes the `CausalStep` that gives the rows of
        ``causal`` one by one.
    meaning : str
        What it does, for a reader: an imperative sentence.
    regular : bool
        ``batch`` needs evenly spaced frames. (Causal forms cope with gaps.)
    ordered : bool
        The step uses the order of frames in time; others also suit maps in no order.
    """

    batch: Callable[..., np.ndarray]
    causal: Callable[..., np.ndarray]
    twin: Callable[..., CausalStep]
    meaning: str
    regular: bool = False
    ordered: bool = True


def replay(twin: CausalStep, data: np.ndarray, run: RunContext) -> np.ndarray:
    """Feed a run to a causal twin volume by volume.

    Parameters
    ----------
    twin : CausalStep
        Fresh, for it keeps its memory.
    data : ndarray, shape (n_times, n_voxels)
    run : RunContext

    Returns
    -------
    ndarray, shape (n_times, n_voxels)
        Of the type of `data`.
    """
    result = np.empty_like(data)
    for time, frame in enumerate(run.frames(data.shape[0])):
        result[time] = twin.update(data[time], frame)
    return result
