"""Confounds and head motion of a run: fMRIPrep's tables, old and new, and HCP's."""

from __future__ import annotations

import contextlib
import functools
import inspect
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from nilearn.interfaces.fmriprep import load_confounds

from boldformer.data.files import is_named, read_text, require_content
from boldformer.data.quality import framewise_displacement
from boldformer.data.recording import Recording
from boldformer.data.tables import numbers, read_table
from boldformer.errors import BadRunError, InputError, did_you_mean

MOTION = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")
_MOTION_GROUPS = ("motion", "motion24")
_GROUPS = (
    *_MOTION_GROUPS,
    "wm_csf",
    "global_signal",
    "compcor",
    "ica_aroma",
    "tedana",
    "high_pass",
)
# fMRIPrep up to 1.1 named its columns otherwise.
_OLD_COLUMNS = {
    **dict(zip(("X", "Y", "Z", "RotX", "RotY", "RotZ"), MOTION, strict=True)),
    "FramewiseDisplacement": "framewise_displacement",
}


def read_confounds(
    recording: Recording,
    groups: Sequence[str],
    options: Mapping[str, Any],
    n_times: int,
) -> np.ndarray | None:
    """Read groups of confounds, one regressor a column.

    Parameters
    ----------
    recording : Recording
        Run with a confounds table.
    groups : sequence of str
        ``motion`` (six parameters), ``motion24`` (with derivatives and squares), and
        for tables of fMRIPrep from 1.2 on nilearn's ``wm_csf``, ``global_signal``,
        ``compcor``, ``ica_aroma``, ``tedana`` and ``high_pass``. Tables that hold
        nothing but motion (HCP, fMRIPrep before 1.2) give what they have of these.
    options : mapping
        Further arguments of ``nilearn.interfaces.fmriprep.load_confounds``.
    n_times : int
        Volumes of the run.

    Returns
    -------
    ndarray, shape (n_times, n_confounds), or None
        None where no group is asked for or the run has no table.

    Raises
    ------
    InputError
        For a group or an option that no table could have.
    BadRunError
        When the run's table lacks a group, or is not as long as the run.

    References
    ----------
    Friston KJ et al. (1996). Movement-related effects in fMRI time-series. Magnetic
    Resonance in Medicine 35:346-355 (the 24 regressors).
    """
    check_confound_groups(groups, options)
    if not groups or recording.confounds is None:
        return None
    path = recording.confounds
    if _has_only_motion(path):
        values = _motion_regressors(path, groups, options)
    else:
        values = _nilearn_confounds(path, groups, options)
    _check_rows(path, values, n_times)
    return np.nan_to_num(values)


def _check_rows(path: Path, values: np.ndarray, n_times: int) -> None:
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
    table = _read_motion_columns(recording.confounds)
    _check_rows(recording.confounds, table.to_numpy(), n_times)
    if "framewise_displacement" not in table and set(MOTION) <= set(table):
        motion = table[list(MOTION)].to_numpy()
        table["framewise_displacement"] = framewise_displacement(motion)
    return table.fillna(0.0)


def check_confound_groups(groups: Sequence[str], options: Mapping[str, Any]) -> None:
    """Refuse groups and options that no table could have; name the nearest.

    Raises
    ------
    InputError
        For the first of them.
    """
    known = {
        "group of confounds": (groups, _GROUPS),
        "option of confounds": (options, tuple(_options())),
    }
    for what, (asked, names) in known.items():
        for name in asked:
            if name not in names:
                scrub = name in ("scrub", "non_steady_state")
                fix = "volumes are scrubbed and dropped by steps of their own"
                raise InputError(
                    f"unknown {what} {name!r}",
                    wanted=f"one of {', '.join(names)}",
                    fix=fix if scrub else did_you_mean(name, names),
                )


def _options() -> list[str]:
    parameters = inspect.signature(load_confounds).parameters
    ours = ("img_files", "strategy", "scrub", "fd_threshold", "std_dvars_threshold")
    return [name for name in parameters if name not in ours]


def _nilearn_confounds(
    path: Path, groups: Sequence[str], options: Mapping[str, Any]
) -> np.ndarray:
    strategy = dict.fromkeys(group.replace("motion24", "motion") for group in groups)
    arguments = {"motion": _motion_level(groups), **options}
    try:
        with _alone(path) as image:
            table, _ = load_confounds(str(image), strategy=tuple(strategy), **arguments)
        values = np.asarray(table, dtype=np.float64)
    except Exception as error:  # nilearn raises several kinds for missing columns
        raise BadRunError(
            f"{path.name}: confounds cannot be loaded",
            wanted=f"the groups {', '.join(groups)}",
            received=(str(error).splitlines() or [type(error).__name__])[0][:160],
            fix="choose other groups with --confounds, or none",
        ) from None
    return values


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[Path]:
    """Yield the name of an image whose only confounds, as nilearn looks, are these.

    nilearn goes from an image's name to a table; which one that is was found already.
    """
    with tempfile.TemporaryDirectory(prefix="boldformer-") as folder:
        stem = Path(folder) / "sub-1_task-1"
        for file in (path, path.with_suffix(".json")):
            if is_named(file):
                link = f"{stem.name}_desc-confounds_timeseries{file.suffix}"
                stem.with_name(link).symlink_to(file.absolute())
        yield stem.with_name(f"{stem.name}_space-X_desc-preproc_bold.nii.gz")


# --- tables of head motion alone --------------------------------------------------


def _is_hcp(path: Path) -> bool:
    return path.suffix == ".txt"


def _has_only_motion(path: Path) -> bool:
    """Whether only motion can be read: HCP, and fMRIPrep's columns in camel case."""
    return _is_hcp(path) or "RotX" in _read_numbers(path).columns


def _motion_level(groups: Sequence[str]) -> str:
    return "full" if "motion24" in groups else "basic"


def _motion_regressors(
    path: Path, groups: Sequence[str], options: Mapping[str, Any]
) -> np.ndarray:
    """Motion parameters with the derivatives and squares asked for, each centred."""
    table = _read_motion_columns(path)
    if not set(groups) & set(_MOTION_GROUPS) or not set(MOTION) <= set(table):
        raise BadRunError(
            f"{path.name}: no confounds of the group {groups[0]!r}",
            wanted=f"one of {', '.join(_MOTION_GROUPS)}",
            fix="choose other groups with --confounds, or none",
        )
    level = options.get("motion", _motion_level(groups))
    parts = [table[list(MOTION)].to_numpy()]
    if level in ("derivatives", "full"):
        parts.append(np.diff(parts[0], axis=0, prepend=parts[0][:1]))
    if level in ("power2", "full"):
        parts += [part**2 for part in parts]
    values = np.hstack(parts)
    return values - values.mean(axis=0) if options.get("demean", True) else values


def _read_motion_columns(path: Path) -> pd.DataFrame:
    """Motion in mm and radians, and framewise displacement, under their new names."""
    if _is_hcp(path):
        return _read_hcp(path)
    table = _read_numbers(path).rename(columns=_OLD_COLUMNS)
    known = [name for name in (*MOTION, "framewise_displacement") if name in table]
    return table[known]


def count_marked_non_steady(path: Path | None) -> int:
    """Volumes at the start of a run that fMRIPrep marks as not in a steady state."""
    if path is None or _is_hcp(path):
        return 0
    marks = _read_numbers(path).filter(regex="^non_steady_state_outlier")
    return int((marks.fillna(0) != 0).any(axis=1).cumprod().sum())


def _read_numbers(path: Path) -> pd.DataFrame:
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
