"""Augmentation: drawn once, applied the same way every time."""

import dataclasses
import json
import math
from dataclasses import replace

import pytest
import torch

from boldformer.config import TrainingConfig
from boldformer.errors import InputError
from boldformer.training.augment import (
    Augmentation,
    Draw,
    apply,
    apply_to_targets,
    apply_to_times,
    draw,
)

ALL = Augmentation(
    shift_voxels=1,
    rotation_deg=5.0,
    zoom=0.05,
    warp_voxels=1.0,
    flip_x=True,
    gain=0.1,
    field=0.2,
    noise=0.1,
    frame_drop=0.3,
    time_jitter=1,
    mixup=0.4,
)
SINGLE = {
    "shift_voxels": 2,
    "rotation_deg": 10.0,
    "zoom": 0.1,
    "warp_voxels": 1.0,
    "flip_x": True,
    "gain": 0.2,
    "field": 0.3,
    "noise": 0.1,
    "mixup": 1.0,
}


def windows(n=5):
    return torch.randn(n, 3, 6, 7, 8, generator=torch.Generator().manual_seed(0))


def drawn_for(x, augmentation=ALL, seed=3):
    return draw(augmentation, *x.shape[:2], seed)


def test_the_same_draw_gives_the_same_batch():
    x, before = windows(), windows()
    drawn = drawn_for(x)
    assert torch.equal(apply(drawn, x), apply(drawn, x))
    assert torch.equal(x, before)
    assert not torch.equal(apply(drawn, x), apply(drawn_for(x, seed=4), x))


def test_a_draw_comes_back_from_its_record():
    x, times = windows(), 2.0 * torch.arange(3)
    drawn = drawn_for(x)
    again = Draw.from_dict(json.loads(json.dumps(drawn.to_dict())))
    assert torch.equal(apply(again, x), apply(drawn, x))
    torch.testing.assert_close(
        apply_to_times(again, times), apply_to_times(drawn, times), equal_nan=True
    )


def test_nothing_asked_for_changes_nothing():
    x, times = windows(), torch.arange(3.0)
    drawn = drawn_for(x, Augmentation())
    assert torch.equal(apply(drawn, x), x)
    assert torch.equal(apply_to_times(drawn, times), times)
    off = TrainingConfig(**dataclasses.asdict(Augmentation()))
    assert Augmentation.from_config(off) == Augmentation()


@pytest.mark.parametrize("name", SINGLE)
def test_each_augmentation_alone_changes_windows(name):
    x = windows()
    changed = apply(drawn_for(x, Augmentation(**{name: SINGLE[name]})), x)
    assert changed.shape == x.shape
    assert changed.isfinite().all()
    assert not torch.equal(changed, x)


@pytest.mark.parametrize("name", [name for name in SINGLE if name != "mixup"])
def test_a_batch_gives_what_its_pieces_give(name):
    x = windows()
    drawn = drawn_for(x, Augmentation(**{name: SINGLE[name]}))
    bounds = [(0, 2), (2, 3), (3, 5)]
    pieces = [apply(drawn.piece(a, b), x[a:b]) for a, b in bounds]
    torch.testing.assert_close(apply(drawn, x), torch.cat(pieces))
    assert drawn.piece(0, 5).to_dict() == drawn.to_dict()


def test_a_piece_is_mixed_within_itself():
    drawn = drawn_for(windows(8), Augmentation(mixup=1.0))
    for start, stop in [(0, 3), (3, 8)]:
        partners = drawn.piece(start, stop).partners
        assert sorted(partners.tolist()) == list(range(stop - start))


def test_mixup_mixes_windows_and_targets_alike():
    x = windows()
    drawn = drawn_for(x, Augmentation(mixup=1.0))
    targets = torch.eye(5)
    mixed = apply_to_targets(drawn, targets)
    torch.testing.assert_close(apply(drawn, x), torch.einsum("ij,j...->i...", mixed, x))
    assert 0.5 <= drawn.share < 1
    assert mixed.sum(1).tolist() == pytest.approx([1.0] * 5)


def test_all_frames_of_a_window_move_together():
    x = windows()[:, :1].expand(5, 3, 6, 7, 8)
    moving = replace(ALL, noise=0.0)
    moved = apply(drawn_for(x, moving), x)
    torch.testing.assert_close(moved, moved[:, :1].expand_as(moved))


