"""Rows of ``participants.tsv``, matched with the subjects that there are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from boldformer.data.files import is_named
from boldformer.data.groups import family_of
from boldformer.data.tables import read_table, said
from boldformer.data.wording import first_of
from boldformer.errors import DatasetError

TABLE = "participants.tsv"
_SHOWN = 5


@dataclass(frozen=True)
class Participants:
    """What tables of participants say of each subject.

    Parameters
    ----------
    rows : dict of str to dict
        Each subject's row by its label; without an entry where no row is its own.
    notes : tuple of str
        Rows and subjects without a partner.
    """

    rows: dict[str, dict[str, str]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __getitem__(self, subject: str) -> dict[str, str]:
        """Row of a subject; empty where there is none."""
        return self.rows.get(subject, {})


def read_participants(
    folders: Path | Sequence[Path], subjects: Iterable[str]
) -> Participants:
    """Read ``participants.tsv`` and match its rows with subjects.

    An id is a subject's where they are equal, or else where they are so without
    ``sub-``, case, punctuation and leading zeros, and no other subject is like it:
    spreadsheets turn ``01`` into ``1``.

    Parameters
    ----------
    folders : path or sequence of path
        Datasets that may hold the table; the first that has a subject counts.
    subjects : iterable of str
        All subjects of the dataset, without ``sub-``.

    Returns
    -------
    Participants

    Raises
    ------
    DatasetError
        When the file is no table with ``participant_id``, a participant has two
        families, or families are named and none is a subject's.
    """
    labels = sorted(set(subjects))
    folders = [folders] if isinstance(folders, Path) else list(folders)
    tables = [folder / TABLE for folder in folders if is_named(folder / TABLE)]
    rows: dict[str, dict[str, str]] = {}
    notes: list[str] = []
    for table in tables:
        found, strangers = _matched(table, labels)
        rows = found | rows
        if strangers:
            notes.append(
                f"{TABLE}: rows without a subject: {first_of(strangers, _SHOWN)}"
            )
    alone = [label for label in labels if label not in rows]
    if tables and alone:
        notes.append(f"{TABLE}: subjects without a row: {first_of(alone, _SHOWN)}")
    return Participants(rows, tuple(notes))


def _matched(
    path: Path, labels: Sequence[str]
) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Rows by subject, and the ids that are no subject's."""
    table = read_table(path, ("participant_id",), DatasetError)
    table = table[said(table["participant_id"])]
    _refuse_two_families(path, table)
    table = table.drop_duplicates("participant_id").set_index("participant_id")
    rows = {
        str(i): {str(k): str(v) for k, v in row.items()} for i, row in table.T.items()
    }
    found: dict[str, dict[str, str]] = {}
    strangers = []
    for name, row in rows.items():
        subject = _subject_of(name, labels)
        if subject is None:
            strangers.append(name)
        elif subject not in found or name.removeprefix("sub-") == subject:
            found[subject] = row
    if any(family_of(row) for row in rows.values()) and not any(
        family_of(row) for row in found.values()
    ):
        raise DatasetError(
            f"{path.name}: families are named, but none of a subject that there is",
            wanted=f"ids such as sub-{labels[0]}" if labels else "ids of subjects",
            received=first_of(strangers, _SHOWN),
            fix="correct participant_id, or take the column family out",
        )
    return found, strangers


def _subject_of(name: str, labels: Sequence[str]) -> str | None:
    bare = name.removeprefix("sub-")
    if bare in labels:
        return bare
    alike = [label for label in labels if _key(label) == _key(bare)]
    return alike[0] if len(alike) == 1 else None


def _key(label: str) -> str:
    plain = re.sub(r"[\W_]+", "", label.removeprefix("sub-")).casefold()
    return re.sub(r"0*(\d+)", r"\1", plain)


def _refuse_two_families(path: Path, table: pd.DataFrame) -> None:
    named = table.assign(
        family=[family_of(row) for row in table.to_dict("records")]
    ).drop_duplicates(["participant_id", "family"])
    twice = named[named.duplicated("participant_id", keep=False)]
    if len(twice):
        raise DatasetError(
            f"{path.name}: {twice['participant_id'].iloc[0]} is in two families",
            received=" and ".join(repr(name) for name in twice["family"][:2]),
        )
