"""Ids of participants are matched with subjects as people spell them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from boldformer import open_dataset
from boldformer.config import DataConfig, RunConfig
from boldformer.data.sources.participants import read_participants
from boldformer.errors import DatasetError
from boldformer.studies.dataset_audit import audit_dataset

MakeBids = Callable[..., Path]


@pytest.mark.parametrize(
    "ids", [("sub-01", "sub-02"), ("1", "2"), ("sub-1", "sub-2"), ("01", "2")]
)
def test_ids_are_found_however_they_are_spelt(
    ids: tuple[str, str], make_bids: MakeBids
) -> None:
    root = make_bids(subjects=2, runs=1)
    rows = "".join(f"{name}\tF{k}\n" for k, name in enumerate(ids))
    (root / "participants.tsv").write_text("participant_id\tfamily\n" + rows)
    dataset = open_dataset(root)
    assert [r.participant["family"] for r in dataset] == ["F0", "F1"]
    assert dataset.notes == ()


@pytest.mark.parametrize(
    ("spelt", "label"), [("CON-1", "con01"), ("con_001", "con01"), ("P7a", "p07a")]
)
def test_case_punctuation_and_zeros_do_not_matter(
    spelt: str, label: str, tmp_path: Path
) -> None:
    (tmp_path / "participants.tsv").write_text(f"participant_id\tage\n{spelt}\t3\n")
    assert read_participants(tmp_path, [label, "x"])[label] == {"age": "3"}


def test_an_id_that_could_be_two_subjects_is_neither(tmp_path: Path) -> None:
    text = "participant_id\tage\n001\t3\n01\t4\n"
    (tmp_path / "participants.tsv").write_text(text)
    found = read_participants(tmp_path, ["01", "1"])
    assert found.rows == {"01": {"age": "4"}}
    assert found.notes == (
        "participants.tsv: rows without a subject: 001",
        "participants.tsv: subjects without a row: 1",
    )


def test_siblings_stay_together_when_ids_lost_their_zeros(
    make_bids: MakeBids, tmp_path: Path
) -> None:
    root = make_bids(subjects=6, runs=1)
    rows = "".join(f"{k}\t{'fF'[k % 2]}{(k + 1) // 2}\n" for k in range(1, 7))
    (root / "participants.tsv").write_text("participant_id\tfamily\n" + rows)
    settings = RunConfig(data=DataConfig(path=str(root)))
    report = audit_dataset(settings, store=tmp_path / "s", progress=False)
    (check,) = [c for c in report.audit.checks if c.name == "family"]
    assert check.verdict == "clean"
    assert len(report.splits.folds) == 3
    assert "not checked" not in check.evidence


def test_families_of_nobody_stop_the_run(make_bids: MakeBids) -> None:
    root = make_bids(subjects=2, runs=1)
    text = "participant_id\tfamily\nP17\ta\nP18\ta\n"
    (root / "participants.tsv").write_text(text)
    with pytest.raises(DatasetError, match=r"none of a subject.*sub-01.*P17, P18"):
        open_dataset(root)


def test_a_participant_of_two_families_is_refused(make_bids: MakeBids) -> None:
    root = make_bids(subjects=1, runs=1)
    text = "participant_id\tfamily\nsub-01\ta\nsub-01\tb\n"
    (root / "participants.tsv").write_text(text)
    with pytest.raises(DatasetError, match="sub-01 is in two families"):
        open_dataset(root)


def test_rows_and_subjects_without_a_partner_are_named(
    make_bids: MakeBids, caplog: pytest.LogCaptureFixture
) -> None:
    root = make_bids(subjects=2, runs=1)
    (root / "participants.tsv").write_text("participant_id\tage\nsub-01\t3\n9\t4\n")
    dataset = open_dataset(root, participants="01")
    expected = (
        "participants.tsv: rows without a subject: 9",
        "participants.tsv: subjects without a row: 02",
    )
    assert dataset.notes == expected
    assert [record.message for record in caplog.records] == list(expected)
