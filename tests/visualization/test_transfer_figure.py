"""The figure of a transfer: a panel a site, a line an alignment, no bar invented."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from boldformer.visualization.transfer_figure import draw_transfer


@pytest.fixture
def table() -> pd.DataFrame:
    rows = [
        (test, setting, alignment, shots)
        for test in ("a", "b", "c")
        for setting, alignment, shots in (
            ("within-subject", "none", "1"),
            ("within-site", "none", "0"),
            ("zero-shot", "none", "0"),
            ("few-shot", "none", "1"),
            ("zero-shot", "site", "0"),
            ("few-shot", "site", "1"),
            ("few-shot", "site", "1run"),
        )
    ]
    table = pd.DataFrame(rows, columns=["test", "setting", "alignment", "shots"])
    scores = {"balanced_accuracy": 0.6, "low": 0.5, "high": 0.7, "chance": 0.25}
    return table.assign(**scores, audit="no leak")


def test_a_panel_a_site_and_a_line_an_alignment(table: pd.DataFrame) -> None:
    drawing = draw_transfer(table)
    panels = [axes for axes in drawing.figure.axes if axes.get_visible()]
    assert [axes.get_title() for axes in panels] == [f"tested on {n}" for n in "abc"]
    labels = panels[0].get_legend_handles_labels()[1]
    assert set(labels) == {
        "transfer, none",
        "transfer, site",
        "shots alone",
        "test site's other subjects",
    }
    ticks = [text.get_text() for text in panels[0].get_xticklabels()]
    assert ticks == ["0", "1", "1 run"]


def test_one_subject_has_no_interval_and_no_bar(table: pd.DataFrame) -> None:
    figure = draw_transfer(table.assign(low=np.nan, high=np.nan)).figure
    for container in figure.axes[0].containers:
        (bars,) = container.lines[2]
        heights = [np.ptp(part[:, 1]) for part in bars.get_segments()]
        np.testing.assert_allclose(heights, 0)


def test_a_leak_is_written_on_the_figure(table: pd.DataFrame) -> None:
    texts = [
        t.get_text() for t in draw_transfer(table.assign(audit="LEAKY")).figure.texts
    ]
    assert any("LEAKY" in text for text in texts)
    assert not draw_transfer(table).figure.texts
