"""Pruning: what is cut, what is left, and that a model of smaller sizes comes out."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from boldformer import errors
from boldformer.config import TrainingConfig
from boldformer.errors import InputError, MissingExtraError
from boldformer.models import create
from boldformer.training import ArrayWindows, fit_model, local_seed, predict_proba
from boldformer.training.channel_pruning import Channels, channels_of, prune, resized
from boldformer.training.weights import load_model, save_model

SHAPE = (20, 17, 9)
SMALL = {"stem_channels": 6, "out_channels": 8, "width": 16, "max_grid": 6}


def build(name="hybrid", volume_shape=SHAPE, **parameters):
    with local_seed(0):
        model = create(
            name,
            n_outputs=3,
            n_times=4,
            volume_shape=volume_shape,
            **(SMALL | parameters),
        )
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
    return model.eval()


def planted(seed=0, shape=SHAPE):
    """Windows of three classes, each a blob in its own place."""
    rng = np.random.default_rng(seed)
    labels = np.arange(36) % 3
    x = rng.normal(size=(36, 4, *shape)).astype(np.float32)
    for window, label in zip(x, labels, strict=True):
        window[:, 2 + 5 * label : 7 + 5 * label, 3:9, 3:6] += 1.5
    return ArrayWindows(x), labels


def cut(model, stem, out, data=None):
    windows, labels = data or planted(shape=model.volume_shape)
    return prune(model, windows, labels, Channels(stem, out), device="cpu")


def silence(model, stage, channels):
    """Make channels of a stage constant zero, and unread by the stage after it."""
    stages = model.encoder.stages
    with torch.no_grad():
        for layer in (stages[stage].conv, stages[stage].norm):
            layer.weight[channels] = 0
            layer.bias[channels] = 0
        if stage + 1 < len(stages):
            stages[stage + 1].conv.weight[:, channels] = 0


def test_the_least_important_channels_go_and_the_others_keep_their_weights():
    model = build()
    silence(model, 0, [1, 4])
    silence(model, 1, [0, 2, 7])
    small = cut(model, 4, 5)
    stem, out = [0, 2, 3, 5], [1, 3, 4, 5, 6]
    first, second = model.encoder.stages
    one, two = small.encoder.stages
    assert torch.equal(one.conv.weight, first.conv.weight[stem])
    assert torch.equal(one.norm.bias, first.norm.bias[stem])
    assert torch.equal(two.conv.weight, second.conv.weight[out][:, stem])
    assert torch.equal(two.conv.bias, second.conv.bias[out])
    before, after = model.pooling, small.pooling
    positions = len(before.position)
    value = before.value.unflatten(1, (positions, 8))[:, :, out].flatten(1, 2)
    assert torch.equal(after.value, value)
    assert torch.equal(after.position, before.position[:, out])
    assert torch.equal(after.score.weight, before.score.weight[:, out])
    for name in ("pooling.bias", "pooling.score_position", "time.encoding.mix.weight"):
        assert torch.equal(small.get_parameter(name), model.get_parameter(name))
    assert torch.equal(small.skip.weight, model.skip.weight)


def test_a_flattened_grid_loses_every_place_of_a_channel():
    model = build("cnn3d")
    silence(model, 1, [3])
    small = cut(model, 6, 7)
    out = [0, 1, 2, 4, 5, 6, 7]
    flat = model.flat.weight.unflatten(1, (8, -1))[:, out].flatten(1)
    assert torch.equal(small.flat.weight, flat)


def test_residual_blocks_lose_the_channels_of_the_grid_they_add_to():
    model = build(n_blocks=1, max_grid=5)
    small = cut(model, 3, 4)
    block, before = small.encoder.stages[-1], model.encoder.stages[-1]
    kept = [
        model.pooling.position.T.tolist().index(row)
        for row in small.pooling.position.T.tolist()
    ]
    assert torch.equal(block.conv.weight, before.conv.weight[kept][:, kept])
    assert torch.equal(block.norm.weight, before.norm.weight[kept])


def test_the_model_is_left_as_it_is_and_all_channels_are_the_same_model():
    model, (windows, _) = build(), planted()
    model.skip.requires_grad_(False)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    same = cut(model, 6, 8)
    assert all(torch.equal(state[k], v) for k, v in model.state_dict().items())
    assert not any(p.grad is not None for p in model.parameters())
    assert not model.skip.weight.requires_grad
    np.testing.assert_allclose(
        predict_proba(same, windows), predict_proba(model, windows), atol=1e-6
    )


@settings(max_examples=12, deadline=None)
@given(
    name=st.sampled_from(["hybrid", "cnn3d"]),
    stem=st.integers(1, 6),
    out=st.integers(1, 8),
    volume_shape=st.sampled_from([SHAPE, (7, 6, 5), (12, 1, 9)]),
)
def test_any_sizes_make_a_model_of_these_sizes(name, stem, out, volume_shape):
    model = build(name, volume_shape)
    small = cut(model, stem, out)
    assert channels_of(small) == Channels(stem, out)
    expected = model.get_config() | {"stem_channels": stem, "out_channels": out}
    assert small.get_config() == expected
    windows, _ = planted(shape=volume_shape)
    assert np.isfinite(predict_proba(small, windows)).all()


def test_it_is_saved_and_loaded_as_any_other(tmp_path):
    small, (windows, _) = cut(build(), 3, 5), planted()
    save_model(small, tmp_path)
    loaded = load_model(tmp_path)
    assert channels_of(loaded) == Channels(3, 5)
    np.testing.assert_array_equal(
        predict_proba(loaded, windows), predict_proba(small, windows)
    )


def test_importance_is_the_weights_times_their_gradients():
    model, (windows, labels) = build(), planted()
    layers = [stage.conv for stage in model.encoder.stages]
    squares = [torch.zeros_like(layer.weight) for layer in layers]
    for rows in np.array_split(np.arange(36), 3):
        loss = torch.nn.functional.cross_entropy(
            model(torch.from_numpy(windows.batch(rows))), torch.from_numpy(labels[rows])
        )
        found = torch.autograd.grad(loss, [layer.weight for layer in layers])
        squares = [s + g**2 for s, g in zip(squares, found, strict=True)]
    first, second = (
        layer.weight.detach().abs() * square.sqrt()
        for layer, square in zip(layers, squares, strict=True)
    )
    stem = first.sum((1, 2, 3, 4)) + second.sum((0, 2, 3, 4))
    out = second.sum((1, 2, 3, 4))
    for importance, stage, small in (
        (stem, 0, cut(model, 2, 8)),
        (out, 1, cut(model, 6, 3)),
    ):
        kept = importance.topk(len(small.encoder.stages[stage].conv.bias)).indices
        expected = layers[stage].bias[kept.sort().values]
        assert torch.equal(small.encoder.stages[stage].conv.bias, expected)


def test_training_brings_back_what_was_planted():
    config = TrainingConfig(
        max_epochs=12,
        batch_size=6,
        learning_rate=3e-3,
        linear_path="off",
        device="cpu",
        precision="32",
    )
    windows, labels = planted()
    groups = np.repeat(list("abcd"), 9)
    with local_seed(0):
        model = create("hybrid", n_outputs=3, n_times=4, volume_shape=SHAPE, **SMALL)
    fit_model(model, windows, labels, groups, config, progress=False)
    small = cut(model, 3, 4)
    fit_model(
        small, windows, labels, groups, replace(config, max_epochs=6), progress=False
    )
    tested, truth = planted(seed=1)
    assert (predict_proba(small, tested).argmax(1) == truth).mean() > 0.8


def test_resizing_changes_the_sizes_only():
    model = build()
    assert channels_of(resized(model, Channels(2, 3))) == Channels(2, 3)
    assert resized(model, Channels(6, 8)).get_config() == model.get_config()


@pytest.mark.parametrize(("stem", "out"), [(0, 4), (7, 4), (4, 9), (4, -1)])
def test_impossible_sizes_are_refused(stem, out):
    with pytest.raises(InputError, match="cannot be pruned to this"):
        cut(build(), stem, out)


def test_a_model_without_channels_is_refused():
    model = create("linear", n_outputs=3, n_times=4, volume_shape=SHAPE)
    with pytest.raises(InputError, match="hybrid or cnn3d"):
        cut(model, 1, 1)


def test_a_missing_library_names_the_extra(monkeypatch):
    def missing(module):
        raise ImportError(module)

    monkeypatch.setattr(errors.importlib, "import_module", missing)
    with pytest.raises(MissingExtraError, match=r"\[prune\]"):
        cut(build(), 3, 4)
