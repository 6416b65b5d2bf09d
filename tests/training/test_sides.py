"""Classes with a side are found, by what is known of them or by their names."""

import pytest

from boldformer.errors import InputError
from boldformer.training.sides import refuse_sides


@pytest.mark.parametrize(
    "name",
    ["left_hand", "Right leg", "footLeft", "lh", "RF", "hand-l", "button r", "lefty"],
)
def test_classes_with_a_side_are_refused(name):
    with pytest.raises(InputError, match="left into right") as error:
        refuse_sides(["tongue", name])
    assert name in str(error.value)
    assert "tongue" not in str(error.value)


@pytest.mark.parametrize("names", [["face", "house"], ["bright", "learn"], ["tongue"]])
def test_other_classes_are_not(names):
    refuse_sides(names)


def test_unknown_names_are_refused():
    with pytest.raises(InputError, match="needs to know the classes"):
        refuse_sides([])
