"""Batches: the same ones however they are divided, and rare classes among them."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from boldformer.errors import InputError
from boldformer.training import ArrayWindows
from boldformer.training.batches import Batches, SeededBatches, class_balance


def rows(order):
    return [piece.batch[piece.start : piece.stop].tolist() for piece in order]


def flat(lists):
    return list(itertools.chain.from_iterable(lists))


@given(
    st.integers(12, 60), st.integers(6, 16), st.integers(1, 3), st.integers(1, 2),
    st.integers(0, 9),
)  # fmt: skip
def test_every_division_gives_the_same_batches(n, size, accumulate, n_processes, epoch):
    whole = SeededBatches(np.arange(n), size, seed=1)
    assume(accumulate * n_processes <= n // len(whole))
    parts = [
        SeededBatches(
            np.arange(n),
            size,
            seed=1,
            accumulate=accumulate,
            n_processes=n_processes,
            rank=rank,
        )
        for rank in range(n_processes)
    ]
    for order in (whole, *parts):
        order.set_epoch(epoch)
    batches = rows(whole)
    assert len(batches) == len(whole)
    assert sorted(flat(batches)) == list(range(n))
    divided = [rows(order) for order in parts]
    assert {len(pieces) for pieces in divided} == {len(parts[0])}
    for step, batch in enumerate(batches):
        span = slice(step * accumulate, (step + 1) * accumulate)
        pieces = [piece for rank in divided for piece in rank[span]]
        assert flat(pieces) == batch
        sizes = [len(piece) for piece in pieces]
        assert max(sizes) - min(sizes) <= 1


def test_order_depends_on_seed_and_epoch():
    order = SeededBatches(np.arange(50), 8, seed=1)
    first = rows(order)
    assert rows(order) == first
    order.set_epoch(1)
    assert rows(order) != first
    assert rows(SeededBatches(np.arange(50), 8, seed=2)) != first
    fixed = SeededBatches(np.arange(50), 8, None)
    assert flat(rows(fixed)) == list(range(50))


@pytest.mark.parametrize(
    "division", [{"accumulate": 9}, {"accumulate": 0}, {"n_processes": 9}]
)
def test_more_pieces_than_windows_are_refused(division):
    with pytest.raises(InputError, match="cannot be divided"):
        SeededBatches(np.arange(16), 8, 0, **division)


def test_a_sampler_draws_classes_equally_often():
    labels = np.repeat([0, 1, 3], [900, 90, 10])
    weights, chances = class_balance(labels, 4, "sampler")
    assert torch.equal(weights, torch.ones(4))
    order = SeededBatches(np.arange(1000), 16, seed=0, chances=chances)
    drawn = []
    for epoch in range(5):
        order.set_epoch(epoch)
        drawn += flat(rows(order))
    assert len(drawn) == 5000
    shares = np.bincount(labels[drawn], minlength=4) / 5000
    np.testing.assert_allclose(shares, [1 / 3, 1 / 3, 0, 1 / 3], atol=0.03)


def test_weights_or_nothing_leave_the_order_alone():
    labels = np.repeat([0, 1], [30, 10])
    weights, chances = class_balance(labels, 2, "weights")
    assert chances is None
    # Each class weighs the same in all: 30 w_0 = 10 w_1, and the mean weight is one.
    assert (weights[torch.from_numpy(labels)].mean().item()) == pytest.approx(1.0)
    assert (30 * weights[0]).item() == pytest.approx((10 * weights[1]).item())
    weights, chances = class_balance(labels, 2, "none")
    assert torch.equal(weights, torch.ones(2))
    assert chances is None


def test_weights_and_sampler_together_are_refused():
    with pytest.raises(InputError, match="never both"):
        class_balance(np.array([0, 1]), 2, "weights+sampler")


def test_a_piece_brings_its_own_rows_of_everything():
    source = ArrayWindows(np.arange(6.0)[:, None, None, None, None] * np.ones((2, 1)))
    offsets = np.arange(12.0).reshape(6, 2)
    times = np.arange(12.0).reshape(6, 2)
    batches = Batches(source, np.arange(6), times, offsets)
    order = SeededBatches(np.arange(6), 6, seed=0, accumulate=2)
    pieces = [batches[piece] for piece in order]
    for piece in pieces:
        n = len(piece["labels"])
        mine = piece["batch"][piece["start"] : piece["start"] + n]
        assert torch.equal(piece["labels"], mine)
        assert torch.equal(piece["windows"][:, 0, 0, 0, 0], mine.float())
        assert torch.equal(piece["offsets"][:, 0], 2 * mine.float())
        assert torch.equal(piece["times_s"][:, 0], 2 * mine.float())
    together = torch.cat([piece["labels"] for piece in pieces])
    assert torch.equal(together, pieces[0]["batch"])
