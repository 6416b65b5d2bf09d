"""Confounds of a run, group by group: fMRIPrep's tables, old and new, and HCP's."""

from __future__ import annotations

import contextlib
import inspect
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from nilearn.interfaces.fmriprep import load_confounds

from boldformer.data.files import is_named
from boldformer.data.motion import (
    MOTION,
    check_rows,
    has_only_motion,
    read_motion_columns,
    read_numbers,
)
from boldformer.data.recording import Recording
from boldformer.errors import BadRunError, InputError, did_you_mean

_MOTION_GROUPS = ("motion", "motion24")
AUTO = "auto"
_AUTO_GROUPS = ("motion", "wm_csf")
_GROUPS = (
    AUTO,
    *_MOTION_GROUPS,
    "wm_csf",
    "global_signal",
    "compcor",
    "ica_aroma",
    "tedana",
    "high_pass",
)
# Columns without which a group cannot be read, or how one of its columns begins.
_COLUMNS = {
    **dict.fromkeys(_MOTION_GROUPS, MOTION),
    "wm_csf": ("csf", "white_matter"),
    "global_signal": ("global_signal",),
}
_BEGINNINGS = {
    "compcor": ("a_comp_cor_", "c_comp_cor_", "w_comp_cor_", "t_comp_cor_"),
    "ica_aroma": ("aroma_motion_",),
    "high_pass": ("cosine",),
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
        ``compcor``, ``ica_aroma``, ``tedana`` and ``high_pass``. Tables of HCP and of
        fMRIPrep before 1.2 hold nothing but motion. See `groups_of` for ``auto``.
    options : mapping
        Further arguments of ``nilearn.interfaces.fmriprep.load_confounds``.
    n_times : int
        Volumes of the run.

    Returns
    -------
    ndarray, shape (n_times, n_confounds), or None
        None where no group is asked for, or ``auto`` finds none.

    Raises
    ------
    InputError
        For a group or an option that no table could have.
    BadRunError
        When the run has no table, or one that lacks a group asked for or is not as
        long as the run.

    References
    ----------
    Friston KJ et al. (1996). Movement-related effects in fMRI time-series. Magnetic
    Resonance in Medicine 35:346-355 (the 24 regressors).
    """
    groups = groups_of(recording, groups, options)
    path = recording.confounds
    if not groups or path is None:
        return None
    if has_only_motion(path):
        values = _motion_regressors(path, groups, options)
    else:
        values = _nilearn_confounds(path, groups, options)
    check_rows(path, values, n_times)
    return np.nan_to_num(values)


def groups_of(
    recording: Recording, asked: Sequence[str], options: Mapping[str, Any]
) -> tuple[str, ...]:
    """Settle which groups of confounds a run is cleaned of.

    Parameters
    ----------
    recording : Recording
        Run, with or without a confounds table.
    asked : sequence of str
        Groups. ``auto`` stands for ``motion`` and ``wm_csf`` as far as the table has
        them; any other must be there.
    options : mapping
        As for `read_confounds`.

    Raises
    ------
    InputError
        For a group or an option that no table could have.
    BadRunError
        When the run lacks a group that was asked for by name.
    """
    check_confound_groups(asked, options)
    there = _groups_there(recording.confounds)
    named = [group for group in asked if group != AUTO]
    missing = [g for g in named if g not in there and g != "tedana"]
    if missing:
        table = recording.confounds
        columns = _COLUMNS.get(missing[0]) or f"{_BEGINNINGS[missing[0]][0]}…"
        where = f"{table.name}: no" if table else "no table of"
        raise BadRunError(
            f"{where} confounds of the group {missing[0]!r}",
            wanted=", ".join(columns) if isinstance(columns, tuple) else columns,
            received=f"the groups {', '.join(there)}" if there else "none",
            fix="choose other groups with --confounds, or none",
        )
    found = [group for group in _AUTO_GROUPS if AUTO in asked and group in there]
    return tuple(dict.fromkeys([*found, *named]))


def _groups_there(path: Path | None) -> list[str]:
    """List the groups whose columns a table has."""
    if path is None:
        return []
    if has_only_motion(path):
        known = set(read_motion_columns(path).columns)
        return [g for g in _MOTION_GROUPS if known.issuperset(MOTION)]
    known = set(read_numbers(path).columns)
    there = [g for g, columns in _COLUMNS.items() if known.issuperset(columns)]
    return there + [
        group
        for group, begins in _BEGINNINGS.items()
        if any(name.startswith(begins) for name in known)
    ]


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
            received=" ".join(str(error).split()) or type(error).__name__,
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


def _motion_level(groups: Sequence[str]) -> str:
    return "full" if "motion24" in groups else "basic"


def _motion_regressors(
    path: Path, groups: Sequence[str], options: Mapping[str, Any]
) -> np.ndarray:
    """Motion parameters with the derivatives and squares asked for, each centred."""
    table = read_motion_columns(path)
    level = options.get("motion", _motion_level(groups))
    parts = [table[list(MOTION)].to_numpy()]
    if level in ("derivatives", "full"):
        parts.append(np.diff(parts[0], axis=0, prepend=parts[0][:1]))
    if level in ("power2", "full"):
        parts += [part**2 for part in parts]
    values = np.hstack(parts)
    return values - values.mean(axis=0) if options.get("demean", True) else values
