"""What is shared names no folder, and addresses stay what they are."""

from pathlib import Path

import pytest

from boldformer.studies.records import mark_leaky, without_folders


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/data/ds1/sub-01: too short", "ds1/sub-01: too short"),
        ("no sidecar in /data", "no sidecar in data"),
        ("in '/data/sub-01'", "in 'sub-01'"),
        ("https://h.org/data/ds1", "https://h.org/data/ds1"),
        ("https://data.donders.ru.nl/x", "https://data.donders.ru.nl/x"),
        ("/database/x", "/database/x"),
        ("/mnt/data/x", "/mnt/data/x"),
    ],
)
def test_folders_are_cut_off_and_addresses_are_not(text: str, expected: str) -> None:
    assert without_folders({"a": [text]}, [Path("/data")]) == {"a": [expected]}


def test_tables_are_marked_once_whatever_their_cells_hold(tmp_path: Path) -> None:
    file = tmp_path / "t.tsv"
    file.write_text("label\tvalue\nA\u2028B\t1\nC\t2\n", encoding="utf-8")
    for _ in range(2):
        mark_leaky([tmp_path, tmp_path / "missing.tsv"])
    lines = file.read_text(encoding="utf-8").rstrip("\n").split("\n")
    assert lines == ["label\tvalue\tleaky", "A\u2028B\t1\tLEAKY", "C\t2\tLEAKY"]
