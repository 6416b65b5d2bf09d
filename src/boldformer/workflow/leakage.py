"""The leak, measured: the same training, whatever samples are split by."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from boldformer.config import (
    PreprocessingConfig,
    RunConfig,
    TrainingConfig,
    to_dict,
)
from boldformer.data.audit import Audit, audit
from boldformer.data.fingerprints import find_copies
from boldformer.data.folders import WORK, OutputFolder, check_place
from boldformer.data.recording import Dataset
from boldformer.data.sources import open_source
from boldformer.data.splits import Splits
from boldformer.errors import InputError
from boldformer.evaluation.leakage import (
    HONEST,
    SCHEMES,
    Volumes,
    match_training,
    scheme_folds,
    shuffle_blocks,
)
from boldformer.models import get_model
from boldformer.training.augment import NO_AUGMENTATION
from boldformer.workflow.cohort import Cohort, read_cohort
from boldformer.workflow.leakage_fits import Arm, Fits, Study
from boldformer.workflow.leakage_outputs import WRITTEN, write_leakage

__all__ = ["LeakageSettings", "run_leakage"]

logger = logging.getLogger(__name__)

RAW, CENTRED = "raw", "centred"
# The reference was given volumes as they come; the SVM is quick enough for both.
_OWN = {"reference": (RAW,), "reference_deepbrain": (RAW,), "linear": (RAW, CENTRED)}


@dataclass(frozen=True)
class LeakageSettings:
    """What is trained, and how it is split.

    Parameters
    ----------
    run : RunConfig
        Data, preprocessing of the centred volumes, delay and stride of samples,
        training and evaluation; its model, length and step of windows are not used.
    models : tuple of str
        Names in the model registry, each alone or as ``name:raw`` or ``name:centred``.
        Alone the reference models read raw volumes, the linear SVM reads both, and
        others read centred ones.
    schemes : tuple of str
        Names out of `boldformer.evaluation.leakage.SCHEMES`.
    folds : int
        Of every scheme.
    linear_shuffles, network_shuffles : int
        How often the control with labels shuffled among blocks is fitted.
    """

    run: RunConfig = field(default_factory=RunConfig)
    models: tuple[str, ...] = ("reference", "hybrid", "linear")
    schemes: tuple[str, ...] = tuple(SCHEMES)
    folds: int = 3
    linear_shuffles: int = 5
    network_shuffles: int = 0

    @property
    def arms(self) -> list[Arm]:
        """Every model with every preprocessing it is given."""
        return [arm for text in self.models for arm in _arms(text)]

    @property
    def training(self) -> TrainingConfig:
        """Training on the volumes as they are, as many steps whatever the split."""
        return replace(
            self.run.training, patience=0, linear_path="off", **NO_AUGMENTATION
        )


def run_leakage(
    settings: LeakageSettings,
    out: Path,
    *,
    n_jobs: int = 1,
    overwrite: bool = False,
    progress: bool = True,
) -> Path:
    """Train every model under every scheme; write what `docs/leakage.md` lists.

    Parameters
    ----------
    settings : LeakageSettings
        How.
    out : Path
        Output folder; finished fits found there are used again.
    n_jobs : int
        Runs prepared at once.
    overwrite : bool
        Replace results found in `out`.
    progress : bool
        Show progress bars.

    Returns
    -------
    Path
        ``leakage.tsv``.

    Raises
    ------
    InputError
        For settings or data that cannot be used.
    LeakageError
        When even the subject-wise split leaks, as it does with one scan under two
        names.
    OutputExistsError
        When `out` holds something else.
    """
    _check(settings)
    check_place(out, (settings.run.data.path, settings.run.data.derivatives))
    given = to_dict(settings)
    with OutputFolder(
        out, "a leakage study", WRITTEN, given, overwrite=overwrite
    ) as folder:
        return _leakage(settings, folder, n_jobs, progress)


def _leakage(
    settings: LeakageSettings, folder: OutputFolder, n_jobs: int, progress: bool
) -> Path:
    dataset, out = open_source(settings.run.data), folder.path
    check_place(out, dataset.folders)
    work = out / WORK
    cohorts = _cohorts(dataset, settings, work, n_jobs, progress)
    cohort = next(iter(cohorts.values()))
    splits = _splits(cohort, settings)
    audits = _audits(cohort, splits)
    labellings = _labellings(cohort, settings)
    study = Study(dataset.name, cohort, splits, audits, labellings)
    folder.begin()
    found = []
    for name, one in cohorts.items():
        volumes = Volumes(one.windows, standardised=name == RAW)
        arms = [arm for arm in settings.arms if arm.preprocessing == name]
        shuffles = settings.linear_shuffles, settings.network_shuffles
        fits = Fits(
            volumes, study, settings.training, shuffles, work / "fits", progress
        )
        found += [fits.measure(arm, scheme) for arm in arms for scheme in splits]
    found.sort(key=lambda one: settings.arms.index(one.arm))
    return write_leakage(out, study, found, to_dict(settings), cohorts)


# --- what is asked ----------------------------------------------------------------


def _arms(text: str) -> list[Arm]:
    name, _, how = text.partition(":")
    get_model(name)
    if how not in ("", RAW, CENTRED):
        raise InputError(
            "unknown preprocessing of a model",
            wanted=f"{name}:{RAW} or {name}:{CENTRED}",
            received=repr(text),
        )
    return [Arm(name, one) for one in ((how,) if how else _OWN.get(name, (CENTRED,)))]


def _check(settings: LeakageSettings) -> None:
    unknown = [name for name in settings.schemes if name not in SCHEMES]
    if unknown or HONEST not in settings.schemes:
        raise InputError(
            "unusable ways to split",
            wanted=f"{HONEST} and others out of {', '.join(SCHEMES)}",
            received=", ".join(settings.schemes),
        )
    if not settings.arms or len(set(settings.arms)) < len(settings.arms):
        raise InputError(
            "no models, or one of them twice", received=", ".join(settings.models)
        )


def _raw(base: PreprocessingConfig) -> PreprocessingConfig:
    """Leave only what is done volume by volume."""
    return replace(
        base,
        despike=False,
        scrub_fd_mm=0.0,
        centre=False,
        detrend_order=-1,
        high_pass_hz=0.0,
        low_pass_hz=0.0,
        confounds=(),
        smooth_s=0.0,
        normalise="none",
        steps=(),
    )


# --- samples and splits -----------------------------------------------------------


def _cohorts(
    dataset: Dataset,
    settings: LeakageSettings,
    work: Path,
    n_jobs: int,
    progress: bool,
) -> dict[str, Cohort]:
    """Single volumes under each preprocessing, the same ones in the same order."""
    t_r = max(recording.t_r for recording in dataset)
    stride_s = max(settings.run.window.stride_s, t_r)
    window = replace(settings.run.window, length_s=t_r, stride_s=stride_s, step_s=t_r)
    base = settings.run.preprocessing
    recipes = {RAW: _raw(base), CENTRED: base}
    found = {}
    for name in dict.fromkeys(arm.preprocessing for arm in settings.arms):
        run = replace(settings.run, preprocessing=recipes[name], window=window)
        found[name] = read_cohort(
            dataset, run, work / f"store-{name}", n_jobs=n_jobs, progress=progress
        )
        logger.info("%s: %d volumes", name, len(found[name].windows))
    tables = [one.windows.table[["block", "first_frame"]] for one in found.values()]
    if not all(table.equals(tables[0]) for table in tables):
        raise InputError(
            "raw and centred volumes are not the same ones",
            received=", ".join(f"{k}: {len(c.windows)}" for k, c in found.items()),
            fix="leave out runs that only one of them can use, or ask for one of them",
        )
    return found


def _splits(cohort: Cohort, settings: LeakageSettings) -> dict[str, Splits]:
    seed, table = settings.run.evaluation.seed, cohort.windows.table
    names = [name for name in SCHEMES if name in settings.schemes]
    made = {
        name: scheme_folds(table, name, folds=settings.folds, seed=seed)
        for name in names
    }
    return match_training(made, seed)


def _audits(cohort: Cohort, splits: dict[str, Splits]) -> dict[str, Audit]:
    windows = cohort.windows
    copies, nuisance = find_copies(windows.runs), windows.nuisance()
    found = {}
    for name, one in splits.items():
        found[name] = audit(windows.table, one, copies=copies, nuisance=nuisance)
        logger.info("%s-wise; audit: %s", name, found[name].summary)
    found[HONEST].raise_if_leaky()
    return found


def _labellings(cohort: Cohort, settings: LeakageSettings) -> np.ndarray:
    """List true classes, then shuffled ones, (1 + n_shuffles, n_volumes)."""
    rng = np.random.default_rng(settings.run.evaluation.seed)
    table, targets = cohort.windows.table, cohort.targets
    count = max(settings.linear_shuffles, settings.network_shuffles)
    shuffled = [shuffle_blocks(table, targets, rng) for _ in range(count)]
    return np.stack([targets, *shuffled])
