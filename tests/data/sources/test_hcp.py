"""Reading HCP folders: blocks by default, all files with a table, odd files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from boldformer import open_dataset
from boldformer.data.sources.hcp import BLOCKS
from boldformer.errors import DatasetError, InputError

MOTOR = {
    "lf": "10\t12\t1\n",
    "rh": "40 12 1\n",
    "t": "",
    "lh": "0 0 0\n",
    "cue": "7\t3\t1\n37\t3\t1\n",
    "Sync": "8.1\n",
}


def write_run(
    root: Path,
    subject: str = "100307",
    task: str = "MOTOR",
    direction: str = "LR",
    evs: Mapping[str, str] = MOTOR,
    t_r: float = 0.72,
) -> Path:
    """Write one run of HCP's layout."""
    name = f"tfMRI_{task}_{direction}"
    folder = root / subject / "MNINonLinear" / "Results" / name
    (folder / "EVs").mkdir(parents=True)
    rng = np.random.default_rng(0)
    image = nib.Nifti1Image(rng.random((5, 6, 4, 30), dtype=np.float32), np.eye(4))
    image.header.set_xyzt_units("mm", "sec")
    image.header.set_zooms((2, 2, 2, t_r))
    nib.save(image, folder / f"{name}.nii.gz")
    for stem, text in evs.items():
        (folder / "EVs" / f"{stem}.txt").write_text(text)
    (folder / "EVs" / f"{task}_Stats.csv").write_text("a,b\n1,2\n")
    np.savetxt(folder / "Movement_Regressors.txt", rng.random((30, 12)))
    mask = nib.Nifti1Image(np.ones((5, 6, 4), np.uint8), np.eye(4))
    nib.save(mask, folder / "brainmask_fs.2.nii.gz")
    return folder


def test_a_run_with_everything(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    (recording,) = open_dataset(tmp_path)
    assert recording.name == "sub-100307_task-motor_dir-LR"
    assert recording.t_r == 0.72
    assert recording.space == "MNI152NLin6Asym"
    assert recording.mask == folder / "brainmask_fs.2.nii.gz"
    assert recording.confounds == folder / "Movement_Regressors.txt"
    assert recording.timing == "stimulus"
    # An empty file and FSL's "0 0 0" are conditions without events; cues are no blocks.
    assert recording.events.to_numpy().tolist() == [[10, 12, "lf"], [40, 12, "rh"]]


@pytest.mark.parametrize("task", sorted(BLOCKS))
def test_all_tasks_give_their_blocks(task: str, tmp_path: Path) -> None:
    evs = {name: f"{10 * i} 9 1\n" for i, name in enumerate(BLOCKS[task])}
    extra = {"win_event": "1 1 1\n", "error": "2 1 1\n", "0bk_cor": "3 1 1\n"}
    write_run(tmp_path, task=task.upper(), direction="RL", evs=evs | extra)
    (recording,) = open_dataset(tmp_path, source="hcp")
    assert (recording.task, recording.direction) == (task, "RL")
    assert recording.events["trial_type"].tolist() == list(BLOCKS[task])


def test_a_label_table_can_choose_what_is_no_block(tmp_path: Path) -> None:
    write_run(tmp_path)
    table = tmp_path / "table.tsv"
    table.write_text("trial_type\tlabel\ncue\tcue\nlf\tmove\nrh\tmove\n")
    (recording,) = open_dataset(tmp_path, label_table=table)
    assert recording.events["trial_type"].tolist() == ["cue", "move", "cue", "move"]


def test_both_directions_and_filters(tmp_path: Path) -> None:
    for subject in ("100307", "100408"):
        for direction in ("LR", "RL"):
            write_run(tmp_path, subject, direction=direction)
    write_run(tmp_path, "100408", "SOCIAL", evs={"mental": "1 2 1\n"})
    dataset = open_dataset(tmp_path, task="MOTOR", participants=["sub-100408"])
    assert [r.name for r in dataset] == [
        "sub-100408_task-motor_dir-LR",
        "sub-100408_task-motor_dir-RL",
    ]
    with pytest.raises(InputError, match=r"task-rest.*motor, social"):
        open_dataset(tmp_path, task="rest")
    with pytest.raises(InputError, match="MNI152NLin6Asym"):
        open_dataset(tmp_path, space="T1w")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        ("no image", "tfMRI_MOTOR_RL.nii.gz"),
        ("no events", "no events"),
        ("two columns", "three columns"),
        ("words", "lf.txt cannot be read"),
        ("ragged", "three columns: onset, duration, amplitude; received 3"),
    ],
)
def test_a_bad_run_is_set_aside(spoil: str, reason: str, tmp_path: Path) -> None:
    write_run(tmp_path)
    folder = write_run(tmp_path, direction="RL")
    if spoil == "no image":
        (folder / "tfMRI_MOTOR_RL.nii.gz").unlink()
    elif spoil == "no events":
        for file in (folder / "EVs").glob("*.txt"):
            file.write_text("")
    else:
        texts = {"two columns": "1 2\n", "words": "a b c\n", "ragged": "1 2 1\n3\n"}
        (folder / "EVs" / "lf.txt").write_text(texts[spoil])
    dataset = open_dataset(tmp_path)
    assert [r.direction for r in dataset] == ["LR"]
    ((name, why),) = dataset.set_aside
    assert name == "100307/tfMRI_MOTOR_RL"
    assert reason in why


@pytest.mark.parametrize(("given", "t_r"), [(0.0, 0.72), (1.5, 1.5)])
def test_a_header_without_time_leaves_it_to_the_protocol(
    given: float, t_r: float, tmp_path: Path
) -> None:
    write_run(tmp_path, t_r=0.0)
    (recording,) = open_dataset(tmp_path, t_r=given)
    assert recording.t_r == t_r


def test_a_folder_without_runs(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="SUBJECT/MNINonLinear"):
        open_dataset(tmp_path, source="hcp")
