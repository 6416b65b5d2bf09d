"""Tables that the report computes from predictions."""

import numpy as np
import pytest
from sklearn.metrics import precision_score, recall_score

from boldformer.visualization import report_tables as tables
from boldformer.visualization.finished_run import load_results


def test_class_rows_agree_with_scikit_learn(fabricated):
    results = load_results(fabricated(skill=1.0))
    rows = tables.class_rows(results)
    found = [row["precision"] for row in rows]
    expected = precision_score(results.truth, results.guess, average=None)
    np.testing.assert_allclose(found, expected)
    recall = recall_score(results.truth, results.guess, average=None)
    np.testing.assert_allclose([r["recall"]["value"] for r in rows], recall)
    assert sum(row["n_windows"] for row in rows) == results.metrics["n_windows"]


def test_a_class_is_never_taken_for_itself(fabricated):
    results = load_results(fabricated(skill=0.5))
    for row in tables.class_rows(results):
        assert row["mistaken_for"] not in ("", row["label"])
        assert 0 < row["mistaken_share"] <= 1


def test_perfect_decoding_has_no_mistakes(fabricated):
    results = load_results(fabricated(skill=50))
    assert {row["mistaken_for"] for row in tables.class_rows(results)} == {""}
    assert all(r["prc_auc"] == pytest.approx(1) for r in tables.class_rows(results))


def test_the_headline_metric_comes_first(fabricated):
    order = tables.metric_order(load_results(fabricated()))
    assert order[0] == "balanced_accuracy"
    assert sorted(order) == sorted(tables.METRICS)
