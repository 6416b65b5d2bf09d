"""Learning curves with and without validation."""

import numpy as np
import pytest

from boldformer.visualization import learning
from boldformer.visualization.finished_run import load_results


def _named(drawing):
    return {line.get_label() for line in drawing.figure.axes[0].lines}


@pytest.mark.parametrize("draw", [learning.draw_loss, learning.draw_accuracy])
def test_validation_is_drawn_where_there_is_some(fabricated, draw):
    results = load_results(fabricated())
    assert {"training", "validation"} <= _named(draw(results))
    alone = load_results(fabricated(validated=False))
    assert "validation" not in _named(draw(alone))
    assert "No early stopping" in draw(alone).caption


def test_best_epochs_are_marked_on_their_fold(fabricated):
    results = load_results(fabricated())
    axes = learning.draw_loss(results).figure.axes[0]
    (dots,) = [line for line in axes.lines if line.get_marker() == "o"]
    marked = set(zip(dots.get_xdata(), dots.get_ydata(), strict=True))
    history = results.history.set_index(["fold", "epoch"])["validation_loss"]
    assert marked == {
        (f["best_epoch"], history[f["fold"], f["best_epoch"]])
        for f in results.metrics["folds"]
    }


def test_the_mean_ends_with_the_first_fold_to_stop(fabricated):
    results = load_results(fabricated())
    axes = learning.draw_loss(results).figure.axes[0]
    (mean,) = [line for line in axes.lines if line.get_label() == "training"]
    drawn = mean.get_xdata()[np.isfinite(mean.get_ydata())]
    assert drawn.max() == results.history.groupby("fold")["epoch"].max().min()


def test_no_history_no_figure(fabricated):
    out = fabricated()
    header = (out / "history.tsv").read_text().splitlines()[0]
    (out / "history.tsv").write_text(header + "\n")
    assert learning.draw_loss(load_results(out)) is None
