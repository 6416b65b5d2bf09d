"""Augmentation: drawn once, applied the same way every time."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from boldformer.training.augment import (
    Augmentation,
    apply,
    apply_to_targets,
    draw,
    shift,
)

ALL = Augmentation(shift_voxels=1, gain=0.1, noise=0.1, mixup=0.4)


def windows():
    return torch.randn(5, 3, 6, 7, 8, generator=torch.Generator().manual_seed(0))


@settings(max_examples=30, deadline=None)
@given(st.tuples(*[st.integers(-9, 9)] * 3))
def test_shift_moves_every_frame_and_fills_with_zero(steps):
    x = windows()[:1]
    moved = shift(x, torch.tensor([steps]))
    expected = torch.zeros_like(x)
    for index in torch.cartesian_prod(*(torch.arange(n) for n in x.shape[2:])):
        target = index + torch.tensor(steps)
        if (target >= 0).all() and (target < torch.tensor(x.shape[2:])).all():
            expected[:, :, *target] = x[:, :, *index]
    assert torch.equal(moved, expected)


def test_the_same_draw_gives_the_same_batch():
    x, before = windows(), windows()
    drawn = draw(ALL, len(x), seed=3)
    assert torch.equal(apply(drawn, x), apply(drawn, x))
    assert torch.equal(x, before)
    assert not torch.equal(apply(drawn, x), apply(draw(ALL, len(x), seed=4), x))


def test_nothing_asked_for_changes_nothing():
    x = windows()
    assert torch.equal(apply(draw(Augmentation(), len(x), seed=0), x), x)


def test_a_batch_gives_what_its_windows_give_alone():
    x = windows()
    drawn = draw(Augmentation(shift_voxels=2), len(x), seed=1)
    alone = [shift(x[i : i + 1], drawn.shifts[i : i + 1]) for i in range(len(x))]
    assert torch.equal(apply(drawn, x), torch.cat(alone))


def test_mixup_mixes_windows_and_targets_alike():
    x = windows()
    drawn = draw(Augmentation(mixup=1.0), len(x), seed=2)
    targets = torch.eye(5)
    mixed = apply_to_targets(drawn, targets)
    torch.testing.assert_close(apply(drawn, x), torch.einsum("ij,j...->i...", mixed, x))
    assert 0.5 <= drawn.share < 1
    assert mixed.sum(1).tolist() == pytest.approx([1.0] * 5)


def test_shifts_reach_as_far_as_asked():
    drawn = draw(Augmentation(shift_voxels=1), 500, seed=0)
    assert drawn.shifts.unique().tolist() == [-1, 0, 1]


def test_noise_has_the_strength_asked_for():
    x = torch.zeros(4, 8, 20, 20, 20)
    noisy = apply(draw(Augmentation(noise=0.3), 4, seed=0), x)
    assert noisy.std().item() == pytest.approx(0.3, rel=0.02)
