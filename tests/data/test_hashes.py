"""Files and recordings are told from others by what they hold."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from boldformer.data import hashes
from boldformer.data.hashes import file_hashes, source_content, source_of
from boldformer.data.recording import Recording
from boldformer.data.sources.layouts import open_dataset

MakeBids = Callable[..., Path]


def first(root: Path) -> Recording:
    return next(iter(open_dataset(root)))


def test_files_of_folders_are_listed_and_missing_ones_left_out(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "b.txt").write_text("b")
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "other.txt").write_text("not asked for")
    found = file_hashes(tmp_path, ("a.txt", "deep", "no.txt"))
    assert found == {
        name: hashlib.sha256(text.encode()).hexdigest()
        for name, text in (("a.txt", "a"), ("deep/er/b.txt", "b"))
    }


def test_a_copy_has_another_time_and_the_same_content(
    make_bids: MakeBids, tmp_path: Path
) -> None:
    one = first(make_bids(preprocessed=True))
    other = first(shutil.copytree(tmp_path / "bids", tmp_path / "copy"))
    os.utime(other.bold, ns=(0, 0))
    assert source_of(one)["source"] == one.bold.name
    assert source_of(one) != source_of(other)
    assert source_content(one) == source_content(other)


@pytest.mark.parametrize("part", ["bold", "mask", "confounds"])
def test_content_is_that_of_all_files(make_bids: MakeBids, part: str) -> None:
    recording = first(make_bids(preprocessed=True))
    before = source_of(recording), source_content(recording)
    with getattr(recording, part).open("ab") as stream:
        stream.write(b" ")
    after = source_of(recording), source_content(recording)
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_which_frames_are_taken_is_part_of_the_source(make_bids: MakeBids) -> None:
    recording = first(make_bids())
    part = replace(recording, frames=(0, 1, 2))
    assert source_of(part) != source_of(recording)
    assert source_content(part) == source_content(recording)


def test_a_file_of_many_recordings_is_read_once(
    make_bids: MakeBids, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    plain = hashes.file_hash
    monkeypatch.setattr(
        hashes, "file_hash", lambda path: (read.append(path), plain(path))[1]
    )
    recording = first(make_bids())
    for frame in range(3):
        source_content(replace(recording, frames=(frame,)))
    assert read == [recording.bold]
