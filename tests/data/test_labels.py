"""Label tables: those of the package, and choosing, merging and renaming by one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boldformer import open_dataset
from boldformer.data.labels import (
    _key,
    label_table_names,
    read_label_table,
    relabel,
)
from boldformer.data.recording import Dataset, Recording
from boldformer.data.sources.hcp import BLOCKS
from boldformer.errors import InputError

MakeBids = Callable[..., Path]
MOVEMENTS = (
    "toe ankle left_leg right_leg forearm upper_arm wrist finger eye jaw lip tongue"
)


def dataset_of(types: dict[str, list[str]], task: str = "motor") -> Dataset:
    """Recordings without images whose events have the given types."""
    recordings = [
        Recording(
            bold=Path("none.nii.gz"),
            t_r=2.0,
            subject=subject,
            task=task,
            events=pd.DataFrame(
                {
                    "onset": [10.0 * i for i in range(len(names))],
                    "duration": 5.0,
                    "trial_type": names,
                }
            ),
        )
        for subject, names in types.items()
    ]
    return Dataset("made", Path(), tuple(recordings))


def labels_of(dataset: Dataset) -> list[list[str]]:
    return [recording.events["trial_type"].tolist() for recording in dataset]


def test_the_package_brings_its_tables() -> None:
    assert label_table_names() == [
        "ds004044",
        "ds004044-reference",
        "hcp-motor",
        "hcp-states",
        "hcp-tasks",
    ]
    for name in label_table_names():
        assert {"trial_type", "label", "task"} <= set(read_label_table(name))


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("ds004044", MOVEMENTS.split()),
        ("ds004044-reference", ["left_leg", "right_leg", "forearm", "upper_arm"]),
        (
            "hcp-motor",
            ["left_foot", "right_foot", "left_hand", "right_hand", "tongue"],
        ),
        ("hcp-tasks", list(BLOCKS)),
    ],
)
def test_labels_of_the_package(name: str, labels: list[str]) -> None:
    assert list(dict.fromkeys(read_label_table(name)["label"])) == labels


@pytest.mark.parametrize("name", ["hcp-states", "hcp-tasks"])
def test_hcp_tables_know_every_block_and_no_other(name: str) -> None:
    table = read_label_table(name)
    there = set(zip(table["task"], table["trial_type"], strict=True))
    assert there == {(task, block) for task in BLOCKS for block in BLOCKS[task]}
    if name == "hcp-states":
        assert table["label"].nunique() == len(table) == 23


@pytest.mark.parametrize(
    "spelling", ["Left leg movements", "LeftLeg", "left_leg", "LEFT-LEG", "3", "3.0"]
)
def test_spellings_of_a_movement(spelling: str) -> None:
    dataset = dataset_of({"01": ["Rest", spelling, "Toe movements"]})
    table = read_label_table("ds004044-reference")
    assert labels_of(relabel(dataset, table)) == [["left_leg"]]


def test_a_code_means_nothing_in_another_task() -> None:
    table = read_label_table("ds004044")
    dataset = dataset_of({"01": ["3", "LeftLeg"]}, task="rest")
    assert labels_of(relabel(dataset, table)) == [["left_leg"]]


def test_choosing_merging_and_renaming(tmp_path: Path) -> None:
    file = tmp_path / "table.tsv"
    file.write_text("trial_type\tlabel\nface\tface\nbody\tface\nhouse\tplace\n")
    dataset = dataset_of({"01": ["face", "house", "body", "tool"], "02": ["tool"]})
    chosen = relabel(dataset, read_label_table(file))
    assert labels_of(chosen) == [["face", "place", "face"]]
    assert chosen.recordings[0].events["onset"].tolist() == [0.0, 10.0, 20.0]
    ((name, reason),) = chosen.set_aside
    assert name == "sub-02_task-motor"
    assert "tool" in reason
    # What was there before is not touched.
    assert len(dataset.recordings[0].events) == 4


def test_a_row_of_the_task_goes_before_one_of_any(tmp_path: Path) -> None:
    file = tmp_path / "table.tsv"
    file.write_text("trial_type\tlabel\ttask\na\tmine\tMotor\na\tany\tn/a\n")
    table = read_label_table(file)
    assert labels_of(relabel(dataset_of({"1": ["a"]}), table)) == [["mine"]]
    assert labels_of(relabel(dataset_of({"1": ["a"]}, "x"), table)) == [["any"]]


def test_a_table_for_other_data_names_what_was_found() -> None:
    with pytest.raises(InputError, match=r"lists no event type.*lf.*received go, stop"):
        relabel(dataset_of({"01": ["go", "stop"]}), read_label_table("hcp-motor"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trial_type\ta\nx\ty\n", "no column 'label'"),
        ("trial_type,label\nx,y\n", "by tabs, not by ','"),
        ("trial_type\tlabel\n", "no rows"),
        ("trial_type\tlabel\nx\t\n", "row 1"),
        ("trial_type\tlabel\nx\ta\nX \tb\n", "'x' has two labels.*a and b"),
    ],
)
def test_bad_tables(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "table.tsv"
    file.write_text(text)
    with pytest.raises(InputError, match=message):
        read_label_table(file)


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'hcp-motor'"):
        read_label_table("hcp-moter")


@given(st.text(max_size=20))
def test_a_key_is_stable_and_blind_to_what_it_should_be(text: str) -> None:
    key = _key(text)
    assert _key(f" {text.replace(' ', '_')}-") == key
    assert _key(key) == key


def rename_labels(root: Path, pattern: str, names: dict[str, str]) -> None:
    for file in root.rglob(pattern):
        table = pd.read_csv(file, sep="\t", dtype=str)
        table["trial_type"] = table["trial_type"].replace(names)
        table.to_csv(file, sep="\t", index=False)


@pytest.mark.parametrize(
    ("one", "other"),
    [("left", "Left"), ("left", "LEFT "), ("1", "1.0"), ("1", "01"), ("a_b", "a b")],
)
def test_spellings_that_differ_between_files_are_one_label(
    one: str, other: str, make_bids: MakeBids
) -> None:
    root = make_bids(subjects=3, runs=1)
    rename_labels(root, "*_events.tsv", {"left": one})
    rename_labels(root, "sub-02*_events.tsv", {one: other})
    dataset = open_dataset(root)
    assert dataset.event_types == sorted([one, "right"])
    (note,) = dataset.notes
    assert repr(one) in note
    assert "only by spelling" in note


def test_two_spellings_in_one_run_are_refused(make_bids: MakeBids) -> None:
    root = make_bids(subjects=1, runs=1)
    rename_labels(root, "*_events.tsv", {"right": "LEFT"})
    with pytest.raises(InputError, match=r"run-1 has labels.*'LEFT' and 'left'"):
        open_dataset(root)
    table = root / "labels.tsv"
    table.write_text("trial_type\tlabel\nleft\tleft\n")
    assert open_dataset(root, label_table=table).event_types == ["left"]
