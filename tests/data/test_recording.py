"""A dataset says what it is in a few words, and gives the subjects that are named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from boldformer import open_dataset
from boldformer.data.recording import Dataset, Recording
from boldformer.errors import InputError

MakeBids = Callable[..., Path]


def recordings(n: int, **more: object) -> tuple[Recording, ...]:
    events = pd.DataFrame({"onset": [1.0], "duration": [8.0], "trial_type": ["left"]})
    return tuple(
        Recording(Path("a.nii"), 2.0, f"{i:02d}", task="test", events=events, **more)  # type: ignore[arg-type]
        for i in range(1, n + 1)
    )


def test_a_dataset_is_one_short_line_at_a_prompt(make_bids: MakeBids) -> None:
    dataset = open_dataset(make_bids(subjects=3, runs=2))
    shown = repr(dataset)
    assert shown == (
        "<Dataset 'tiny': 3 subjects; 6 runs; task test; labels left, right>"
    )
    assert repr(dataset.recordings[0]) == (
        "<Recording 'sub-01_task-test_run-1': TR 2 s; 8 events of left, right>"
    )
    aside = replace(dataset, set_aside=(("sub-09", "it is empty"),))
    assert repr(aside).endswith("1 set aside>")
    many = pd.DataFrame(
        {"onset": 0.0, "duration": 1.0, "trial_type": [f"type{i}" for i in range(400)]}
    )
    crowded = Dataset("x", Path(), tuple(replace(r, events=many) for r in dataset))
    assert len(repr(crowded)) < 200
    assert "and 392 more" in repr(crowded)
    assert "392 more" in repr(crowded.recordings[0])


def test_a_dataset_is_a_table_in_a_notebook_with_its_names_escaped() -> None:
    name = "<script>alert(1)</script> & co"
    dataset = Dataset(name, Path("<b>"), recordings(2, space="<i>"))
    shown = dataset._repr_html_()
    assert shown.startswith("<table>")
    assert "&lt;script&gt;" in shown
    assert not any(tag in shown for tag in ("<script", "<b>", "<i>"))
    for fact in ("2: 01, 02", "left", "test", "2 s"):
        assert fact in shown
    assert Dataset("empty", Path(), ())._repr_html_()
    assert "0 subjects" in repr(Dataset("empty", Path(), ()))


def test_subjects_are_chosen_by_one_label_or_several() -> None:
    dataset = Dataset("x", Path(), recordings(12))
    for which in ("01", "sub-01", ["01"], ("sub-01",)):
        assert dataset.subjects(which).subject_labels == ["01"]
    assert dataset.subjects(["01", "sub-03"]).subject_labels == ["01", "03"]
    assert dataset.subjects("12").subject_labels == ["12"]
    assert len(dataset.subjects("train")) + len(dataset.subjects("test")) == 12


@pytest.mark.parametrize(
    ("which", "told"),
    [
        ("011", "did you mean '01'"),
        (["01", "1"], "did you mean '01'"),
        ("tests", "did you mean 'test'"),
        ([], "no subject"),
    ],
)
def test_unknown_subjects_are_refused(which: object, told: str) -> None:
    dataset = Dataset("x", Path(), recordings(2))
    with pytest.raises(InputError, match=told) as caught:
        dataset.subjects(which)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_a_side_that_the_table_leaves_empty_is_refused() -> None:
    dataset = Dataset("x", Path(), recordings(2, participant={"split": "train"}))
    assert len(dataset.subjects("train")) == 2
    with pytest.raises(InputError, match=r"no subject on the test side.*train"):
        dataset.subjects("test")
