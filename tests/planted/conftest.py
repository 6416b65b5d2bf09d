"""Cohorts with one thing planted, and the default way from their files to a score."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from scipy import ndimage, stats
from sklearn.metrics import balanced_accuracy_score

from boldformer.config import DataConfig, ModelConfig, RunConfig, WindowConfig
from boldformer.data.audit.fingerprints import find_copies
from boldformer.data.audit.split_audit import Audit, audit
from boldformer.data.cohort import Cohort, read_cohort
from boldformer.data.sources.layouts import open_source
from boldformer.data.splits import Fold, Splits, make_folds, split_groups
from boldformer.evaluation.baselines import BASELINES
from boldformer.evaluation.cross_validation import cross_validate
from boldformer.evaluation.experiment import Experiment
from boldformer.evaluation.out_of_fold import out_of_fold

SHAPE = (10, 10, 10)
VOXEL_MM = 3.0
T_R, BLOCK_S, CYCLE_S, FIRST_S, DELAY_S = 2.0, 8.0, 14.0, 6.0, 5.0
NOISE = 20.0
SMOOTHNESS = 0.7
MOTION = [f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"]
BRAIN = np.zeros(SHAPE, dtype=bool)
BRAIN[1:-1, 1:-1, 1:-1] = True
SPACE = "space-MNI152NLin2009cAsym"


@dataclass(frozen=True)
class Planted:
    """What a cohort holds; by default nothing but noise and labels in random order.

    Parameters
    ----------
    seed : int
        Of everything random.
    subjects, runs, blocks : int
        People, runs a person, and blocks of 8 s a run.
    shared, own : float
        Response to each of two labels, in standard deviations of the noise: a pattern
        that all people have in common, and one that every person has alone.
    identity : float
        Standard deviation of a person's own mean image, over that of the noise.
    proportions : bool
        Let every person do one of the labels more often than the other.
    shuffled : bool
        Permute the labels within each run after the responses were made.
    motion : float
        Millimetres that blocks of the second label move the head, and with it the
        image.
    order : {"random", "halves", "run"}
        Labels in random order; one in each half of a run; one in each run.
    """

    seed: int
    subjects: int = 12
    runs: int = 1
    blocks: int = 8
    shared: float = 0.0
    own: float = 0.0
    identity: float = 0.0
    proportions: bool = False
    shuffled: bool = False
    motion: float = 0.0
    order: str = "random"

    @property
    def n_times(self) -> int:
        return int((FIRST_S + self.blocks * CYCLE_S + 10.0) / T_R)


def write_planted(root: Path, planted: Planted) -> Path:
    """Write a cohort as a BIDS dataset with fMRIPrep-style derivatives."""
    root.mkdir(parents=True)
    text = json.dumps({"Name": "planted", "BIDSVersion": "1.10.0"})
    (root / "dataset_description.json").write_text(text)
    sidecar = {"RepetitionTime": T_R, "TaskName": "test"}
    (root / "task-test_bold.json").write_text(json.dumps(sidecar))
    n_voxels = int(BRAIN.sum())
    shared = _patterns(np.random.default_rng([planted.seed, 0]))
    for subject in range(1, planted.subjects + 1):
        rng = np.random.default_rng([planted.seed, subject])
        own = _patterns(rng)
        patterns = NOISE * (planted.shared * shared + planted.own * own)
        image = 1000 + NOISE * planted.identity * rng.normal(size=n_voxels)
        for run in range(1, planted.runs + 1):
            _write_run(root, planted, subject, run, patterns, image, rng)
    return root


def _patterns(rng: np.random.Generator) -> np.ndarray:
    """A smooth pattern of unit variance for each label, (2, n_voxels)."""
    noise = rng.normal(size=(2, *SHAPE))
    smooth = ndimage.gaussian_filter(noise, SMOOTHNESS, axes=(1, 2, 3))[:, BRAIN]
    return smooth / smooth.std(axis=1, keepdims=True)


def _write_run(root, planted, subject, run, patterns, image, rng) -> None:
    order = _order(planted, subject, run, rng)
    onsets = FIRST_S + CYCLE_S * np.arange(len(order))
    times_s = T_R * np.arange(planted.n_times)[:, None]
    on = (times_s >= onsets + DELAY_S) & (times_s < onsets + DELAY_S + BLOCK_S)
    motion = 0.02 * rng.normal(size=(planted.n_times, 6)).cumsum(axis=0) / 5
    motion[:, 2] += planted.motion * (on[:, order == 1]).sum(axis=1)
    moved = np.r_[np.nan, np.abs(np.diff(motion, axis=0)).sum(axis=1)]
    data = image + NOISE * rng.normal(size=(planted.n_times, len(image)))
    for label in (0, 1):
        data += np.outer(on[:, order == label].sum(axis=1), patterns[label])
    # Moving changes edges, and what is excited: one part follows the parameters, the
    # other does not and outlasts a regression on them.
    edges = np.random.default_rng([planted.seed, subject, 99]).normal(size=len(image))
    data += NOISE * (motion[:, 2:3] + np.nan_to_num(moved)[:, None]) * edges
    written = rng.permutation(order) if planted.shuffled else order
    events = pd.DataFrame({"onset": onsets, "duration": BLOCK_S})
    events["trial_type"] = np.array(["left", "right"])[written]
    confounds = pd.DataFrame(motion, columns=MOTION)
    confounds["csf"], confounds["white_matter"] = rng.normal(size=(2, len(data)))
    confounds["framewise_displacement"] = moved
    _save(root, planted, f"{subject:02d}", run, data, events, confounds)


def _order(planted: Planted, subject: int, run: int, rng) -> np.ndarray:
    if planted.order == "halves":
        return np.repeat([0, 1], planted.blocks // 2)
    if planted.order == "run":
        return np.full(planted.blocks, run % 2)
    first = planted.blocks // 2
    if planted.proportions:
        first += (-1) ** subject * planted.blocks // 4
    return rng.permutation(np.repeat([0, 1], [first, planted.blocks - first]))


def _save(root, planted, subject, run, data, events, confounds) -> None:
    stem = f"sub-{subject}_task-test_run-{run}"
    func = root / f"sub-{subject}" / "func"
    out = root / "derivatives" / "fmriprep" / f"sub-{subject}" / "func"
    for folder in (func, out):
        folder.mkdir(parents=True, exist_ok=True)
    events.to_csv(func / f"{stem}_events.tsv", sep="\t", index=False)
    volumes = np.zeros((*SHAPE, len(data)), dtype=np.float32)
    volumes[BRAIN] = data.T
    affine = np.diag([VOXEL_MM] * 3 + [1.0])
    image = nib.Nifti1Image(volumes, affine)
    image.header.set_xyzt_units("mm", "sec")
    image.header.set_zooms((VOXEL_MM,) * 3 + (T_R,))
    nib.save(image, out / f"{stem}_{SPACE}_desc-preproc_bold.nii.gz")
    mask = nib.Nifti1Image(BRAIN.astype(np.uint8), affine)
    nib.save(mask, out / f"{stem}_{SPACE}_desc-brain_mask.nii.gz")
    table = out / f"{stem}_desc-confounds_timeseries.tsv"
    confounds.to_csv(table, sep="\t", index=False, na_rep="n/a")
    table.with_suffix(".json").write_text("{}")


@dataclass(frozen=True, eq=False)
class Judged:
    """A cohort read and split by default, and what the decoders make of it."""

    cohort: Cohort
    splits: Splits
    folder: Path

    def probabilities(self, name: str, splits: Splits | None = None) -> np.ndarray:
        """Out of fold, from a baseline or from a model with default training."""
        cohort, splits = self.cohort, splits or self.splits
        windows = cohort.windows
        if name not in BASELINES:
            run = RunConfig(model=ModelConfig(name))
            experiment = Experiment.of(cohort, run)
            found = np.full((len(windows), 2), np.nan)
            place = self.folder / splits.scheme
            for outcome in cross_validate(experiment, splits, place, progress=False):
                found[outcome.fold.test] = outcome.probabilities
            return found
        nuisance = BASELINES[name].features == "nuisance"
        features = windows.nuisance().to_numpy() if nuisance else windows.means()
        groups = split_groups(windows.table, splits.unit)
        model = BASELINES[name].make()
        return out_of_fold(
            model, features, cohort.targets, splits, groups, 2
        ).probabilities

    def score(self, name: str, splits: Splits | None = None) -> float:
        """Balanced accuracy over the windows that were tested."""
        given = self.probabilities(name, splits)
        tested = np.isfinite(given[:, 0])
        truth = self.cohort.targets[tested]
        return float(balanced_accuracy_score(truth, given[tested].argmax(axis=1)))

    def at_random(self, n_folds: int = 5) -> Splits:
        """Windows in folds whoever they come from: the leak."""
        order = np.random.default_rng(0).permutation(len(self.cohort.targets))
        folds = [
            Fold(k, np.setdiff1d(order, order[k::n_folds]), np.sort(order[k::n_folds]))
            for k in range(n_folds)
        ]
        return Splits(tuple(folds), "subject", "windows at random")

    def audit(self) -> Audit:
        """What `boldformer run` asks before it fits anything."""
        windows = self.cohort.windows
        return audit(
            windows.table,
            self.splits,
            copies=find_copies(windows.runs),
            nuisance=windows.nuisance(),
        )


@pytest.fixture
def judge(tmp_path: Path) -> Callable[..., Judged]:
    """Write a cohort, prepare it by default, split it by default (or in `folds`)."""

    def make(
        seed: int,
        *,
        folds: int = 0,
        window: WindowConfig | None = None,
        **planted: object,
    ) -> Judged:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        root = write_planted(folder / "bids", Planted(seed, **planted))
        data = DataConfig(path=str(root))
        settings = RunConfig(data=data, window=window or WindowConfig())
        dataset = open_source(settings.data)
        store = folder / "store"
        cohort = read_cohort(dataset, settings, store, n_jobs=1, progress=False)
        splits = make_folds(cohort.windows.table, folds=folds)
        return Judged(cohort, splits, folder / "folds")

    return make


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a cohort; return its folder."""

    def make(seed: int, **planted: object) -> Path:
        return write_planted(tmp_path / "bids", Planted(seed, **planted))

    return make


@pytest.fixture
def interval() -> Callable[..., tuple[float, float]]:
    """Find the 99 % t interval of the mean over seeds; `within` bounds its half-width.

    Seeds are fixed, so the answer is the same every time.
    """

    def find(scores: list[float], within: float) -> tuple[float, float]:
        half = float(stats.t.ppf(0.995, len(scores) - 1) * stats.sem(scores))
        assert half < within, f"{scores} show nothing"
        return float(np.mean(scores)) - half, float(np.mean(scores)) + half

    return find
