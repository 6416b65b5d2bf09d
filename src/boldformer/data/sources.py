"""Open a dataset, whatever its source."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from boldformer.config import DataConfig
from boldformer.data.bids import open_bids
from boldformer.data.recording import Dataset


def open_dataset(
    path: str | Path,
    *,
    task: str | Iterable[str] = (),
    participants: str | Iterable[str] = (),
    sessions: str | Iterable[str] = (),
    space: str = "",
    acquisition: str = "",
    derivatives: str | Path = "",
    raw: bool = False,
) -> Dataset:
    """Open a BIDS dataset.

    Preprocessed recordings (fMRIPrep-style derivatives) are read where there are any,
    raw ones otherwise.

    Parameters
    ----------
    path : path
        Folder with ``dataset_description.json``.
    task, participants, sessions : str or iterable of str
        Labels to keep; all by default.
    space : str
        Space of preprocessed recordings; an MNI space by default.
    acquisition : str
        ``acq`` entity to keep.
    derivatives : path
        Preprocessed recordings that do not lie under ``path/derivatives``.
    raw : bool
        Read raw recordings even where there are preprocessed ones.

    Returns
    -------
    Dataset

    Raises
    ------
    DatasetError
        When this is no BIDS dataset or holds nothing usable.
    InputError
        For a filter that nothing matches.

    Examples
    --------
    >>> dataset = open_dataset("ds004044", task="motor")  # doctest: +SKIP
    >>> train = dataset.subjects("train")  # doctest: +SKIP
    """
    return open_source(
        DataConfig(
            path=str(path),
            derivatives=str(derivatives),
            participants=_labels(participants),
            tasks=_labels(task),
            sessions=_labels(sessions),
            space=space,
            acquisition=acquisition,
            raw=raw,
        )
    )


def open_source(config: DataConfig) -> Dataset:
    """Open the dataset that a configuration names (see `open_dataset`)."""
    return open_bids(config)


def _labels(values: str | Iterable[str]) -> tuple[str, ...]:
    return (values,) if isinstance(values, str) and values else tuple(values)
