"""Recognising layouts, what is no dataset, fetching, and label tables on the way."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from boldformer import open_dataset
from boldformer.config import DataConfig
from boldformer.data.sources.layouts import open_source
from boldformer.errors import DatasetError, InputError

MakeBids = Callable[..., Path]


def write_image(path: Path, *shape: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.ones((3, 3, 3, *shape), np.float32), np.eye(4)), path)


def write_maps(root: Path) -> None:
    write_image(root / "sub-01" / "sub-01_maps.nii.gz", 2)
    root.joinpath("volumes.tsv").write_text("volume\tlabel\n0\ta\n1\tb\n")


def write_hcp(root: Path) -> None:
    folder = root / "100307" / "MNINonLinear" / "Results" / "tfMRI_MOTOR_LR"
    write_image(folder / "tfMRI_MOTOR_LR.nii.gz", 12)
    (folder / "EVs").mkdir()
    (folder / "EVs" / "lf.txt").write_text("1 2 1\n")


def write_class_folders(root: Path) -> None:
    for number, label in enumerate("aab"):
        write_image(root / label / f"sub-1_run-1_vol-{number}.nii")


@pytest.mark.parametrize(
    ("write", "timing"),
    [
        (write_maps, "map"),
        (write_hcp, "stimulus"),
        (write_class_folders, "volume"),
        (None, "stimulus"),
    ],
)
def test_each_layout_is_recognised(
    write: Callable[[Path], None] | None,
    timing: str,
    tmp_path: Path,
    make_bids: MakeBids,
) -> None:
    root = tmp_path / "data with ünicode and blanks"
    if write is None:
        make_bids(root.name)
    else:
        write(root)
    assert {r.timing for r in open_dataset(root, t_r=2.0)} == {timing}


def test_maps_in_a_bids_dataset_are_maps_unless_said_otherwise(
    make_bids: MakeBids,
) -> None:
    root = make_bids(subjects=1)
    write_maps(root)
    assert {r.timing for r in open_dataset(root)} == {"map"}
    assert {r.timing for r in open_dataset(root, source="bids")} == {"stimulus"}


def test_what_is_no_dataset_is_told_the_layouts(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DatasetError) as caught:
        open_dataset(tmp_path)
    for layout in ("dataset_description.json", "tfMRI_*", "_vol-VVV", "volumes.tsv"):
        assert layout in str(caught.value)
    with pytest.raises(DatasetError, match="no such folder"):
        open_dataset(tmp_path / "none")
    with pytest.raises(DatasetError, match="no such folder"):
        open_dataset(tmp_path / "notes.txt")


def test_an_unknown_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'hpc'.*auto, maps, hcp, bids, class-fol"):
        open_dataset(tmp_path, source="hpc")


def test_a_symlink_loop_does_no_harm(make_bids: MakeBids) -> None:
    root = make_bids(subjects=1, runs=1)
    (root / "sub-01" / "ses-loop").symlink_to(root)
    (root / "sub-loop").symlink_to(root / "sub-loop")
    assert len(open_dataset(root)) == 1


def test_an_accession_number_is_fetched(
    make_bids: MakeBids, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_bids()
    asked: list[tuple[str, str]] = []

    def fetch(accession: str, config: DataConfig) -> Path:
        asked.append((accession, config.path))
        return root

    module = types.ModuleType("boldformer.data.sources.openneuro")
    monkeypatch.setattr(module, "fetch", fetch, raising=False)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.chdir(root.parent)
    assert len(open_dataset("ds004044")) == 4
    assert asked == [("ds004044", "ds004044")]
    # A folder of that name goes first, and other names are never fetched.
    root.rename(root.parent / "ds004044")
    assert len(open_dataset("ds004044")) == 4
    with pytest.raises(DatasetError, match="no such folder"):
        open_dataset("ds00404")
    assert len(asked) == 1


def test_a_faulty_label_table_is_found_before_anything_is_fetched() -> None:
    with pytest.raises(InputError, match="no label table 'nothing'"):
        open_dataset("ds999999", label_table="nothing")


def test_a_label_table_is_applied(make_bids: MakeBids, tmp_path: Path) -> None:
    table = tmp_path / "table.tsv"
    table.write_text("trial_type\tlabel\nleft\tmove\nright\tmove\n")
    config = DataConfig(path=str(make_bids()), label_table=str(table))
    assert open_source(config).event_types == ["move"]


def test_every_real_recording_opens(recordings_dir: Path) -> None:
    found = {
        name: open_dataset(recordings_dir / name, acquisition=acquisition)
        for name, acquisition in {
            "perception": "",
            "audiovisual": "",
            "haxby": "coarse",
            "cerebellum": "",
        }.items()
    }
    assert {name: len(dataset) for name, dataset in found.items()} == {
        "perception": 3,
        "audiovisual": 1,
        "haxby": 12,
        "cerebellum": 32,
    }
    assert all(not dataset.set_aside for dataset in found.values())
    assert len(open_dataset(recordings_dir / "haxby")) == 24
    with pytest.raises(DatasetError, match="known layout"):
        open_dataset(recordings_dir / "dicom")
