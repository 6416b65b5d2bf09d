"""Episodes keep runs apart, and few-shot models know nothing of test runs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boldformer.errors import InputError
from boldformer.evaluation.transfer_learners import (
    LinearTransfer,
    Shots,
    make_episodes,
    predict_alone,
)

N_CLASSES = 3


def table_of(
    n_subjects: int, n_runs: int, n_blocks: int, windows: int = 1, seed: int = 0
) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    rows = []
    for subject in range(n_subjects):
        for run in range(n_runs):
            recording = f"sub-{subject}_run-{run}"
            order = rng.permutation(np.repeat(np.arange(N_CLASSES), n_blocks))
            for block, label in enumerate(order):
                rows += [
                    (str(subject), recording, f"{recording}@{block}", label)
                ] * windows
    return pd.DataFrame(rows, columns=["subject", "recording", "block", "label"])


@pytest.mark.parametrize(
    ("text", "shots"),
    [("4", Shots(4)), (" 1run", Shots(1, "run")), ("2runs", Shots(2, "run"))],
)
def test_shots_are_read(text: str, shots: Shots) -> None:
    assert Shots.parse(text) == shots == Shots.parse(str(shots))


@pytest.mark.parametrize("text", ["0", "-1", "few", "1.5", ""])
def test_shots_that_are_none(text: str) -> None:
    with pytest.raises(InputError, match="1run"):
        Shots.parse(text)


@given(
    n_runs=st.integers(1, 4),
    n_blocks=st.integers(1, 4),
    windows=st.integers(1, 2),
    count=st.integers(1, 6),
    unit=st.sampled_from(["block", "run"]),
)
def test_no_run_is_on_both_sides_of_an_episode(
    n_runs: int, n_blocks: int, windows: int, count: int, unit: str
) -> None:
    table = table_of(2, n_runs, n_blocks, windows)
    episodes, without = make_episodes(table, Shots(count, unit))
    used = count if unit == "run" else -(-count // n_blocks)
    assert (used < n_runs) == bool(episodes) == (not without)
    for episode in episodes:
        shots, test = table.iloc[episode.shots], table.iloc[episode.test]
        assert set(shots["subject"]) == set(test["subject"]) == {episode.subject}
        assert not set(shots["recording"]) & set(test["recording"])
        per_class = shots.drop_duplicates("block").groupby("label").size()
        wanted = count * n_blocks if unit == "run" else count
        assert per_class.tolist() == [wanted] * N_CLASSES
        assert len(shots) == windows * wanted * N_CLASSES
    # Every run takes its turn to be scored.
    tested = {name for e in episodes for name in table["recording"].iloc[e.test]}
    assert not episodes or tested == set(table["recording"])


def test_shots_are_the_first_blocks_of_a_run() -> None:
    table = table_of(1, 2, 4)
    episode = make_episodes(table, Shots(1))[0][0]
    first = table[table["recording"] == "sub-0_run-0"].drop_duplicates("label")
    assert sorted(episode.shots) == list(first.index)


class Sites:
    """Two sites of people who differ, with a class effect in every voxel."""

    def __init__(self, effect: float = 1.0, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.patterns = self.rng.standard_normal((N_CLASSES, 60))
        self.source, self.y_source, self.groups = self._site(6, effect)
        self.table = table_of(3, 2, 6)
        self.y = self.table["label"].to_numpy()
        self.target = self._windows(self.y, self.table["subject"].to_numpy(), effect)

    def _site(self, n_subjects: int, effect: float) -> tuple:
        table = table_of(n_subjects, 2, 6, seed=1)
        y, groups = table["label"].to_numpy(), table["subject"].to_numpy(dtype=str)
        return self._windows(y, groups, effect), y, groups

    def _windows(
        self, y: np.ndarray, subjects: np.ndarray, effect: float
    ) -> np.ndarray:
        own = {
            s: self.rng.standard_normal((N_CLASSES, 60)) for s in np.unique(subjects)
        }
        signal = [
            self.patterns[k] + own[s][k] for k, s in zip(y, subjects, strict=True)
        ]
        noise = 3 * self.rng.standard_normal((len(y), 60))
        return effect * np.array(signal) + noise

    def learner(self, y: np.ndarray | None = None) -> LinearTransfer:
        y = self.y_source if y is None else y
        return LinearTransfer(self.source, y, self.groups, self.target)


def test_a_shared_effect_is_carried_over() -> None:
    sites = Sites()
    assert (sites.learner().zero_shot() == sites.y).mean() > 0.55


@pytest.mark.parametrize("seed", range(3))
def test_shuffled_training_labels_carry_nothing_over(seed: int) -> None:
    sites = Sites(seed=seed)
    shuffled = np.random.default_rng(seed).permutation(sites.y_source)
    accuracy = (sites.learner(shuffled).zero_shot() == sites.y).mean()
    # 108 windows at 1/3: four standard errors.
    assert abs(accuracy - 1 / 3) < 4 * np.sqrt(2 / 9 / 108)


def test_shots_help_where_people_differ() -> None:
    sites = Sites()
    learner, right, zero = sites.learner(), [], []
    for episode in make_episodes(sites.table, Shots(4))[0]:
        found = learner.few_shot(episode, sites.y[episode.shots])
        right.append(found == sites.y[episode.test])
        zero.append(learner.zero_shot()[episode.test] == sites.y[episode.test])
    assert np.mean(right) > np.mean(zero) + 0.05


def test_few_shot_does_not_change_with_the_labels_of_test_runs() -> None:
    sites = Sites()
    learner = sites.learner()
    for episode in make_episodes(sites.table, Shots(2))[0]:
        other = sites.y.copy()
        other[episode.test] = (other[episode.test] + 1) % N_CLASSES
        for predict in (
            learner.few_shot,
            lambda episode, y: predict_alone(sites.target, episode, y),
        ):
            before = predict(episode, sites.y[episode.shots])
            np.testing.assert_array_equal(
                before, predict(episode, other[episode.shots])
            )


def test_few_shot_does_change_with_the_labels_of_shots() -> None:
    sites = Sites()
    learner = sites.learner()
    episode = make_episodes(sites.table, Shots(6))[0][0]
    y = sites.y[episode.shots]
    wrong = learner.few_shot(episode, (y + 1) % N_CLASSES)
    assert not np.array_equal(learner.few_shot(episode, y), wrong)


def test_without_weight_shots_change_little() -> None:
    sites = Sites()
    learner = LinearTransfer(
        sites.source, sites.y_source, sites.groups, sites.target, shot_share=1e-9
    )
    episode = make_episodes(sites.table, Shots(2))[0][0]
    found = learner.few_shot(episode, sites.y[episode.shots])
    same = found == learner.zero_shot()[episode.test]
    assert same.mean() > 0.9
