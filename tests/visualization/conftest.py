"""Fabricated output folders: coherent results of runs that never took place."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

# Enough for intervals that look like some; the reader's side is what is tested.
_N_RESAMPLES = 4
LABELS = ("left_leg", "right_leg", "forearm", "upper_arm")


def fabricate(
    out: Path,
    *,
    labels: tuple[str, ...] = LABELS,
    n_subjects: int = 12,
    n_runs: int = 2,
    per_label: int = 3,
    name: str = "simulated cohort",
    space: str = "MNI152NLin2009cAsym",
    mode: str = "transductive",
    leaky: bool = False,
    validated: bool = True,
    skill: float = 2.0,
    background: bool = False,
    n_mapped: int = 1,
    seed: int = 0,
) -> Path:
    """Write everything docs/outputs.md lists that the report reads, without a model."""
    rng = np.random.default_rng(seed)
    unit = "subject" if n_subjects > 1 else "run"
    windows = _windows(labels, n_subjects, n_runs, per_label)
    windows["group"] = windows["subject"] if unit == "subject" else windows["run"]
    groups = list(dict.fromkeys(windows["group"]))
    n_folds = min(5, len(groups))
    windows["fold"] = windows["group"].map(
        {g: k % n_folds for k, g in enumerate(groups)}
    )
    truth = pd.Index(labels).get_indexer(windows["label"])
    skills = {
        "hybrid": skill,
        "network_alone": 0.6 * skill,
        "linear_path": 0.9 * skill,
        "linear_svm": 0.8 * skill,
        "logistic": 0.75 * skill,
        "parcels": 0.6 * skill,
        "nuisance": 0.2,
        "run_mean": 0.1,
        "majority": 0,
    }
    guesses = {
        decoder: _probabilities(truth, len(labels), strength, decoder, rng)
        for decoder, strength in skills.items()
    }
    _write_predictions(out, windows, labels, guesses["hybrid"])
    folds = _write_history(out, windows, n_folds, validated, len(labels), rng)
    _write_maps(out, labels[:n_mapped], space, background, rng)
    verdict = "leak" if leaky else "clean"
    scores = {
        decoder: _scores(truth, guess, labels, windows["group"], rng)
        for decoder, guess in guesses.items()
    }
    right = {d: guess.argmax(1) == truth for d, guess in guesses.items()}
    content = {
        "schema_version": "2.0",
        "created": "2026-11-23T16:46:00Z",
        "dataset": {
            "name": name,
            "layout": "bids",
            "made_by": ["fMRIPrep 23.1.4"],
            "address": "doi:10.18112/openneuro.ds000001.v1",
            "n_subjects": n_subjects,
            "n_runs": n_subjects * n_runs,
            "t_r": [2.0],
            "space": space,
            "volume_shape": [48, 56, 48],
            "voxel_size_mm": [4.0, 4.0, 4.0],
        },
        "labels": list(labels),
        "n_windows": len(windows),
        "windows_per_label": windows["label"].value_counts().to_dict(),
        "window": {"delay_s": 5.0, "length_s": 16.0, "n_times": 8},
        "preprocessing": {
            "mode": mode,
            "hash": "0f3a9c1d2b4e5f60",
            "steps": [
                {"step": "drop_volumes", "dummy_scans": -1},
                {"step": "brain_mask"},
                {"step": "centre"},
                {
                    "step": "clean",
                    "detrend_order": 1,
                    "high_pass_hz": 1 / 128,
                    "confounds": ["motion", "wm_csf"],
                },
                {"step": "zscore"},
            ],
            "confounds": [
                {"groups": ["motion", "wm_csf"], "n_runs": n_subjects * n_runs - 1},
                {"groups": [], "n_runs": 1},
            ],
            "causal_twin_available": True,
        },
        "protocol": {
            "unit": unit,
            "scheme": f"{n_folds} folds, {unit}s kept whole, stratified by class",
            "n_folds": n_folds,
            "seed": 0,
            "leaky": leaky,
            "split_hash": "9b1d7e2a4c6f8035",
            "interval": {
                "unit": unit,
                "n_units": len(groups),
                "level": 0.95,
                "n_resamples": 1000,
                "widening": 1.5,
            },
        },
        "audit": {
            "verdict": verdict,
            "not_checked": ["family"],
            "checks": [
                {
                    "name": f"{unit}s_apart",
                    "verdict": verdict,
                    "evidence": f"{len(groups)} {unit}s, "
                    + ("3 of them on both sides" if leaky else "none on both sides"),
                    "advice": "split by group" if leaky else "",
                },
                {
                    "name": "family",
                    "verdict": "not checked",
                    "evidence": "No family is named in the participants table.",
                    "advice": "",
                },
                {
                    "name": "windows_overlap",
                    "verdict": "clean",
                    "evidence": "no two windows of a run share a volume",
                    "advice": "",
                },
            ],
        },
        "chance": 1 / len(labels),
        "decoder": "hybrid",
        "model": {
            "name": "hybrid",
            "n_parameters": 312004,
            "config": {},
            "in_words": "a hybrid (Vaswani et al., 2017)",
            "parts": ["network_alone", "linear_path"],
        },
        "scores": scores,
        "comparisons": [
            _difference(scores, baseline) for baseline in ("linear_svm", "nuisance")
        ],
        **_evidence(scores, labels, unit, mode, out),
        "verdict": {
            "beats_chance": True,
            "beats_nuisance": True,
            "beats_linear": False,
            "sentences": [
                "The decoder is above chance.",
                "It is above what nuisance variables alone reach.",
                "It cannot be told apart from the linear SVM.",
            ],
        },
        "folds": folds,
        "groups": [
            {
                "group": group,
                "n_windows": int((windows["group"] == group).sum()),
                "accuracy": {
                    d: float(r[windows["group"] == group].mean())
                    for d, r in right.items()
                },
            }
            for group in groups
        ],
        "set_aside": [
            {"what": "sub-07 run-2", "reason": "truncated after 131 of 232 volumes"}
        ],
        "compute": {
            "device": "cpu",
            "n_parameters": 312004,
            "training_seconds": 148.2,
            "total_seconds": 231.9,
        },
        "versions": {
            "boldformer": "0.1.0",
            "torch": "2.13.0",
            "python": "3.11.9",
            "platform": "Linux x86_64",
        },
    }
    (out / "metrics.json").write_text(json.dumps(content, allow_nan=False))
    (out / "run.toml").write_text('[data]\npath = "/data/cohort"\n')
    return out


def _windows(labels, n_subjects, n_runs, per_label) -> pd.DataFrame:
    rows = [
        {
            "subject": f"{subject + 1:02d}",
            "session": None,
            "task": "motor",
            "run": str(run + 1),
            "onset": 20.0 * (repeat * len(labels) + k),
            "label": label,
        }
        for subject in range(n_subjects)
        for run in range(n_runs)
        for repeat in range(per_label)
        for k, label in enumerate(labels)
    ]
    table = pd.DataFrame(rows)
    table.insert(0, "window", [f"w{k:05d}" for k in range(len(table))])
    return table


def _probabilities(truth, n_classes, strength, decoder, rng) -> np.ndarray:
    logits = rng.normal(size=(len(truth), n_classes))
    if decoder == "majority":
        logits = np.tile(np.linspace(0.1, 0, n_classes), (len(truth), 1))
    logits[np.arange(len(truth)), truth] += strength
    odds = np.exp(logits)
    return odds / odds.sum(axis=1, keepdims=True)


def _metric_values(truth, guess, labels) -> dict[str, float]:
    chosen = guess.argmax(axis=1)
    members = [truth == k for k in range(len(labels))]
    return {
        "accuracy": sk.accuracy_score(truth, chosen),
        "balanced_accuracy": sk.balanced_accuracy_score(truth, chosen),
        "macro_f1": sk.f1_score(truth, chosen, average="macro"),
        "mcc": sk.matthews_corrcoef(truth, chosen),
        "roc_auc": np.mean(
            [sk.roc_auc_score(y, guess[:, k]) for k, y in enumerate(members)]
        ),
        "prc_auc": np.mean(
            [sk.average_precision_score(y, guess[:, k]) for k, y in enumerate(members)]
        ),
    }


def _scores(truth, guess, labels, groups, rng) -> dict:
    values = _metric_values(truth, guess, labels)
    by_group = {g: np.flatnonzero(groups == g) for g in dict.fromkeys(groups)}
    names = np.array(list(by_group))
    drawn = []
    for _ in range(_N_RESAMPLES):
        rows = np.concatenate([by_group[g] for g in rng.choice(names, len(names))])
        drawn.append(_metric_values(truth[rows], guess[rows], labels))
    table = pd.DataFrame(drawn)
    estimates = {
        key: {
            "value": float(value),
            "low": float(min(value, table[key].min())),
            "high": float(max(value, table[key].max())),
        }
        for key, value in values.items()
    }
    recall = sk.recall_score(truth, guess.argmax(1), average=None, zero_division=0)
    training = min(1.0, values["accuracy"] + 0.12)
    return {
        **estimates,
        "training_accuracy": {"value": training, "low": None, "high": None},
        "recall": {
            label: {
                "value": float(r),
                "low": max(0.0, float(r) - 0.1),
                "high": min(1.0, float(r) + 0.08),
            }
            for label, r in zip(labels, recall, strict=True)
        },
    }


def _difference(scores: dict, baseline: str) -> dict:
    ours, theirs = (
        scores[d]["balanced_accuracy"]["value"] for d in ("hybrid", baseline)
    )
    gap = ours - theirs
    return {
        "a": "hybrid",
        "b": baseline,
        "metric": "balanced_accuracy",
        "difference": gap,
        "low": gap - 0.09,
        "high": gap + 0.08,
        "p_value": 0.01,
        "p_holm": 0.02,
        "reading": "better" if gap > 0.09 else "undecided",
    }


def _evidence(scores, labels, unit, mode, out) -> dict:
    """What stands beside the scores: columns, shuffles, learning curve, calibration."""
    other = "causal" if mode == "transductive" else "transductive"
    svm = {m: scores["linear_svm"][m] for m in ("accuracy", "balanced_accuracy")}
    lower = {
        m: {k: None if v is None else 0.8 * v for k, v in e.items()}
        for m, e in svm.items()
    }
    own = {m: scores["hybrid"][m] for m in svm}
    cell = {"pipeline_hash": "0f3a9c1d2b4e5f60", "n_windows": 40, "reason": ""}
    reason = "not run, as asked (--no-causal-decoder)"
    cells = [
        {"decoder": "hybrid", "mode": mode, "scores": own, **cell},
        {"decoder": "hybrid", "mode": other, "scores": None, "reason": reason},
        {"decoder": "linear_svm", "mode": mode, "scores": svm, **cell},
        {"decoder": "linear_svm", "mode": other, "scores": lower, **cell},
    ]
    gap = {"decoder": "linear_svm", "difference": 0.121, "low": 0.04, "high": 0.2}
    gap |= {"p_value": 0.01, "p_holm": 0.01, "reading": "better"}
    null = np.random.default_rng(0).normal(1 / len(labels), 0.03, 50).clip(0, 1)
    out.mkdir(parents=True, exist_ok=True)
    shuffles = pd.DataFrame(
        {"decoder": "linear_svm", "permutation": range(50), "balanced_accuracy": null}
    )
    shuffles.to_csv(out / "permutations.tsv", sep="\t", index=False)
    test = {"decoder": "linear_svm", "metric": "balanced_accuracy", "reason": ""}
    test |= {"n_permutations": 50, "score": 0.642, "null_mean": float(null.mean())}
    test |= {"null_95": float(np.quantile(null, 0.95)), "p_value": 1 / 51}
    curve = [
        {"n_groups": n, "n_windows": 20.0 * n, "value": v, "low": v - 0.1, "high": v}
        for n, v in ((1, 0.4), (2, 0.5), (4, 0.58), (9, 0.61))
    ]
    judged = {"brier": 0.512, "log_loss": 1.203, "ece": 0.187}
    return {
        "columns": {
            "cells": cells,
            "gaps": [
                {**gap, "metric": metric, "n_windows": 40}
                for metric in ("accuracy", "balanced_accuracy")
            ],
        },
        "permutation": [
            test,
            {"decoder": "hybrid", "n_permutations": 0, "reason": "not run: costly"},
        ],
        "learning_curve": {
            "unit": unit,
            "metric": "balanced_accuracy",
            "decoders": {"linear_svm": curve},
        },
        "calibration": {
            "hybrid": {"temperatures": [], "before": judged, "after": None},
            "linear_svm": {
                "temperatures": [0.31, 0.42],
                "before": judged,
                "after": {**judged, "ece": 0.061},
            },
        },
        "abstention": [{"declined": 0.2, "coverage": 0.8, "accuracy": 0.789}],
        "multilabel": None,
        "records": {"model_hash": "5e" * 32, "input_hash": "a1" * 32},
    }


def _write_predictions(out, windows, labels, guess) -> None:
    table = windows.drop(columns="group")
    table["predicted"] = np.array(labels, dtype=object)[guess.argmax(axis=1)]
    table = table[[c for c in table if c != "fold"] + ["fold"]]
    for k, label in enumerate(labels):
        table[f"probability_{label}"] = guess[:, k]
    out.mkdir(parents=True, exist_ok=True)
    table.to_csv(out / "predictions.tsv", sep="\t", index=False, na_rep="n/a")


def _write_history(out, windows, n_folds, validated, n_classes, rng) -> list[dict]:
    rows, folds = [], []
    for fold in range(n_folds):
        n_epochs = int(rng.integers(14, 26)) if validated else 20
        epochs = np.arange(1, n_epochs + 1)
        train = np.log(n_classes) * np.exp(-epochs / 9) + rng.normal(0, 0.03, n_epochs)
        held_out = 0.3 + np.log(n_classes) * np.exp(-epochs / 7) + 0.0012 * epochs**2
        held_out += rng.normal(0, 0.04, n_epochs)
        for k, epoch in enumerate(epochs):
            accuracy = 1 - (1 - 1 / n_classes) * np.exp(-epoch / 8)
            rows.append(
                {
                    "fold": fold,
                    "epoch": epoch,
                    "train_loss": abs(train[k]),
                    "train_accuracy": accuracy,
                    "validation_loss": held_out[k] if validated else None,
                    "validation_accuracy": 0.8 * accuracy if validated else None,
                    "learning_rate": 1e-3,
                }
            )
        tested = windows.loc[windows["fold"] == fold, "group"]
        folds.append(
            {
                "fold": fold,
                "test_groups": list(dict.fromkeys(tested)),
                "n_train": len(windows) - len(tested),
                "n_test": len(tested),
                "accuracy": 0.7 + 0.02 * fold,
                "training_accuracy": 0.9,
                "epochs": n_epochs,
                "best_epoch": int(epochs[held_out.argmin()]) if validated else None,
                "early_stopping": validated,
                "linear_path": "beside",
                "seconds": 29.6,
            }
        )
    pd.DataFrame(rows).to_csv(out / "history.tsv", sep="\t", index=False, na_rep="n/a")
    return folds


def _write_maps(out, labels, space, background, rng) -> None:
    folder = out / "maps"
    folder.mkdir(parents=True, exist_ok=True)
    shape = (33, 39, 33)
    affine = np.diag([6.0, 6.0, 6.0, 1.0])
    affine[:3, 3] = [-96, -132, -72]
    centres = np.stack(np.indices(shape), -1) @ affine[:3, :3].T + affine[:3, 3]
    brain = np.linalg.norm((centres - [0, -18, 12]) / [68, 86, 62], axis=-1) < 1
    rows = []
    for k, label in enumerate(labels):
        peak = np.array([(-1) ** k * (12 + 10 * k), -24, 62 - 5 * k])
        blob = np.exp(-((centres - peak) ** 2).sum(-1) / (2 * 14**2))
        for method, values in {
            "attention": 0.8 + 3 * blob + rng.uniform(0, 0.2, shape),
            "saliency": blob - 0.6 * blob[::-1] + rng.normal(0, 0.05, shape),
        }.items():
            file = f"space-{space or 'scanner'}_label-{k}_desc-{method}_statmap.nii.gz"
            image = nib.Nifti1Image((values * brain).astype(np.float32), affine)
            nib.save(image, folder / file)
            rows.append((file, label, method, f"{method} of held-out windows"))
    if background:
        file = f"space-{space or 'scanner'}_desc-background_boldref.nii.gz"
        anatomy = brain * (600 + 200 * np.sin(centres[..., 1] / 9)).astype(np.float32)
        nib.save(nib.Nifti1Image(anatomy.astype(np.float32), affine), folder / file)
        rows.append((file, None, "background", "mean image"))
    columns = ["file", "label", "method", "description"]
    table = pd.DataFrame(rows, columns=columns)
    table.to_csv(folder / "maps.tsv", sep="\t", index=False, na_rep="n/a")


@pytest.fixture(scope="session")
def fabricator(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Function that fabricates a folder (see `fabricate`), or copies an earlier one."""
    made: dict[str, Path] = {}

    def copy(out: Path, **options) -> Path:
        key = repr(options)
        if key not in made:
            made[key] = fabricate(tmp_path_factory.mktemp("made") / "out", **options)
        return shutil.copytree(made[key], out, dirs_exist_ok=True)

    return copy


@pytest.fixture
def fabricated(tmp_path: Path, fabricator: Callable[..., Path]) -> Callable[..., Path]:
    """Function that fabricates one output folder, taking the options of `fabricate`."""
    return lambda **options: fabricator(tmp_path / "out", **options)


@pytest.fixture(scope="session")
def finished(
    tmp_path_factory: pytest.TempPathFactory, fabricator: Callable[..., Path]
) -> Path:
    """One output folder with its report, for tests that only look."""
    from boldformer.visualization import build_report

    out = fabricator(tmp_path_factory.mktemp("finished") / "out")
    build_report(out)
    return out
