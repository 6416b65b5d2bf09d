"""Labels that follow from motion or from the order of things are flagged."""

import json

from boldformer.cli import run_command

SEEDS = range(5)


def verdicts(judged):
    return {check.name: check.verdict for check in judged.audit().checks}


def evidence(judged, name):
    return next(c.evidence for c in judged.audit().checks if c.name == name)


def test_an_honest_design_is_not_flagged(judge):
    for seed in SEEDS:
        assert judge(seed, shared=0.5).audit().verdict == "clean"


def test_motion_that_tells_the_label_is_flagged(judge):
    """The head moves, the image with it, and the brain does nothing."""
    for seed in SEEDS:
        planted = judge(seed, motion=0.5)
        assert verdicts(planted)["motion"] == "warning"
        assert "rans_z" in evidence(planted, "motion")
        nuisance = planted.score("nuisance")
        assert nuisance > 0.9
        assert planted.score("linear_svm") < nuisance


def test_halves_of_a_run_that_tell_the_label_are_flagged(judge):
    for seed in SEEDS:
        planted = judge(seed, order="halves")
        assert verdicts(planted)["timing"] == "warning"
        assert planted.score("nuisance") > 0.9


def test_an_order_of_runs_that_tells_the_label_is_flagged(judge):
    for seed in SEEDS:
        planted = judge(seed, order="run", runs=2, blocks=4)
        assert verdicts(planted)["timing"] == "warning"
        assert "rder of the run" in evidence(planted, "timing")
        assert verdicts(planted)["classes"] == "warning"


def test_the_report_says_that_nuisance_does_as_well(write, tmp_path):
    """With every default but the model, which is linear for want of time."""
    root, out = write(9, motion=0.5), tmp_path / "out"
    command = ["run", str(root), str(out), "--model=linear", "--quiet"]
    assert run_command([*command, "--n-resamples=200"]) == 0
    metrics = json.loads((out / "metrics.json").read_text())
    found = {c["name"]: c["verdict"] for c in metrics["audit"]["checks"]}
    assert found["motion"] == "warning"
    assert metrics["scores"]["nuisance"]["balanced_accuracy"]["low"] > 0.8
    assert metrics["verdict"]["beats_nuisance"] is False
    sentence = next(s for s in metrics["verdict"]["sentences"] if "nuisance" in s)
    assert sentence.startswith(("It does not beat", "It is worse than"))
    assert sentence.split(" (")[0] in (out / "report.html").read_text()
