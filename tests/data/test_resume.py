"""A preparation that is killed leaves nothing half-written and goes on to the same."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from boldformer.data.atomic import atomic_path, remove_leftovers
from boldformer.data.folders import LOCK

MakeBids = Callable[..., Path]
N_RUNS = 6


@pytest.fixture(scope="module")
def dataset(
    write_bids: MakeBids, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, str]]:
    """A dataset, and the digests of its store when nothing is interrupted."""
    folder = tmp_path_factory.mktemp("resume")
    root = write_bids(
        folder / "bids", subjects=2, runs=N_RUNS // 2, n_times=600, preprocessed=True
    )
    assert start(root, folder / "whole").wait() == 0
    return root, digests(folder / "whole")


def start(root: Path, store: Path, n_jobs: int = 1) -> subprocess.Popen:
    """Begin to prepare, in a process group of its own."""
    command = [sys.executable, "-m", "boldformer", "prepare", str(root), str(store)]
    return subprocess.Popen(
        [*command, "--n-jobs", str(n_jobs), "--quiet"],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def digests(store: Path) -> dict[str, str]:
    return {
        str(path.relative_to(store)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(store.rglob("*"))
        if path.is_file() and ".partial-" not in str(path)
    }


def kill_once_it_writes(process: subprocess.Popen, store: Path, delay_s: float) -> None:
    def entries() -> set[str]:
        there = store.iterdir() if store.is_dir() else ()
        return {path.name for path in there} - {LOCK}

    before, until = entries(), time.monotonic() + 60
    while process.poll() is None and time.monotonic() < until:
        if entries() - before:
            break
        time.sleep(0.002)
    time.sleep(delay_s)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_killed_at_random_points_it_resumes_to_the_same_bytes(
    dataset: tuple[Path, dict[str, str]], tmp_path: Path, n_jobs: int
) -> None:
    root, expected = dataset
    store = tmp_path / "store"
    rng = np.random.default_rng()
    seen = []
    for _ in range(2):
        delay_s = float(rng.uniform(0, 0.12))
        try:
            kill_once_it_writes(start(root, store, n_jobs), store, delay_s)
        except ProcessLookupError:
            break  # it was done before the blow
        found = digests(store)
        # Whatever is there under its final name is complete and right.
        assert found.items() <= expected.items()
        seen.append(len(found))
    assert seen == sorted(seen)
    assert start(root, store, n_jobs).wait() == 0
    assert digests(store) == expected
    assert not list(store.glob(".partial-*"))


def test_what_a_living_process_writes_is_not_removed(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "file") as temporary:
        temporary.write_text("half")
        remove_leftovers(tmp_path)
        assert temporary.read_text() == "half"
    assert (tmp_path / "file").read_text() == "half"
    other = tmp_path / ".partial-another-machine-1-abc"
    other.mkdir()
    remove_leftovers(tmp_path)
    assert other.is_dir()
