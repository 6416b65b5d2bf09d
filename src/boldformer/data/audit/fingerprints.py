"""Runs that are the same scan, re-saved, resampled, cropped or cleaned otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from boldformer.data.store import PreparedRun

# Measured in docs/audit.md. At the first, two runs are one scan; they may be where
# they are so much more alike than runs of their cohort are, which may share a design.
SAME_SCAN = 0.9
SIMILAR = 0.3
ENOUGH_FRAMES = 60

BLOCK_MM = 12.0
# Frames nearer than this resemble each other in every run.
_LEAST_LAG = 3
# Longer runs are compared over their first and their last frames.
_MOST_FRAMES = 256
# Dummy scans and the like: what one copy may lack at its begin or end.
_MOST_MISSING = 10
_FEWEST_FRAMES = 20
_FEWEST_CUBES = 10
_CUBES_AT_ONCE = 64
_HALF_SPAN = 1 << 20


@dataclass(frozen=True)
class Copy:
    """Two runs that resemble each other as only one scan resembles itself.

    Parameters
    ----------
    first, second : str
        Their names.
    similarity : float
        1 for the same content; see `find_copies`.
    certain : bool
        Whether it reaches `SAME_SCAN`, which no two scans measured do.
    """

    first: str
    second: str
    similarity: float
    certain: bool


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """Time courses of a run in cubes of `BLOCK_MM` that world coordinates fix.

    Parameters
    ----------
    cubes : ndarray of int, shape (n_cubes,)
        Which cubes, ascending; equal numbers are equal places in every run.
    courses : ndarray of float32, shape (n_times, n_cubes)
        Mean over the voxels of each cube, every voxel with the weight that eight bits
        gave it.
    """

    cubes: np.ndarray
    courses: np.ndarray


def fingerprint(run: PreparedRun) -> Fingerprint:
    """Average a prepared run over cubes of `BLOCK_MM`."""
    at = np.array(np.unravel_index(run.voxels, run.grid.shape))
    affine = run.grid.matrix
    world_mm = affine[:3, :3] @ at + affine[:3, 3:]
    places = np.floor(world_mm / BLOCK_MM).astype(np.int64) + _HALF_SPAN
    x, y, z = places
    codes = (x << 42) | (y << 21) | z
    cubes, cube_of, counts = np.unique(codes, return_inverse=True, return_counts=True)
    sums = [
        np.bincount(cube_of, weights=frame, minlength=len(cubes))
        for frame in run.stored
    ]
    return Fingerprint(cubes, (np.array(sums) / counts).astype(np.float32))


def find_copies(runs: Mapping[str, PreparedRun]) -> list[Copy]:
    r"""List pairs of runs that are, or may be, one and the same scan.

    What tells a scan is its noise, so slow signals, which a shared design brings about,
    are weakened by taking differences :math:`d_t` between frames. Two similarities are
    then taken, and the larger one counts:

    - *frames*: the correlation between the runs' matrices
      :math:`\langle \hat d_t, \hat d_{t'} \rangle` of similarity between frames,
      :math:`|t-t'| \ge 3` [1]_. It knows no places, so it stays under any resampling,
      crop, shift or flip.
    - *places*: the mean correlation over time between cubes at the same place, less
      the mean over cubes. It stays when confounds that all cubes share were removed
      from one copy only.

    A pair of `SAME_SCAN` or more is certain to be one scan. A pair that exceeds the
    median over pairs by `SIMILAR` may be one, in runs of at least `ENOUGH_FRAMES`.

    Runs that differ by up to ten frames are compared from their first and from their
    last frame on, since a copy may lack dummy scans.

    Parameters
    ----------
    runs : mapping of str to PreparedRun
        Runs by name; grids may differ.

    Returns
    -------
    list of Copy
        The most similar first.

    References
    ----------
    .. [1] Kriegeskorte, Mur & Bandettini (2008). Representational similarity analysis.
       Frontiers in Systems Neuroscience 2:4, doi:10.3389/neuro.06.004.2008.
    """
    prints = {name: fingerprint(run) for name, run in runs.items()}
    best: dict[tuple[str, str], float] = {}
    for names, part in _comparable(prints):
        parts = [
            Fingerprint(prints[name].cubes, prints[name].courses[part])
            for name in names
        ]
        found = np.fmax(_by_frames(parts), _by_places(parts))
        typical = np.median(found[np.triu_indices(len(names), 1)])
        close = found >= min(SAME_SCAN, typical + SIMILAR)
        for i, j in np.argwhere(np.triu(close, 1)):
            pair = (names[i], names[j])
            best[pair] = max(best.get(pair, 0.0), float(found[i, j]))
    copies = [
        Copy(*pair, round(value, 3), value >= SAME_SCAN)
        for pair, value in best.items()
        if value >= SAME_SCAN
        or min(runs[name].n_times for name in pair) >= ENOUGH_FRAMES
    ]
    return sorted(copies, key=lambda copy: -copy.similarity)


def _comparable(
    prints: Mapping[str, Fingerprint],
) -> Iterator[tuple[list[str], slice]]:
    """Yield runs of about one length, and which of their frames to compare."""
    lengths = {name: len(p.courses) for name, p in prints.items()}
    for shortest in sorted(set(lengths.values())):
        longest = shortest + _MOST_MISSING
        names = [n for n, length in lengths.items() if shortest <= length <= longest]
        if shortest < _FEWEST_FRAMES or len(names) < 2:
            continue
        n_frames = min(shortest, _MOST_FRAMES)
        yield names, slice(0, n_frames)
        if any(lengths[name] > n_frames for name in names):
            yield names, slice(-n_frames, None)


def _by_frames(parts: Sequence[Fingerprint]) -> np.ndarray:
    """Correlate how similar each two frames are, (n_runs, n_runs)."""
    n_frames = len(parts[0].courses) - 1
    later = np.triu_indices(n_frames, _LEAST_LAG)
    profiles = np.empty((len(parts), len(later[0])), dtype=np.float32)
    for profile, part in zip(profiles, parts, strict=True):
        changes = _changes(part.courses)
        profile[:] = (changes @ changes.T)[later]
    profiles = _unit(profiles.T)
    return profiles.T @ profiles


def _by_places(parts: Sequence[Fingerprint]) -> np.ndarray:
    """Correlate runs over time, cube by cube; NaN where too few cubes are shared."""
    cubes = np.unique(np.concatenate([part.cubes for part in parts]))
    inside = np.array([np.isin(cubes, part.cubes) for part in parts])
    changes = [_changes(p.courses - p.courses.mean(1, keepdims=True)) for p in parts]
    total = np.zeros((len(parts), len(parts)))
    for start in range(0, len(cubes), _CUBES_AT_ONCE):
        some = cubes[start : start + _CUBES_AT_ONCE]
        dense = np.zeros((len(parts), len(some), len(changes[0])), dtype=np.float32)
        for row, part, change in zip(dense, parts, changes, strict=True):
            row[np.isin(some, part.cubes)] = change.T[np.isin(part.cubes, some)]
        flat = dense.reshape(len(parts), -1)
        total += flat @ flat.T
    shared = inside.astype(float) @ inside.T
    return np.where(shared >= _FEWEST_CUBES, total / np.maximum(shared, 1), np.nan)


def _changes(courses: np.ndarray) -> np.ndarray:
    return _unit(np.diff(courses, axis=0))


def _unit(columns: np.ndarray) -> np.ndarray:
    """Centre columns and give them unit length; constant ones become zero."""
    centred = columns - columns.mean(axis=0)
    length = np.linalg.norm(centred, axis=0)
    return centred / np.where(length > 0, length, 1)
