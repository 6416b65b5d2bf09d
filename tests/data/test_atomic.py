"""Nothing half-written ever stands under its final name."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from boldformer.data.atomic import atomic_path, write_json, write_text, write_tsv


def test_a_file_appears_complete(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "file.txt"
    with atomic_path(target) as temporary:
        temporary.write_text("all of it")
        assert not target.exists()
        assert temporary.suffixes == target.suffixes
    assert target.read_text() == "all of it"
    assert [p.name for p in target.parent.iterdir()] == ["file.txt"]


@pytest.mark.parametrize("fault", [RuntimeError, KeyboardInterrupt])
def test_a_failed_write_keeps_what_was_there(
    fault: type[BaseException], tmp_path: Path
) -> None:
    target = tmp_path / "file.txt"
    write_text(target, "old")

    def fail() -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            raise fault

    with pytest.raises(fault):
        fail()
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file.txt"]


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    for name in ("first", "second"):
        with atomic_path(target) as temporary:
            temporary.mkdir()
            (temporary / name).touch()
    assert [p.name for p in target.iterdir()] == ["second"]


def test_json_refuses_what_json_cannot_say(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "x.json", {"value": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_missing_values_are_written_as_bids_wants(tmp_path: Path) -> None:
    write_tsv(tmp_path / "x.tsv", pd.DataFrame({"a": [1.5, None], "b": ["x", None]}))
    assert (tmp_path / "x.tsv").read_text() == "a\tb\n1.5\tx\nn/a\tn/a\n"
