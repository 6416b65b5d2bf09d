"""Lines as people write them, and help as they need it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import typer.main

from boldformer.cli import app, run_command
from boldformer.errors import InputError
from boldformer.models import list_models

MakeBids = Callable[..., Path]
Capture = pytest.CaptureFixture[str]
COMMANDS = typer.main.get_command(app).commands
FAST = ["--model=linear", "--n-resamples=20", "--n-jobs=1", "--quiet"]


def spread(command: str, line: str) -> list[str]:
    return COMMANDS[command]._spread(line.split())


@pytest.mark.parametrize(
    ("command", "given", "meant"),
    [
        (
            "run",
            "BIDS OUT participant --participant-label 01 02",
            "BIDS OUT participant --participant-label 01 --participant-label 02",
        ),
        (
            "run",
            "BIDS OUT group --labels alone group",
            "BIDS OUT group --labels alone --labels group",
        ),
        ("audit", "BIDS --labels a group", "BIDS --labels a --labels group"),
        # What follows before the folders are given may be a folder.
        ("run", "--task motor BIDS OUT", "--task motor BIDS OUT"),
        ("run", "OUT --config f --task a b", "OUT --config f --task a --task b"),
        ("run", "OUT --config=f --task a b", "OUT --config=f --task a --task b"),
        ("run", "A B --volume-shape 1 2 3 x", "A B --volume-shape 1 2 3 x"),
        ("run", "A B --task=a b --raw c", "A B --task=a --task b --raw c"),
        ("run", "A B --detrend-order -1 --task a", "A B --detrend-order -1 --task a"),
        ("inspect", "RUN --label a b", "RUN --label a --label b"),
        ("transfer", "--shots 1,2 A B OUT", "--shots 1,2 A B OUT"),
        ("run", "A B --nonsense x y", "A B --nonsense x y"),
    ],
)
def test_lists_take_spaces(command: str, given: str, meant: str) -> None:
    assert spread(command, given) == meant.split()


@pytest.mark.parametrize(
    ("command", "given"),
    [
        ("run", "BIDS OUT --labels alone group"),
        ("run", "BIDS OUT --participant_label 01 02 participant"),
        ("transfer", "A B OUT --shots 1 2"),
        ("ledger", "hybrid --model-parameter width=8 linear"),
    ],
)
def test_a_word_that_may_be_two_things_is_refused(command: str, given: str) -> None:
    """Else a class is lost, or a folder called 2 is written."""
    with pytest.raises(InputError, match="commas between"):
        spread(command, given)


def test_the_call_of_a_bids_app_works(make_bids: MakeBids, tmp_path: Path) -> None:
    root, out = make_bids(subjects=3, runs=2), tmp_path / "out"
    line = [
        "run",
        str(root),
        str(out),
        "participant",
        "--participant-label",
        "01",
        "02",
    ]
    assert run_command([*line, *FAST]) == 0
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["dataset"]["n_subjects"] == 2
    assert metrics["protocol"]["unit"] == "run"
    assert metrics["protocol"]["interval"]["unit"] == "subject"


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_help_is_whole(command: str, capsys: Capture) -> None:
    assert run_command([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert "{models}" not in text
    assert "[[" not in text
    for option in COMMANDS[command].params:
        if option.param_type_name == "option":
            assert option.help, option.name
    summary = COMMANDS[command].get_short_help_str(10)
    assert summary.endswith(".")
    assert run_command(["--help"]) == 0
    everything = " ".join(capsys.readouterr().out.split())
    assert " ".join(summary.split()) in everything


def test_options_of_run_are_in_groups_with_models_and_defaults(capsys: Capture) -> None:
    assert run_command(["run", "--help"]) == 0
    text = capsys.readouterr().out
    headings = re.findall(r"^(\w+):$", text, re.M)
    assert headings == [
        *("Arguments", "Recordings", "Preprocessing", "Windows", "Model", "Training"),
        *("Evaluation", "Options"),
    ]
    plain = " ".join(text.split())
    assert all(f" {name}" in plain for name in list_models())
    for told in ("[hybrid]", "[12]", "[1/128]", "[subject, if several]", "[zscore]"):
        assert told in plain, told


def test_one_thing_has_one_name_and_former_ones_are_read() -> None:
    names = {o for c in COMMANDS.values() for p in c.params for o in p.opts}
    assert names.isdisjoint({"--param", "--label", "--window"})
    assert {"--model-parameter", "--labels", "--length"} <= names
    line = ["ledger", "cnn3d", "--volume-shape", "12", "14", "11", "--n-times", "20"]
    assert run_command([*line, "--param", "width=8", "--no-latency"]) == 0


def test_ledger_measures_time_for_a_program_only_when_asked(capsys: Capture) -> None:
    line = ["ledger", "cnn3d", "--volume-shape", "12", "14", "11", "--n-times", "20"]
    assert run_command([*line, "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)
    assert not any(value for key, value in entry.items() if "latency" in key)
    assert run_command([*line, "--json", "--latency"]) == 0
    (timed,) = json.loads(capsys.readouterr().out)
    assert timed != entry


def test_a_run_says_what_it_found_and_whether_something_was_set_aside(
    make_bids: MakeBids, tmp_path: Path, capsys: Capture
) -> None:
    root, out = make_bids(subjects=4, runs=1), tmp_path / "out"
    bold = next((root / "sub-04").rglob("*_bold.nii.gz"))
    bold.write_bytes(bold.read_bytes()[:2000])
    line = ["run", str(root), str(out), *FAST[:-1]]
    assert run_command(line) == 1
    said = capsys.readouterr()
    *_, report = lines = said.out.strip().splitlines()
    assert report == str(out / "report.html")
    metrics = json.loads((out / "metrics.json").read_text())
    value = metrics["scores"]["linear"]["balanced_accuracy"]["value"]
    assert f"linear: balanced accuracy {value:.3f} (95 % interval" in lines[0]
    assert "over 3 subjects; chance 0.500" in lines[0]
    assert lines[1].startswith("Best baseline: ")
    assert lines[2].startswith("Audit: ")
    assert "not checked" in lines[2]
    assert lines[3] == "Set aside: 1 run; see set_aside.tsv."
    # Once, although both columns are prepared; and no bar where nothing is redrawn.
    assert said.err.count("set aside: sub-04") == 1
    assert "\r" not in said.err
    assert "Warning" not in said.err
    table = pd.read_csv(out / "set_aside.tsv", sep="\t")
    assert len(table) == 1
