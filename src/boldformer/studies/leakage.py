"""The leak, measured: the same training, whatever samples are split by."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from boldformer.config import PreprocessingConfig, RunConfig, TrainingConfig
from boldformer.data.audit.fit_log import FitLog
from boldformer.data.cohort import Cohort
from boldformer.data.groups import event_shuffler
from boldformer.data.splits import Splits
from boldformer.errors import InputError
from boldformer.evaluation.leakage_schemes import (
    HONEST,
    SCHEMES,
    Volumes,
    match_training,
    scheme_folds,
)
from boldformer.models import get_model
from boldformer.studies.leakage_fits import VolumeArm, VolumeFits
from boldformer.studies.leakage_outputs import WRITTEN, Findings, write_leakage
from boldformer.studies.settings import check_settings
from boldformer.studies.study import Study, audit_fits, audit_splits, same_windows
from boldformer.training.augment import NO_AUGMENTATION

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
        Names out of `boldformer.evaluation.leakage_schemes.SCHEMES`.
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
    def arms(self) -> list[VolumeArm]:
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

    Returns ``leakage.tsv``. See `boldformer.studies.study.Study` for the parameters
    and errors: even the subject-wise split leaks with one scan under two names.
    """
    study = Leakage(settings, out, n_jobs=n_jobs, progress=progress)
    return study.run(overwrite=overwrite)


class Leakage(Study[LeakageSettings]):
    """The same training, whatever samples are split by."""

    job = "a leakage study"
    written = WRITTEN

    @property
    def inputs(self) -> tuple[str, str]:
        """See `Study`."""
        return self.settings.run.data.path, self.settings.run.data.derivatives

    def check(self) -> None:
        """See `Study`."""
        _check(self.settings)
        check_settings(self.settings.run)

    def read(self) -> None:
        """See `Study`."""
        self._cohorts = self._read_volumes()
        self._cohort = next(iter(self._cohorts.values()))
        self._splits = self._split()
        self._audits = audit_splits(self._cohort, self._splits)
        self._audits[HONEST].raise_if_leaky()

    def _read_volumes(self) -> dict[str, Cohort]:
        """Single volumes under each preprocessing, the same ones in the same order."""
        run = self.settings.run
        dataset = self.open(run.data)
        t_r = max(recording.t_r for recording in dataset)
        stride_s = max(run.window.stride_s, t_r)
        window = replace(run.window, length_s=t_r, stride_s=stride_s, step_s=t_r)
        recipes = {RAW: _raw(run.preprocessing), CENTRED: run.preprocessing}
        found = {}
        for name in dict.fromkeys(arm.preprocessing for arm in self.settings.arms):
            asked = replace(run, preprocessing=recipes[name], window=window)
            found[name] = self.prepare(dataset, asked, self.work / f"store-{name}")
            logger.info("%s: %d volumes", name, len(found[name].windows))
        same_windows(found, ["block", "first_frame"], "ask for one of them")
        return found

    def _split(self) -> dict[str, Splits]:
        settings, table = self.settings, self._cohort.windows.table
        seed = settings.run.evaluation.seed
        made = {
            name: scheme_folds(table, name, folds=settings.folds, seed=seed)
            for name in SCHEMES
            if name in settings.schemes
        }
        return match_training(made, seed)

    def measure(self) -> Path:
        """See `Study`."""
        settings, labellings, found = self.settings, self._labellings(), []
        log = FitLog()
        for name, cohort in self._cohorts.items():
            fits = VolumeFits(
                Volumes(cohort.windows, standardised=name == RAW),
                cohort.labels,
                labellings,
                settings.training,
                self.work / "fits",
                self.progress,
            )
            for arm in settings.arms:
                if arm.preprocessing != name:
                    continue
                count = settings.linear_shuffles
                if not arm.linear:
                    count = settings.network_shuffles
                for scheme, splits in self._splits.items():
                    one = fits.measure(arm, scheme, splits, count)
                    found.append(one)
                    if scheme == HONEST:
                        log.extend(one.log, prefix=f"{arm}: ")
        audit_fits(self._cohort, self._splits[HONEST], log, allow_leakage=False)
        found.sort(key=lambda one: settings.arms.index(one.arm))
        findings = Findings(
            settings.run.evaluation,
            self.recorded,
            self._cohorts,
            self._splits,
            self._audits,
            labellings,
            found,
        )
        return write_leakage(self.out, findings)

    def _labellings(self) -> np.ndarray:
        """List true classes, then shuffled ones, (1 + n_shuffles, n_volumes)."""
        settings, cohort = self.settings, self._cohort
        rng = np.random.default_rng(settings.run.evaluation.seed)
        count = max(settings.linear_shuffles, settings.network_shuffles)
        # Blocks can still be told apart: a score above chance is what that is worth.
        shuffle = event_shuffler(cohort.windows.table, rng)
        shuffled = [shuffle(cohort.targets) for _ in range(count)]
        return np.stack([cohort.targets, *shuffled])


# --- what is asked ----------------------------------------------------------------


def _arms(text: str) -> list[VolumeArm]:
    name, _, how = text.partition(":")
    get_model(name)
    if how not in ("", RAW, CENTRED):
        raise InputError(
            "unknown preprocessing of a model",
            wanted=f"{name}:{RAW} or {name}:{CENTRED}",
            received=repr(text),
        )
    own = (how,) if how else _OWN.get(name, (CENTRED,))
    return [VolumeArm(name, one) for one in own]


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
