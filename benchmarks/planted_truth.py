"""What comes out when it is known what was put in, over many seeds.

Cohorts are simulated as `boldformer simulate` makes them and changed on disk: movements
renamed anew for every person (so that only who somebody is tells what a label means),
labels shuffled within runs, labels that follow the time in the run, a head that moves
with one label, a person saved twice. Each is then prepared, split, audited and decoded
by default: by linear decoders, and with `--hybrid` by the network. Two further parts
need no images: choices among noise, and the coverage of intervals.
Prints a Markdown table.

    python benchmarks/planted_truth.py --seeds 20
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from nilearn.image import resample_img
from scipy import stats
from sklearn.metrics import balanced_accuracy_score

from boldformer import Decoder
from boldformer.config import DataConfig, ModelConfig, RunConfig
from boldformer.data.audit.fingerprints import find_copies
from boldformer.data.audit.split_audit import audit
from boldformer.data.cohort import Cohort, read_cohort
from boldformer.data.sources.layouts import open_source
from boldformer.data.splits import Fold, Splits, make_folds, split_groups
from boldformer.evaluation.baselines import BASELINES
from boldformer.evaluation.cross_validation import cross_validate
from boldformer.evaluation.experiment import Experiment
from boldformer.evaluation.intervals import GroupBootstrap, reuse_widening
from boldformer.evaluation.out_of_fold import out_of_fold
from boldformer.simulation import CohortSpec, simulate_cohort

LABELS = ("left_leg", "right_leg", "forearm", "tongue")
COHORT = {
    "subjects": 12,
    "runs": 1,
    "n_volumes": 120,
    "voxel_size_mm": 8.0,
    "conditions": LABELS,
}
Rng = np.random.Generator


def tables(root: Path, ending: str) -> Iterator[tuple[Path, pd.DataFrame]]:
    for path in sorted(root.rglob(f"sub-*_{ending}.tsv")):
        yield path, pd.read_csv(path, sep="\t", na_values="n/a")


def save(path: Path, table: pd.DataFrame) -> None:
    table.to_csv(path, sep="\t", index=False, na_rep="n/a")


def as_it_is(root: Path, rng: Rng) -> None:
    """Leave the cohort alone: the effect that the other rows take away."""


def rename(root: Path, rng: Rng) -> None:
    """Give every person's movements each other's names, drawn at random."""
    for path, events in tables(root, "events"):
        other = dict(zip(LABELS, rng.permutation(LABELS), strict=True))
        save(path, events.assign(trial_type=events["trial_type"].map(other)))


def shuffle(root: Path, rng: Rng) -> None:
    """Permute the labels within each run."""
    for path, events in tables(root, "events"):
        save(path, events.assign(trial_type=rng.permutation(events["trial_type"])))


def quarters(root: Path, rng: Rng) -> None:
    """Name every quarter of a run after one movement, whatever was moved."""
    for path, events in tables(root, "events"):
        names = np.repeat(LABELS, len(events) // len(LABELS))
        save(path, events.assign(trial_type=names))


def move(root: Path, rng: Rng) -> None:
    """Let one of the shuffled labels move the head by half a millimetre."""
    shuffle(root, rng)
    found = {path.name.split("_events")[0]: t for path, t in tables(root, "events")}
    for path, confounds in tables(root, "desc-confounds_timeseries"):
        events = found[path.name.split("_desc")[0]]
        times_s = 2.0 * np.arange(len(confounds))
        for event in events[events["trial_type"] == LABELS[0]].itertuples():
            on = (times_s >= event.onset + 5) & (times_s < event.onset + 21)
            confounds.loc[on, "trans_z"] += 0.5
        steps = confounds.filter(regex=r"^(trans|rot)_[xyz]$").diff().abs()
        steps.loc[:, steps.columns.str.startswith("rot")] *= 50
        confounds["framewise_displacement"] = steps.sum(axis=1, min_count=6)
        save(path, confounds)


def resampled(image: nib.Nifti1Image) -> nib.Nifti1Image:
    coarse = image.affine.copy()
    coarse[:3, :3] *= 1.25
    there = resample_img(image, coarse)
    return resample_img(there, image.affine, image.shape[:3])


def copy_resampled(root: Path, rng: Rng) -> None:
    """Save a person a second time, resampled to a coarser grid and back."""
    for path in sorted(root.rglob("sub-02*")):
        if path.is_dir():
            continue
        twin = root / str(path.relative_to(root)).replace("sub-02", "sub-77")
        twin.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, twin)
        if twin.name.endswith("_bold.nii.gz"):
            image = nib.load(path)
            floats = nib.Nifti1Image(image.get_fdata(dtype=np.float32), image.affine)
            changed = resampled(floats)
            changed.header.set_xyzt_units("mm", "sec")
            changed.header.set_zooms(image.header.get_zooms())
            nib.save(changed, twin)


def at_random(n_windows: int) -> Splits:
    order = np.random.default_rng(0).permutation(n_windows)
    folds = [
        Fold(k, np.setdiff1d(order, order[k::5]), np.sort(order[k::5]))
        for k in range(5)
    ]
    return Splits(tuple(folds), "subject", "windows at random")


def decode(cohort: Cohort, splits: Splits, name: str, folder: Path) -> float:
    """Balanced accuracy of a baseline, or of a model with default training."""
    windows, n_classes = cohort.windows, len(cohort.labels)
    if name in BASELINES:
        nuisance = BASELINES[name].features == "nuisance"
        features = windows.nuisance().to_numpy() if nuisance else windows.means()
        groups = split_groups(windows.table, splits.unit)
        model = BASELINES[name].make()
        given = out_of_fold(
            model, features, cohort.targets, splits, groups, n_classes
        ).probabilities
    else:
        experiment = Experiment.of(cohort, RunConfig(model=ModelConfig(name)))
        given = np.zeros((len(windows), n_classes))
        for outcome in cross_validate(experiment, splits, folder, progress=False):
            given[outcome.fold.test] = outcome.probabilities
    return float(balanced_accuracy_score(cohort.targets, given.argmax(axis=1)))


def judge(root: Path, folder: Path, names: list[str]) -> dict[str, float]:
    """Scores by decoder, and what the audit flags."""
    data = DataConfig(path=str(root))
    settings, dataset = RunConfig(data=data), open_source(data)
    cohort = read_cohort(dataset, settings, folder, n_jobs=1, progress=False)
    windows = cohort.windows
    splits = make_folds(windows.table)
    verdict = audit(
        windows.table,
        splits,
        copies=find_copies(windows.runs),
        nuisance=windows.nuisance(),
    )
    found = {name: decode(cohort, splits, name, folder / "folds") for name in names}
    leaky = at_random(len(windows))
    found["windows split"] = decode(cohort, leaky, "linear_svm", folder / "folds")
    flags = {check.name: check.verdict for check in verdict.checks}
    return found | {f"flag {name}": float(v != "clean") for name, v in flags.items()}


PLANTED: dict[str, Callable[[Path, Rng], None]] = {
    "the effect itself": as_it_is,
    "names of movements everybody's own": rename,
    "labels shuffled within runs": shuffle,
    "shuffled labels, one moves the head": move,
    "labels by the quarter of the run": quarters,
    "a person saved twice, resampled": copy_resampled,
}
FLAGS = ("motion", "timing", "content")


def cohorts(seeds: range, folder: Path, names: list[str]) -> pd.DataFrame:
    rows = []
    for seed in seeds:
        spec = CohortSpec(seed=seed, **COHORT)
        made = simulate_cohort(folder / str(seed), spec, n_jobs=1, progress=False)
        for title, change in PLANTED.items():
            root = shutil.copytree(made, folder / "changed")
            change(root, np.random.default_rng([seed, 1]))
            rows.append({"planted": title, **judge(root, folder / "store", names)})
            shutil.rmtree(root)
            shutil.rmtree(folder / "store")
    return pd.DataFrame(rows)


def interval(scores: pd.Series) -> str:
    half = stats.t.ppf(0.975, len(scores) - 1) * stats.sem(scores)
    return f"{scores.mean():.3f} ± {half:.3f}"


def markdown(table: pd.DataFrame, names: list[str]) -> str:
    columns = [*names, "windows split"]
    lines = [
        f"| planted | {' | '.join(c.replace('_', ' ') for c in columns)} | flagged |",
        "|" + "---|" * (len(columns) + 2),
    ]
    for title, part in table.groupby("planted", sort=False):
        flags = [
            f"{name} {int(part[f'flag {name}'].sum())}/{len(part)}"
            for name in FLAGS
            if part[f"flag {name}"].any()
        ]
        scores = [interval(part[column]) for column in columns]
        cells = [str(title), *scores, ", ".join(flags) or "–"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def gaussians(rng: Rng, means: np.ndarray, subjects: int):
    """Eight windows a person; how noisy they are is everybody's own."""
    y = np.arange(8 * subjects) % len(means)
    people = np.repeat(np.arange(subjects), 8)
    level = np.exp(0.3 * rng.normal(size=subjects))[people, None]
    X = means[y] + level * rng.normal(size=(len(y), means.shape[1]))
    return X.astype(np.float32), y, people.astype(str)


