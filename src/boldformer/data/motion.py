"""Tables of head motion: fMRIPrep's, old and new, and HCP's."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pandas as pd

from boldformer.data.files import read_text, require_content
from boldformer.data.quality import framewise_displacement
from boldformer.data.recording import Recording
from boldformer.data.tables import numbers, read_table
from boldformer.errors import BadRunError

MOTION = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")
# fMRIPrep up to 1.1 named its columns otherwise.
_OLD_COLUMNS = {
    **dict(zip(("X", "Y", "Z", "RotX", "RotY", "RotZ"), MOTION, strict=True)),
    "FramewiseDisplacement": "framewise_displacement",
}


def read_motion(recording: Recording, n_times: int) -> pd.DataFrame:
    r"""Read head motion, volume by volume.

    Where the table does not bring it, framewise displacement is
    :math:`\sum_i |\Delta t_i| + r \sum_i |\Delta\theta_i|` over the three translations
    and rotations, on a sphere of :math:`r` = 50 mm; zero in the first volume.

    Parameters
    ----------
    recording : Recording
        Run, with or without a confounds table.
    n_times : int
        Volumes of the run.

    Returns
    -------
    DataFrame, n_times rows
        ``trans_x`` … ``trans_z`` (mm), ``rot_x`` … ``rot_z`` (radians) and
        ``framewise_displacement`` (mm), as far as they are known; without columns where
        there is no table.

    Raises
    ------
    BadRunError
        When the table cannot be read, or is not the run's.

    References
    ----------
    Power JD et al. (2012). Spurious but systematic correlations in functional
    connectivity MRI networks arise from subject motion. NeuroImage 59:2142-2154.
    """
    unknown = pd.DataFrame(index=pd.RangeIndex(n_times))
    if recording.confounds is None:
        return unknown
    table = read_motion_columns(recording.confounds)
    check_rows(recording.confounds, table.to_numpy(), n_times)
    if "framewise_displacement" not in table and set(MOTION) <= set(table):
        motion = table[list(MOTION)].to_numpy()
        table["framewise_displacement"] = framewise_displacement(motion)
    return table.fillna(0.0)


def _is_hcp(path: Path) -> bool:
    return path.suffix == ".txt"


def has_only_motion(path: Path) -> bool:
    """Whether only motion can be read: HCP, and fMRIPrep's columns in camel case."""
    return _is_hcp(path) or "RotX" in read_numbers(path).columns


def check_rows(path: Path, values: np.ndarray, n_times: int) -> None:
    """Refuse a table that is not the run's, or has gaps beyond the first volume.

    Derivatives have none there, and neither has framewise displacement.
    """
    if len(values) != n_times:
        raise BadRunError(
            f"{path.name}: not as long as the run",
            wanted=f"{n_times} rows",
            received=f"{len(values)}",
        )
    gaps = np.flatnonzero(~np.isfinite(values[1:]).all(axis=1))
    if len(gaps):
        raise BadRunError(
            f"{path.name}: confounds that are not known for every volume",
            wanted="n/a in the first row only",
            received=f"n/a in row {gaps[0] + 2}",
            fix="choose other groups with --confounds, or none",
        )


def read_motion_columns(path: Path) -> pd.DataFrame:
    """Motion in mm and radians, and framewise displacement, under their new names."""
    if _is_hcp(path):
        return _read_hcp(path)
    table = read_numbers(path).rename(columns=_OLD_COLUMNS)
    known = [name for name in (*MOTION, "framewise_displacement") if name in table]
    return table[known]


def count_marked_non_steady(path: Path | None) -> int:
    """Volumes at the start of a run that fMRIPrep marks as not in a steady state."""
    if path is None or _is_hcp(path):
        return 0
    marks = read_numbers(path).filter(regex="^non_steady_state_outlier")
    return int((marks.fillna(0) != 0).any(axis=1).cumprod().sum())


def read_numbers(path: Path) -> pd.DataFrame:
    """Read a table of confounds, all of whose cells are numbers or missing."""
    require_content(path)
    state = path.stat()
    return _numbers_as_of(path, state.st_mtime_ns, state.st_size).copy()


# Three readers ask for the same table of a run, one after the other.
@functools.lru_cache(maxsize=2)
def _numbers_as_of(path: Path, mtime_ns: int, size: int) -> pd.DataFrame:
    table = read_table(path)
    return pd.DataFrame({name: numbers(path, table[name]) for name in table})


def _read_hcp(path: Path) -> pd.DataFrame:
    """Read translations in mm and rotations in degrees, leaving their derivatives."""
    lines = read_text(path).splitlines()
    try:
        values = np.loadtxt(lines, ndmin=2)
    except ValueError as error:
        raise BadRunError(f"{path.name} cannot be read", received=str(error)) from None
    if not np.isfinite(values).all():
        row = int(np.argwhere(~np.isfinite(values))[0][0]) + 1
        raise BadRunError(f"{path.name}: no finite number in row {row}")
    if values.shape[1] not in (6, 12):
        raise BadRunError(
            f"{path.name}: not motion parameters as HCP writes them",
            wanted="12 columns",
            received=f"{values.shape[1]}",
        )
    table = pd.DataFrame(values[:, :6], columns=list(MOTION))
    table[list(MOTION[3:])] = np.deg2rad(table[list(MOTION[3:])])
    return table
