"""Open a dataset, whatever its source."""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from boldformer.config import DataConfig
from boldformer.data.labels import join_spellings, read_label_table, relabel
from boldformer.data.recording import Dataset
from boldformer.data.sources.activation_maps import is_maps, open_maps
from boldformer.data.sources.bids import is_bids, open_bids
from boldformer.data.sources.class_folders import is_class_folders, open_class_folders
from boldformer.data.sources.hcp import is_hcp, open_hcp
from boldformer.data.sources.provenance import address_of, preprocessed_by
from boldformer.errors import DatasetError, InputError

logger = logging.getLogger(__name__)

# The first layout that a folder shows is read: maps may lie in a BIDS dataset.
_LAYOUTS: dict[str, tuple[Callable[[Path], bool], Callable[[DataConfig], Dataset]]] = {
    "maps": (is_maps, open_maps),
    "hcp": (is_hcp, open_hcp),
    "bids": (is_bids, open_bids),
    "class-folders": (is_class_folders, open_class_folders),
}
_OF_BIDS = ("acquisition", "derivatives", "raw", "resolution", "filters")
# What a layout has no use for; asked for, it would be passed over in silence.
_UNUSED = {
    "maps": (*_OF_BIDS, "tasks", "space"),
    "hcp": _OF_BIDS,
    "class-folders": (*_OF_BIDS, "space"),
}
_ACCESSION = re.compile(r"ds\d{6}")


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
    source: str = "auto",
    label_table: str | Path = "",
    resolution: str = "",
    t_r: float = 0.0,
    filters: Mapping[str, str | Sequence[str]] | None = None,
) -> Dataset:
    """Open a dataset.

    It may be a BIDS dataset (fMRIPrep's preprocessed recordings are read where there
    are any, raw ones otherwise), HCP's folders, a folder per class of 3-D volumes, or
    activation maps with a table ``volumes.tsv``.

    Parameters
    ----------
    path : path
        Folder, or the accession number of a dataset on OpenNeuro, which is fetched.
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
    source : {"auto", "bids", "hcp", "class-folders", "maps"}
        Layout; recognised by default.
    label_table : path or str
        Table that chooses, merges and renames event types, or the name of one that
        comes with the package (see `boldformer.data.labels.read_label_table`).
    resolution : str
        ``res`` entity of preprocessed recordings.
    t_r : float
        Repetition time in seconds where no sidecar says it.
    filters : mapping
        Labels to keep of any BIDS entity, such as ``{"rec": "a"}``; an empty one keeps
        files without the entity.

    Returns
    -------
    Dataset

    Raises
    ------
    DatasetError
        When this is no dataset in a known layout, or holds nothing usable.
    InputError
        For a filter that nothing matches, or a label table that cannot be used.

    Examples
    --------
    >>> dataset = open_dataset("ds004044", label_table="ds004044")  # doctest: +SKIP
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
            source=source,
            label_table=str(label_table),
            resolution=resolution,
            t_r=t_r,
            filters={
                key: [labels] if isinstance(labels, str) else list(labels)
                for key, labels in (filters or {}).items()
            },
        )
    )


def open_source(config: DataConfig) -> Dataset:
    """Open the dataset that a configuration names (see `open_dataset`)."""
    # A label table is read first: a fault in it should not cost a download.
    table = read_label_table(config.label_table) if config.label_table else None
    root = Path(config.path)
    if _ACCESSION.fullmatch(config.path) and not root.exists():
        # Needs libraries that only come with an extra.
        from boldformer.data.sources.openneuro import fetch

        root = fetch(config.path, config)
        config = dataclasses.replace(config, path=str(root))
    layout = _layout(root, config.source)
    _refuse_unused(layout, config)
    dataset = _LAYOUTS[layout][1](config)
    dataset = dataclasses.replace(
        dataset,
        layout=layout,
        made_by=preprocessed_by(dataset.folders),
        address=address_of(dataset.folders),
    )
    dataset = join_spellings(dataset) if table is None else relabel(dataset, table)
    for note in dataset.notes:
        logger.warning(note)
    return dataset


def _refuse_unused(layout: str, config: DataConfig) -> None:
    """Refuse what was asked of a layout that has no such thing."""
    default = DataConfig()
    for name in _UNUSED.get(layout, ()):
        if getattr(config, name) != getattr(default, name):
            raise InputError(
                f"the setting {name!r} means nothing for a source of {layout}",
                received=f"{name} = {getattr(config, name)}",
                fix="leave it out",
            )


def _layout(root: Path, source: str) -> str:
    if source not in ("auto", *_LAYOUTS):
        raise InputError(
            f"unknown source {source!r}",
            wanted=f"one of auto, {', '.join(_LAYOUTS)}",
        )
    if not root.is_dir():
        raise DatasetError("no such folder", wanted="a dataset", received=str(root))
    if source != "auto":
        return source
    for name, (recognises, _) in _LAYOUTS.items():
        if recognises(root):
            return name
    dicom = next(root.rglob("*.dcm"), None)
    raise DatasetError(
        f"{root} is no dataset in a known layout",
        wanted="BIDS (dataset_description.json), HCP "
        "(SUBJECT/MNINonLinear/Results/tfMRI_*), a folder per class "
        "(CLASS/sub-XX_run-R_vol-VVV.nii.gz) or maps (volumes.tsv)",
        received=f"DICOM files, such as {dicom.name}" if dicom else "",
        fix="convert them to BIDS first, for instance with dcm2niix"
        if dicom
        else "give the folder that holds these",
    )


def _labels(values: str | Iterable[str]) -> tuple[str, ...]:
    return (values,) if isinstance(values, str) and values else tuple(values)
