"""Planted leaks are caught, honest splits pass, and telling designs are flagged."""

import json
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boldformer.data.audit.fingerprints import Copy
from boldformer.data.audit.fit_log import FitLog
from boldformer.data.audit.predictability import predict_from_properties
from boldformer.data.audit.split_audit import Audit, AuditCheck, audit
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
    keys = {"name", "verdict", "evidence", "advice", "n_windows", "windows"}
    assert set(content["checks"][0]) == keys


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


# --- one leak planted in a random table -------------------------------------------


def clean_table(seed, n_subjects, n_runs, sessions):
    table = cohort(np.random.default_rng(seed), n_subjects, n_runs, 2, 2)
    if sessions:
        table["session"] = table["run"]
    table["family"] = "f" + (table["subject"].astype(int) // 2).astype(str)
    return table


def moved(splits, rows):
    """The first fold with some of its test windows put on the training side."""
    first, *rest = splits.folds
    test = np.setdiff1d(first.test, rows)
    train = np.union1d(first.train, rows)
    return Splits((Fold(0, train, test), *rest), splits.unit, "planted")


def plant(kind, table, splits, pick):
    """Plant one leak between the sides of the first fold; tell what must be found."""
    table, fold = table.copy(), splits.folds[0]
    test, train = pick(fold.test), pick(fold.train)
    if kind == "window":
        return table, moved(splits, [test]), {"subject", "run"}
    if kind == "run":
        name = table["recording"].iloc[test]
        table.loc[train, "recording"] = name
        return table, splits, {"run"}
    if kind == "block":
        table["event"] = table["block"]
        twin = table.loc[[train]].assign(
            recording=table["recording"].iloc[test],
            block=table["block"].iloc[test],
            first_frame=table["n_run_frames"].max() + 50,
        )
        table.loc[[train]] = twin
        return table, splits, {"run", "block"}
    if kind == "frames":
        for column in ("recording", "first_frame"):
            table.loc[train, column] = table[column].iloc[test]
        table.loc[train, "first_frame"] += 7
        return table, splits, {"run", "frames"}
    if kind == "family":
        mine = table["subject"] == table["subject"].iloc[test]
        table.loc[mine, "family"] = table["family"].iloc[train]
        return table, splits, {"family"}
    if kind == "content":
        mine = table["recording"] == table["recording"].iloc[test]
        table.loc[mine, "content_hash"] = table["content_hash"].iloc[train]
        return table, splits, {"content"}
    raise AssertionError(kind)


LEAKS = ("window", "run", "block", "frames", "family", "content")


@settings(max_examples=40)
@given(
    kind=st.sampled_from(("none", *LEAKS)),
    seed=st.integers(0, 999),
    n_subjects=st.integers(4, 9),
    n_runs=st.integers(1, 3),
    sessions=st.booleans(),
    data=st.data(),
)
def test_a_planted_leak_is_found_and_nothing_else(
    kind, seed, n_subjects, n_runs, sessions, data
):
    table = clean_table(seed, n_subjects, n_runs, sessions)
    splits = make_folds(table, folds=2, seed=seed)

    def pick(rows):
        return int(rows[data.draw(st.integers(0, len(rows) - 1))])

    expected = set()
    if kind != "none":
        table, splits, expected = plant(kind, table, splits, pick)
    result = audit(table, splits)
    leaks = {check.name for check in result.checks if check.verdict == "leak"}
    assert expected <= leaks
    assert bool(leaks) == (kind != "none")
    if kind in ("family", "content"):
        assert leaks == expected
    for check in result.checks:
        if check.verdict == "leak":
            assert check.advice
            assert 0 < len(check.windows) <= check.n_windows
            assert max(check.windows) < len(table)


# --- copies, sessions, protocols and motion ---------------------------------------


def test_a_copy_under_another_name_is_a_leak_only_across_sides(rng):
    table = cohort(rng)
    splits = make_folds(table, folds=10)
    names = [f"sub-{s}_task-x_run-1" for s in ("03", "07")]
    found = audit(table, splits, copies=[Copy(*names, 0.9, certain=True)])
    content = next(check for check in found.checks if check.name == "content")
    assert content.verdict == "leak"
    assert set(content.windows) == set(np.flatnonzero(table["recording"].isin(names)))
    assert "similarity 0.90" in content.evidence
    maybe = audit(table, splits, copies=[Copy(*names, 0.4, certain=False)])
    assert verdicts(maybe)["content"] == "warning"
    same = [f"sub-03_task-x_run-{r}" for r in (1, 2)]
    for certain, verdict in ((True, "warning"), (False, "clean")):
        result = audit(table, splits, copies=[Copy(*same, 0.9, certain=certain)])
        assert verdicts(result)["content"] == verdict
    assert verdicts(audit(table, splits, copies=[]))["content"] == "clean"


def test_a_session_on_both_sides_leaks_or_warns(rng):
    table = cohort(rng, n_runs=4)
    table["session"] = np.where(table["run"].isin(["1", "2"]), "a", "b")
    assert verdicts(audit(table, make_folds(table)))["session"] == "clean"
    assert verdicts(audit(table, random_split(table, rng)))["session"] == "leak"
    within = make_folds(table, unit="run")
    assert verdicts(audit(table, within))["session"] == "warning"
    one = table.assign(session="a")
    assert verdicts(audit(one, make_folds(one, unit="run")))["session"] == "clean"


def honest_protocol(splits):
    protocol = FitLog()
    for fold in splits.folds:
        protocol.record("scaler", fold.train, fold=fold.index)
        protocol.record(
            "early stopping", fold.train[:8], fold=fold.index, purpose="stop"
        )
        protocol.record("penalty", fold.train, fold=fold.index, purpose="select")
    return protocol


def test_what_is_fitted_to_training_windows_is_clean(rng):
    table = cohort(rng)
    splits = make_folds(table)
    found = verdicts(audit(table, splits, protocol=honest_protocol(splits)))
    assert found["fitting"] == found["stopping"] == found["selection"] == "clean"
    assert "fitting" not in verdicts(audit(table, splits))


@pytest.mark.parametrize(
    ("purpose", "check"),
    [("fit", "fitting"), ("stop", "stopping"), ("select", "selection")],
)
def test_what_saw_test_windows_is_a_leak(rng, purpose, check):
    table = cohort(rng)
    splits = make_folds(table)
    protocol = honest_protocol(splits)
    fold = splits.folds[1]
    protocol.record("the sinner", [*fold.train, fold.test[2]], fold=1, purpose=purpose)
    result = audit(table, splits, protocol=protocol)
    leaks = [c for c in result.checks if c.verdict == "leak"]
    assert [c.name for c in leaks] == [check]
    assert leaks[0].windows == (fold.test[2],)
    assert "the sinner" in leaks[0].evidence


def test_a_scaler_for_all_folds_leaks_in_each(rng):
    table = cohort(rng)
    splits = make_folds(table)
    protocol = FitLog()
    protocol.record("scaler", np.arange(len(table)))
    (leak,) = [
        c for c in audit(table, splits, protocol=protocol).checks if c.verdict == "leak"
    ]
    assert leak.n_windows == len(table)
    assert f"In {len(splits.folds)} of {len(splits.folds)} folds" in leak.evidence


def test_windows_of_no_side_leak_if_their_group_is_tested(rng):
    table = cohort(rng)
    first = make_folds(table).folds[0]
    left_out = first.test[:3]
    splits = Splits((Fold(0, first.train, first.test[3:]),), "subject", "one fold")
    protocol = FitLog()
    protocol.record("scaler", left_out, fold=0)
    assert verdicts(audit(table, splits, protocol=protocol))["fitting"] == "leak"
    unseen = table["subject"].iloc[first.train[0]]
    spared = first.train[table["subject"].iloc[first.train] == unseen]
    kept = np.setdiff1d(first.train, spared)
    splits = Splits((Fold(0, kept, first.test),), "subject", "one fold")
    protocol = FitLog()
    protocol.record("scaler", spared, fold=0)
    assert verdicts(audit(table, splits, protocol=protocol))["fitting"] == "warning"


def test_motion_that_tells_the_class_is_flagged(rng):
    table = cohort(rng)
    splits = make_folds(table)
    motion = pd.DataFrame({"trans_y": rng.standard_normal(len(table))})
    assert verdicts(audit(table, splits, nuisance=motion))["motion"] == "clean"
    motion["trans_y"] += 2.0 * (table["label"] == "a")
    assert verdicts(audit(table, splits, nuisance=motion))["motion"] == "warning"


def test_a_class_of_one_site_is_flagged_even_among_few_people(rng):
    table = cohort(rng, n_subjects=4, n_classes=2)
    table["site"] = np.where(table["subject"] < "02", "north", "south")
    assert verdicts(audit(table, make_folds(table)))["site"] == "clean"
    table.loc[(table["site"] == "south") & (table["label"] == "a"), "label"] = "b"
    result = audit(table, make_folds(table))
    site = next(check for check in result.checks if check.name == "site")
    assert site.verdict == "warning"
    assert "'a' occurs only at site north of 2" in site.evidence


def test_columns_that_are_not_known_are_not_checked(rng):
    table = cohort(rng)
    bare = table[["window", "subject", "recording", "label"]]
    result = audit(bare, make_folds(bare))
    assert result.verdict == "clean"
    assert len(result.unchecked) >= 4
    leaky = audit(bare, random_split(bare, rng))
    assert verdicts(leaky)["run"] == "leak"


def test_a_large_cohort_is_audited_in_seconds(rng):
    table = cohort(rng, n_subjects=60, n_runs=2, n_classes=5, repeats=1)
    motion = pd.DataFrame(
        rng.standard_normal((len(table), 3)), columns=["rot_x", "rot_y", "rot_z"]
    )
    assert len(table) == 600
    started = time.perf_counter()
    audit(table, make_folds(table), copies=[], nuisance=motion)
    assert time.perf_counter() - started < 10


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


@pytest.mark.parametrize("other", ["a", "b"])
def test_windows_with_the_same_frames_are_found_on_one_side_too(rng, other):
    table = cohort(rng)
    row = table[table["label"] == "a"].iloc[[0]].assign(label=other)
    table = pd.concat([table, row.assign(onset=row["onset"] + 0.5)], ignore_index=True)
    table["window"] = np.arange(len(table))
    result = audit(table, make_folds(table))
    (check,) = [c for c in result.checks if c.name == "twice"]
    assert check.verdict == "warning"
    assert check.n_windows == 2
    assert ("under several labels" in check.evidence) == (other == "b")
    assert verdicts(audit(cohort(rng), make_folds(cohort(rng))))["twice"] == "clean"


@pytest.mark.parametrize(
    ("spaces", "unit", "verdict"),
    [
        (("MNI152NLin2009cAsym",), "subject", "clean"),
        (("",), "subject", "warning"),
        (("T1w",), "subject", "warning"),
        (("MNI152NLin2009cAsym", "MNI152NLin6Asym"), "subject", "warning"),
        (("MNI152NLin2009cAsym", "T1w"), "subject", "warning"),
        (("T1w",), "run", "not checked"),
    ],
)
def test_people_in_their_own_spaces_are_not_decoded_unsaid(rng, spaces, unit, verdict):
    table = cohort(rng)
    table["space"] = [spaces[int(s) % len(spaces)] for s in table["subject"]]
    result = audit(table, make_folds(table, unit=unit))
    assert verdicts(result)["space"] == verdict
    (check,) = [c for c in result.checks if c.name == "space"]
    if verdict == "warning":
        assert "space: " in result.summary
        assert check.evidence in result.summary
        assert "--space" in check.advice


def test_a_question_that_could_not_be_put_is_no_all_clear(rng):
    """No family is named, there is one site, nothing was stopped."""
    table = cohort(rng)
    log = FitLog()
    splits = make_folds(table)
    for fold in splits.folds:
        log.record("weights", fold.train, fold=fold.index)
    found = audit(table, splits, protocol=log)
    given = verdicts(found)
    for name in ("family", "site", "stopping", "selection", "session"):
        assert given[name] == "not checked", name
    assert given["fitting"] == given["subject"] == given["run"] == "clean"
    assert found.verdict == "clean"
    assert set(found.to_dict()["not_checked"]) == set(found.unchecked)
    n = len(found.unchecked)
    assert f"clean; {n} of {len(found.checks)} not checked" in found.summary
    family = table.assign(family="F" + table["subject"])
    assert verdicts(audit(family, splits))["family"] == "clean"


def test_within_one_subject_people_are_not_checked(rng):
    table = cohort(rng, n_subjects=1, n_runs=4)
    found = verdicts(audit(table, make_folds(table, unit="run")))
    assert found["subject"] == found["family"] == "not checked"


def test_nothing_checked_is_not_clean():
    nothing = AuditCheck("content", "not checked", "The runs were not read.")
    assert Audit((nothing,)).verdict == "not checked"
    leak = AuditCheck("run", "leak", "shared", "split")
    assert Audit((nothing, leak)).verdict == "leak"
