"""What was fitted to which windows is declared, written and read back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boldformer.data.audit.fit_log import EVERY_FOLD, PURPOSES, FitLog
from boldformer.errors import InputError

USES = st.lists(
    st.tuples(
        st.sampled_from(["scaler", "early stopping", "voxels"]),
        st.sampled_from(PURPOSES),
        st.integers(EVERY_FOLD, 4),
        st.lists(st.integers(0, 12), max_size=9),
    ),
    max_size=5,
    unique_by=lambda use: use[:3],
)


@given(uses=USES)
def test_a_written_protocol_reads_back(tmp_path_factory, uses):
    protocol = FitLog()
    for what, purpose, fold, rows in uses:
        protocol.record(what, rows, fold=fold, purpose=purpose)
    path = tmp_path_factory.mktemp("protocol") / "protocol.tsv"
    protocol.write(path)
    again = FitLog.read(path)
    assert len(again) == len(protocol)
    for old, new in zip(protocol, again, strict=True):
        assert (old.what, old.purpose, old.fold) == (new.what, new.purpose, new.fold)
        np.testing.assert_array_equal(old.rows, new.rows)


def test_an_unknown_purpose_is_refused():
    with pytest.raises(InputError, match="purpose"):
        FitLog().record("scaler", [0], purpose="test")


def test_a_file_that_is_no_protocol_is_refused(tmp_path):
    (tmp_path / "x.tsv").write_text("a\tb\n1\t2\n")
    for name in ("x.tsv", "none.tsv"):
        with pytest.raises(InputError, match="cannot read the protocol"):
            FitLog.read(tmp_path / name)


def test_windows_are_written_as_ranges(tmp_path):
    protocol = FitLog()
    protocol.record("weights", [7, 2, 3, 4, 4, 9, 10])
    protocol.record("nothing", [])
    protocol.write(tmp_path / "protocol.tsv")
    lines = (tmp_path / "protocol.tsv").read_text().splitlines()
    assert lines[0] == "what\tpurpose\tfold\tn_windows\twindows"
    assert lines[1] == f"weights\tfit\t{EVERY_FOLD}\t6\t2-4,7,9-10"
    assert len(FitLog.read(tmp_path / "protocol.tsv").uses[1].rows) == 0


def test_what_other_code_declared_is_put_in_the_rows_of_the_window_table():
    inner = FitLog()
    inner.record("weights", [0, 1])
    inner.record("early stopping", [2], purpose="stop")
    outer = FitLog()
    outer.extend(inner, rows=np.array([4, 8, 9]), fold=3, prefix="hybrid: ")
    outer.extend(outer.uses[:1])
    found = [(u.what, u.purpose, u.fold, u.rows.tolist()) for u in outer]
    assert found == [
        ("hybrid: weights", "fit", 3, [4, 8]),
        ("hybrid: early stopping", "stop", 3, [9]),
        ("hybrid: weights", "fit", 3, [4, 8]),
    ]
