"""One reader for all tables: ragged rows, odd cells, and who reads through it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boldformer import open_dataset
from boldformer.cli import run_command
from boldformer.data.audit.window_tables import read_windows
from boldformer.data.labels import read_label_table
from boldformer.data.split_tables import Splits
from boldformer.data.tables import names, numbers, read_table
from boldformer.errors import BadRunError, InputError

MakeBids = Callable[..., Path]
CELLS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Z"]), max_size=8
)


@pytest.fixture
def table(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str, name: str = "t.tsv") -> Path:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return write


@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=5))
def test_what_pandas_writes_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]
) -> None:
    plain = [[cell.strip().strip('"').strip() for cell in row] for row in rows]
    file = tmp_path_factory.mktemp("tables") / "t.tsv"
    content = pd.DataFrame(plain, columns=["a", "b"]).assign(c="x")
    content.to_csv(file, sep="\t", index=False)
    assert read_table(file).to_numpy().tolist() == content.to_numpy().tolist()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("1\t2\tx\n3\t4\n", r"row 2 .*wanted 3 .*received 2 \(3, 4\)"),
        ("1\t2\tx\n3\t4\ty\tz\n", "row 2 .*received 4"),
        ("1\t0\t2\tx\n2\t9\t2\ty\n", "row 1 .*row.names = FALSE"),
    ],
    ids=["fewer", "more", "R's row names"],
)
def test_a_row_of_another_length_is_refused(
    rows: str, message: str, table: Callable[[str], Path]
) -> None:
    file = table("onset\tduration\ttrial_type\n" + rows)
    with pytest.raises(BadRunError, match=message):
        read_table(file)


def test_lines_of_nothing_and_columns_of_no_name_are_passed_over(
    table: Callable[[str], Path],
) -> None:
    found = read_table(table('""\ta\tb\r\n"1"\tx\t"y ""z"""\r\n\r\n'))
    assert found.to_dict("list") == {"a": ["x"], "b": ['y "z"']}


def test_two_columns_of_one_name_are_refused(table: Callable[[str], Path]) -> None:
    with pytest.raises(BadRunError, match="two columns are called 'a'"):
        read_table(table("a\tb\ta\n1\t2\t3\n"))


@pytest.mark.parametrize("cell", ["1,5", "1.5 s", "nan", "NA", "inf", "1_0", "x"])
def test_a_cell_that_is_no_number_is_named(cell: str) -> None:
    cells = pd.Series(["1", "n/a", "", cell], name="onset")
    with pytest.raises(BadRunError, match=r"t.tsv.*row 4, column 'onset'.*received"):
        numbers(Path("t.tsv"), cells)
    assert numbers(Path("t.tsv"), cells[:3]).isna().tolist() == [False, True, True]


@pytest.mark.parametrize("cell", ["nan", "NaN", "NA", "<NA>"])
def test_what_other_programs_write_for_missing_is_no_name(cell: str) -> None:
    with pytest.raises(BadRunError, match="column 'label'"):
        names(Path("t.tsv"), pd.Series(["x", cell], name="label"))


# One cell more than the header in each row, as R writes its row names.
RAGGED = {
    "participants.tsv": "participant_id\tfamily\n1\tsub-01\ta\n2\tsub-02\tb\n",
    "labels.tsv": "trial_type\tlabel\n1\tleft\tl\n2\tright\tr\n",
    "split.tsv": "subject\tset\n1\t01\ttrain\n2\t02\ttest\n",
    "windows.tsv": "subject\tlabel\n1\t01\ta\n2\t02\tb\n",
}


def test_every_reader_of_tables_refuses_ragged_rows(
    make_bids: MakeBids, tmp_path: Path
) -> None:
    for name, text in RAGGED.items():
        (tmp_path / name).write_text(text)
    root = make_bids(subjects=2, runs=1, preprocessed=True)
    (root / "participants.tsv").write_text(RAGGED["participants.tsv"])
    windows = pd.DataFrame({"subject": ["01", "02"], "label": ["a", "b"]})
    readers: dict[str, Callable[[Path], object]] = {
        "labels.tsv": read_label_table,
        "split.tsv": lambda path: Splits.read(path, windows),
        "windows.tsv": read_windows,
        "participants.tsv": lambda path: open_dataset(
            path.rename(root / path.name).parent
        ),
    }
    for name, read in readers.items():
        with pytest.raises(InputError, match=f"{name} cannot be read.*row 1"):
            read(tmp_path / name)


@pytest.mark.parametrize("what", ["events", "timeseries"])
def test_a_ragged_table_of_a_run_sets_it_aside(
    what: str, make_bids: MakeBids, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    root = make_bids(subjects=1, runs=2, preprocessed=True)
    file = next(root.rglob(f"*run-2*{what}.tsv"))
    header, *rows = file.read_text().splitlines()
    numbered = [f"{n}\t{row}" for n, row in enumerate(rows, start=1)]
    file.write_text("\n".join([header, *numbered]))
    assert run_command(["prepare", str(root), str(tmp_path / "s"), "--quiet"]) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "run-2" in line
    assert "row 1 has another number of cells" in line