def test_draws_are_as_wide_as_asked():
    many = draw(ALL, 4000, 10, seed=0)
    assert many.shifts.unique().tolist() == [-1, 0, 1]
    assert many.turns_deg.std().item() == pytest.approx(5.0, rel=0.03)
    assert many.zooms.log().std().item() == pytest.approx(0.05, rel=0.03)
    assert many.gains.std().item() == pytest.approx(0.1, rel=0.05)
    assert many.flips.float().mean().item() == pytest.approx(0.5, abs=0.04)
    inside = many.left_out[:, 1:-1].float().mean().item()
    assert inside == pytest.approx(0.3, abs=0.01)
    assert len(many.seeds.unique()) == 4000


def test_noise_and_field_have_the_strength_asked_for():
    x = torch.zeros(4, 8, 20, 20, 20)
    noisy = apply(drawn_for(x, Augmentation(noise=0.3)), x)
    assert noisy.std().item() == pytest.approx(0.3, rel=0.02)
    x = torch.ones(400, 1, 9, 9, 9)
    field = apply(drawn_for(x, Augmentation(field=0.3)), x).log()
    corners = field[..., ::8, ::8, ::8]
    assert corners.std().item() == pytest.approx(0.3, rel=0.05)


def test_a_flip_mirrors_the_first_axis_only():
    x = windows(20)
    drawn = drawn_for(x, Augmentation(flip_x=True))
    flipped = apply(drawn, x)
    assert torch.equal(flipped[drawn.flips], x[drawn.flips].flip(2))
    assert torch.equal(flipped[~drawn.flips], x[~drawn.flips])


def test_jitter_cuts_one_end_by_as_many_frames_as_asked_at_most():
    drawn = draw(Augmentation(time_jitter=2), 300, 6, seed=0)
    times = apply_to_times(drawn, torch.arange(6.0))
    seen = {tuple(row[~row.isnan()].tolist()) for row in times}
    whole = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    expected = [whole, whole[1:], whole[2:], whole[:-1], whole[:-2]]
    assert seen == {tuple(row) for row in expected}


def test_no_window_loses_all_its_frames_and_padding_stays():
    drawn = draw(Augmentation(frame_drop=0.9), 200, 4, seed=0)
    assert drawn.left_out.all(dim=1).any()
    times = torch.tensor([0.0, 2.0, math.nan, 6.0])
    left = apply_to_times(drawn, times)
    assert (~left.isnan()).any(dim=1).all()
    assert left[:, 2].isnan().all()
    real = left[:, [0, 1, 3]]
    expected = times[[0, 1, 3]].expand_as(real)
    assert torch.equal(real[~real.isnan()], expected[~real.isnan()])


def test_a_transform_is_drawn_from_torchs_generator_and_replayed():
    x = windows()

    def louder(window):
        return window * (1 + torch.rand(1))

    drawn = drawn_for(x, Augmentation())
    once = apply(drawn, x, louder)
    torch.manual_seed(5)
    assert torch.equal(apply(drawn, x, louder), once)
    factors = (once / x).flatten(1).mean(1)
    assert len(factors.unique()) == 5
    single = drawn.piece(2, 3)
    assert torch.equal(apply(single, x[2:3], louder), once[2:3])


@pytest.mark.parametrize("transform", [lambda w: w[:1], lambda w: None])
def test_a_transform_that_gives_no_window_is_refused(transform):
    x = windows()
    with pytest.raises(InputError, match="same shape"):
        apply(drawn_for(x), x, transform)


def test_torchio_transforms_are_taken_as_they_are():
    tio = pytest.importorskip("torchio")
    x = torch.randn(3, 4, 12, 12, 12, generator=torch.Generator().manual_seed(0))
    drawn = drawn_for(x, Augmentation())
    for transform in (
        tio.RandomAffine(degrees=10),
        tio.RandomElasticDeformation(num_control_points=5, max_displacement=1.0),
        tio.RandomBiasField(),
        tio.RandomBlur(),
        tio.RandomNoise(),
    ):
        once = apply(drawn, x, transform)
        assert once.shape == x.shape
        assert not torch.equal(once, x)
        torch.manual_seed(7)
        assert torch.equal(apply(drawn, x, transform), once)


@pytest.mark.parametrize(
    ("name", "value"), [("noise", -0.1), ("frame_drop", 1.0), ("time_jitter", -1)]
)
def test_impossible_strengths_are_refused(name, value):
    with pytest.raises(InputError, match=f"{name} is out of range"):
        Augmentation.from_config(TrainingConfig(**{name: value}))
