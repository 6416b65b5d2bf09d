"""Intervals cover what they say, and equal naive resampling of rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boldformer.data.splits import Fold
from boldformer.errors import InputError
from boldformer.evaluation.intervals import GroupBootstrap, reuse_widening
from boldformer.evaluation.metrics import SCORES, classification_scores


def subjects(rng, n=20, windows=16, skill=1.5, spread=0.8):
    """Predictions for people who differ in how well they can be decoded."""
    y = np.tile(np.arange(4), n * windows // 4)
    groups = np.repeat(np.arange(n), windows)
    effect = np.maximum(0, skill + spread * rng.normal(size=n))[groups]
    logits = rng.normal(size=(len(y), 4))
    logits[np.arange(len(y)), y] += effect
    p = np.exp(logits)
    return y, p / p.sum(axis=1, keepdims=True), groups


def test_draws_equal_naive_resampling_of_rows():
    rng = np.random.default_rng(0)
    y, p, groups = subjects(rng, 6)
    bootstrap = GroupBootstrap(groups, 20, seed=1)
    draws = bootstrap.draw(y, p)
    for row, weights in enumerate(bootstrap.weights.astype(int)):
        rows = np.repeat(np.arange(len(y)), weights)
        naive = classification_scores(y[rows], p[rows])
        ours = {name: draws.resampled[name][row] for name in naive}
        assert ours == pytest.approx(naive, rel=1e-6)


def test_groups_are_drawn_whole_and_as_many_as_there_are():
    groups = np.array(list("aabbbcdd"))
    weights = GroupBootstrap(groups, 200).weights
    first = [0, 2, 5, 6]
    assert (weights[:, first].sum(axis=1) == 4).all()
    assert (weights[:, 2] == weights[:, 4]).all()
    assert weights[:, first].mean(axis=0) == pytest.approx(1, abs=0.25)


def test_intervals_cover_the_truth():
    """20 people: with 120 simulations, 90 to 99 % is within chance of 95 %."""
    rng = np.random.default_rng(0)
    y, p, _ = subjects(rng, 20_000)
    truth = classification_scores(y, p)
    covered = dict.fromkeys(truth, 0)
    n_simulations = 120
    for seed in range(n_simulations):
        y, p, groups = subjects(rng)
        bootstrap = GroupBootstrap(groups, 300, seed=seed)
        draws = bootstrap.draw(y, p)
        for name, value in truth.items():
            estimate = bootstrap.estimate(draws, name)
            covered[name] += estimate.low <= value <= estimate.high
    for name, count in covered.items():
        assert 0.90 <= count / n_simulations <= 0.99, name


def test_paired_differences_are_narrower_than_unpaired_ones():
    rng = np.random.default_rng(0)
    y, p, groups = subjects(rng)
    noisy = p * rng.uniform(0.8, 1.25, size=p.shape)
    bootstrap = GroupBootstrap(groups, 500)
    a, b = bootstrap.draw(y, p), bootstrap.draw(y, noisy)
    paired = bootstrap.difference(a, b, "accuracy")
    assert paired.value == pytest.approx(a.values["accuracy"] - b.values["accuracy"])
    alone = bootstrap.estimate(a, "accuracy")
    assert paired.high - paired.low < (alone.high - alone.low) / 2
    # Two decoders that agreed in 320 events may still differ in the next.
    same = bootstrap.difference(a, a, "accuracy")
    assert (same.value, same.low) == (0, -same.high)
    assert 0.01 < same.high < 0.02


def test_people_used_twice_widen_the_interval_about_the_value():
    y, p, groups = subjects(np.random.default_rng(0))
    plain, wide = (GroupBootstrap(groups, 200, widening=w) for w in (1.0, 1.5))
    draws = plain.draw(y, p)
    a, b = plain.estimate(draws, "mcc"), wide.estimate(draws, "mcc")
    assert b.value == a.value
    assert b.value - b.low == pytest.approx(1.5 * (a.value - a.low))
    assert b.high - b.value == pytest.approx(1.5 * (a.high - a.value))
    perfect = wide.draw(y, np.eye(p.shape[1])[y])
    assert wide.estimate(perfect, "accuracy").high == 1.0


@pytest.mark.parametrize(("n_folds", "expected"), [(2, 3**0.5), (5, 1.5)])
def test_the_widening_is_that_of_nadeau_and_bengio(n_folds, expected):
    rows = np.arange(60)
    parts = np.array_split(rows, n_folds)
    folds = [Fold(k, np.setdiff1d(rows, part), part) for k, part in enumerate(parts)]
    assert reuse_widening(folds, rows // 2) == pytest.approx(expected)
    # One split: nobody is tested who trained.
    assert reuse_widening(folds[:1], rows // 2) == 1.0


def test_people_who_are_each_decoded_by_themselves_widen_nothing():
    """Six people of two runs: nobody's windows train the decoder of another."""
    people, runs = np.repeat(np.arange(6), 8), np.tile(np.repeat([0, 1], 4), 6)
    folds = [
        Fold(
            2 * person + run,
            np.flatnonzero((people == person) & (runs != run)),
            np.flatnonzero((people == person) & (runs == run)),
        )
        for person in range(6)
        for run in (0, 1)
    ]
    assert reuse_widening(folds, people) == 1.0
    # Resampled run by run, the runs of a person do train each other's decoders.
    assert reuse_widening(folds, 2 * people + runs) > 1.4


