"""Models by name."""

import pytest

from boldformer.errors import InputError
from boldformer.models import Linear, create, list_models, model_parameters, register
from boldformer.models.registry import name_of

SIZES = {"n_outputs": 2, "n_times": 4, "volume_shape": (8, 8, 8)}


def test_the_first_models_are_there():
    assert {"cnn3d", "hybrid", "linear", "transformer"} <= set(list_models())


def test_an_unknown_model_names_the_nearest():
    with pytest.raises(InputError, match="did you mean 'hybrid'"):
        create("hybird", **SIZES)


def test_an_unknown_parameter_names_the_nearest():
    with pytest.raises(InputError, match="did you mean 'drop_prob'"):
        create("hybrid", **SIZES, drop_prop=0.1)


def test_parameters_reach_the_model():
    assert create("hybrid", **SIZES, width=32).width == 32
    assert model_parameters("hybrid")["drop_prob"] == 0.17


def test_a_name_is_given_once():
    with pytest.raises(ValueError, match="taken"):
        register("hybrid")(Linear)


def test_a_class_that_is_registered_under_no_name_is_refused() -> None:
    class Unnamed(Linear):
        pass

    sizes = {"n_outputs": 2, "n_times": 2, "volume_shape": (4, 4, 4)}
    assert name_of(create("linear", **sizes)) == "linear"
    with pytest.raises(InputError, match="register"):
        name_of(Unnamed(**sizes))
