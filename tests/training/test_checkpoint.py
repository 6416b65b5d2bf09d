"""Checkpoints without pickle."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from boldformer.errors import InputError
from boldformer.training.checkpoint import SafeCheckpointIO, load_tree, save_tree

plain = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**60), 2**60),
    st.floats(allow_nan=False),
    st.text(max_size=8),
)
keys = st.one_of(
    st.text(max_size=8),
    st.integers(0, 99),
    st.sampled_from(["__tensor__", "__tuple__", "__items__"]),
)
trees = st.recursive(
    plain,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(keys, inner, max_size=3),
    ),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(trees)
def test_any_tree_comes_back(tmp_path_factory, tree):
    path = tmp_path_factory.mktemp("tree") / "tree.ckpt"
    save_tree(tree, path)
    assert load_tree(path) == tree


def test_tensors_come_back_bit_by_bit(tmp_path):
    base = torch.randn(4, 6)
    tree = {
        "state": {0: {"step": torch.tensor(3.0), "m": base.T, "v": base}},
        "shared": base,
        "kinds": [torch.arange(3), torch.ones(2, dtype=torch.bfloat16)],
        "none": torch.zeros(0),
    }
    save_tree(tree, tmp_path / "a.ckpt")
    back = load_tree(tmp_path / "a.ckpt")
    assert torch.equal(back["state"][0]["m"], base.T)
    assert torch.equal(back["shared"], base)
    assert back["state"][0]["step"].shape == ()
    assert back["kinds"][1].dtype == torch.bfloat16
    assert back["none"].shape == (0,)


def test_infinite_and_missing_numbers_come_back(tmp_path):
    save_tree([math.inf, math.nan], tmp_path / "a.ckpt")
    back = load_tree(tmp_path / "a.ckpt")
    assert back[0] == math.inf
    assert math.isnan(back[1])


def test_other_objects_are_refused_and_leave_no_file(tmp_path):
    with pytest.raises(TypeError, match="object"):
        save_tree({"a": object()}, tmp_path / "a.ckpt")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"\x80\x04N."])
def test_damaged_or_pickled_files_are_refused(tmp_path, content):
    (tmp_path / "a.ckpt").write_bytes(content)
    with pytest.raises(InputError, match="cannot read the checkpoint"):
        load_tree(tmp_path / "a.ckpt")


def test_a_cut_off_file_is_refused(tmp_path):
    save_tree({"a": torch.randn(100)}, tmp_path / "a.ckpt")
    whole = (tmp_path / "a.ckpt").read_bytes()
    (tmp_path / "a.ckpt").write_bytes(whole[:-50])
    with pytest.raises(InputError, match="cannot read the checkpoint"):
        load_tree(tmp_path / "a.ckpt")


def test_the_plugin_saves_loads_and_removes(tmp_path):
    plugin, path = SafeCheckpointIO(), tmp_path / "last.ckpt"
    plugin.save_checkpoint({"epoch": 2, "w": torch.ones(2)}, path)
    assert plugin.load_checkpoint(path)["epoch"] == 2
    plugin.remove_checkpoint(path)
    assert not path.exists()
