"""Reading activation maps by their table."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from boldformer import open_dataset
from boldformer.errors import DatasetError, InputError

TABLE = "volume\ttrial_type\thalf\n0\ta\t1\n1\tb\t1\n2\tb\t2\n3\ta\t2\n"


def write_map(path: Path, *shape: int) -> Path:
    """Write an image of maps."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.ones((3, 4, 2, *shape), np.float32), np.eye(4)), path)
    return path


def write_maps(root: Path, table: str = TABLE, n_maps: int = 4) -> Path:
    """Write a 4-D image each of two subjects, a mask, and the table."""
    for subject in ("01", "02"):
        name = f"sub-{subject}_space-MNI152NLin6Asym_stat-beta_statmap.nii.gz"
        write_map(root / f"sub-{subject}" / name, n_maps)
    write_map(root / "mask.nii.gz")
    (root / "volumes.tsv").write_text(table)
    return root


def test_one_recording_a_subject_and_half(tmp_path: Path) -> None:
    dataset = open_dataset(write_maps(tmp_path))
    assert [r.name for r in dataset] == [
        "sub-01_run-1",
        "sub-01_run-2",
        "sub-02_run-1",
        "sub-02_run-2",
    ]
    second = dataset.recordings[1]
    assert second.frames == (2, 3)
    assert second.events.to_numpy().tolist() == [[0.0, 1.0, "b"], [1.0, 1.0, "a"]]
    assert (second.t_r, second.timing) == (1.0, "map")
    assert second.space == "MNI152NLin6Asym"
    assert second.mask == tmp_path / "mask.nii.gz"
    chosen = open_dataset(tmp_path, participants="02")
    assert chosen.subject_labels == ["02"]
    with pytest.raises(InputError, match=r"sub-07.*01, 02"):
        open_dataset(tmp_path, participants="07")


def test_rows_of_one_subject_and_rows_without_a_label(tmp_path: Path) -> None:
    table = "volume\tlabel\tsubject\n3\ta\tsub-01\n1\tb\t01\n0\tn/a\t01\n2\tc\t02\n"
    one, two = open_dataset(write_maps(tmp_path, table))
    assert one.frames == (3, 1)
    assert one.events["trial_type"].tolist() == ["a", "b"]
    assert (two.frames, two.run) == ((2,), "")


def test_files_named_by_the_table(tmp_path: Path) -> None:
    for name in ("x1", "x2", "y1"):
        write_map(tmp_path / "maps" / f"{name}.nii.gz")
    write_map(tmp_path / "z.nii.gz", 3)
    (tmp_path / "volumes.tsv").write_text(
        "file\tvolume\tlabel\tgroup\n"
        "maps/x1.nii.gz\tn/a\ta\tx\nmaps/x2.nii.gz\t0\tb\tx\n"
        "maps/y1.nii.gz\t\ta\ty\n"
        "z.nii.gz\t2\tb\tz\nz.nii.gz\t0\ta\tz\n"
    )
    x, y, z = open_dataset(tmp_path)
    assert [path.name for path in x.volumes] == ["x1.nii.gz", "x2.nii.gz"]
    assert (x.subject, x.frames, x.bold) == ("x", (), x.volumes[0])
    assert x.events["onset"].tolist() == [0.0, 1.0]
    assert len(y.volumes) == 1
    assert (z.volumes, z.frames) == ((), (2, 0))


def test_subjects_may_be_said_by_the_names_of_files(tmp_path: Path) -> None:
    write_map(tmp_path / "sub-07_map.nii.gz")
    table = tmp_path / "volumes.tsv"
    table.write_text("file\ttrial_type\nsub-07_map.nii.gz\ta\n")
    assert open_dataset(tmp_path).subject_labels == ["07"]
    write_map(tmp_path / "map.nii.gz")
    table.write_text("file\ttrial_type\nmap.nii.gz\ta\n")
    with pytest.raises(DatasetError, match="whose maps"):
        open_dataset(tmp_path)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("volume\thalf\n0\t1\n", "no column 'trial_type'"),
        ("trial_type\na\n", "no column 'volume'"),
        ("volume,trial_type\n0,a\n", "by tabs, not by ','"),
        ("", "cannot be read as a table"),
        ("file\tlabel\tsubject\nx.nii\ta\t1\n\tb\t1\n", "without a file.*row 2"),
        ("volume\tlabel\n0\tn/a\n", "no maps"),
        ("volume\ttrial_type\n1.5\ta\n", "whole numbers.*'1.5' in row 1"),
        ("volume\ttrial_type\n0\ta\n-1\tb\n", "whole numbers.*'-1' in row 2"),
        ("volume\ttrial_type\n0\ta\n0\tb\n", "volume 0 is there twice.*a, b"),
        ("volume\ttrial_type\n9\ta\n", "volumes 0 to 3; received 9"),
    ],
)
def test_tables_that_do_not_fit(table: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=message):
        open_dataset(write_maps(tmp_path, table))


def test_subjects_that_do_not_fit_are_set_aside(tmp_path: Path) -> None:
    write_maps(tmp_path)
    short = next((tmp_path / "sub-02").iterdir())
    write_map(short, 3)
    write_map(tmp_path / "sub-03" / "a.nii.gz", 4)
    write_map(tmp_path / "sub-03" / "b.nii.gz", 4)
    (tmp_path / "sub-04").mkdir()
    dataset = open_dataset(tmp_path)
    assert [r.name for r in dataset] == ["sub-01_run-1", "sub-01_run-2", "sub-02_run-1"]
    reasons = dict(dataset.set_aside)
    assert "volumes 0 to 2; received 3" in reasons["sub-02 run 2"]
    assert "a.nii.gz, b.nii.gz" in reasons["sub-03"]
    assert "none" in reasons["sub-04"]


def test_a_damaged_image_and_maps_in_several_files(tmp_path: Path) -> None:
    write_map(tmp_path / "good.nii.gz")
    write_map(tmp_path / "four.nii.gz", 2)
    (tmp_path / "bad.nii.gz").write_bytes(b"not an image")
    (tmp_path / "volumes.tsv").write_text(
        "file\tlabel\tsubject\ngood.nii.gz\ta\t1\nbad.nii.gz\ta\t2\n"
        "four.nii.gz\ta\t3\ngood.nii.gz\ta\t3\n".replace(
            "good.nii.gz\ta\t3", "other.nii.gz\tb\t3"
        )
    )
    write_map(tmp_path / "other.nii.gz")
    dataset = open_dataset(tmp_path)
    assert dataset.subject_labels == ["1"]
    reasons = dict(dataset.set_aside)
    assert "cannot be read as an image" in reasons["sub-2"]
    assert "four.nii.gz, other.nii.gz" in reasons["sub-3"]


def test_real_maps(recordings_dir: Path) -> None:
    dataset = open_dataset(recordings_dir / "cerebellum")
    assert (len(dataset), len(dataset.subject_labels)) == (32, 16)
    assert len(dataset.event_types) == 29
    first, second = dataset.recordings[:2]
    assert first.frames == tuple(range(29))
    assert second.frames == tuple(range(29, 58))
    assert sorted(first.events["trial_type"]) == sorted(second.events["trial_type"])
    assert first.space == "MNI152NLin2009cSym"
    assert dataset.set_aside == ()
