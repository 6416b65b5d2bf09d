"""Configurations survive TOML and refuse what they do not know."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boldformer import config
from boldformer.config import DataConfig, ModelConfig, RunConfig
from boldformer.errors import InputError

values = st.one_of(
    st.booleans(),
    st.integers(-(2**60), 2**60),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(blacklist_categories=["Cs"])),
    st.lists(st.integers(0, 9), max_size=3),
)


@given(
    st.text(st.characters(blacklist_categories=["Cs"])),
    st.lists(st.text(st.characters(blacklist_categories=["Cs"])), max_size=4),
    st.dictionaries(
        st.text(st.characters(blacklist_categories=["Cs"]), min_size=1), values
    ),
)
def test_toml_gives_back_what_was_written(
    path: str, labels: list[str], parameters: dict
) -> None:
    written = RunConfig(
        data=DataConfig(path=path, labels=tuple(labels)),
        model=ModelConfig(parameters=parameters),
    )
    assert config.from_toml(config.to_toml(written)) == written


def test_unknown_settings_name_the_nearest() -> None:
    with pytest.raises(InputError, match=r"'training.max_epoch'.*'max_epochs'"):
        config.from_toml("[training]\nmax_epoch = 3")


@pytest.mark.parametrize(
    "text",
    [
        "[training]\nmax_epochs = 'many'",
        "[training]\nmax_epochs = true",
        "[training]\nlearning_rate = 'fast'",
        "[data]\nlabels = 'left'",
        "data = 3",
        "[data",
    ],
)
def test_wrong_types_and_broken_toml_are_refused(text: str) -> None:
    with pytest.raises(InputError):
        config.from_toml(text)


def test_a_whole_number_may_stand_for_a_float() -> None:
    assert config.from_toml("[window]\ndelay_s = 4").window.delay_s == 4.0


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.toml"):
        config.load(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("text", "value"),
    [("0.2", 0.2), ("3", 3), ("true", True), ("[1, 2]", [1, 2]), ("svm", "svm")],
)
def test_values_from_the_command_line(text: str, value: object) -> None:
    assert config.parse_value(text) == value
