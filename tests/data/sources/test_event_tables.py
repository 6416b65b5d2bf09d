"""Events tables that are odd, and those that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from boldformer.data.sources.event_tables import read_events
from boldformer.errors import BadRunError

EVENTS = "onset\tduration\ttrial_type\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "events.tsv"),
        ("onset,duration,trial_type\n1,2,a\n", "by tabs, not by ','"),
        ("onset;duration;trial_type\n1;2;a\n", "by tabs, not by ';'"),
        (EVENTS + "1\t2\ta\n1\t2\ta\tb\tc\n", "cannot be read as a table"),
        ("onset\tduration\n1\t2\n", "no column 'trial_type'"),
        (EVENTS, "no usable event"),
        (EVENTS + "n/a\t2\ta\n1\t2\tn/a\n", "no usable event"),
    ],
)
def test_unusable_events(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "events.tsv"
    file.write_text(text)
    with pytest.raises(BadRunError, match=message):
        read_events(file)


def test_events_in_odd_spellings_are_read(tmp_path: Path) -> None:
    file = tmp_path / "events.tsv"
    rows = "20\tn/a\tright\r\n-3.5\t2\tleft\r\nn/a\t1\tleft\r\n5\t2\tünïcode \r\n"
    file.write_text("\ufeff" + EVENTS.replace("\n", "\r\n") + rows, encoding="utf-8")
    events = read_events(file)
    expected = pd.DataFrame(
        {
            "onset": [-3.5, 5.0, 20.0],
            "duration": [2.0, 2.0, 0.0],
            "trial_type": ["left", "ünïcode", "right"],
        }
    )
    pd.testing.assert_frame_equal(events, expected, check_dtype=False)


def test_quotes_and_extra_columns_are_read(tmp_path: Path) -> None:
    file = tmp_path / "events.tsv"
    rows = '"2"\t"n/a"\t"a"\tsaid "no\n"1"\t""\t"b"\t\n\n'
    file.write_text('"onset"\t"duration"\t"trial_type"\t"note"\n' + rows)
    events = read_events(file)
    assert events.to_numpy().tolist() == [[1.0, 0.0, "b"], [2.0, 0.0, "a"]]


@pytest.mark.parametrize(
    ("row", "cell"),
    [
        ("6,5\t2\ta", r"row 2, column 'onset'.*received '6,5'"),
        ("6.0 s\t2\ta", r"row 2, column 'onset'.*received '6.0 s'"),
        ("nan\t2\ta", "received 'nan'"),
        ("1\tinf\ta", "column 'duration'.*received 'inf'"),
        ("1\t2 s\ta", "column 'duration'.*received '2 s'"),
        ("1\tNA\ta", "received 'NA'"),
        ("1\t2\tNaN", "column 'trial_type'.*received 'NaN'"),
        ("1\t-1\ta", "a negative duration in row 2"),
    ],
)
def test_a_cell_that_is_no_number_is_named(row: str, cell: str, tmp_path: Path) -> None:
    file = tmp_path / "sub-01_events.tsv"
    file.write_text(f"{EVENTS}1\t2\tb\n{row}\n3\t2\tc\n")
    with pytest.raises(BadRunError, match=f"sub-01_events.tsv.*{cell}"):
        read_events(file)
