"""Figures of chance, learning and columns show what the run holds, or are left out."""

import dataclasses

import pytest

from boldformer.visualization.finished_run import load_results
from boldformer.visualization.report_tables import calibration_rows, column_rows
from boldformer.visualization.robustness_figures import (
    draw_columns,
    draw_curve,
    draw_null,
)


@pytest.fixture
def results(fabricated):
    return load_results(fabricated(n_mapped=0))


def without(results, *keys):
    metrics = {k: v for k, v in results.metrics.items() if k not in keys}
    return dataclasses.replace(results, metrics=metrics)


def test_what_an_older_run_lacks_is_left_out(results):
    old = without(results, "columns", "permutation", "learning_curve", "calibration")
    assert draw_columns(old) is draw_null(old) is draw_curve(old) is None
    assert column_rows(old) == calibration_rows(old) == []


def test_the_null_is_drawn_with_its_score_and_number(results):
    drawing = draw_null(results)
    assert "0.642" in drawing.caption
    assert "50 shuffles" in drawing.caption
    (axes,) = drawing.figure.axes
    counts = [bar.get_height() for bar in axes.patches]
    assert sum(counts) == 50
    at = {round(line.get_xdata()[0], 3) for line in axes.lines}
    assert {0.25, 0.642} <= at


def test_the_curve_marks_the_sizes_that_were_tried(results):
    drawing = draw_curve(results)
    (axes,) = drawing.figure.axes
    assert axes.get_xticks().tolist() == [1, 2, 4, 9]
    assert "0.400 from 1, 0.610 from 9" in drawing.alt
    curve = {**results.metrics["learning_curve"]}
    curve["decoders"] = {"linear_svm": curve["decoders"]["linear_svm"][:1]}
    metrics = {**results.metrics, "learning_curve": curve}
    assert draw_curve(dataclasses.replace(results, metrics=metrics)) is None


@pytest.mark.parametrize("mode", ["transductive", "causal"])
def test_columns_say_what_was_not_run(fabricated, mode):
    results = load_results(fabricated(n_mapped=0, mode=mode))
    ours, svm = column_rows(results)
    assert (ours["decoder"], svm["decoder"]) == ("hybrid", "linear_svm")
    assert ours[mode]["scores"]
    assert ours["gap"] is None
    assert svm["gap"]["difference"] == 0.121
    drawing = draw_columns(results)
    texts = [text.get_text() for text in drawing.figure.axes[0].texts]
    other = "causal" if mode == "transductive" else "whole run"
    assert texts == [f"{other}: not run"]
    assert f"hybrid, {other}: not run" in drawing.alt


def test_calibration_is_shown_of_decoders_that_see_events(results):
    rows = calibration_rows(results)
    assert [row["decoder"] for row in rows] == ["hybrid", "linear_svm"]
