"""Transfer: train on some data sets, test on another, with and without its labels."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from boldformer.config import DataConfig, to_dict
from boldformer.data.audit import Audit, audit
from boldformer.data.fingerprints import Copy, find_copies
from boldformer.data.folders import WORK, OutputFolder, check_place
from boldformer.data.splits import Fold, Splits
from boldformer.errors import InputError
from boldformer.evaluation.transfer import Learner, LinearTransfer, Shots
from boldformer.evaluation.transfer_networks import AlignedWindows, NetworkTransfer
from boldformer.evaluation.transfer_scores import (
    Judge,
    Scored,
    score_alone,
    score_transfer,
    score_within_site,
)
from boldformer.models import get_model
from boldformer.training.alignment import get_alignment
from boldformer.workflow.transfer_outputs import WRITTEN, Direction, write_transfer
from boldformer.workflow.transfer_sites import Sites, TransferSettings, read_sites

__all__ = ["TransferSettings", "measure", "run_transfer"]

logger = logging.getLogger(__name__)

# Baselines are told under these only: the others say something of two sites.
_WITHIN_ONE_SITE = ("none", "run")


def run_transfer(
    train: Sequence[DataConfig],
    test: DataConfig | None,
    out: Path,
    settings: TransferSettings,
    *,
    n_jobs: int = 1,
    overwrite: bool = False,
    progress: bool = True,
) -> Path:
    """Measure transfer and write ``transfer.tsv``, ``.json``, ``.md`` and the figure.

    Parameters
    ----------
    train : sequence of DataConfig
        Data sets to train on.
    test : DataConfig or None
        Data set to test on; None leaves out each of `train` in turn.
    out : Path
        Output folder; prepared runs found there are used again.
    settings : TransferSettings
        How.
    n_jobs : int
        Runs prepared at once.
    overwrite : bool
        Replace results found in `out`.
    progress : bool
        Show progress bars.

    Returns
    -------
    Path
        ``transfer.tsv``.

    Raises
    ------
    InputError
        When the data sets share no space, place or classes.
    LeakageError
        When a subject, or the content of a run, is on both sides.
    OutputExistsError
        When `out` holds something else.
    """
    _check(train, test, settings)
    configs = [*train] if test is None else [*train, test]
    inputs = [place for c in configs for place in (c.path, c.derivatives)]
    check_place(out, inputs)
    given = {
        **to_dict(settings),
        "train": [to_dict(config) for config in train],
        "test": None if test is None else to_dict(test),
    }
    with OutputFolder(
        out, "a transfer study", WRITTEN, given, overwrite=overwrite
    ) as folder:
        return _transfer(configs, test, folder, settings, n_jobs, progress)


def _transfer(
    configs: Sequence[DataConfig],
    test: DataConfig | None,
    folder: OutputFolder,
    settings: TransferSettings,
    n_jobs: int,
    progress: bool,
) -> Path:
    out = folder.path
    sites = read_sites(configs, settings, out / WORK, n_jobs, progress)
    last = len(configs) - 1
    tested = range(len(configs)) if test is None else [last]
    copies = find_copies(sites.windows.runs)
    verdicts = {index: _audit(sites, index, copies, settings) for index in tested}
    folder.begin()
    directions = []
    for index, verdict in verdicts.items():
        logger.info("Tested on %s", sites.names[index])
        judge, scores = measure(sites, index, settings, progress=progress)
        others = [name for k, name in enumerate(sites.names) if k != index]
        directions.append(Direction(others, sites.names[index], verdict, judge, scores))
    return write_transfer(out, sites, directions, settings)


def _check(
    train: Sequence[DataConfig], test: DataConfig | None, settings: TransferSettings
) -> None:
    if len(train) < (2 if test is None else 1):
        raise InputError(
            "too few data sets to transfer between",
            wanted="TRAIN… --test DATA, or two or more with --leave-one-out",
            received=f"{len(train)}",
        )
    for text in settings.shots:
        Shots.parse(text)
    network = get_model(settings.run.model.name).solver != "linear"
    for name in settings.alignments:
        if network and not get_alignment(name).affine:
            raise InputError(
                f"the alignment {name!r} works on window means, which the network "
                f"{settings.run.model.name!r} does not read",
                wanted="none, run or site",
            )


def _audit(
    sites: Sites, index: int, copies: Sequence[Copy], settings: TransferSettings
) -> Audit:
    is_test = sites.part == index
    fold = Fold(0, np.flatnonzero(~is_test), np.flatnonzero(is_test))
    scheme = f"Trained on other data sets, tested on {sites.names[index]}."
    splits = Splits((fold,), "subject", scheme)
    verdict = audit(sites.windows.table, splits, copies=copies)
    logger.info("Tested on %s; audit: %s", sites.names[index], verdict.summary)
    verdict.raise_if_leaky(settings.run.evaluation.allow_leakage)
    return verdict


# --- measuring --------------------------------------------------------------------


def measure(
    sites: Sites, index: int, settings: TransferSettings, *, progress: bool = False
) -> tuple[Judge, list[Scored]]:
    """Score every setting on one test data set, the others being trained on.

    Parameters
    ----------
    sites : Sites
        All data sets.
    index : int
        Which of them is tested.
    settings : TransferSettings
        How.
    progress : bool
        Show progress bars of networks.
    """
    rows = np.flatnonzero(sites.part == index)
    table = sites.windows.table.iloc[rows].reset_index(drop=True)
    evaluation = settings.run.evaluation
    judge = Judge(
        table,
        sites.targets[rows],
        len(sites.classes),
        n_resamples=evaluation.n_resamples,
        level=evaluation.level,
        seed=evaluation.seed,
    )
    return judge, list(_scores(sites, index, judge, settings, progress))


def _scores(
    sites: Sites,
    index: int,
    judge: Judge,
    settings: TransferSettings,
    progress: bool,
) -> Iterator[Scored]:
    shots = [Shots.parse(text) for text in settings.shots]
    is_target = sites.part == index
    runs = sites.windows.table["recording"].to_numpy(dtype=str)
    places = sites.part.astype(str)
    means = sites.windows.means()
    model = settings.run.model.name
    linear = get_model(model).solver == "linear"
    for name in dict.fromkeys(("none", *settings.alignments)):
        logger.info("  alignment: %s", name)
        features = get_alignment(name).apply(means, runs, places, is_target)
        if name in _WITHIN_ONE_SITE:
            target = features[is_target]
            yield from score_alone(judge, target, shots, name)
            if judge.table["subject"].nunique() > 1:
                yield score_within_site(judge, target, name)
        if name not in settings.alignments:
            continue
        learner: Learner
        if linear:
            learner = _linear(sites, features, is_target)
        else:
            groups = {"run": runs, "site": places}.get(name)
            aligned = AlignedWindows(sites.windows, groups)
            learner = _network(sites, aligned, is_target, settings, progress)
        yield from score_transfer(judge, learner, shots, name, model)


def _linear(
    sites: Sites, features: np.ndarray, is_target: np.ndarray
) -> LinearTransfer:
    subjects = sites.windows.table["subject"].to_numpy(dtype=str)
    return LinearTransfer(
        features[~is_target],
        sites.targets[~is_target],
        subjects[~is_target],
        features[is_target],
    )


def _network(
    sites: Sites,
    windows: AlignedWindows,
    is_target: np.ndarray,
    settings: TransferSettings,
    progress: bool,
) -> NetworkTransfer:
    subjects = sites.windows.table["subject"].to_numpy(dtype=str)
    return NetworkTransfer(
        settings.run.model,
        settings.run.training,
        windows,
        sites.targets[~is_target],
        subjects[~is_target],
        source=np.flatnonzero(~is_target),
        target=np.flatnonzero(is_target),
        n_outputs=len(sites.classes),
        t_r=sites.windows.t_r,
        tuned=settings.tuned,
        epochs=settings.tuning_epochs,
        progress=progress,
    )