def test_the_same_seed_gives_the_same_interval():
    y, p, groups = subjects(np.random.default_rng(0))
    ends = [
        GroupBootstrap(groups, 100, seed=seed).estimate(
            GroupBootstrap(groups, 100, seed=seed).draw(y, p), "mcc"
        )
        for seed in (0, 0, 1)
    ]
    assert ends[0] == ends[1] != ends[2]


def test_one_unit_or_no_resample_has_no_interval():
    y, p, groups = subjects(np.random.default_rng(0), 3)
    for bootstrap in (GroupBootstrap(np.zeros(len(y))), GroupBootstrap(groups, 0)):
        estimate = bootstrap.estimate(bootstrap.draw(y, p), "accuracy").to_dict()
        assert estimate["value"] == pytest.approx(np.mean(p.argmax(axis=1) == y))
        assert estimate["low"] is estimate["high"] is None


def test_resamples_without_a_class_are_left_out_of_its_recall():
    """Only one person of four shows class 1: in some resamples nobody does."""
    y = np.array([0, 0, 0, 0, 0, 0, 1, 1])
    groups = np.repeat(np.arange(4), 2)
    p = np.eye(2)[y]
    bootstrap = GroupBootstrap(groups, 200)
    draws = bootstrap.draw(y, p)
    assert np.isnan(draws.resampled["recall_1"]).any()
    assert bootstrap.estimate(draws, "recall_1").low < 0.2  # two windows, four people


@pytest.mark.parametrize("options", [{"level": 1.0}, {"n_resamples": -1}])
def test_impossible_intervals_are_refused(options):
    with pytest.raises(InputError, match="no such interval"):
        GroupBootstrap(np.arange(3), **options)


def exact_low(hits, size, level=0.95):
    """Clopper and Pearson's lower end, all of `size` being hits."""
    assert hits == size
    return ((1 - level) / 2) ** (1 / size)


def test_where_every_answer_is_right_the_interval_has_width():
    """72 of 72: the percentiles alone say 1.000 to 1.000."""
    y = np.tile(np.arange(4), 18)
    many = GroupBootstrap(np.arange(72), 200)
    few = GroupBootstrap(np.repeat(np.arange(4), 18), 200)
    wide = GroupBootstrap(np.repeat(np.arange(4), 18), 200, widening=1.5)
    ends = [b.estimate(b.draw(y, np.eye(4)[y]), "accuracy") for b in (many, few, wide)]
    assert [end.high for end in ends] == [1.0, 1.0, 1.0]
    assert ends[0].low == pytest.approx(exact_low(72, 72))
    assert ends[0].low > ends[1].low > ends[2].low > 0.6
    for name in SCORES:
        found = few.estimate(few.draw(y, np.eye(4)[y]), name)
        assert (found.value, found.high) == (1, 1)
        assert 0.6 < found.low < 0.95, name
    never = few.draw(y, np.eye(4)[(y + 1) % 4])
    found = few.estimate(never, "accuracy")
    assert found.low == 0 < found.high < 0.2


def test_windows_of_one_event_count_once():
    y = np.repeat(np.tile(np.arange(4), 18), 5)
    groups, p = np.repeat(np.arange(72), 5), np.eye(4)[y]
    each = GroupBootstrap(groups, 100)
    by_event = GroupBootstrap(groups, 100, events=np.repeat(np.arange(72), 5))
    assert by_event.estimate(by_event.draw(y, p), "accuracy").low == pytest.approx(
        exact_low(72, 72)
    )
    assert each.estimate(each.draw(y, p), "accuracy").low > exact_low(72, 72) + 0.02


@given(st.integers(2, 12), st.integers(0, 99), st.floats(0, 4))
def test_intervals_hold_their_value_and_end_where_scores_do(n_units, seed, skill):
    y, p, groups = subjects(np.random.default_rng(seed), n_units, 8, skill)
    bootstrap = GroupBootstrap(groups, 60, widening=1.5)
    ours, other = bootstrap.draw(y, p), bootstrap.draw(y, p[:, ::-1])
    for name, score in SCORES.items():
        found = bootstrap.estimate(ours, name)
        assert score.least <= found.low < found.high <= 1
        if name in ("accuracy", "balanced_accuracy"):
            assert found.low <= found.value <= found.high
        gap = bootstrap.difference(ours, other, name)
        assert abs(gap.low) <= 1 - score.least >= abs(gap.high)
