"""The figure style: no trace left behind, the same bytes every time, honest names."""

import xml.etree.ElementTree as ET

import matplotlib as mpl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from boldformer.visualization.style import (
    INK,
    adapt_to_page,
    figure_style,
    save_figure,
    shorten,
    shorten_all,
)


def _figure(text: str = "left_leg") -> Figure:
    with figure_style():
        figure = Figure(figsize=(2, 1))
        figure.add_subplot().plot([0, 1], [1, 0], color=INK, label=text)
        figure.axes[0].legend()
    return figure


def test_style_leaves_the_callers_settings_alone():
    mpl.rcParams["font.size"] = 13
    before = dict(mpl.rcParams)
    try:
        with figure_style():
            assert mpl.rcParams["font.size"] == 8.5
        assert dict(mpl.rcParams) == before
    finally:
        mpl.rcdefaults()


def test_style_does_not_depend_on_the_callers_settings(tmp_path):
    plain, _ = save_figure(_figure(), tmp_path / "plain")
    mpl.rcParams.update({"axes.grid": True, "font.size": 20})
    try:
        styled, _ = save_figure(_figure(), tmp_path / "styled")
    finally:
        mpl.rcdefaults()
    assert plain.read_bytes() == styled.read_bytes()


def test_the_same_figure_gives_the_same_bytes(tmp_path):
    first = save_figure(_figure(), tmp_path / "a")
    second = save_figure(_figure(), tmp_path / "b")
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("name", ["$x^2$ leg", "<b>&amp;", "мышца", "a\x01b\x0bc"])
def test_names_reach_the_svg_as_they_are(tmp_path, name):
    svg, _ = save_figure(_figure(shorten(name)), tmp_path / "figure")
    texts = [t.text for t in ET.parse(svg).iter("{http://www.w3.org/2000/svg}text")]
    assert shorten(name) in texts


def test_a_failed_save_leaves_nothing(tmp_path):
    figure = _figure()
    figure.savefig = None
    with pytest.raises(TypeError):
        save_figure(figure, tmp_path / "figure")
    assert not list(tmp_path.iterdir())


def test_adapted_svg_is_well_formed_and_follows_the_page(tmp_path):
    svg, _ = save_figure(_figure(), tmp_path / "figure")
    adapted = adapt_to_page(svg.read_text("utf-8"))
    ET.fromstring(adapted)
    assert "prefers-color-scheme" in adapted
    assert "prefers-color-scheme" not in svg.read_text("utf-8")


@given(st.text(), st.integers(4, 40))
def test_shortened_names_fit_and_print(name, width):
    short = shorten(name, width)
    assert len(short) <= width
    assert all(c.isprintable() for c in short)


@given(st.lists(st.text("ab_", min_size=1, max_size=30), unique=True, max_size=12))
def test_different_names_stay_different(names):
    assert len(set(shorten_all(names, 8))) == len(names)
