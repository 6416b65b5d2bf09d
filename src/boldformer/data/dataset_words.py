"""A dataset in a few words: what it shows at a prompt and in a notebook."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from boldformer.data.recording import Dataset

# More names than this are counted, not listed.
_MOST_NAMES = 8
_HEAD = '<tr><th colspan="2" style="text-align: left">{}</th></tr>'
_ROW = '<tr><td>{}</td><td style="text-align: left">{}</td></tr>'


def listed(names: Sequence[str], most: int = _MOST_NAMES) -> str:
    """Join names by commas; of many, the first ones and how many follow."""
    shown = ", ".join(str(name) for name in names[:most])
    more = len(names) - most
    return f"{shown} and {more} more" if more > 0 else shown


def counted(n: int, one: str) -> str:
    """Say how many there are of something: ``1 run``, ``2 runs``."""
    return f"{n} {one}" if n == 1 else f"{n} {one}s"


def facts(dataset: Dataset) -> dict[str, str]:
    """Tell a dataset at a glance: facts by name, without those that it lacks.

    Parameters
    ----------
    dataset : Dataset

    Returns
    -------
    dict of str to str
    """
    found = {
        "subjects": listed(dataset.subject_labels),
        "runs": str(len(dataset)),
        "sessions": _several(dataset, "session"),
        "tasks": _several(dataset, "task"),
        "spaces": _several(dataset, "space"),
        "labels": listed(dataset.event_types),
        "repetition time": listed([f"{t_r:g} s" for t_r in _times(dataset)]),
        "set aside": str(len(dataset.set_aside) or ""),
        "folder": str(dataset.path),
    }
    return {name: value for name, value in found.items() if value}


def sentence(dataset: Dataset) -> str:
    """One line on a dataset, for a prompt."""
    parts = [counted(len(dataset.subject_labels), "subject")]
    parts += [counted(len(dataset), "run")]
    for name, one in (("tasks", "task"), ("labels", "labels")):
        value = facts(dataset).get(name)
        parts += [f"{one} {value}"] if value else []
    if dataset.set_aside:
        parts.append(f"{len(dataset.set_aside)} set aside")
    return f"<Dataset {dataset.name!r}: {'; '.join(parts)}>"


def table(dataset: Dataset) -> str:
    """Write a dataset as an HTML table, for a notebook; names are escaped."""
    rows = [_HEAD.format(html.escape(dataset.name))]
    n = len(dataset.subject_labels)
    for name, value in facts(dataset).items():
        shown = f"{n}: {value}" if name == "subjects" else value
        rows.append(_ROW.format(html.escape(name), html.escape(shown)))
    return f"<table>{''.join(rows)}</table>"


def _several(dataset: Dataset, entity: str) -> str:
    return listed(sorted({getattr(r, entity) for r in dataset} - {""}))


def _times(dataset: Dataset) -> list[float]:
    return sorted({recording.t_r for recording in dataset})
