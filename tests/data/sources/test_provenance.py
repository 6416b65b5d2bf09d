"""What made derivatives, and where a dataset is found by others."""

import json
from pathlib import Path

import pytest

from boldformer.data.sources.provenance import address_of, preprocessed_by


def described(folder: Path, **content: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset_description.json").write_text(json.dumps(content))
    return folder


def test_derivatives_name_their_software_and_raw_data_do_not(tmp_path: Path) -> None:
    raw = described(
        tmp_path / "raw", GeneratedBy=[{"Name": "HeuDiConv", "Version": "1"}]
    )
    new = described(
        tmp_path / "new",
        DatasetType="derivative",
        GeneratedBy=[{"Name": "fMRIPrep", "Version": "23.1.4"}, {"Name": "ours"}],
    )
    old = described(
        tmp_path / "old", PipelineDescription={"Name": "fMRIPrep", "Version": "1.1.4"}
    )
    none = tmp_path / "none"
    none.mkdir()
    assert preprocessed_by([raw, none]) == ()
    assert preprocessed_by([raw, new, old]) == (
        "fMRIPrep 23.1.4",
        "ours",
        "fMRIPrep 1.1.4",
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            {"DatasetDOI": "doi:10.18112/openneuro.ds1.v1"},
            "doi:10.18112/openneuro.ds1.v1",
        ),
        ({"DatasetDOI": "10.18112/openneuro.ds1.v1"}, "doi:10.18112/openneuro.ds1.v1"),
        ({"SourceDatasets": [{"URL": "https://x.org/d"}]}, "https://x.org/d"),
        ({"SourceDatasets": [{"URL": "file:///home/me/d"}]}, ""),
        ({"SourceDatasets": [{"URL": "/home/me/d"}]}, ""),
        ({"DatasetDOI": 7, "SourceDatasets": "no list"}, ""),
        ({}, ""),
    ],
)
def test_an_address_is_one_that_others_can_use(
    content: dict, expected: str, tmp_path: Path
) -> None:
    assert address_of([described(tmp_path / "d", **content)]) == expected


def test_a_broken_description_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "dataset_description.json").write_text("[1, 2")
    assert preprocessed_by([tmp_path]) == ()
    assert address_of([tmp_path]) == ""