def coverage(seeds: range, n_classes: int, distance: float) -> str:
    """Count how often intervals, plain and widened, hold what the decoder is worth."""
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(500, n_classes)))[0]
    means = distance / np.sqrt(2) * basis.T
    held, values, worths = np.zeros(2, int), [], []
    for seed in seeds:
        rng = np.random.default_rng([seed, 2])
        X, y, people = gaussians(rng, means, 24)
        fresh, fresh_y, _ = gaussians(rng, means, 500)
        table = pd.DataFrame({"subject": people, "recording": people, "run": "1"})
        table = table.assign(session="", label=y.astype(str))
        given, worth = np.zeros((len(y), n_classes)), []
        folds = make_folds(table).folds
        for fold in folds:
            decoder = Decoder("linear").fit(
                X[fold.train], y[fold.train], people[fold.train]
            )
            given[fold.test] = decoder.predict_proba(X[fold.test])
            worth.append(decoder.score(fresh, fresh_y))
        for k, widening in enumerate((1.0, reuse_widening(folds, people))):
            bootstrap = GroupBootstrap(people, widening=widening)
            found = bootstrap.estimate(bootstrap.draw(y, given), "accuracy")
            held[k] += found.low <= np.mean(worth) <= found.high
        values.append(found.value)
        worths.append(np.mean(worth))
    fresh, fresh_y, _ = gaussians(np.random.default_rng(3), means, 25_000)
    bayes = np.mean((fresh @ means.T).argmax(axis=1) == fresh_y)
    cells = [n_classes, f"{bayes:.3f}", f"{np.mean(worths):.3f}"]
    cells += [f"{np.mean(values):.3f}", *(f"{n} of {len(seeds)}" for n in held)]
    return f"| {' | '.join(map(str, cells))} |"


