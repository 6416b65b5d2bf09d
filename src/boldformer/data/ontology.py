"""What labels of different data sets have in common: effector, side, category."""

from __future__ import annotations

import dataclasses
import importlib.resources
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from boldformer.data.labels import label_table_names, read_label_table, relabel
from boldformer.data.recording import Dataset
from boldformer.data.tables import said
from boldformer.errors import InputError

LEVELS = ("label", "effector", "side", "category")
_PACKAGED = Path(str(importlib.resources.files("boldformer.data") / "ontology.tsv"))
_COLUMNS = ["trial_type", "task", *LEVELS]


def read_ontology(path: str | Path = "") -> pd.DataFrame:
    """Gather what is known of labels: the package's tables, and the user's over them.

    Parameters
    ----------
    path : path, optional
        TSV with the columns of a label table (``trial_type`` and ``label``) and any of
        ``effector``, ``side``, ``category`` and ``task``. Its rows go before the
        package's.

    Returns
    -------
    DataFrame of str
        ``trial_type``, ``task`` (empty for any) and `LEVELS`, empty where a label has
        no such property; a later row goes before an earlier one.

    Raises
    ------
    InputError
        When the file is no such table, or knows no level but the labels.
    """
    # Coarse tables first: the same movement is "movement" among HCP's tasks, but
    # "lower_limb" among movements.
    tables = [_levels(read_label_table(name)) for name in label_table_names()]
    tables.sort(key=lambda table: bool(table["effector"].any()))
    tables.append(_levels(read_label_table(_PACKAGED)))
    if path:
        own = read_label_table(path)
        if not set(LEVELS[1:]) & set(own):
            raise InputError(
                f"{Path(path).name} is no ontology",
                wanted=f"a column {', '.join(LEVELS[1:-1])} or {LEVELS[-1]}",
                received=", ".join(own.columns),
            )
        tables.append(_levels(own))
    rows = pd.concat(tables, ignore_index=True)
    # What a table calls a label is itself a name that a dataset may use.
    again = rows.assign(trial_type=rows["label"], task="")
    return pd.concat([again, rows], ignore_index=True)


def _levels(table: pd.DataFrame) -> pd.DataFrame:
    full = table.reindex(columns=_COLUMNS, fill_value="")
    return full.where(full.apply(said), "")


def at_level(dataset: Dataset, ontology: pd.DataFrame, level: str) -> Dataset:
    """Rename the event types of a dataset to their class at a level.

    Parameters
    ----------
    dataset : Dataset
        Recordings with events.
    ontology : DataFrame
        From `read_ontology`.
    level : {"label", "effector", "side", "category"}
        Property that becomes the class. Events without it are dropped, except that at
        the level of labels a name the ontology does not know stands for itself.

    Returns
    -------
    Dataset
        Without recordings where nothing has the property.

    Raises
    ------
    InputError
        For an unknown level.
    """
    if level not in LEVELS:
        raise InputError(
            "unknown level of the ontology",
            wanted=f"one of {', '.join(LEVELS)}",
            received=repr(level),
        )
    table = ontology.assign(label=ontology[level])[["trial_type", "task", "label"]]
    if level == "label":
        types = dataset.event_types
        itself = pd.DataFrame({"trial_type": types, "task": "", "label": types})
        table = pd.concat([itself, table], ignore_index=True)
    table = table[table["label"] != ""]
    try:
        return relabel(dataset, table)
    except InputError:
        return dataclasses.replace(dataset, recordings=())


def common_classes(
    datasets: Mapping[str, Dataset], ontology: pd.DataFrame, level: str
) -> tuple[dict[str, Dataset], list[str]]:
    """Keep the classes that all data sets have at a level of the ontology.

    Parameters
    ----------
    datasets : mapping of str to Dataset
        By the name that messages use.
    ontology : DataFrame
        From `read_ontology`.
    level : {"label", "effector", "side", "category"}

    Returns
    -------
    datasets : dict of str to Dataset
        Their events renamed, those of other classes dropped.
    classes : list of str
        Sorted; two at least.

    Raises
    ------
    InputError
        When fewer than two classes are common: names what each data set has, and the
        levels at which more is common.
    """
    renamed = {key: at_level(d, ontology, level) for key, d in datasets.items()}
    classes = _shared(list(renamed.values()))
    if len(classes) < 2:
        raise InputError(
            f"the data sets have {len(classes) or 'no'} "
            f"{'class' if len(classes) == 1 else 'classes'} in common at the level "
            f"{level!r}",
            wanted="at least two",
            received="; ".join(
                f"{key}: {', '.join(dataset.event_types) or 'none'}"
                for key, dataset in renamed.items()
            ),
            fix=_advice(datasets, ontology),
        )
    table = pd.DataFrame({"trial_type": classes, "label": classes, "task": ""})
    return {key: relabel(d, table) for key, d in renamed.items()}, classes


def _shared(datasets: Sequence[Dataset]) -> list[str]:
    return sorted(set.intersection(*(set(d.event_types) for d in datasets)))


def _advice(datasets: Mapping[str, Dataset], ontology: pd.DataFrame) -> str:
    found = []
    for level in LEVELS:
        shared = _shared([at_level(d, ontology, level) for d in datasets.values()])
        if len(shared) > 1:
            found.append(f"--level {level} has {', '.join(shared)}")
    return "; ".join(found) or "say what they share in a table (--ontology FILE.tsv)"


def composition(
    dataset: Dataset, ontology: pd.DataFrame, level: str, classes: Sequence[str]
) -> dict[str, list[str]]:
    """List the event types of a dataset behind each class, for the record."""
    made: dict[str, list[str]] = {name: [] for name in classes}
    for name in dataset.event_types:
        holders = {
            recording.task: recording
            for recording in dataset
            if (recording.events["trial_type"] == name).any()
        }
        alone = tuple(
            dataclasses.replace(
                recording,
                events=recording.events[recording.events["trial_type"] == name][:1],
            )
            for recording in holders.values()
        )
        alone_dataset = dataclasses.replace(dataset, recordings=alone)
        for class_name in at_level(alone_dataset, ontology, level).event_types:
            if class_name in made:
                made[class_name].append(name)
    return made
