"""From several data sets to the windows of one table, before a decoder changes site."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import nibabel as nib
import numpy as np

from boldformer.config import DataConfig, ModelConfig, PreprocessingConfig, RunConfig
from boldformer.data.atomic import atomic_path
from boldformer.data.cohort import Cohort, SetAside
from boldformer.data.harmonise import (
    check_spaces,
    combine,
    common_grid,
    name_in,
    shared_window,
)
from boldformer.data.ontology import common_classes, composition, read_ontology
from boldformer.data.recording import Dataset
from boldformer.data.store import Grid, PreparedRun
from boldformer.data.windows import WindowSet
from boldformer.preprocessing.spatial import resized_grid


@dataclass(frozen=True)
class TransferSettings:
    """How decoders are brought from one site to another.

    Parameters
    ----------
    run : RunConfig
        Preprocessing, window, model, training and evaluation; its data are not used.
    level : {"label", "effector", "side", "category"}
        Level of the ontology at which data sets share classes.
    ontology : str
        TSV that goes before the package's ontology.
    alignments : tuple of str
        Names out of `boldformer.training.feature_alignment.ALIGNMENTS`.
    shots : tuple of str
        As `Shots.parse` reads them.
    any_space : bool
        Take the coordinates of different spaces as they are.
    tuned : {"head", "all"}
        What of a network the shots change.
    tuning_epochs : int
        Passes over the shots.
    """

    run: RunConfig = field(
        default_factory=lambda: RunConfig(model=ModelConfig("linear"))
    )
    level: str = "label"
    ontology: str = ""
    alignments: tuple[str, ...] = ("none", "run", "site", "coral")
    shots: tuple[str, ...] = ("1", "2", "4")
    any_space: bool = False
    tuned: str = "head"
    tuning_epochs: int = 10


@dataclass(frozen=True, eq=False)
class Sites:
    """Windows of all data sets on one grid, with classes that all of them have.

    Parameters
    ----------
    names : list of str
        One a data set.
    windows : WindowSet
        Of all data sets.
    part : ndarray of int, shape (n_windows,)
        Which data set each is from.
    targets : ndarray of int, shape (n_windows,)
        Class of each.
    classes : list of str
        Class names.
    made_of : dict of str to dict
        Event types behind each class, by data set.
    grid : Grid or None
        Where all was resampled to; None where there was no need.
    set_aside : list of (str, str)
        Runs and events left out, each with its reason.
    prepared : dict of str to PreparedRun
        All prepared runs, as the windows name them.
    """

    names: list[str]
    windows: WindowSet
    part: np.ndarray
    targets: np.ndarray
    classes: list[str]
    made_of: dict[str, dict[str, list[str]]]
    grid: Grid | None
    set_aside: SetAside
    prepared: dict[str, PreparedRun]


def read_sites(
    opened: Sequence[Dataset],
    settings: TransferSettings,
    work: Path,
    prepare: Callable[[Dataset, RunConfig, Path], Cohort],
) -> Sites:
    """Agree on classes, grid and window of data sets; prepare and combine them.

    Parameters
    ----------
    opened : sequence of Dataset
        Data sets.
    settings : TransferSettings
        How.
    work : Path
        Keeps prepared runs, and the common grid.
    prepare : callable
        Prepares a data set, as settings say, into a store.
    """
    ontology = read_ontology(settings.ontology)
    keys = _keys(opened)
    names = [
        key if keys.count(key) == 1 else f"{key} (part {number})"
        for number, key in enumerate(keys, start=1)
    ]
    before = dict(zip(names, opened, strict=True))
    datasets, classes = common_classes(before, ontology, settings.level)
    check_spaces(dict(zip(keys, opened, strict=True)), any_space=settings.any_space)
    preprocessing, grid = _on_one_grid(
        settings.run.preprocessing, list(datasets.values()), work
    )
    run = replace(
        settings.run,
        data=DataConfig(labels=tuple(classes)),
        preprocessing=preprocessing,
        window=shared_window(datasets.values(), classes, settings.run.window),
    )
    prepared: dict[str, PreparedRun] = {}
    parts, set_aside = [], []
    for key, dataset in zip(keys, datasets.values(), strict=True):
        cohort = prepare(dataset, run, work / "store" / key)
        prepared |= {name_in(key, name): r for name, r in cohort.prepared.items()}
        known = np.flatnonzero(cohort.windows.table["label"].isin(classes))
        parts.append((key, cohort.windows[known]))
        set_aside += cohort.set_aside
    windows = combine(parts)
    return Sites(
        names,
        windows,
        np.repeat(np.arange(len(parts)), [len(part) for _, part in parts]),
        windows.table["label"].map(classes.index).to_numpy(dtype=np.int64),
        classes,
        {
            name: composition(dataset, ontology, settings.level, classes)
            for name, dataset in before.items()
        },
        grid,
        set_aside,
        prepared,
    )


def _keys(datasets: Sequence[Dataset]) -> list[str]:
    """Name of each folder; the same folder has the same, different ones never do."""
    paths = [dataset.path.resolve() for dataset in datasets]
    distinct = list(dict.fromkeys(paths))
    names: dict[Path, str] = {}
    for path in distinct:
        alike = [other for other in distinct if other.name == path.name]
        number = f"-{alike.index(path) + 1}" if len(alike) > 1 else ""
        names[path] = path.name + number
    return [names[path] for path in paths]


def _on_one_grid(
    config: PreprocessingConfig, datasets: Sequence[Dataset], work: Path
) -> tuple[PreprocessingConfig, Grid | None]:
    """Let preprocessing resample to the common grid, unless it was told a grid."""
    if config.grid_like or config.steps:
        return config, None
    grid = common_grid(datasets)
    if grid is None:
        return config, None
    if config.voxel_size_mm > 0:
        shape, affine = resized_grid(grid.shape, grid.matrix, config.voxel_size_mm)
        grid = Grid.from_arrays(shape, affine, grid.space)
    file = work / "grid.nii.gz"
    with atomic_path(file) as temporary:
        empty = np.zeros(grid.shape, dtype=np.uint8)
        nib.save(nib.Nifti1Image(empty, grid.matrix), temporary)
    return replace(config, voxel_size_mm=0.0, grid_like=str(file.resolve())), grid
