"""What a model adds up is what its parts say alone."""

import pytest
import torch

from boldformer.errors import InputError
from boldformer.models import create

SIZES = {"n_outputs": 3, "n_times": 8, "volume_shape": (12, 14, 11)}


def test_parts_add_up_to_the_whole():
    model = create("hybrid", **SIZES).eval()
    x = torch.randn(2, 8, 12, 14, 11)
    assert model.part_logits(x) == {}  # the path is not fitted yet
    torch.nn.init.normal_(model.skip.weight, std=0.1)
    parts = model.part_logits(x)
    assert list(parts) == ["network_alone", "linear_path"]
    torch.testing.assert_close(sum(parts.values()), model(x))


@pytest.mark.parametrize("name", ["cnn3d", "linear", "deepbrain"])
def test_models_of_one_part_have_none(name):
    model = create(name, **SIZES).eval()
    assert model.part_logits(torch.randn(1, 8, 12, 14, 11)) == {}


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("hybrid", {"width": "wide"}, "'width'.*a whole number; received 'wide'"),
        ("hybrid", {"width": 64.5}, "a whole number"),
        ("hybrid", {"linear_skip": 1}, "true or false"),
        ("hybrid", {"width": 7}, "width"),
        ("linear", {"C": "much"}, "above 0"),
        ("linear", {"loss": "hinge"}, "loss 'svm' or 'logistic'"),
    ],
)
def test_values_that_a_model_cannot_take_are_refused_in_one_line(
    name, parameters, message
):
    with pytest.raises(InputError, match=message) as caught:
        create(name, **SIZES, **parameters)
    assert "\n" not in str(caught.value)


def test_whole_numbers_are_numbers():
    assert create("hybrid", **SIZES, drop_prob=0).drop_prob == 0
    assert create("linear", **SIZES, C=10).C == 10
