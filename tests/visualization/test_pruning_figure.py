"""The accuracy-compute figure shows what the table says."""

import numpy as np
import pandas as pd
import pytest

from boldformer.visualization.pruning_figure import draw_pruning


def curve(networks=("unpruned", "pruned", "pruned", "from scratch")) -> pd.DataFrame:
    n = len(networks)
    share = np.array([1.0, 0.8, 0.55, 0.55])[:n]
    accuracy = np.array([0.7, 0.71, 0.66, 0.6])[:n]
    table = pd.DataFrame({"network": networks, "mac_share": share})
    for name, value in (("accuracy", accuracy), ("difference", accuracy - 0.7)):
        table[name], table[f"{name}_low"] = value, value - 0.05
        table[f"{name}_high"] = value + 0.02
    return table


def points(axes):
    drawn = [container.lines[0] for container in axes.containers]
    pairs = [np.column_stack([line.get_xdata(), line.get_ydata()]) for line in drawn]
    return np.concatenate(pairs).astype(float)


def test_every_network_is_a_point_with_its_interval():
    table = curve()
    drawing = draw_pruning(table, 0.25)
    above, below = drawing.figure.axes
    expected = np.column_stack([100 * table["mac_share"], table["accuracy"]])
    np.testing.assert_allclose(points(above), expected)
    np.testing.assert_allclose(points(below)[:, 1], table["difference"][1:])
    bars = above.containers[0].lines[2][0].get_segments()
    np.testing.assert_allclose(bars[0][:, 1], [0.65, 0.72])
    assert {text.get_text() for text in above.get_legend().get_texts()} == {
        "unpruned",
        "pruned",
        "from scratch",
    }
    assert "55 % of the multiply-adds" in drawing.caption
    assert "-0.040" in drawing.alt


def test_without_intervals_there_are_points_alone():
    table = curve(("unpruned", "pruned"))
    for column in table:
        if column.endswith(("_low", "_high")):
            table[column] = np.nan
    figure = draw_pruning(table, 0.25).figure
    bar = figure.axes[0].containers[0].lines[2][0].get_segments()[0]
    assert bar[0, 1] == bar[1, 1]


@pytest.mark.parametrize("leaky", [True, False])
def test_a_leak_is_written_across_the_figure(leaky):
    figure = draw_pruning(curve(), 0.25, leaky=leaky).figure
    assert any("LEAKY" in text.get_text() for text in figure.texts) == leaky
