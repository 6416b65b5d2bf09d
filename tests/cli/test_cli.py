"""The command line as a user meets it: one line for every fault, and an exit code."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import pytest

from boldformer import __version__
from boldformer.cli import run_command

MakeBids = Callable[..., Path]
Capture = pytest.CaptureFixture[str]


def line(capsys: Capture) -> str:
    """The one line a failed command prints."""
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def test_version_help_and_info(capsys: Capture) -> None:
    assert run_command(["--version"]) == 0
    assert __version__ in capsys.readouterr().out
    assert run_command(["run", "--help"]) == 0
    assert "--participant-label" in capsys.readouterr().out
    assert run_command(["info"]) == 0
    text = capsys.readouterr().out
    assert all(word in text for word in ("torch", "python", "devices", "extras"))


def test_import_is_light() -> None:
    code = "import sys, boldformer.cli; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def no_dataset(root: Path) -> None:
    shutil.rmtree(root)


def no_description(root: Path) -> None:
    (root / "dataset_description.json").unlink()


def no_events(root: Path) -> None:
    for file in root.rglob("*_events.tsv"):
        file.unlink()


def no_repetition_time(root: Path) -> None:
    (root / "task-test_bold.json").unlink()
    for file in root.rglob("*_bold.nii.gz"):
        image = nib.load(file)
        image.header.set_xyzt_units("mm", "unknown")
        nib.save(image, file)


def three_d(root: Path) -> None:
    for file in root.rglob("*_bold.nii.gz"):
        nib.save(nib.load(file).slicer[..., 0], file)


def truncated(root: Path) -> None:
    for file in root.rglob("*_bold.nii.gz"):
        file.write_bytes(file.read_bytes()[:2000])


def late_events(root: Path) -> None:
    for file in root.rglob("*_events.tsv"):
        file.write_text("onset\tduration\ttrial_type\n900\t8\tleft\n950\t8\tright\n")


def one_class(root: Path) -> None:
    for file in root.rglob("*_events.tsv"):
        file.write_text(file.read_text().replace("right", "left"))


FAULTS: list[tuple[Callable[[Path], None], list[str], list[str]]] = [
    (no_dataset, [], ["no such folder"]),
    (no_description, [], ["not a BIDS dataset", "dataset_description.json"]),
    (no_events, [], ["no usable recording", "no events"]),
    (no_repetition_time, [], ["repetition time is missing"]),
    (three_d, [], ["no run could be prepared", "4-D"]),
    (truncated, [], ["no run could be prepared", "truncated"]),
    (late_events, [], ["no window lies inside its run"]),
    (one_class, [], ["at least two classes"]),
    (lambda root: None, ["--labels", "left,up"], ["unknown label 'up'", "left, right"]),
    (lambda root: None, ["--participant-label", "01,77"], ["sub-77"]),
    (lambda root: None, ["--model", "hybird"], ["unknown model", "'hybrid'"]),
    (lambda root: None, ["--model-parameter", "widht=3"], ["widht", "'width'"]),
    (lambda root: None, ["--model-parameter", "width=wide"], ["'width'", "'wide'"]),
    (lambda root: None, ["--model-parameter", "width=0"], ["width"]),
    (lambda root: None, ["--folds", "9"], ["folds"]),
    (lambda root: None, ["--folds", "all"], ["--folds", "loo", "received all"]),
    (lambda root: None, ["--repeats", "2"], ["the same every time"]),
    (lambda root: None, ["--split-unit", "volume"], ["unknown unit", "'volume'"]),
    (lambda root: None, ["group", "--split-unit=run"], ["level group keeps subjects"]),
    (lambda root: None, ["--split", "nowhere.tsv"], ["nowhere.tsv", "missing"]),
    (lambda root: None, ["--device", "cuda:7"], ["device"]),
    (lambda root: None, ["--volume-shape", "4", "0", "4"], ["volume shape"]),
    (lambda root: None, ["--config", "nowhere.toml"], ["nowhere.toml"]),
]


@pytest.mark.parametrize(("spoil", "options", "expected"), FAULTS)
def test_bad_input_is_one_line_and_leaves_no_result(
    spoil: Callable[[Path], None],
    options: list[str],
    expected: list[str],
    make_bids: MakeBids,
    tmp_path: Path,
    capsys: Capture,
) -> None:
    root = make_bids(subjects=2, runs=1)
    spoil(root)
    out = tmp_path / "out"
    code = run_command(["run", str(root), str(out), "--quiet", "--n-jobs=1", *options])
    assert code == 2
    # Runs that were set aside on the way are said before the line that ends it.
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("boldformer: ")
    for words in expected:
        assert words in last
    assert not (out / "metrics.json").exists()
    assert not (out / "report.html").exists()
    assert not list(out.rglob(".partial-*"))


BEFORE: list[tuple[list[str], str]] = [
    (["--folds", "1"], "at least two folds"),
    (["--model", "hybird"], "unknown model"),
    (["--model-parameter", "widht=3"], "widht"),
    (["--model-parameter", "width=wide"], "a whole number; received 'wide'"),
    (["--model-parameter", "drop_prob=often"], "a number; received 'often'"),
    (["--model-parameter", "norm=layer"], "unknown norm"),
    (["--model", "linear", "--model-parameter", "C=-1"], "above 0"),
    (["--device", "cuda"], "device"),
    (["--split", "nowhere.tsv"], "nowhere.tsv"),
    (["--epochs", "0"], "max_epochs"),
    (["--batch-size", "0"], "batch_size"),
    (["--learning-rate", "-1"], "learning_rate"),
    (["--n-resamples", "-5"], "no such interval"),
    (["--n-permutations", "-3"], "n_permutations"),
    (["--repeats", "0"], "repeats"),
    (["--confounds", "motoin"], "motion"),
    (["--normalise", "zscor"], "zscore"),
]


@pytest.mark.parametrize(("options", "expected"), BEFORE)
def test_what_can_be_known_before_is_checked_before(
    options: list[str],
    expected: str,
    tmp_path: Path,
    capsys: Capture,
) -> None:
    """The dataset is not even opened: a folder without any is not what is named."""
    out = tmp_path / "out"
    line_ = ["run", str(tmp_path / "no-dataset"), str(out), "--quiet", *options]
    assert run_command(line_) == 2
    assert expected in line(capsys)
    assert not out.exists()


def test_one_group_is_refused(
    make_bids: MakeBids, tmp_path: Path, capsys: Capture
) -> None:
    root = make_bids(subjects=1, runs=1)
    assert run_command(["run", str(root), str(tmp_path / "out"), "--quiet"]) == 2
    told = line(capsys)
    assert "only one group" in told
    # And what can be done instead.
    assert "boldformer inspect" in told
    assert "--split-unit stretch --allow-leakage" in told


def test_a_full_folder_is_not_overwritten_unasked(
    make_bids: MakeBids, tmp_path: Path, capsys: Capture
) -> None:
    root, out = make_bids(subjects=2, runs=1), tmp_path / "out"
    out.mkdir()
    (out / "thesis.docx").write_text("mine")
    assert run_command(["run", str(root), str(out), "--quiet"]) == 2
    assert "holds other files; choose another folder" in line(capsys)
    command = ["run", str(root), str(out), "--quiet", "--overwrite"]
    assert run_command(command) == 2
    assert "which --overwrite does not touch" in line(capsys)
    assert [p.name for p in out.iterdir()] == ["thesis.docx"]


def test_no_space_left_is_one_line(make_bids: MakeBids, tmp_path: Path) -> None:
    """A limit on the size of files stands for a full disk."""
    root, store = make_bids(subjects=1, runs=1), tmp_path / "store"
    code = (
        "import resource, sys; from boldformer.cli import run_command;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096));"
        f"sys.exit(run_command(['prepare', {str(root)!r}, {str(store)!r}, '--quiet']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("boldformer: no space left")
    assert list(store.glob("[!.]*")) == []


def test_prepare_lists_what_it_set_aside(
    make_bids: MakeBids, tmp_path: Path, capsys: Capture
) -> None:
    root, store = make_bids(subjects=2, runs=1), tmp_path / "store"
    assert run_command(["prepare", str(root), str(store), "--quiet"]) == 0
    assert "2 runs" in capsys.readouterr().out
    bold = next(root.rglob("*sub-02*_bold.nii.gz"))
    bold.write_bytes(bold.read_bytes()[:999])
    assert run_command(["prepare", str(root), str(store), "--quiet"]) == 1
    printed = capsys.readouterr()
    assert "1 runs" in printed.out
    assert "sub-02_task-test_run-1" in printed.err


def test_dashes_and_underscores_are_one_option(
    make_bids: MakeBids, tmp_path: Path, capsys: Capture
) -> None:
    root = make_bids(subjects=2, runs=1)
    arguments = ["prepare", str(root), str(tmp_path / "s"), "--quiet"]
    assert run_command([*arguments, "--participant_label", "02"]) == 0
    assert "1 runs" in capsys.readouterr().out


def test_an_unknown_option_names_the_nearest(capsys: Capture) -> None:
    assert run_command(["run", "a", "b", "--modle", "hybrid"]) == 2
    assert "--model" in capsys.readouterr().err


def test_the_command_line_starts_without_heavy_libraries() -> None:
    heavy = "{'numpy', 'pandas', 'scipy', 'torch', 'nibabel', 'nilearn'}"
    code = f"import sys, boldformer.cli; print(*{heavy} & set(sys.modules))"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert found.stdout.split() == []


@pytest.mark.parametrize("command", ["ablate", "leakage", "run"])
def test_every_study_checks_training_before_it_reads(
    command: str, tmp_path: Path, capsys: Capture
) -> None:
    missing, out = str(tmp_path / "no-dataset"), tmp_path / "out"
    assert run_command([command, missing, str(out), "--batch-size", "0"]) == 2
    assert "batch_size" in line(capsys)
    assert not out.exists()
