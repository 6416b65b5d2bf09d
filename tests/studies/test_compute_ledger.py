"""`boldformer ledger` as a user meets it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from boldformer.cli import run_command

Capture = pytest.CaptureFixture[str]

SHAPE = ["--volume-shape", "10", "12", "9", "--n-times", "20"]


def rows(capsys: Capture, *arguments: str) -> list[dict[str, Any]]:
    assert run_command(["ledger", *arguments, *SHAPE, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_json_is_all_that_is_printed_and_adds_up(capsys: Capture) -> None:
    found = rows(capsys, "hybrid", "linear", "--tr", "0.5", "--batch", "3", "--latency")
    assert [row["model"] for row in found] == ["hybrid", "linear"]
    for row in found:
        for unit in ("volume", "window", "batch", "run", "second"):
            assert row[f"flop_per_{unit}"] == 2 * row[f"mac_per_{unit}"] > 0
        assert row["mac_per_volume"] == pytest.approx(row["mac_per_run"] / 20, abs=1)
        assert row["mac_per_second"] == pytest.approx(row["mac_per_run"] / 10, abs=1)
        assert row["mac_per_batch"] == 3 * row["mac_per_window"]
        assert (row["window_frames"], row["windows_per_run"]) == (8, 3)
        assert row["last_window_frames"] == 4
        assert row["forward_s"] > 0
        assert row["parameters"] > 0
        assert row["forward_bytes"] > 0
        assert row["volume_shape"] == [10, 12, 9]
    hybrid, linear = found
    assert hybrid["training_s"] > 0
    assert hybrid["training_bytes"] > hybrid["forward_bytes"]
    assert linear["training_s"] is None
    assert "closed form" in linear["remarks"][0]


def test_counting_alone_measures_no_time(capsys: Capture) -> None:
    (row,) = rows(capsys, "cnn3d", "--no-latency", "--quiet")
    assert row["forward_s"] is row["training_s"] is row["device"] is None


@pytest.mark.parametrize(
    ("name", "frames", "windows", "last"),
    [
        ("deepbrain", 27, 1, 20),
        ("reference", 1, 20, 1),
        ("reference_deepbrain", 1, 20, 1),
        ("transformer", 8, 3, 4),
    ],
)
def test_a_window_is_that_of_the_publication(
    name: str, frames: int, windows: int, last: int, capsys: Capture
) -> None:
    (row,) = rows(capsys, name, "--no-latency")
    found = row["window_frames"], row["windows_per_run"], row["last_window_frames"]
    assert found == (frames, windows, last)


def test_options_reach_the_models(capsys: Capture) -> None:
    narrow, *_ = rows(capsys, "hybrid", "--param", "width=32", "--no-latency")
    wide, *_ = rows(capsys, "hybrid", "--param", "width=64", "--no-latency")
    assert narrow["parameters"] < wide["parameters"]
    (longer,) = rows(capsys, "hybrid", "--window-frames", "20", "--no-latency")
    assert (longer["window_frames"], longer["windows_per_run"]) == (20, 1)
    (classes,) = rows(capsys, "linear", "--n-outputs", "7", "--no-latency")
    assert classes["parameters"] == 7 * (10 * 12 * 9 + 1)


def test_the_table_is_aligned_and_says_what_was_counted(capsys: Capture) -> None:
    assert run_command(["ledger", "hybrid", "linear", "deepbrain", *SHAPE]) == 0
    text = capsys.readouterr().out
    table = text.split("\n\n")[0].splitlines()
    assert table[0].split() == ["hybrid", "linear", "deepbrain"]
    assert len({len(line) for line in table}) == 1
    titles = {line.split("  ")[0]: line for line in table}
    assert "2 + 1 of 4" in titles["windows a run"]
    assert "0 + 1 of 20" in titles["windows a run"]
    assert titles["training time, ms"].split()[-2] == "–"
    for words in ("1 MAC = 2 FLOP", "Not counted", "10×12×9", "AdamW"):
        assert words.lower() in text.lower().replace("are not counted", "not counted")
    assert "linear: training step not timed" in text


def test_the_table_without_times_has_no_rows_for_them(capsys: Capture) -> None:
    assert run_command(["ledger", "linear", *SHAPE, "--no-latency"]) == 0
    text = capsys.readouterr().out
    assert "time, ms" not in text
    assert "AdamW" not in text


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["hybird"], ["unknown model", "'hybrid'"]),
        (["hybrid", "--param", "widht=3"], ["widht", "'width'"]),
        (["hybrid", "--param", "width"], ["KEY=VALUE"]),
        (["hybrid", "--n-times", "0"], ["n_times"]),
        (["hybrid", "--batch", "0"], ["batch_size"]),
        (["hybrid", "--tr", "-1"], ["t_r"]),
        (["hybrid", "--window-frames", "0"], ["n_times"]),
        (["hybrid", "--n-outputs", "1"], ["n_outputs"]),
        (["hybrid", "--volume-shape", "4", "0", "4"], ["volume"]),
        (["hybrid", "--device", "cuda:7"], ["device"]),
        ([], ["MODEL"]),
    ],
)
def test_bad_input_is_one_line(
    arguments: Sequence[str], expected: Sequence[str], capsys: Capture
) -> None:
    assert run_command(["ledger", *SHAPE, *arguments, "--quiet"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.strip().splitlines()) == 1
    for words in expected:
        assert words in printed.err
