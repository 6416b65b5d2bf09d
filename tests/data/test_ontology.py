"""Classes that data sets share, and the refusal where they share too few."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from boldformer.data.labels import read_label_table, relabel
from boldformer.data.ontology import (
    LEVELS,
    at_level,
    common_classes,
    composition,
    read_ontology,
)
from boldformer.data.recording import Dataset, Recording
from boldformer.errors import InputError


def dataset_of(types: list[str], task: str = "motor") -> Dataset:
    events = pd.DataFrame(
        {"onset": range(len(types)), "duration": 1.0, "trial_type": types}
    )
    return Dataset(
        "made", Path(), (Recording(Path("x.nii"), 2.0, "01", task=task, events=events),)
    )


@pytest.fixture
def somatotopy() -> Dataset:
    return dataset_of(["Toe", "Left leg", "Right leg", "Forearm", "Finger", "Tongue"])


@pytest.fixture
def hcp() -> Dataset:
    return dataset_of(["lf", "rf", "lh", "rh", "t"])


@pytest.mark.parametrize(
    ("level", "classes"),
    [
        ("effector", ["foot", "hand", "tongue"]),
        ("side", ["left", "right"]),
        ("category", ["face", "lower_limb", "upper_limb"]),
    ],
)
def test_somatotopy_and_hcp_share_classes_above_labels(
    somatotopy: Dataset, hcp: Dataset, level: str, classes: list[str]
) -> None:
    both, found = common_classes({"a": somatotopy, "b": hcp}, read_ontology(), level)
    assert found == classes
    for dataset in both.values():
        assert dataset.event_types == classes


def test_too_few_common_labels_name_both_sides_and_a_way_out(
    somatotopy: Dataset, hcp: Dataset
) -> None:
    with pytest.raises(InputError) as refused:
        common_classes({"ds004044": somatotopy, "hcp": hcp}, read_ontology(), "label")
    line = str(refused.value)
    assert "ds004044: finger, forearm" in line
    assert "hcp: left_foot, left_hand" in line
    assert "--level category has face, lower_limb, upper_limb" in line


def test_nothing_in_common_points_to_a_table() -> None:
    sides = {"a": dataset_of(["go", "stop"]), "b": dataset_of(["red", "blue"])}
    with pytest.raises(InputError, match="--ontology"):
        common_classes(sides, read_ontology(), "label")


def test_labels_unknown_to_the_ontology_stand_for_themselves() -> None:
    sides = {"a": dataset_of(["go", "stop", "x"]), "b": dataset_of(["stop", "go"])}
    both, found = common_classes(sides, read_ontology(), "label")
    assert found == ["go", "stop"]
    assert both["a"].event_types == ["go", "stop"]


def test_the_users_rows_go_before_the_packages(tmp_path: Path) -> None:
    file = tmp_path / "mine.tsv"
    file.write_text(
        "trial_type\tlabel\tcategory\nforearm\tforearm\tother\nzap\tzap\tnew\n"
    )
    ontology = read_ontology(file)
    renamed = at_level(dataset_of(["Forearm", "zap", "Toe"]), ontology, "category")
    assert renamed.event_types == ["lower_limb", "new", "other"]


def test_a_table_without_a_level_is_no_ontology(tmp_path: Path) -> None:
    file = tmp_path / "mine.tsv"
    file.write_text("trial_type\tlabel\na\tb\n")
    with pytest.raises(InputError, match="no ontology"):
        read_ontology(file)


def test_unknown_level(hcp: Dataset) -> None:
    with pytest.raises(InputError, match="effector, side, category"):
        at_level(hcp, read_ontology(), "limb")


@pytest.mark.parametrize("name", ["ds004044", "ds004044-reference", "hcp-motor"])
def test_relabelled_and_raw_names_mean_the_same(name: str) -> None:
    table = read_label_table(name)
    raw = dataset_of(list(table["trial_type"]))
    for level in LEVELS:
        before = at_level(raw, read_ontology(), level).event_types
        after = at_level(relabel(raw, table), read_ontology(), level).event_types
        assert before == after


def test_hcp_movements_are_limbs_but_other_tasks_keep_theirs() -> None:
    ontology = read_ontology()
    assert at_level(dataset_of(["lf"]), ontology, "category").event_types == [
        "lower_limb"
    ]
    language = dataset_of(["story", "math"], task="language")
    assert at_level(language, ontology, "category").event_types == ["language"]


def test_composition_names_the_events_behind_a_class(somatotopy: Dataset) -> None:
    made = composition(
        somatotopy, read_ontology(), "effector", ["foot", "hand", "tongue"]
    )
    assert made == {"foot": ["Toe"], "hand": ["Finger"], "tongue": ["Tongue"]}
