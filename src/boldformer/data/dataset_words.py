"""A dataset in a few words: what it shows at a prompt and in a notebook."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from boldformer.data.wording import count, first_of

if TYPE_CHECKING:
    from boldformer.data.recording import Dataset

# More names than this are counted, not listed.
_MOST_NAMES = 8
_HEAD = '<tr><th colspan="2" style="text-align: left">{}</th></tr>'
_ROW = '<tr><td>{}</td><td style="text-align: left">{}</td></tr>'


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
        "subjects": first_of(dataset.subject_labels, _MOST_NAMES),
        "runs": str(len(dataset)),
        "sessions": _several(dataset, "session"),
        "tasks": _several(dataset, "task"),
        "spaces": _several(dataset, "space"),
        "labels": first_of(dataset.event_types, _MOST_NAMES),
        "repetition time": first_of(_times(dataset), _MOST_NAMES),
        "set aside": str(len(dataset.set_aside) or ""),
        "folder": str(dataset.path),
    }
    return {name: value for name, value in found.items() if value}


def sentence(dataset: Dataset) -> str:
    """One line on a dataset, for a prompt."""
    parts = [count(len(dataset.subject_labels), "subject")]
    parts += [count(len(dataset), "run")]
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
    return first_of(sorted({getattr(r, entity) for r in dataset} - {""}), _MOST_NAMES)


def _times(dataset: Dataset) -> list[str]:
    times = sorted({recording.t_r for recording in dataset})
    return [f"{t_r:g} s" for t_r in times]
