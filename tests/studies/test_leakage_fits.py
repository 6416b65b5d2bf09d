"""Fits and scores of single volumes, on samples whose answer is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from boldformer.config import EvaluationConfig, ModelConfig, TrainingConfig
from boldformer.data.splits import Fold
from boldformer.evaluation.experiment import Experiment
from boldformer.studies.leakage_fits import solve_fold
from boldformer.studies.leakage_outputs import VolumeJudge
from boldformer.training.linear_decoder import Rotation, gram_matrix


def test_two_classes_and_a_class_without_training_samples(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 20)
    values = rng.normal(size=(40, 100)) + labels[:, None]
    fold = Fold(0, np.arange(0, 40, 2), np.arange(1, 40, 2))
    gram = gram_matrix(values)

    def rotated() -> tuple[Rotation, np.ndarray]:
        rotation = Rotation.from_gram(gram[np.ix_(fold.train, fold.train)])
        return rotation, rotation.project(gram[np.ix_(fold.test, fold.train)])

    windows = pd.DataFrame()
    experiment = Experiment(
        windows,  # type: ignore[arg-type]
        labels,
        ["a", "b", "none"],
        ModelConfig("linear"),
        TrainingConfig(),
    )
    found = solve_fold(experiment, fold, rotated, tmp_path)
    scores = found.probabilities
    assert scores.shape == (20, 3)
    assert (scores[:, 2] < scores[:, :2].min(axis=1)).all()
    right = (scores.argmax(axis=1) == labels[fold.test]).mean()
    assert found.record.accuracy == right > 0.9
    assert found.record.training_accuracy == 1.0
    (use,) = found.log
    np.testing.assert_array_equal(use.rows, fold.train)


@pytest.fixture
def table() -> pd.DataFrame:
    rows = [
        (subject, f"{subject}-{run}", f"{block}", volume, "abc"[block % 3])
        for subject in "xyz"
        for run in range(2)
        for block in range(6)
        for volume in range(4)
    ]
    columns = ["subject", "recording", "block", "first_frame", "label"]
    return pd.DataFrame(rows, columns=columns)


def test_a_block_is_decoded_by_the_mean_of_its_volumes(table: pd.DataFrame) -> None:
    targets = table["label"].map("abc".index).to_numpy()
    scores = np.eye(3)[targets]
    # One volume of each block is wrong, but never so sure as the others together.
    wrong = table.groupby(["recording", "block"]).head(1).index
    scores[wrong] = np.eye(3)[(targets[wrong] + 1) % 3]
    judge = VolumeJudge(table, targets, EvaluationConfig(n_resamples=20))
    assert judge.estimate_blocks(scores).value == 1.0
    assert judge.volumes.estimate(judge.volumes.score(scores)).value == 0.75
