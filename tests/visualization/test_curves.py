"""Curves agree with scikit-learn and with the numbers of the run."""

import dataclasses

import numpy as np
import pytest

from boldformer.visualization import curves
from boldformer.visualization.finished_run import load_results


@pytest.mark.parametrize(
    ("kind", "metric"),
    [(curves.roc_of, "roc_auc"), (curves.precision_recall_of, "prc_auc")],
)
def test_mean_area_is_the_macro_score(fabricated, kind, metric):
    results = load_results(fabricated())
    areas = [area for *_, area in curves.curves_of(results, kind).values()]
    assert np.mean(areas) == pytest.approx(
        results.metrics["scores"]["hybrid"][metric]["value"]
    )


@pytest.mark.parametrize("kind", [curves.roc_of, curves.precision_recall_of])
def test_curves_rise_along_x(fabricated, kind):
    results = load_results(fabricated(skill=0.3))
    for x, y, _ in curves.curves_of(results, kind).values():
        assert np.all(np.diff(x) >= 0)
        assert np.all((y >= 0) & (y <= 1))


def test_a_class_without_windows_has_no_curve(fabricated):
    results = load_results(fabricated())
    kept = results.predictions[results.predictions["label"] != "forearm"]
    results = dataclasses.replace(results, predictions=kept)
    assert set(curves.curves_of(results, curves.roc_of)) == {
        "left_leg",
        "right_leg",
        "upper_arm",
    }
    assert curves.draw_roc(results) is not None


def test_classes_are_named_only_where_colours_suffice(fabricated):
    def legend(n_classes):
        labels = tuple(f"c{k}" for k in range(n_classes))
        results = load_results(fabricated(labels=labels, n_subjects=4, n_mapped=0))
        drawing = curves.draw_roc(results)
        return [t.get_text() for t in drawing.figure.axes[0].get_legend().get_texts()]

    assert len(legend(6)) == 7
    macro, others = legend(29)
    assert macro.startswith("macro")
    assert others == "29 classes"


def test_coverage_ends_at_the_accuracy(fabricated):
    results = load_results(fabricated())
    line = curves.draw_coverage(results).figure.axes[0].lines[1]
    accuracy = results.metrics["scores"]["hybrid"]["accuracy"]["value"]
    assert line.get_xdata()[-1] == 1
    assert line.get_ydata()[-1] == pytest.approx(accuracy)


def test_reliability_needs_enough_windows(fabricated):
    assert curves.draw_reliability(load_results(fabricated())) is not None
    few = load_results(fabricated(n_subjects=2, n_runs=1))
    assert curves.draw_reliability(few) is None
