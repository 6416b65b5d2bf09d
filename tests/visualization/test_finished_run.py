"""Reading an output folder: everything kept, every fault in one line."""

import json
import shutil

import numpy as np
import pytest

from boldformer.errors import InputError
from boldformer.visualization.finished_run import load_results


def _edit(out, **changes):
    path = out / "metrics.json"
    metrics = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in metrics.items() if v is not None}))


def test_probabilities_follow_the_order_of_the_labels(fabricated):
    results = load_results(fabricated())
    assert results.probabilities.shape == (results.metrics["n_windows"], 4)
    np.testing.assert_array_equal(results.probabilities.argmax(1), results.guess)
    accuracy = results.metrics["scores"]["hybrid"]["accuracy"]["value"]
    assert np.mean(results.truth == results.guess) == pytest.approx(accuracy)


def test_classes_may_be_called_like_missing_values(fabricated):
    results = load_results(fabricated(labels=("NA", "null", "1", "None")))
    assert set(np.unique(results.truth)) == {0, 1, 2, 3}


def test_headline_is_what_the_comparisons_compare(fabricated):
    out = fabricated()
    assert load_results(out).headline == "balanced_accuracy"
    row = {"a": "hybrid", "b": "x", "metric": "mcc", "difference": 0.1}
    _edit(out, comparisons=[row])
    assert load_results(out).headline == "mcc"
    _edit(out, comparisons=[row, row | {"metric": "balanced_accuracy"}])
    assert load_results(out).headline == "balanced_accuracy"
    _edit(out, comparisons=[])
    assert load_results(out).headline == "balanced_accuracy"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (shutil.rmtree, "no such folder"),
        (lambda out: (out / "metrics.json").unlink(), "no such file"),
        (lambda out: (out / "metrics.json").write_text("{"), "wanted JSON"),
        (lambda out: _edit(out, scores=None), "wanted scores"),
        (lambda out: (out / "predictions.tsv").unlink(), "one row a window"),
        (lambda out: _edit(out, labels=["a"]), "probability_a"),
        (
            lambda out: _edit(out, labels=["left_leg", "right_leg"]),
            "different runs",
        ),
    ],
)
def test_faults_end_in_one_line(fabricated, spoil, message):
    out = fabricated()
    spoil(out)
    with pytest.raises(InputError, match=message) as caught:
        load_results(out)
    assert "\n" not in str(caught.value)


def test_tables_that_a_run_may_lack_are_empty(fabricated):
    out = fabricated()
    (out / "history.tsv").unlink()
    shutil.rmtree(out / "maps")
    results = load_results(out)
    assert results.history.empty
    assert results.maps.empty
