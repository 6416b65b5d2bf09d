"""The figure and the page of a leakage study: what leaks is said to leak."""

from __future__ import annotations

import pandas as pd
import pytest

from boldformer.visualization.leakage_page import draw_leakage, sentences

SCHEMES = ("volume", "block", "run", "subject")


@pytest.fixture
def table() -> pd.DataFrame:
    rows = [
        (model, scheme, labels, 0.9 - 0.15 * k if labels == "true" else 0.5 - 0.08 * k)
        for model in ("hybrid", "linear")
        for k, scheme in enumerate(SCHEMES)
        for labels in ("true", "shuffled by block")
        if not (model == "hybrid" and labels != "true")
    ]
    columns = ["model", "scheme", "labels", "balanced_accuracy"]
    table = pd.DataFrame(rows, columns=columns).assign(preprocessing="raw", chance=0.25)
    value = table["balanced_accuracy"]
    table = table.assign(low=value - 0.05, high=value + 0.05)
    leaky = table["scheme"] != "subject"
    true = leaky & (table["labels"] == "true")
    gap = (value - 0.45).where(true)
    table = table.assign(gap=gap, gap_low=gap - 0.1, gap_high=gap + 0.1)
    return table.assign(audit=leaky.map({True: "LEAKY", False: "no leak"}))


def test_a_panel_for_true_and_one_for_shuffled_labels(table: pd.DataFrame) -> None:
    figure = draw_leakage(table).figure
    assert [axes.get_title() for axes in figure.axes] == [
        "the labels of the experiment",
        "labels shuffled among blocks",
    ]
    lines = [len(axes.containers) for axes in figure.axes]
    assert lines == [2, 1]
    (bars, *_) = figure.axes[0].containers
    assert list(bars.lines[0].get_ydata()) == pytest.approx([0.9, 0.75, 0.6, 0.45])


def test_without_a_control_there_is_one_panel(table: pd.DataFrame) -> None:
    assert len(draw_leakage(table[table["labels"] == "true"]).figure.axes) == 1


def test_each_leaky_split_is_shaded_and_named(table: pd.DataFrame) -> None:
    for axes in draw_leakage(table).figure.axes:
        marks = [text.get_text() for text in axes.texts]
        assert marks == ["LEAKY", "LEAKY", "LEAKY", "no leak"]
        assert len(axes.patches) == 3


def test_one_subject_has_no_interval_and_no_bar(table: pd.DataFrame) -> None:
    nothing = float("nan")
    figure = draw_leakage(table.assign(low=nothing, high=nothing)).figure
    for bars in figure.axes[0].containers:
        (segments,) = bars.lines[2]
        for segment in segments.get_segments():
            assert segment[0, 1] == segment[1, 1]


def test_sentences_mark_leaky_numbers_and_name_the_honest_one(
    table: pd.DataFrame,
) -> None:
    hybrid, linear = sentences(table)
    assert "0.900 (LEAKY) volume-wise, 0.450 subject-wise" in hybrid
    assert "above chance; the gap is 0.450 (0.350 to 0.550)" in hybrid
    assert "mean nothing" not in hybrid
    assert "mean nothing: 0.500 (LEAKY) volume-wise" in linear


def test_a_score_at_chance_is_said_to_be(table: pd.DataFrame) -> None:
    low = table["low"].where(table["scheme"] != "subject", 0.2)
    assert "not shown to be above chance" in sentences(table.assign(low=low))[0]
