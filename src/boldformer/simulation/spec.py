"""What a simulated cohort should be, checked before anything is made."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from boldformer.errors import InputError

CONDITIONS = ("left_leg", "right_leg", "forearm", "upper_arm", "hand", "tongue")
INITIAL_REST_S = 10.0
FINAL_REST_S = 10.0
MINIMUM_REST_S = 2.0
LARGEST_SIDE = 100
# Beyond this the background swallows the brain.
LARGEST_OFFSET = 1.0
LATER = ("noise_scale", "site_offset")


@dataclass(frozen=True)
class CohortSpec:
    """Settings of a simulated cohort.

    Parameters
    ----------
    subjects, runs : int
        How many people, and how many runs each.
    seed : int
        Two cohorts of the same settings and seed are the same to the byte; a larger
        cohort begins with the subjects of a smaller one.
    t_r : float
        Repetition time in seconds.
    n_volumes : int
        Volumes in a run.
    voxel_size_mm : float
        Edge of an isotropic voxel.
    volume_shape : tuple of int
        ``(x, y, z)`` of a volume, at most 100 a side, centred on the brain and cropped
        or zero-padded; empty takes the bounding grid of the MNI152 template.
    effect_size : float
        Factor on the calibrated amplitude of the planted activations; 0 plants none.
    conditions : tuple of str
        Movements performed in every run, out of `CONDITIONS`.
    block_s : float
        Length of a block of movement in seconds.
    task : str
        BIDS task label.
    noise_scale : float
        Factor on the noise of voxels; heart beat, breathing, drift and head movement
        stay what they are.
    site_offset : float
        How far the scanner departs from the others, as a fraction of the mean
        intensity: a smooth sensitivity, a smooth background and a gain that all
        recordings of the cohort share, drawn from its seed; 0 leaves them out.

    Raises
    ------
    InputError
        When a setting makes no cohort, or when a run is too short for one block of each
        condition.
    """

    subjects: int = 16
    runs: int = 2
    seed: int = 0
    t_r: float = 2.0
    n_volumes: int = 232
    voxel_size_mm: float = 4.0
    volume_shape: tuple[int, ...] = ()
    effect_size: float = 1.0
    conditions: tuple[str, ...] = CONDITIONS
    block_s: float = 16.0
    task: str = "somatotopy"
    noise_scale: float = 1.0
    site_offset: float = 0.0

    def __post_init__(self) -> None:
        self._check_counts()
        self._check_sizes()
        self._check_shape()
        self._check_names()
        if self.cycles < 1:
            raise InputError(
                "the run is too short for the design",
                wanted=f"at least {self._cycle_s + INITIAL_REST_S + FINAL_REST_S:g} s, "
                f"one block of each of {len(self.conditions)} conditions",
                received=f"{self.n_volumes} volumes x {self.t_r:g} s "
                f"= {self.duration_s:g} s",
                fix="raise n_volumes, shorten block_s or drop conditions",
            )

    @property
    def duration_s(self) -> float:
        """Length of a run in seconds."""
        return self.n_volumes * self.t_r

    @property
    def cycles(self) -> int:
        """Blocks of each condition in a run."""
        free_s = self.duration_s - INITIAL_REST_S - FINAL_REST_S
        return max(0, int(free_s // self._cycle_s))

    @property
    def _cycle_s(self) -> float:
        return len(self.conditions) * (self.block_s + MINIMUM_REST_S)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as they are written beside the data.

        What came later is left out where it changes nothing, so that a cohort made
        before it existed is still recognised, to the byte.
        """
        later = {f.name: f.default for f in dataclasses.fields(self) if f.name in LATER}
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in dataclasses.asdict(self).items()
            if key not in later or value != later[key]
        }

    def _check_counts(self) -> None:
        for name, least in (("subjects", 1), ("runs", 1), ("seed", 0)):
            _check(name, getattr(self, name), int, least)
        _check("n_volumes", self.n_volumes, int, 1)

    def _check_sizes(self) -> None:
        for name, least in (
            ("t_r", 0.1),
            ("voxel_size_mm", 1.0),
            ("effect_size", 0.0),
            ("block_s", 1.0),
            ("noise_scale", 0.0),
            ("site_offset", 0.0),
        ):
            _check(name, getattr(self, name), (int, float), least)
        if self.site_offset > LARGEST_OFFSET:
            raise InputError(
                "bad site_offset",
                wanted=f"a fraction of the mean intensity, 0 to {LARGEST_OFFSET:g}",
                received=repr(self.site_offset),
            )

    def _check_shape(self) -> None:
        shape = self.volume_shape
        right = all(type(side) is int and 8 <= side <= LARGEST_SIDE for side in shape)
        if shape and not (len(shape) == 3 and right):
            raise InputError(
                "bad volume_shape",
                wanted=f"three whole numbers from 8 to {LARGEST_SIDE}",
                received=repr(shape),
            )

    def _check_names(self) -> None:
        unknown = [name for name in self.conditions if name not in CONDITIONS]
        repeated = len(set(self.conditions)) < len(self.conditions)
        if unknown or repeated or not self.conditions:
            raise InputError(
                "bad conditions",
                wanted=f"different ones of {', '.join(CONDITIONS)}",
                received=", ".join(self.conditions) or "none",
            )
        if not (self.task.isascii() and self.task.isalnum()):
            raise InputError(
                "bad task label",
                wanted="letters and digits only, as BIDS has it",
                received=repr(self.task),
            )


def _check(name: str, value: Any, kind: type | tuple[type, ...], least: float) -> None:
    fits = isinstance(value, kind) and not isinstance(value, bool)
    if not fits or not least <= value < float("inf"):
        word = "a whole number" if kind is int else "a finite number"
        raise InputError(
            f"bad {name}",
            wanted=f"{word} of at least {least:g}",
            received=repr(value),
        )
