"""Planted leaks are caught, honest splits pass, and telling designs are flagged."""

import json

import numpy as np
import pandas as pd
import pytest

from boldformer.data.audit import Audit, AuditCheck, audit
from boldformer.data.predictability import predict_from_properties
from boldformer.data.splits import Fold, Splits, make_folds
from boldformer.errors import LeakageError


def cohort(rng, n_subjects=10, n_runs=2, n_classes=4, repeats=4, order="random"):
    """Windows of 8 frames, 10 frames apart, in runs whose order of classes is given."""
    rows = []
    fixed = np.repeat(np.arange(n_classes), repeats)
    for subject in range(n_subjects):
        for run in range(1, n_runs + 1):
            classes = fixed if order == "fixed" else rng.permutation(fixed)
            name = f"sub-{subject:02d}_task-x_run-{run}"
            for place, label in enumerate(classes):
                rows.append(
                    {
                        "recording": name,
                        "subject": f"{subject:02d}",
                        "session": "",
                        "task": "x",
                        "run": str(run),
                        "block": f"{name}@{place}",
                        "onset": 20.0 * place,
                        "label": "abcdefgh"[label],
                        "first_frame": 10 * place,
                        "n_frames": 8,
                        "t_r": 2.0,
                        "n_run_frames": 10 * len(classes),
                        "content_hash": name,
                        "family": "",
                        "site": "",
                    }
                )
    table = pd.DataFrame(rows)
    table.insert(0, "window", np.arange(len(table)))
    return table


