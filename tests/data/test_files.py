"""Files that are there, absent, or named without their content."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from boldformer import open_dataset
from boldformer.cli import run_command
from boldformer.data import files
from boldformer.data.files import read_json, read_text, require_content
from boldformer.errors import BadRunError, DatasetError

MakeBids = Callable[..., Path]
KEY = ".git/annex/objects/xx/MD5E-s1--0.nii.gz/MD5E-s1--0.nii.gz"


def dangling_annex_link(path: Path) -> None:
    path.unlink()
    path.symlink_to(Path("..", "..", KEY))


def unlocked_annex_pointer(path: Path) -> None:
    path.write_text("/annex/objects/MD5E-s1--0.nii.gz\n")


def lfs_pointer(path: Path) -> None:
    oid = "0" * 64
    path.write_text(
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize 9\n"
    )


POINTERS = [
    (dangling_annex_link, "datalad get"),
    (unlocked_annex_pointer, "datalad get"),
    (lfs_pointer, "git lfs pull"),
]


@pytest.mark.parametrize(("spoil", "command"), POINTERS)
def test_a_pointer_is_not_its_content(
    spoil: Callable, command: str, tmp_path: Path
) -> None:
    file = tmp_path / "x.nii.gz"
    file.write_bytes(b"content")
    require_content(file)
    spoil(file)
    with pytest.raises(BadRunError, match=f"content is not fetched: `{command}.*x.nii"):
        require_content(file)


@pytest.mark.parametrize(("spoil", "command"), POINTERS)
@pytest.mark.parametrize(
    "what",
    [
        "*run-2_*_desc-preproc_bold.nii.gz",
        "*run-2_*mask.nii.gz",
        "*run-2_*confounds_timeseries.tsv",
        "*run-2_events.tsv",
    ],
)
def test_a_run_without_its_content_is_set_aside_saying_how_to_get_it(
    what: str, spoil: Callable, command: str, make_bids: MakeBids
) -> None:
    root = make_bids(subjects=1, preprocessed=True)
    spoil(next(root.rglob(what)))
    dataset = open_dataset(root)
    assert [r.run for r in dataset] == ["1"]
    ((name, reason),) = dataset.set_aside
    assert "run-2" in name
    assert f"content is not fetched: `{command} " in reason


@pytest.mark.parametrize("name", ["participants.tsv", "dataset_description.json"])
def test_a_file_of_the_dataset_without_its_content_stops(
    name: str, make_bids: MakeBids
) -> None:
    root = make_bids(subjects=1)
    (root / name).write_text("x")
    dangling_annex_link(root / name)
    with pytest.raises(DatasetError, match="content is not fetched"):
        open_dataset(root)


def test_a_link_that_leads_somewhere_is_a_file(make_bids: MakeBids) -> None:
    root = make_bids(subjects=1, runs=1)
    bold = next(root.rglob("*_bold.nii.gz"))
    content = root / ".git" / "annex" / "objects" / bold.name
    content.parent.mkdir(parents=True)
    shutil.move(bold, content)
    bold.symlink_to(os.path.relpath(content, bold.parent))
    assert len(open_dataset(root)) == 1


@pytest.mark.parametrize(
    "name", ["sub-01/func/sub-01_task-test_run-2_bold.nii.gz", "participants.tsv"]
)
def test_a_pipe_named_like_a_file_is_not_waited_for(
    name: str, make_bids: MakeBids, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    root = make_bids(subjects=1)
    (root / name).unlink(missing_ok=True)
    os.mkfifo(root / name)
    started = time.monotonic()
    code = run_command(["prepare", str(root), str(tmp_path / "store"), "--quiet"])
    assert time.monotonic() - started < 20
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert code in (1, 2)
    assert "wanted a regular file; received a pipe" in line


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000])
def test_json_nested_without_end_is_one_line(
    text: str, make_bids: MakeBids, tmp_path: Path
) -> None:
    file = tmp_path / "x.json"
    file.write_text(text)
    with pytest.raises(DatasetError, match=r"x.json cannot be read.*nested too deep"):
        read_json(file)
    root = make_bids(subjects=1)
    (root / "sub-01" / "func" / "sub-01_task-test_run-1_bold.json").write_text(text)
    ((_, reason),) = open_dataset(root).set_aside
    assert "nested too deep" in reason


def test_text_of_implausible_size_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MOST_TEXT_BYTES", 2**20)
    file = tmp_path / "x.tsv"
    file.write_bytes(b"x" * (2**20 + 1))
    with pytest.raises(BadRunError, match="implausibly large; wanted at most 1 MiB"):
        read_text(file)


def test_a_byte_order_mark_is_taken_off(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_text("\ufeff" + json.dumps({"a": 1}), encoding="utf-8")
    assert read_json(file) == {"a": 1}
