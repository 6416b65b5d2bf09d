"""When the volumes of a run were acquired: what BIDS sidecars and headers say of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from boldformer.data.images import open_header
from boldformer.errors import BadRunError

_SECONDS = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6}
# Repetition times and onsets that differ by less are the same, rounded differently.
SAME_S = 1e-3


@dataclass(frozen=True)
class Timing:
    """When volumes were acquired, on the clock of the run's events.

    Parameters
    ----------
    t_r : float
        Repetition time, seconds.
    start_s : float
        Acquisition of the first volume; ``StartTime``, which fMRIPrep writes for runs
        whose slices it brought to the middle of the volume.
    frame_numbers : tuple of int
        As in `boldformer.data.recording.Recording`; empty without gaps.
    header_t_r : float or None
        What the header says, where it disagrees.
    """

    t_r: float
    start_s: float = 0.0
    frame_numbers: tuple[int, ...] = ()
    header_t_r: float | None = None


def read_timing(
    bold: Path,
    stated: Mapping[str, Any],
    asked_s: float = 0.0,
    where: str = "the sidecar",
) -> Timing:
    """Bring together what is said of a run's timing.

    The sidecar goes before what was asked for, which goes before the header; what was
    asked for must not contradict the sidecar. Volumes discarded before the image was
    saved move nothing: BIDS counts events from the first volume that the file holds.

    Parameters
    ----------
    bold : Path
        Image.
    stated : mapping
        Fields of its sidecars.
    asked_s : float
        Repetition time asked for; 0 for none.
    where : str
        Name of the sidecar, for messages.

    Returns
    -------
    Timing

    Raises
    ------
    BadRunError
        For fields that cannot be used or contradict each other, or no repetition time.

    References
    ----------
    BIDS 1.10, "Timing parameters" of functional imaging.
    """
    of_header, n_volumes = _header(bold)
    numbers = _frame_numbers(stated, n_volumes)
    t_r = _stated_t_r(stated, numbers, where)
    if asked_s:
        checked_t_r(asked_s, "--tr")
        if t_r is not None and abs(t_r - asked_s) > SAME_S:
            raise BadRunError(
                "--tr contradicts the JSON sidecar",
                wanted=f"{t_r:g} s, as {where} says",
                received=f"{asked_s:g} s",
                fix="leave --tr out, or correct the sidecar",
            )
    t_r = t_r or asked_s
    if not t_r and of_header is not None:
        t_r = checked_t_r(of_header, bold.name)
    if not t_r:
        raise BadRunError(
            "the repetition time is missing",
            wanted="RepetitionTime in the JSON sidecar, or in the header with its unit",
            fix=f"write it into {bold.name.split('.')[0]}.json, or give it with --tr",
        )
    _check_parts(stated, t_r)
    # The header of a single volume knows no run.
    other = None if n_volumes is None else of_header
    if other is not None and abs(other - t_r) <= SAME_S:
        other = None
    return Timing(t_r, _start_s(stated), numbers, other)


def _stated_t_r(
    stated: Mapping[str, Any], numbers: tuple[int, ...], where: str
) -> float | None:
    times, value = stated.get("VolumeTiming"), stated.get("RepetitionTime")
    if times is None:
        return None if value is None else checked_t_r(value, where)
    spaced = checked_t_r(float(np.diff(times).min()), where)
    if value is not None and (
        numbers or abs(checked_t_r(value, where) - spaced) > SAME_S
    ):
        raise BadRunError(
            f"{where}: RepetitionTime contradicts VolumeTiming",
            wanted="one of the two",
            received=f"{value!r} and volumes {spaced:g} s apart",
        )
    return spaced


def _frame_numbers(stated: Mapping[str, Any], n_volumes: int | None) -> tuple[int, ...]:
    """Place volumes of ``VolumeTiming`` on a raster; empty where none is missing."""
    times = stated.get("VolumeTiming")
    if times is None:
        return ()
    usable = (
        isinstance(times, Sequence)
        and not isinstance(times, str)
        and len(times) > 1
        and all(_is_number(time) for time in times)
        and times[0] == 0
        and (np.diff(times) > 0).all()
        and n_volumes in (None, len(times))
    )
    if not usable:
        raise BadRunError(
            "unusable VolumeTiming",
            wanted="rising seconds from 0, one a volume"
            + (f" ({n_volumes})" if n_volumes else ""),
            received=repr(times)[:60],
        )
    steps = np.diff(times)
    places = np.asarray(times) / steps.min()
    if np.abs(places - np.rint(places)).max() > 0.01:
        raise BadRunError(
            "VolumeTiming: volumes at uneven times",
            wanted="multiples of one step, so that windows can be cut",
            received=f"steps of {steps.min():g} to {steps.max():g} s",
        )
    numbers = np.rint(places).astype(int)
    return tuple(numbers.tolist()) if numbers[-1] >= len(numbers) else ()


def _start_s(stated: Mapping[str, Any]) -> float:
    value = stated.get("StartTime", 0.0)
    if not _is_number(value):
        raise BadRunError(
            "unusable StartTime", wanted="seconds", received=repr(value)[:60]
        )
    return float(value)


def _check_parts(stated: Mapping[str, Any], t_r: float) -> None:
    """Refuse parts of a repetition time that do not fit into it, and odd counts."""
    for name in ("DelayTime", "AcquisitionDuration"):
        value = stated.get(name, 0.0)
        if not _is_number(value) or not 0 <= value <= t_r + SAME_S:
            raise BadRunError(
                f"unusable {name}",
                wanted=f"seconds within the repetition time ({t_r:g} s)",
                received=repr(value)[:60],
            )
    for who in ("Scanner", "User"):
        name = f"NumberOfVolumesDiscardedBy{who}"
        value = stated.get(name, 0)
        if not _is_number(value) or value < 0 or value % 1:
            raise BadRunError(
                f"unusable {name}", wanted="a whole number", received=repr(value)[:60]
            )


def header_t_r(path: Path) -> float | None:
    """Repetition time in seconds that a NIfTI header states, with its unit, or None."""
    found = _header(path)[0]
    return None if found is None else checked_t_r(found, path.name)


def _header(path: Path) -> tuple[float | None, int | None]:
    try:
        image: Any = open_header(path)
        value, unit = float(image.header["pixdim"][4]), image.header.get_xyzt_units()[1]
    except Exception:  # the fault itself is reported when the run is read
        return None, None
    n_volumes = image.shape[3] if len(image.shape) == 4 else None
    if unit not in _SECONDS or not math.isfinite(value) or value <= 0:
        return None, n_volumes
    # Headers hold 32-bit numbers: 0.72 comes back as 0.7200000286.
    return round(value * _SECONDS[unit], 6), n_volumes


def checked_t_r(value: Any, where: str) -> float:
    """Return a repetition time in seconds, or raise `BadRunError` if it cannot be."""
    if not _is_number(value) or not 0.05 <= value <= 60:
        raise BadRunError(
            f"{where}: unusable repetition time",
            wanted="seconds between 0.05 and 60",
            received=repr(value),
        )
    return float(value)


def _is_number(value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and math.isfinite(value)
