"""How event types become labels: tables that choose, merge and rename them."""

from __future__ import annotations

import dataclasses
import importlib.resources
import re
from collections import Counter, defaultdict
from pathlib import Path

import pandas as pd

from boldformer.data.recording import Dataset, Recording
from boldformer.data.selection import listed
from boldformer.data.tables import names, read_table
from boldformer.errors import InputError, did_you_mean

_PACKAGED = Path(str(importlib.resources.files("boldformer.data") / "label_tables"))


def label_table_names() -> list[str]:
    """Names of the label tables that come with the package, sorted."""
    return sorted(file.stem for file in _PACKAGED.glob("*.tsv"))


def read_label_table(name_or_path: str | Path) -> pd.DataFrame:
    """Read a label table.

    Parameters
    ----------
    name_or_path : str or path
        TSV file, or the name of a table of the package: ``ds004044`` (12 movements),
        ``ds004044-reference`` (4 of them), ``hcp-motor`` (5 movements), ``hcp-states``
        (23 blocks of 7 tasks) or ``hcp-tasks`` (7 tasks).

    Returns
    -------
    DataFrame of str
        ``trial_type``, ``label``, ``task`` (empty where a row holds for any) and the
        table's other columns, such as ``effector`` and ``side``.

    Raises
    ------
    InputError
        When there is no such table, it lacks a column or a cell, or gives one type of
        a task two labels.
    """
    path = Path(name_or_path)
    if not path.is_file():
        path = _PACKAGED / f"{name_or_path}.tsv"
    known = label_table_names()
    if path.stem not in known and not path.is_file():
        raise InputError(
            f"no label table {str(name_or_path)!r}",
            wanted=f"a TSV file, or one of {', '.join(known)}",
            fix=did_you_mean(str(name_or_path), known),
        )
    table = read_table(path, ("trial_type", "label"), InputError)
    if "task" not in table:
        table["task"] = ""
    for column in ("trial_type", "label", "task"):
        table[column] = names(path, table[column], InputError)
    empty = table[(table["trial_type"] == "") | (table["label"] == "")]
    if len(empty) or table.empty:
        raise InputError(
            f"{path.name}: a row without a trial type or a label",
            wanted="both in every row, and at least one row",
            received=f"row {int(empty.index[0]) + 1}" if len(empty) else "no rows",
        )
    _refuse_two_labels(path, table)
    return table


def relabel(dataset: Dataset, table: pd.DataFrame) -> Dataset:
    """Choose, merge and rename the event types of a dataset.

    Types are compared without regard to case, blanks, hyphens and underscores, and as
    numbers where they are numbers. A row of a task goes before one for any task.

    Parameters
    ----------
    dataset : Dataset
        Recordings with events.
    table : DataFrame
        From `read_label_table`. Types it does not list are dropped.

    Returns
    -------
    Dataset
        With labels as ``trial_type``; a recording without events left is set aside.

    Raises
    ------
    InputError
        When no event of any recording is listed.
    """
    recordings: list[Recording] = []
    set_aside = list(dataset.set_aside)
    for recording in dataset:
        labels = (
            recording.events["trial_type"].map(_key).map(_mapping(table, recording))
        )
        events = recording.events.assign(trial_type=labels)[labels.notna()]
        if events.empty:
            types = listed(set(recording.events["trial_type"]))
            problem = f"no event that the label table lists; received {types}"
            set_aside.append((recording.name, problem))
        else:
            events = events.reset_index(drop=True)
            recordings.append(dataclasses.replace(recording, events=events))
    if not recordings:
        raise InputError(
            "the label table lists no event type of this dataset",
            wanted=f"one of {', '.join(dict.fromkeys(table['trial_type']))}",
            received=", ".join(dataset.event_types),
        )
    return dataclasses.replace(
        dataset, recordings=tuple(recordings), set_aside=tuple(set_aside)
    )


def join_spellings(dataset: Dataset) -> Dataset:
    """Give event types that differ only by spelling between runs one name.

    What counts as spelling is what `relabel` passes over. The most frequent spelling
    stays, the first by name among equals.

    Raises
    ------
    InputError
        Where one run has both: whether they are one thing is not for us to say.
    """
    counts: Counter[str] = Counter()
    for recording in dataset:
        counts.update(recording.events["trial_type"])
    spellings: dict[str, list[str]] = defaultdict(list)
    for name in sorted(counts, key=lambda name: (-counts[name], name)):
        spellings[_key(name)].append(name)
    twice = {key: spelt for key, spelt in spellings.items() if len(spelt) > 1}
    if not twice:
        return dataset
    for recording in dataset:
        _refuse_both_spellings(recording, twice)
    chosen = {name: spelt[0] for spelt in spellings.values() for name in spelt}
    joined = tuple(
        dataclasses.replace(
            recording,
            events=recording.events.assign(
                trial_type=recording.events["trial_type"].map(chosen)
            ),
        )
        for recording in dataset
    )
    notes = [
        "Labels that differ only by spelling are joined: "
        + " = ".join(map(repr, spelt))
        for spelt in twice.values()
    ]
    return dataclasses.replace(
        dataset, recordings=joined, notes=(*dataset.notes, *notes)
    )


def _refuse_both_spellings(recording: Recording, twice: dict[str, list[str]]) -> None:
    here = set(recording.events["trial_type"])
    for spelt in twice.values():
        both = [name for name in spelt if name in here]
        if len(both) > 1:
            raise InputError(
                f"{recording.name} has labels that differ only by spelling",
                wanted="one spelling of each label",
                received=" and ".join(map(repr, both)),
                fix="join them with a label table, or rename one in the events",
            )


def _key(text: str) -> str:
    """Form in which names are compared."""
    bare = re.sub(r"[\s_-]+", "", str(text)).casefold()
    return re.sub(r"^0*(\d+)(\.0*)?$", r"\1", bare)


def _mapping(table: pd.DataFrame, recording: Recording) -> dict[str, str]:
    """Label of each type's key in the task of a recording."""
    tasks = table["task"].map(_key)
    general = table[tasks == ""]
    own = table[(tasks == _key(recording.task)) & (tasks != "")]
    rows = pd.concat([general, own])
    return dict(zip(rows["trial_type"].map(_key), rows["label"], strict=True))


def _refuse_two_labels(path: Path, table: pd.DataFrame) -> None:
    keys = table.assign(
        trial_type=table["trial_type"].map(_key), task=table["task"].map(_key)
    ).drop_duplicates(["trial_type", "task", "label"])
    twice = keys[keys.duplicated(["trial_type", "task"], keep=False)]
    if len(twice):
        first = table.loc[twice.index[0], "trial_type"]
        same = twice[twice["trial_type"] == twice.iloc[0]["trial_type"]]
        raise InputError(
            f"{path.name}: the type {first!r} has two labels",
            wanted="one label a type (types may share a label)",
            received=" and ".join(same["label"]),
        )
