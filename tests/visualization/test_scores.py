"""Figures of scores show the numbers of metrics.json."""

import json

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from boldformer.evaluation.baselines import BASELINES, PARTS
from boldformer.visualization import scores
from boldformer.visualization.finished_run import load_results


def _texts(axes):
    return [text.get_text() for text in axes.texts]


def test_confusion_gives_shares_and_counts(fabricated):
    results = load_results(fabricated())
    axes = scores.draw_confusion(results).figure.axes[0]
    counts = confusion_matrix(results.truth, results.guess)
    shares = counts / counts.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(axes.collections[0].get_array(), shares)
    assert _texts(axes)[0] == f"{shares[0, 0]:.2f}\n{counts[0, 0]}"


@pytest.mark.parametrize("n_classes", [2, 29])
def test_confusion_tick_names_stay_apart(fabricated, n_classes):
    labels = tuple(f"a_condition_number_{k:02d}_of_many" for k in range(n_classes))
    results = load_results(fabricated(labels=labels, n_subjects=3, n_mapped=0))
    axes = scores.draw_confusion(results).figure.axes[0]
    names = [text.get_text() for text in axes.get_yticklabels()]
    assert len(set(names)) == n_classes


def test_decoders_lie_at_their_scores_in_order(fabricated):
    results = load_results(fabricated())
    axes = scores.draw_decoders(results).figure.axes[0]
    dots = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o"]
    found = results.metrics["scores"]
    names = [name for name in ("hybrid", *PARTS, *BASELINES) if name in found]
    assert dots == [found[n]["balanced_accuracy"]["value"] for n in names]
    assert axes.lines[0].get_xdata()[0] == results.metrics["chance"]


def test_scores_that_do_not_exist_are_said_not_to(fabricated):
    out = fabricated()
    metrics = json.loads((out / "metrics.json").read_text())
    nothing = {"value": None, "low": None, "high": None}
    metrics["scores"]["nuisance"]["balanced_accuracy"] = nothing
    metrics["groups"][0]["accuracy"]["linear_svm"] = None
    (out / "metrics.json").write_text(json.dumps(metrics))
    results = load_results(out)
    assert "n/a" in _texts(scores.draw_decoders(results).figure.axes[0])
    assert scores.draw_groups(results) is not None


def test_groups_are_all_there_best_first(fabricated):
    results = load_results(fabricated(n_subjects=62, n_runs=1, n_mapped=0))
    drawing = scores.draw_groups(results)
    axes = drawing.figure.axes[0]
    (ours,) = [line for line in axes.lines if line.get_label() == "hybrid"]
    assert len(ours.get_ydata()) == 62
    assert np.all(np.diff(ours.get_ydata()) <= 0)
    names = {text.get_text() for text in axes.get_xticklabels()}
    assert names == {row["group"] for row in results.metrics["groups"]}
    assert drawing.wide


def test_groups_are_named_by_what_sets_them_apart(fabricated):
    out = fabricated()
    metrics = json.loads((out / "metrics.json").read_text())
    for k, row in enumerate(metrics["groups"]):
        row["group"] = f"sub-01_ses-{k % 2}_task-perception_run-{k:02d}"
    (out / "metrics.json").write_text(json.dumps(metrics))
    axes = scores.draw_groups(load_results(out)).figure.axes[0]
    names = [text.get_text() for text in axes.get_xticklabels()]
    assert sorted(names)[:2] == ["ses-0_run-00", "ses-0_run-02"]
    assert len(set(names)) == len(metrics["groups"])


def test_the_linear_svm_is_not_compared_with_itself(fabricated):
    out = fabricated()
    metrics = json.loads((out / "metrics.json").read_text())
    metrics["decoder"], metrics["comparisons"] = "linear_svm", []
    (out / "metrics.json").write_text(json.dumps(metrics))
    results = load_results(out)
    for drawing in (scores.draw_groups(results), scores.draw_recall(results)):
        markers = {line.get_marker() for line in drawing.figure.axes[0].lines}
        assert "D" not in markers
