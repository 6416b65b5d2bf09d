"""Every registered model keeps the contract."""

import re

import onnxruntime
import pytest
import torch
from safetensors.torch import load, save
from torch import nn
from torch.nn import functional as F

from boldformer.errors import InputError
from boldformer.models import create, get_model, list_models
from boldformer.models.layers import DropConnectConv3d, DropConnectLinear

SHAPES = [((12, 14, 11), 8), ((40, 20, 1), 1), ((6, 10, 10), 5), ((64, 64, 34), 3)]
SMALL, N_TIMES = (12, 14, 11), 8

# Parameters that get no gradient, by model: a pattern of their names, and why.
WITHOUT_GRADIENT = {
    "reference": (
        r"attend\.(query|key)\.",
        "a softmax over the one position left is 1 whatever query and key are: "
        "a flaw of the published model, which is kept to be shown",
    ),
}


def build(name, volume_shape=SMALL, n_times=N_TIMES, n_outputs=4):
    torch.manual_seed(0)
    model = create(
        name, n_outputs=n_outputs, n_times=n_times, volume_shape=volume_shape
    )
    # A linear path starts at zero; a trained one does not.
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.02)
    return model


def windows(volume_shape=SMALL, n_times=N_TIMES, n=3):
    return torch.randn(n, n_times, *volume_shape)


@pytest.fixture(params=list_models())
def name(request):
    return request.param


@pytest.mark.parametrize(("volume_shape", "n_times"), SHAPES)
def test_output_has_one_finite_logit_a_class(name, volume_shape, n_times):
    model = build(name, volume_shape, n_times).eval()
    logits = model(windows(volume_shape, n_times))
    assert logits.shape == (3, 4)
    assert torch.isfinite(logits).all()


def test_every_parameter_gets_a_gradient(name):
    model = build(name)
    F.cross_entropy(model(windows()), torch.tensor([0, 1, 2])).backward()
    without = [
        key
        for key, parameter in model.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().sum() > 0
    ]
    pattern, _ = WITHOUT_GRADIENT.get(name, ("$never", ""))
    excepted = [key for key, _ in model.named_parameters() if re.match(pattern, key)]
    assert without == excepted


@pytest.mark.parametrize("volume_shape", [SMALL, (40, 20, 1)])
def test_a_batch_of_one_frame_trains(name, volume_shape):
    model = build(name, volume_shape, n_times=1).train()
    F.cross_entropy(model(windows(volume_shape, 1, n=1)), torch.tensor([2])).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_a_batch_gives_what_its_windows_give_alone(name):
    model, x = build(name).eval(), windows()
    alone = torch.cat([model(window[None]) for window in x])
    torch.testing.assert_close(model(x), alone, rtol=1e-4, atol=1e-5)


def test_evaluation_is_deterministic(name):
    model, x = build(name).eval(), windows()
    assert torch.equal(model(x), model(x))


def test_dropping_is_random_in_training_only(name):
    model, x = build(name).train(), windows()
    kinds = (DropConnectLinear, DropConnectConv3d, nn.Dropout)
    drops = any(isinstance(module, kinds) for module in model.modules())
    assert torch.equal(model(x), model(x)) != drops


def test_other_numbers_of_frames_are_read(name):
    model = build(name).eval()
    for n_times in (1, 3, 30):
        assert torch.isfinite(model(windows(n_times=n_times))).all()


def test_frames_without_a_time_count_for_nothing(name):
    model, x = build(name).eval(), windows()
    times = 2.0 * torch.arange(N_TIMES)
    padded = torch.cat([x, 100 * torch.ones_like(x[:, :3])], dim=1)
    padded_times = torch.cat([times, torch.full((3,), float("nan"))])
    torch.testing.assert_close(
        model(padded, padded_times), model(x, times), rtol=1e-4, atol=1e-5
    )


def test_the_origin_of_time_does_not_matter(name):
    model, x = build(name).eval(), windows()
    times = 1.5 * torch.arange(N_TIMES)
    torch.testing.assert_close(
        model(x, times), model(x, times + 300.0), rtol=1e-4, atol=1e-5
    )


def test_config_round_trip(name):
    model = build(name)
    again = get_model(name).from_config(model.get_config())
    assert again.get_config() == model.get_config()
    shapes = {key: value.shape for key, value in model.state_dict().items()}
    assert {key: value.shape for key, value in again.state_dict().items()} == shapes


def test_weights_round_trip_through_safetensors(name):
    model, x = build(name).eval(), windows()
    again = get_model(name).from_config(model.get_config()).eval()
    again.load_state_dict(load(save(model.state_dict())))
    assert torch.equal(again(x), model(x))


def test_state_dict_names_are_plain(name):
    assert not any("parametriz" in key for key in build(name).state_dict())


def test_reset_head_changes_the_classes_and_keeps_the_features(name):
    model, x = build(name).eval(), windows()
    features = model.forward_features(x)
    model.reset_head(6)
    assert model(x).shape == (3, 6)
    assert model.get_config()["n_outputs"] == 6
    assert torch.equal(model.forward_features(x), features)


def test_attention_sums_to_one_or_is_refused(name):
    model, x = build(name).eval(), windows()
    if not model.has_attention:
        with pytest.raises(InputError, match="has no attention"):
            model.attention(x)
        return
    maps = model.attention(x)
    n_tokens = maps["time"].shape[1]
    assert maps["space"].shape[:2] == (3, n_tokens)
    torch.testing.assert_close(maps["time"].sum(2), torch.ones(3, n_tokens))
    torch.testing.assert_close(maps["space"].sum((2, 3, 4)), torch.ones(3, n_tokens))
    assert model.upsample(maps["space"]).shape == (3, n_tokens, *SMALL)


def test_a_wrong_shape_is_named(name):
    model = build(name)
    with pytest.raises(InputError, match=r"wanted shape .*12, 14, 11.*\(3, 8, 5, 5, 5"):
        model(windows((5, 5, 5)))


def test_docstring_says_shapes_and_a_reference(name):
    text = get_model(name).__doc__
    assert re.search(r"\(B, T, X, Y, Z\)", text)
    assert "References\n" in text
    assert re.search(r"\((19|20)\d\d\)", text)


def test_compiled_model_gives_the_same(name):
    model, x = build(name).eval(), windows()
    # Traced whole and run by eager kernels: what the model must allow. The default
    # backend writes and builds C++ for 10 s a model, which tests torch.
    torch.compiler.reset()
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), model(x), rtol=1e-4, atol=1e-5)


def test_onnx_gives_the_same_for_any_batch(name):
    model, x = build(name).eval(), windows()
    program = torch.onnx.export(
        model, (x,), dynamo=True, verbose=False, dynamic_shapes=({0: "batch"},)
    )
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString())
    x = windows(n=5)
    (logits,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    torch.testing.assert_close(torch.from_numpy(logits), model(x), rtol=1e-4, atol=1e-5)


def test_exported_program_gives_the_same(name):
    model, x = build(name).eval(), windows()
    program = torch.export.export(model, (x,))
    torch.testing.assert_close(program.module()(x), model(x), rtol=1e-4, atol=1e-5)
