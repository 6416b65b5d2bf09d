"""Items spread over processes: none lost, none twice, whoever dies."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import dask
import pytest
from distributed import LocalCluster

from boldformer.data.scheduling import Failure, run_each
from boldformer.errors import BadRunError, InputError

N_ITEMS = 12
SQUARES = {item: item**2 for item in range(N_ITEMS)}


def square(folder: Path, deadly: int = -1, lives: int = 1) -> Callable[[int], int]:
    """Return a function that squares, and kills its process at one item.

    It is nested, so that it travels to other processes by value: they cannot import
    a test module. Each call leaves a file in `folder`.
    """

    def call(item: int) -> int:
        calls = len(list(folder.glob(f"{item}-*")))
        (folder / f"{item}-{calls}").touch()
        if item == deadly and calls < lives:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.02)
        return item**2

    return call


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    # One death more than this and a task is given up.
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
        ) as started,
    ):
        yield started


@pytest.fixture(params=["processes", "cluster"])
def where(request: pytest.FixtureRequest) -> dict[str, object]:
    """Both ways to use several processes, as arguments of `run_each`."""
    if request.param == "processes":
        return {"n_jobs": 2}
    return {"scheduler": request.getfixturevalue("cluster").scheduler_address}


def test_one_job_works_in_this_process_and_in_order() -> None:
    done = run_each(lambda item: (item, os.getpid()), [3, 1, 2])
    assert next(done) == (3, (3, os.getpid()))
    assert [item for item, _ in done] == [1, 2]


@pytest.mark.parametrize("items", [[], [7]])
def test_few_items(where: dict, items: list[int], tmp_path: Path) -> None:
    results = list(run_each(square(tmp_path), items, **where))
    assert results == [(item, item**2) for item in items]


def test_items_come_back_as_the_objects_given(where: dict) -> None:
    items = [[1], [1], [2]]
    done = list(run_each(len, items, **where))
    assert sorted(id(item) for item, _ in done) == sorted(map(id, items))


def test_processes_differ_from_this_one(where: dict) -> None:
    pids = {result for _, result in run_each(lambda _: os.getpid(), range(8), **where)}
    assert os.getpid() not in pids


def test_a_worker_killed_midway_loses_nothing(where: dict, tmp_path: Path) -> None:
    done = list(run_each(square(tmp_path, deadly=4), range(N_ITEMS), **where))
    assert len(done) == N_ITEMS
    assert dict(done) == SQUARES
    assert (tmp_path / "4-1").exists()  # it did die at the first attempt


def test_a_worker_killed_from_outside_loses_nothing(
    where: dict, tmp_path: Path
) -> None:
    def tell(item: int) -> int:
        file = tmp_path / f"pid-{item}"
        first = not file.exists()
        file.write_text(str(os.getpid()))
        time.sleep(2.0 if item == 5 and first else 0.02)
        return item**2

    done = run_each(tell, range(N_ITEMS), **where)
    results = [next(done) for _ in range(5)]
    deadline = time.monotonic() + 10
    while not (tmp_path / "pid-5").exists() or not (tmp_path / "pid-5").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(int((tmp_path / "pid-5").read_text()), signal.SIGKILL)
    results += done
    assert len(results) == N_ITEMS
    assert dict(results) == SQUARES


def test_an_item_that_kills_every_worker_fails_alone(
    where: dict, tmp_path: Path
) -> None:
    function = square(tmp_path, deadly=4, lives=99)
    done = list(run_each(function, range(N_ITEMS), **where))
    assert Counter(item for item, _ in done) == Counter(range(N_ITEMS))
    results = dict(done)
    failed = results.pop(4)
    assert isinstance(failed, Failure)
    assert "killed every time" in str(failed)
    assert "\n" not in str(failed)
    assert results == {item: SQUARES[item] for item in results}


def test_several_deadly_items(tmp_path: Path) -> None:
    def call(item: int) -> int:
        if item % 3 == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return item

    done = list(run_each(call, range(7), n_jobs=2))
    failed = [item for item, result in done if isinstance(result, Failure)]
    assert sorted(failed) == [1, 4]
    assert sorted(item for item, _ in done) == list(range(7))


def test_an_error_of_the_function_is_raised(where: dict) -> None:
    def call(item: int) -> int:
        if item == 2:
            raise BadRunError("a bad one", fix="mend it")
        return item

    with pytest.raises(BadRunError, match="a bad one; mend it"):
        list(run_each(call, range(5), **where))


def test_an_item_that_cannot_be_unpickled_is_not_called_killed() -> None:
    class Broken:
        def __reduce__(self) -> tuple:
            return int, ("no number",)

    with pytest.raises(Exception, match="un-serialize"):
        list(run_each(id, [Broken(), Broken()], n_jobs=2))


@pytest.mark.filterwarnings("ignore:.*have been cancelled:UserWarning")
def test_closing_cancels_the_rest(where: dict, tmp_path: Path) -> None:
    done = run_each(square(tmp_path), range(500), **where)
    next(done)
    started = time.monotonic()
    done.close()
    assert time.monotonic() - started < 5
    time.sleep(0.3)  # what was under way ends
    n_called = len(list(tmp_path.iterdir()))
    time.sleep(0.3)
    assert len(list(tmp_path.iterdir())) == n_called < 250


def test_ctrl_c_ends_it_and_its_workers(tmp_path: Path) -> None:
    script = """
import os, pathlib, signal, sys, time
from boldformer.data.scheduling import run_each
signal.signal(signal.SIGINT, signal.default_int_handler)
folder = pathlib.Path(sys.argv[1])
def call(item):
    (folder / str(os.getpid())).touch()
    time.sleep(60)
try:
    list(run_each(call, range(8), n_jobs=2))
except KeyboardInterrupt:
    sys.exit(42)
"""
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)])
    deadline = time.monotonic() + 20
    while len(list(tmp_path.iterdir())) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=15) == 42
    for pid in tmp_path.iterdir():
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid.name), 0)


@pytest.mark.parametrize(
    "address", ["tcp://127.0.0.1:9", "127.0.0.1", "carrier-pigeon://coop:1"]
)
def test_an_unreachable_scheduler_is_one_line_in_seconds(address: str) -> None:
    started = time.monotonic()
    with pytest.raises(InputError, match="no Dask scheduler answers at") as caught:
        list(run_each(abs, [1, 2], scheduler=address))
    assert time.monotonic() - started < 60  # it does not wait for ever
    assert "\n" not in str(caught.value)
    assert "tcp://" in str(caught.value)


LOST = """
import time, dask
from distributed import LocalCluster
from boldformer.data.scheduling import run_each
from boldformer.errors import InputError

def slow(item):
    time.sleep(0.02)
    return item

if __name__ == "__main__":
    dask.config.set({"distributed.comm.timeouts.connect": "1s"})
    cluster = LocalCluster(
        n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0"
    )
    done = run_each(slow, range(500), scheduler=cluster.scheduler_address)
    next(done)
    cluster.close()
    try:
        list(done)
    except InputError as error:
        print(error)
"""


def test_a_scheduler_lost_midway_is_one_line(tmp_path: Path) -> None:
    # In a process of its own: a client whose scheduler is gone leaves threads behind.
    script = tmp_path / "lost.py"
    script.write_text(LOST)
    found = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=300
    )
    assert "lost the Dask scheduler" in found.stdout
    assert len(found.stdout.splitlines()) == 1
