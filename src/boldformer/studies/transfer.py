"""Transfer: train on some data sets, test on another, with and without its labels."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from boldformer.config import DataConfig, to_dict
from boldformer.data.audit.fingerprints import Copy, find_copies
from boldformer.data.audit.split_audit import Audit, audit
from boldformer.data.splits import Fold, Splits
from boldformer.errors import InputError
from boldformer.evaluation.experiment import Experiment
from boldformer.evaluation.transfer_learners import Learner, LinearTransfer, Shots
from boldformer.evaluation.transfer_networks import AlignedWindows, NetworkTransfer
from boldformer.evaluation.transfer_scores import (
    SettingScore,
    SiteJudge,
    score_alone,
    score_transfer,
    score_within_site,
)
from boldformer.models import get_model
from boldformer.studies.settings import check_settings
from boldformer.studies.study import Study
from boldformer.studies.transfer_outputs import WRITTEN, Direction, write_transfer
from boldformer.studies.transfer_sites import Sites, TransferSettings, read_sites
from boldformer.training.feature_alignment import get_alignment

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
    out, settings, n_jobs, overwrite, progress
        See `boldformer.studies.study.Study`.

    Returns
    -------
    Path
        ``transfer.tsv``.
    """
    study = Transfer(train, test, settings, out, n_jobs=n_jobs, progress=progress)
    return study.run(overwrite=overwrite)


class Transfer(Study[TransferSettings]):
    """Trained on some data sets, tested on another."""

    job = "a transfer study"
    written = WRITTEN

    def __init__(
        self,
        train: Sequence[DataConfig],
        test: DataConfig | None,
        settings: TransferSettings,
        out: Path,
        **how: Any,
    ) -> None:
        super().__init__(settings, out, **how)
        self._train, self._test = train, test
        self._configs = [*train] if test is None else [*train, test]

    @property
    def inputs(self) -> list[str]:
        """See `Study`."""
        return [place for c in self._configs for place in (c.path, c.derivatives)]

    @property
    def recorded(self) -> dict[str, Any]:
        """See `Study`."""
        test = None if self._test is None else to_dict(self._test)
        train = [to_dict(config) for config in self._train]
        return {**to_dict(self.settings), "train": train, "test": test}

    def check(self) -> None:
        """See `Study`."""
        _check(self._train, self._test, self.settings)
        check_settings(self.settings.run)

    def read(self) -> None:
        """See `Study`."""
        opened = [self.open(config) for config in self._configs]
        self._sites = read_sites(opened, self.settings, self.work, self.prepare)
        last = len(self._configs) - 1
        tested = range(len(self._configs)) if self._test is None else [last]
        copies = find_copies(self._sites.prepared)
        self._audits = {index: self._audit(index, copies) for index in tested}

    def _audit(self, index: int, copies: Sequence[Copy]) -> Audit:
        sites = self._sites
        is_test = sites.part == index
        fold = Fold(0, np.flatnonzero(~is_test), np.flatnonzero(is_test))
        scheme = f"Trained on other data sets, tested on {sites.names[index]}."
        splits = Splits((fold,), "subject", scheme)
        verdict = audit(sites.windows.table, splits, copies=copies)
        logger.info("Tested on %s; audit: %s", sites.names[index], verdict.summary)
        verdict.raise_if_leaky(self.settings.run.evaluation.allow_leakage)
        return verdict

    def measure(self) -> Path:
        """See `Study`."""
        directions = []
        for index, verdict in self._audits.items():
            names = self._sites.names
            logger.info("Tested on %s", names[index])
            judge, scores = measure(
                self._sites, index, self.settings, progress=self.progress
            )
            others = [name for k, name in enumerate(names) if k != index]
            directions.append(Direction(others, names[index], verdict, judge, scores))
        return write_transfer(self.out, self._sites, directions, self.settings)


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


# --- measuring --------------------------------------------------------------------


def measure(
    sites: Sites, index: int, settings: TransferSettings, *, progress: bool = False
) -> tuple[SiteJudge, list[SettingScore]]:
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
    judge = SiteJudge(table, sites.targets[rows], len(sites.classes), evaluation)
    return judge, list(_scores(sites, index, judge, settings, progress))


def _scores(
    sites: Sites,
    index: int,
    judge: SiteJudge,
    settings: TransferSettings,
    progress: bool,
) -> Iterator[SettingScore]:
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
    experiment = Experiment(
        windows,
        sites.targets,
        sites.classes,
        settings.run.model,
        settings.run.training,
    )
    return NetworkTransfer(
        experiment,
        source=np.flatnonzero(~is_target),
        target=np.flatnonzero(is_target),
        tuned=settings.tuned,
        epochs=settings.tuning_epochs,
        progress=progress,
    )
