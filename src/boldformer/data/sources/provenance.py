"""Where a dataset comes from: what preprocessed it, and where others find it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from boldformer.data.files import is_named, read_json
from boldformer.errors import BoldFormerError

_FILE = "dataset_description.json"
_ADDRESSES = ("doi:", "http://", "https://")


def preprocessed_by(folders: Iterable[Path]) -> tuple[str, ...]:
    """Name the software that made derivatives, each with its version.

    Parameters
    ----------
    folders : iterable of Path
        Folders that recordings are read from; those of raw data name nothing.

    Returns
    -------
    tuple of str
        As ``GeneratedBy`` of their descriptions says, or ``PipelineDescription``, as
        before BIDS 1.4.
    """
    found: dict[str, None] = {}
    for folder in folders:
        described = _description(folder)
        old = described.get("PipelineDescription")
        if described.get("DatasetType") != "derivative" and not old:
            continue
        for entry in [*_tables(described.get("GeneratedBy")), *_tables(old)]:
            name, version = (str(entry.get(key) or "") for key in ("Name", "Version"))
            if name:
                found[f"{name} {version}".strip()] = None
    return tuple(found)


def address_of(folders: Iterable[Path]) -> str:
    """Find the DOI or URL under which others find a dataset; empty where none is named.

    Paths of this machine are no such address.
    """
    for folder in folders:
        described = _description(folder)
        sources = _tables(described.get("SourceDatasets"))
        named = [described.get("DatasetDOI")]
        named += [source.get(key) for source in sources for key in ("DOI", "URL")]
        for text in map(str, filter(None, named)):
            if text.lower().startswith(_ADDRESSES):
                return text
            if text.startswith("10."):
                return f"doi:{text}"
    return ""


def _description(folder: Path) -> dict[str, Any]:
    """Read a description; one that is missing or unreadable says nothing."""
    try:
        found = read_json(folder / _FILE) if is_named(folder / _FILE) else {}
    except BoldFormerError:
        return {}
    return found if isinstance(found, dict) else {}


def _tables(value: Any) -> Iterator[dict[str, Any]]:
    listed = value if isinstance(value, list) else [value]
    return (entry for entry in listed if isinstance(entry, dict))
