"""The settings of a training step reach what they are to change."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from boldformer.config import TrainingConfig
from boldformer.errors import InputError, MismatchError
from boldformer.models import create
from boldformer.training import ArrayWindows, fit_model, local_seed, predict_proba
from boldformer.training.augment import Draw, apply

SHAPE = (10, 9, 8)
CONFIG = TrainingConfig(
    max_epochs=2, batch_size=8, patience=0, device="cpu", precision="32"
)


def planted(counts=(16, 16), seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    x = rng.normal(size=(len(labels), 4, *SHAPE)).astype(np.float32)
    x[labels == 1, :, 3:6, 3:6] += 0.5
    return ArrayWindows(x), labels, np.arange(len(labels)) % 4


def build(name="hybrid"):
    with local_seed(0):
        return create(name, n_outputs=2, n_times=4, volume_shape=SHAPE)


def fitted(config=CONFIG, data=None, name="hybrid", **options):
    model = build(name)
    fit_model(model, *(data or planted()), config, progress=False, **options)
    return model.state_dict()


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize(
    "change",
    [
        {"rotation_deg": 5.0},
        {"zoom": 0.1},
        {"warp_voxels": 1.0},
        {"field": 0.2},
        {"gain": 0.2},
        {"frame_drop": 0.4},
        {"time_jitter": 2},
        {"gradient_clip": 1e-3},
        {"accumulate": 2, "mixup": 0.4},
        {"balance": "sampler"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_setting_changes_training_and_the_seed_repeats_it(change):
    config = replace(CONFIG, **change)
    weights = fitted(config)
    assert all(value.isfinite().all() for value in weights.values())
    assert not same(weights, fitted())
    assert same(weights, fitted(config))


def test_frames_are_left_out_of_models_that_know_no_times():
    config = replace(CONFIG, frame_drop=0.4)
    times = np.arange(4.0)
    given = fitted(config, name="cnn3d", times_s=times)
    assert same(given, fitted(config, name="cnn3d"))
    assert not same(given, fitted(name="cnn3d"))


def record_norms(monkeypatch):
    norms, clip = [], nn.utils.clip_grad_norm_

    def clipped(parameters, largest):
        parameters = list(parameters)
        clip(parameters, largest)
        squares = [p.grad.square().sum() for p in parameters if p.grad is not None]
        norms.append(torch.stack(squares).sum().sqrt().item())

    monkeypatch.setattr(nn.utils, "clip_grad_norm_", clipped)
    return norms


def test_gradients_are_no_longer_than_asked_and_clipped_once_a_step(monkeypatch):
    norms = record_norms(monkeypatch)
    fitted(replace(CONFIG, gradient_clip=0.01, accumulate=2))
    assert len(norms) == 8
    assert max(norms) <= 0.01 * 1.001
    norms.clear()
    fitted(replace(CONFIG, gradient_clip=0.0))
    assert norms == []


@pytest.mark.parametrize(
    ("balance", "expected"), [("none", 0.1), ("weights", 0.5), ("sampler", 0.5)]
)
def test_balancing_makes_a_rare_class_as_likely_as_the_other(balance, expected):
    # All windows are empty: nothing is left to learn but how frequent classes are.
    _, labels, groups = planted((108, 12))
    windows = ArrayWindows(np.zeros((120, 4, *SHAPE), dtype=np.float32))
    config = replace(
        CONFIG, max_epochs=12, balance=balance, learning_rate=3e-3, label_smoothing=0.0
    )
    model = build("cnn3d")
    fit_model(model, windows, labels, groups, config, progress=False)
    probability = predict_proba(model, windows)[:, 1].mean()
    assert probability == pytest.approx(expected, abs=0.1)


def test_weights_and_a_sampler_together_are_refused():
    with pytest.raises(InputError, match="never both"):
        fitted(replace(CONFIG, balance="both"))


def test_more_pieces_than_windows_are_refused():
    with pytest.raises(InputError, match="cannot be divided"):
        fitted(replace(CONFIG, accumulate=9))


def test_flips_are_refused_unless_the_classes_have_no_side():
    config = replace(CONFIG, flip_x=True)
    with pytest.raises(InputError, match=r"left into right.*left_hand"):
        fitted(config, classes=["left_hand", "tongue"])
    with pytest.raises(InputError, match="needs to know"):
        fitted(config)
    assert not same(fitted(config, classes=["face", "house"]), fitted())


def test_a_transform_is_trained_with_and_belongs_to_the_checkpoint(tmp_path):
    def fainter(window):
        return window * torch.rand(1)

    weights = fitted(transform=fainter, checkpoint_dir=tmp_path)
    assert not same(weights, fitted())
    assert same(weights, fitted(transform=fainter))
    with pytest.raises(MismatchError):
        fitted(checkpoint_dir=tmp_path)


def test_recorded_draws_tell_what_was_done(tmp_path):
    config = replace(CONFIG, rotation_deg=3.0, noise=0.1)
    seen, data = [], planted()

    def spy(window):
        seen.append(window.clone())
        return window

    fitted(config, data, transform=spy, draws=tmp_path / "draws.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "draws.jsonl").open()]
    assert [(line.pop("epoch"), line.pop("step")) for line in lines] == [
        (epoch, step) for epoch in range(2) for step in range(4)
    ]
    replayed = []
    for line in lines:
        windows = torch.from_numpy(data[0].batch(line.pop("rows")))
        apply(Draw.from_dict(line), windows, lambda w: replayed.append(w.clone()) or w)
    assert torch.equal(torch.stack(replayed), torch.stack(seen))


def test_compiling_changes_no_result(monkeypatch):
    calls, compiled = [], torch.compile

    def eagerly(function):
        # Traced as always, but without a C++ compiler, which takes a minute.
        calls.append(function)
        return compiled(function, backend="eager")

    monkeypatch.setattr(torch, "compile", eagerly)
    plain = fitted()
    assert calls == []
    weights = fitted(replace(CONFIG, compile=True))
    assert len(calls) == 1
    assert weights.keys() == plain.keys()
    for name, value in plain.items():
        torch.testing.assert_close(weights[name], value, rtol=1e-4, atol=1e-5)
