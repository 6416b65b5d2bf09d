"""One 4-D recording with its events, and the dataset that holds several."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from boldformer.data import dataset_words
from boldformer.data.wording import count, first_of
from boldformer.errors import InputError, did_you_mean

SIDES = ("train", "test")


@dataclass(frozen=True, eq=False, repr=False)
class Recording:
    """A BOLD run on disk, whatever source it came from.

    Parameters
    ----------
    bold : Path
        4-D NIfTI image, ``(x, y, z, n_times)`` on disk.
    t_r : float
        Repetition time in seconds; 1 for a series of maps.
    subject, session, task, acquisition, direction, run, space : str
        BIDS entities, empty where the source has none.
    events : DataFrame
        ``onset`` (s), ``duration`` (s) and ``trial_type``, sorted by onset.
    mask : Path, optional
        Brain mask in the grid of `bold`; computed from the data where there is none.
    confounds : Path, optional
        fMRIPrep confounds table, or motion parameters as HCP writes them.
    participant : mapping
        The subject's row of ``participants.tsv``.
    volumes : tuple of Path
        3-D images in the order they were scanned, where the run is not one 4-D file;
        `bold` is then the first of them.
    frames : tuple of int
        Frames of `bold` that belong to this recording; all where empty.
    frame_numbers : tuple of int
        Position of each frame in the run as it was scanned, where some are missing;
        frame k was acquired ``frame_numbers[k] * t_r`` after frame 0. Without gaps it
        is empty.
    start_s : float
        When frame 0 was acquired, on the clock of `events`.
    entities : mapping
        All BIDS entities of the file's name.
    timing : {"stimulus", "volume", "map"}
        What `events` say. "stimulus": when something was shown or done; the response
        follows later. "volume": which volumes belong to a class. "map": the frames are
        maps in no order, one a sample; `onset` is the frame.
    """

    bold: Path
    t_r: float
    subject: str
    session: str = ""
    task: str = ""
    acquisition: str = ""
    direction: str = ""
    run: str = ""
    space: str = ""
    events: pd.DataFrame = field(
        default_factory=lambda: pd.DataFrame(
            {"onset": [], "duration": [], "trial_type": []}
        )
    )
    mask: Path | None = None
    confounds: Path | None = None
    participant: Mapping[str, str] = field(default_factory=dict)
    volumes: tuple[Path, ...] = ()
    frames: tuple[int, ...] = ()
    frame_numbers: tuple[int, ...] = ()
    start_s: float = 0.0
    entities: Mapping[str, str] = field(default_factory=dict)
    timing: Literal["stimulus", "volume", "map"] = "stimulus"

    @property
    def name(self) -> str:
        """Entities joined as BIDS joins them: ``sub-01_task-motor_run-1``."""
        entities = {
            "sub": self.subject,
            "ses": self.session,
            "task": self.task,
            "acq": self.acquisition,
            "dir": self.direction,
            "run": self.run,
        }
        return "_".join(f"{key}-{value}" for key, value in entities.items() if value)

    def __repr__(self) -> str:
        """Name, repetition time and labels, in one line."""
        labels = sorted(map(str, self.events["trial_type"].unique()))
        events = count(len(self.events), "event")
        of = f" of {first_of(labels, 8)}" if labels else ""
        return f"<Recording {self.name!r}: TR {self.t_r:g} s; {events}{of}>"

    def times_s(self, n_times: int) -> np.ndarray:
        """When each frame was acquired, on the clock of the events, (n_times,)."""
        numbers = np.array(self.frame_numbers or range(n_times))
        return self.start_s + numbers * self.t_r


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Recordings that belong together.

    Parameters
    ----------
    name : str
        What the dataset calls itself.
    path : Path
        Where it lies.
    recordings : tuple of Recording
        The usable runs, sorted by name.
    set_aside : tuple of (str, str)
        What could not be used, each with its reason.
    notes : tuple of str
        What must be said of how it was read.
    layout : str
        In which it lies on disk: ``"bids"``, ``"hcp"``, ``"class-folders"``, ``"maps"``
        or, of recordings put together otherwise, empty.
    made_by : tuple of str
        What preprocessed the recordings that are read, such as ``"fMRIPrep 23.1.4"``.
    address : str
        DOI or URL under which others find it; empty where it names none.
    """

    name: str
    path: Path
    recordings: tuple[Recording, ...]
    set_aside: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    layout: str = ""
    made_by: tuple[str, ...] = ()
    address: str = ""

    def __len__(self) -> int:
        """Count the recordings."""
        return len(self.recordings)

    def __iter__(self) -> Iterator[Recording]:
        """Iterate over the recordings."""
        return iter(self.recordings)

    def __repr__(self) -> str:
        """Name, numbers and labels, in one line."""
        return dataset_words.sentence(self)

    def _repr_html_(self) -> str:
        return dataset_words.table(self)

    @property
    def subject_labels(self) -> list[str]:
        """Subjects in sorted order."""
        return sorted({recording.subject for recording in self.recordings})

    @property
    def event_types(self) -> list[str]:
        """Event types that occur anywhere, in sorted order."""
        found: set[str] = set()
        for recording in self.recordings:
            found.update(recording.events["trial_type"])
        return sorted(found)

    @property
    def folders(self) -> list[Path]:
        """Folders that are read: the dataset's, and those of derivatives."""
        found = {self.path}
        for recording in self.recordings:
            above = [p.parent for p in recording.bold.parents if p.name[:4] == "sub-"]
            found.update(above)
        return sorted(found)

    def filter(self, keep: Callable[[Recording], bool]) -> Dataset:
        """Return the dataset with only the recordings `keep` is true for."""
        kept = tuple(recording for recording in self.recordings if keep(recording))
        return replace(self, recordings=kept)

    def subjects(
        self,
        which: str | Iterable[str],
        *,
        test_fraction: float = 0.2,
        seed: int = 0,
    ) -> Dataset:
        """Return the recordings of some subjects.

        Parameters
        ----------
        which : str or iterable of str
            A subject's label or several, with or without ``sub-``; or ``"train"`` or
            ``"test"``, a side of the dataset's split: the one that a column ``split``
            of ``participants.tsv`` names, else a random but repeatable one of whole
            subjects.
        test_fraction : float
            Share of subjects on the test side of a random split.
        seed : int
            Of the random split.

        Raises
        ------
        InputError
            For a subject the dataset does not have, no subject at all, or a split of
            one subject.
        """
        if isinstance(which, str) and which in SIDES:
            chosen = self._split_side(which, test_fraction, seed)
        else:
            chosen = self._named([which] if isinstance(which, str) else list(which))
        return self.filter(lambda recording: recording.subject in chosen)

    def _named(self, labels: list[str]) -> set[str]:
        known = self.subject_labels
        chosen = {str(label).removeprefix("sub-") for label in labels}
        for label in sorted(chosen - set(known)):
            raise InputError(
                f"unknown subject {label!r}",
                wanted=f"one of {first_of(known, 20)}, or a side of the "
                f"split, {' or '.join(SIDES)}",
                fix=did_you_mean(label, [*known, *SIDES]),
            )
        if not chosen:
            raise InputError("no subject was named", wanted="at least one label")
        return chosen

    def _split_side(self, side: str, test_fraction: float, seed: int) -> set[str]:
        named = {r.subject: r.participant.get("split", "") for r in self.recordings}
        if any(named.values()):
            chosen = {subject for subject, split in named.items() if split == side}
            if not chosen:
                raise InputError(
                    f"participants.tsv puts no subject on the {side} side",
                    wanted=f"{side!r} in its column split",
                    received=first_of(sorted(set(named.values())), 8),
                )
            return chosen
        labels = self.subject_labels
        if len(labels) < 2:
            raise InputError(
                "a dataset of one subject has no train and test subjects",
                wanted="at least two subjects",
                received=f"{len(labels)}",
                fix="pass runs of this subject, or use `boldformer run`, "
                "which keeps runs apart",
            )
        n_test = min(max(1, round(test_fraction * len(labels))), len(labels) - 1)
        order = np.random.default_rng(seed).permutation(len(labels))
        test = {labels[i] for i in order[:n_test]}
        return test if side == "test" else set(labels) - test