def random_split(table, rng, unit="subject"):
    test = rng.permutation(len(table))[: len(table) // 4]
    train = np.setdiff1d(np.arange(len(table)), test)
    return Splits((Fold(0, train, np.sort(test)),), unit, "at random")


def verdicts(result):
    return {check.name: check.verdict for check in result.checks}


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("unit", ["subject", "run"])
def test_an_honest_split_of_an_honest_design_is_clean(rng, unit):
    table = cohort(rng, n_runs=3)
    result = audit(table, make_folds(table, unit=unit))
    assert result.verdict == "clean", result.to_dict()
    result.raise_if_leaky()


def test_windows_at_random_leak_subject_run_but_not_block(rng):
    table = cohort(rng)
    found = verdicts(audit(table, random_split(table, rng)))
    assert found["subject"] == found["run"] == "leak"
    assert found["block"] == found["frames"] == "clean"


def test_one_event_cut_into_windows_leaks_its_block(rng):
    table = cohort(rng)
    halves = pd.concat([table, table], ignore_index=True).assign(n_frames=4)
    halves["window"] = halves.index
    halves.loc[len(table) :, "first_frame"] += 4
    found = verdicts(audit(halves, random_split(halves, rng)))
    assert found["block"] == "leak"
    assert found["frames"] == "clean"


def test_overlapping_windows_leak_frames(rng):
    table = cohort(rng).assign(n_frames=11)
    result = audit(table, random_split(table, rng))
    assert verdicts(result)["frames"] == "leak"


def test_families_on_both_sides_leak(rng):
    table = cohort(rng)
    table["family"] = table["subject"].map({"00": "x", "01": "x"}).fillna("")
    splits = make_folds(table.drop(columns="family"), folds=10)
    found = verdicts(audit(table, splits))
    assert found["family"] == "leak"
    assert found["subject"] == "clean"
    assert verdicts(audit(table, make_folds(table)))["family"] == "clean"


def test_a_duplicated_subject_is_caught(rng):
    table = cohort(rng)
    copy = table["subject"] == "03"
    table.loc[copy, "content_hash"] = table.loc[copy, "recording"].str.replace(
        "sub-03", "sub-07"
    )
    result = audit(table, make_folds(table, folds=10))
    assert verdicts(result)["content"] == "leak"
    assert "sub-03" in str(result.to_dict())
    together = table.assign(family=table["subject"].map({"03": "x", "07": "x"}))
    assert verdicts(audit(together, make_folds(together)))["content"] == "warning"


def test_a_fixed_order_of_classes_is_flagged(rng):
    table = cohort(rng, order="fixed")
    result = audit(table, make_folds(table))
    timing = next(check for check in result.checks if check.name == "timing")
    assert timing.verdict == "warning"
    assert "balanced accuracy 1.00" in timing.evidence
    assert timing.advice
    # A warning does not stop a run.
    result.raise_if_leaky()


def test_a_fixed_order_within_one_subject_is_flagged(rng):
    table = cohort(rng, n_subjects=1, n_runs=3, order="fixed")
    assert verdicts(audit(table, make_folds(table)))["timing"] == "warning"


def task_is_run(rng, n_subjects=12):
    """Each run holds one class; which run holds which is drawn by subject."""
    table = cohort(rng, n_subjects, n_runs=4, n_classes=1)
    for _, rows in table.groupby("subject").groups.items():
        classes = dict(zip("1234", rng.permutation(list("aabb")), strict=True))
        table.loc[rows, "label"] = table.loc[rows, "run"].map(classes)
    return table


@pytest.mark.parametrize(
    ("column", "values", "name"),
    [
        ("n_run_frames", {"a": 200, "b": 230}, "length of the run"),
        ("run", {"a": "1", "b": "2"}, "order of the run"),
    ],
)
def test_runs_that_tell_their_class_are_flagged(rng, column, values, name):
    table = task_is_run(rng)
    assert verdicts(audit(table, make_folds(table)))["timing"] == "clean"
    table[column] = table["label"].map(values)
    result = audit(table, make_folds(table))
    assert verdicts(result)["timing"] == "warning"
    assert name in str(result.to_dict()).lower()
    assert verdicts(result)["classes"] == "warning"


def test_a_site_that_tells_the_class_is_flagged(rng):
    table = cohort(rng, n_subjects=16, n_classes=2)
    patient = table["subject"].astype(int) % 2 == 0
    table["label"] = np.where(patient, "a", "b")
    table["t_r"] = np.where(patient, 2.0, 1.5)
    table["site"] = np.where(patient, "north", "south")
    found = verdicts(audit(table, make_folds(table)))
    assert found["site"] == found["timing"] == "warning"


def test_a_class_of_few_subjects_is_flagged(rng):
    table = cohort(rng)
    table.loc[
        table["subject"].isin(["00", "01", "02"]) & (table["label"] == "a"), "label"
    ] = "z"
    result = audit(table, make_folds(table, folds=10))
    classes = next(check for check in result.checks if check.name == "classes")
    assert classes.verdict == "warning"
    assert "'z' occurs in 3 of 10" in classes.evidence


def test_a_leak_stops_with_exit_code_3_unless_allowed(rng):
    table = cohort(rng)
    result = audit(table, random_split(table, rng))
    with pytest.raises(LeakageError, match=r"leaks [(]subject, run") as caught:
        result.raise_if_leaky()
    assert caught.value.exit_code == 3
    result.raise_if_leaky(allow_leakage=True)


def test_the_verdict_is_the_worst_of_the_checks_and_goes_to_json():
    checks = tuple(AuditCheck(v, v, "e") for v in ("clean", "leak", "warning"))
    content = json.loads(json.dumps(Audit(checks).to_dict()))
    assert content["verdict"] == "leak"
    assert set(content["checks"][0]) == {"name", "verdict", "evidence", "advice"}


NULL_DESIGNS = {
    "alternating classes": lambda rng: cohort(rng, 8),
    "one subject": lambda rng: cohort(rng, 1, n_runs=3, n_classes=3, repeats=5),
    "one class a run": lambda rng: task_is_run(rng, 10),
    "groups of people at two sites": lambda rng: people(rng),
}


def people(rng):
    """Class, repetition time and site are drawn by subject, independently."""
    table = cohort(rng, 20, n_runs=3, n_classes=1, repeats=3)
    draw = {
        name: dict(zip(table["subject"].unique(), rng.permutation(20) % 2, strict=True))
        for name in ("label", "site")
    }
    table["label"] = table["subject"].map(draw["label"])
    table["site"] = table["subject"].map(draw["site"]).astype(str)
    return table.assign(t_r=1.5 + 0.5 * table["site"].astype(int))


@pytest.mark.parametrize("design", NULL_DESIGNS)
def test_false_alarms_are_rare(design):
    """At most 1 % by construction: two alarms in 30 have probability 0.04 then."""
    alarms = 0
    for seed in range(30):
        table = NULL_DESIGNS[design](np.random.default_rng(seed))
        found = predict_from_properties(table, make_folds(table, seed=seed), seed=seed)
        alarms += any(property_.suspicious for property_ in found)
    assert alarms <= 1


def test_the_scorer_matches_a_plain_count(rng):
    table = cohort(rng, 4, n_runs=1)
    splits = make_folds(table)
    found = {
        p.name: p for p in predict_from_properties(table, splits, n_permutations=1)
    }
    order = table.groupby("recording").cumcount().to_numpy()
    labels = table["label"].to_numpy()
    hits = {name: [] for name in np.unique(labels)}
    for fold in splits.folds:
        shares = pd.Series(labels[fold.train]).value_counts()
        for row in fold.test:
            same = labels[fold.train][order[fold.train] == order[row]]
            counts = [np.sum(same == name) / shares[name] for name in hits]
            hits[labels[row]].append(list(hits)[int(np.argmax(counts))] == labels[row])
    expected = np.mean([np.mean(h) for h in hits.values()])
    assert found["order of the window in its run"].score == pytest.approx(expected)