def selection(seeds: range) -> str:
    """Choose penalty, voxels and temperature among nothing but noise."""
    scores = []
    for seed in seeds:
        rng = np.random.default_rng([seed, 4])
        people = np.repeat(np.arange(25), 4).astype(str)
        y = np.concatenate([rng.permutation([0, 0, 1, 1]) for _ in range(25)])
        X = rng.normal(size=(100, 2197)).astype(np.float32)
        table = pd.DataFrame({"subject": people, "recording": people, "run": "1"})
        splits = make_folds(table.assign(session="", label=y.astype(str)))
        model = BASELINES["linear_svm"].make()
        given = out_of_fold(model, X, y, splits, people, 2).probabilities
        scores.append(balanced_accuracy_score(y, given.argmax(axis=1)))
    return interval(pd.Series(scores))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--cohorts", type=int, help="seeds with images [--seeds]")
    parser.add_argument("--hybrid", action="store_true", help="decode with it as well")
    arguments = parser.parse_args()
    seeds = range(100, 100 + arguments.seeds)
    with_images = seeds[: arguments.cohorts or arguments.seeds]
    names = ["linear_svm", "logistic", "nuisance"]
    names += ["hybrid"] if arguments.hybrid else []
    started = time.process_time()
    with tempfile.TemporaryDirectory() as temporary:
        table = cohorts(with_images, Path(temporary), names)
    print(markdown(table, names))
    print("| classes | Bayes | worth | estimate | plain intervals hold it | widened |")
    print("|" + "---|" * 6)
    print(coverage(seeds, 2, 2.4))
    print(coverage(seeds, 4, 3.2))
    print(f"\nChoices among noise: {selection(seeds)}")
    seconds = time.process_time() - started
    print(f"{len(with_images)} cohorts, {len(seeds)} seeds: {seconds:.0f} s of CPU")


if __name__ == "__main__":
    main()
