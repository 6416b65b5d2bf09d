"""Output folders: where they may lie, what of them is deleted, who writes to them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from boldformer.cli import run_command
from boldformer.data.atomic import atomic_path
from boldformer.data.folders import LOCK, MARKER, OutputFolder, differences
from boldformer.data.places import check_place, check_store
from boldformer.errors import InputError, OutputExistsError

MakeBids = Callable[..., Path]
NAMES = ("result.txt", "figures", "maps")


def work(
    out: Path, *, overwrite: bool = False, repeatable: bool = True, **settings: object
) -> None:
    """Write some files as a job does."""
    folder = OutputFolder(
        out, "a job", NAMES, settings, overwrite=overwrite, repeatable=repeatable
    )
    with folder:
        folder.begin()
        for name in ("result.txt", "figures/one.png", "maps/a.nii"):
            (out / name).parent.mkdir(exist_ok=True)
            (out / name).write_text(json.dumps(settings))


def tree(folder: Path) -> set[str]:
    hidden = {LOCK, MARKER}
    files = (path for path in folder.rglob("*") if path.is_file())
    return {f.relative_to(folder).as_posix() for f in files if f.name not in hidden}


WRITTEN = {"result.txt", "figures/one.png", "maps/a.nii"}


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["figures/mine.png", "maps/mine", "thesis.docx"])
def test_a_folder_that_is_no_job_of_ours_is_left_alone(
    name: str, overwrite: bool, tmp_path: Path
) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    with pytest.raises(OutputExistsError, match="holds other files") as caught:
        work(tmp_path, overwrite=overwrite)
    assert "replace" not in str(caught.value)
    assert {p.name for p in tmp_path.rglob("*") if p.is_file()} == {Path(name).name}


def test_overwriting_removes_what_was_written_and_nothing_else(tmp_path: Path) -> None:
    work(tmp_path, seed=1)
    for name in ("notes.txt", "figures/mine.png", "maps/mine/x.nii"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
    (tmp_path / "figures" / "old.png").write_text("ours, of an earlier version")
    folder = OutputFolder(tmp_path, "a job", NAMES, {"seed": 2}, overwrite=True)
    with folder:
        folder.begin()
        mine = {"notes.txt", "figures/mine.png", "maps/mine/x.nii", "figures/old.png"}
        assert tree(tmp_path) == mine


def fail(out: Path, write: str = "", *, begun: bool = False) -> None:
    """A job of other settings that ends in an error."""
    with OutputFolder(out, "a job", NAMES, {"seed": 1}, overwrite=False) as folder:
        if begun:
            folder.begin()
        if write:
            (out / write).parent.mkdir(parents=True, exist_ok=True)
            (out / write).write_text("half")
        raise RuntimeError


def test_an_unfinished_job_is_replaced_whole(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        fail(tmp_path, "result.txt", begun=True)
    with pytest.raises(OutputExistsError, match="seed: 1 there, 2 asked for"):
        work(tmp_path, seed=2)
    folder = OutputFolder(tmp_path, "a job", NAMES, {"seed": 2}, overwrite=True)
    with folder:
        folder.begin()
        assert tree(tmp_path) == set()


def test_other_settings_are_named_with_both_values(tmp_path: Path) -> None:
    work(tmp_path, seed=1, model={"name": "linear"})
    work(tmp_path, seed=1, model={"name": "linear"})
    with pytest.raises(OutputExistsError) as caught:
        work(tmp_path, seed=2, model={"name": "hybrid"})
    line = str(caught.value)
    assert "already holds a job of other settings" in line
    assert "seed: 1 there, 2 asked for" in line
    assert 'model.name: "linear" there, "hybrid" asked for' in line
    work(tmp_path, seed=2, overwrite=True)
    assert json.loads((tmp_path / "result.txt").read_text()) == {"seed": 2}


def test_a_job_that_cannot_be_repeated_needs_overwrite(tmp_path: Path) -> None:
    work(tmp_path, repeatable=False)
    with pytest.raises(OutputExistsError, match=r"the results of a job.*--overwrite"):
        work(tmp_path, repeatable=False)
    work(tmp_path, repeatable=False, overwrite=True)


def test_the_folder_of_another_kind_of_job_is_not_touched(tmp_path: Path) -> None:
    work(tmp_path)
    with (
        pytest.raises(OutputExistsError, match="holds a job"),
        OutputFolder(tmp_path, "a study", NAMES, {}, overwrite=True),
    ):
        pass
    assert tree(tmp_path) == WRITTEN


@pytest.mark.parametrize("prepared", [False, True])
def test_a_job_that_prepared_nothing_leaves_no_claim(
    prepared: bool, tmp_path: Path
) -> None:
    out = tmp_path / "deep" / "out"
    with pytest.raises(RuntimeError):
        fail(out, "work/store/run.json" if prepared else "")
    if not prepared:
        assert not (tmp_path / "deep").exists()
    work(out, seed=2)
    assert tree(out) - {"work/store/run.json"} == WRITTEN


def test_one_process_at_a_time(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from boldformer.data.folders import OutputFolder\n"
        "job = OutputFolder(Path(sys.argv[1]), 'a job', (), {}, overwrite=False)\n"
        "with job:\n    job.begin()\n    print('in', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(out)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "in\n"
    try:
        with pytest.raises(OutputExistsError, match=f"process {process.pid}"):
            work(out, overwrite=True)
    finally:
        process.communicate("", timeout=60)
    work(out, seed=1, overwrite=True)


def test_leftovers_of_killed_jobs_are_removed(tmp_path: Path) -> None:
    work(tmp_path)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    host = os.uname().nodename
    for place in (tmp_path, tmp_path / "figures", tmp_path / "maps"):
        left = place / f".partial-{host}-{gone.pid}-x"
        left.mkdir()
        (left / "half").write_text("half")
    work(tmp_path)
    assert not list(tmp_path.rglob(".partial-*"))


# --- where output may lie ---------------------------------------------------------


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("data", "the output folder is the input"),
        ("data/sub-01/out", "inside the input"),
        ("data/results", "inside the input"),
        ("data/derivatives", "inside the input"),
        ("data/code", "inside the input"),
        (".", "the input lies inside the output folder"),
        ("link", "the output folder is the input"),
        ("data/../data/x", "inside the input"),
    ],
)
def test_output_does_not_mix_with_input(out: str, message: str, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (tmp_path / "link").symlink_to(data)
    with pytest.raises(InputError, match=message):
        check_place(tmp_path / out, [data])


def test_derivatives_code_and_neighbours_are_open(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for out in ("data/derivatives/x", "data/code/x/y", "database", "x/data"):
        check_place(tmp_path / out, [data, tmp_path / "not there", ""])


COMMANDS = [
    ["run", "D", "OUT", "--overwrite", "--model=linear"],
    ["prepare", "D", "OUT"],
    ["audit", "D", "--store=OUT"],
    ["audit", "D", "--out=OUT"],
    ["leakage", "D", "OUT", "--overwrite"],
    ["ablate", "D", "OUT", "--overwrite"],
    ["transfer", "D", "OUT", "--test=D2", "--overwrite"],
]


@pytest.mark.parametrize("place", ["D", "D/sub-01", "D/derivatives/fmriprep"])
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_command_writes_into_its_input(
    command: list[str],
    place: str,
    make_bids: MakeBids,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    root = make_bids("D", subjects=2, runs=1, preprocessed=True)
    make_bids("D2", subjects=2, runs=1, preprocessed=True)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    where = {"D": str(root), "D2": str(tmp_path / "D2"), "OUT": str(tmp_path / place)}
    filled = []
    for word in command:
        option, separator, value = word.partition("=")
        filled.append(option + separator + where.get(value, value))
    assert run_command([where.get(word, word) for word in filled]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "output folder" in line or "holds other files" in line
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_an_audit_replaces_no_other_file(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    table = tmp_path / "windows.tsv"
    table.write_text("subject\tlabel\n01\ta\n01\tb\n02\ta\n02\tb\n")
    command = ["audit", str(table), f"--out={tmp_path}"]
    assert run_command(command) == 0
    assert run_command(command) == 0
    (tmp_path / "audit.json").write_text('{"vulnerabilities": {}}')
    capsys.readouterr()
    assert run_command(command) == 2
    assert "is no audit of ours" in capsys.readouterr().err
    assert "vulnerabilities" in (tmp_path / "audit.json").read_text()


def test_a_store_holds_prepared_runs_only(make_bids: MakeBids, tmp_path: Path) -> None:
    root, store = make_bids(subjects=1), tmp_path / "store"
    command = ["prepare", str(root), str(store), "--quiet"]
    assert run_command(command) == 0
    assert run_command(command) == 0
    check_store(store, [root])
    (store / "photos").mkdir()
    with pytest.raises(OutputExistsError, match="received photos"):
        check_store(store, [root])


# --- one file or folder -----------------------------------------------------------


def test_a_replaced_folder_keeps_what_is_not_ours(tmp_path: Path) -> None:
    place = tmp_path / "maps"
    (place / "deep").mkdir(parents=True)
    for name in ("old.nii", "same.nii", "mine.txt", "deep/mine.txt"):
        (place / name).write_text("before")
    with atomic_path(place, ours=("old.nii",)) as folder:
        folder.mkdir()
        (folder / "same.nii").write_text("after")
    assert tree(place) == {"same.nii", "mine.txt", "deep/mine.txt"}
    assert (place / "same.nii").read_text() == "after"
    assert (place / "deep" / "mine.txt").read_text() == "before"


def test_a_file_does_not_replace_a_folder(tmp_path: Path) -> None:
    place = tmp_path / "report.html"
    place.mkdir()
    (place / "mine").write_text("x")
    with (
        pytest.raises(OutputExistsError, match="is a folder"),
        atomic_path(place) as file,
    ):
        file.write_text("report")
    assert tree(tmp_path) == {"report.html/mine"}


def test_differences_are_found_at_any_depth() -> None:
    one = {"a": 1, "b": {"c": [1, 2], "d": None}}
    other = {"a": 1, "b": {"c": [1], "d": 0}, "e": True}
    assert differences(one, one) == []
    assert differences(one, other) == [
        "b.c: [1, 2] there, [1] asked for",
        "b.d: null there, 0 asked for",
        "e: null there, true asked for",
    ]


def test_what_file_browsers_leave_in_a_store_is_no_foreign_file(tmp_path: Path) -> None:
    (tmp_path / "desktop.ini").touch()
    check_store(tmp_path, ())
    (tmp_path / "notes.txt").touch()
    with pytest.raises(OutputExistsError, match=r"notes\.txt"):
        check_store(tmp_path, ())
