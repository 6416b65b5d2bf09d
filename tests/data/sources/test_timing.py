"""Every timing field of a run is used or refused; windows start where frames were."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from boldformer import open_dataset
from boldformer.config import PreprocessingConfig, WindowConfig
from boldformer.data.event_windows import make_table
from boldformer.data.prepare import prepare
from boldformer.errors import DatasetError
from boldformer.preprocessing.pipeline import pipeline_from_config

MakeBids = Callable[..., Path]
N_TIMES = 64


def state(root: Path, **fields: object) -> None:
    (root / "task-test_bold.json").write_text(json.dumps(fields))


def frames_read(root: Path, store: Path, **config: object) -> pd.DataFrame:
    """When the first frame of each window was acquired, beside its event's onset."""
    dataset = open_dataset(root)
    pipeline = pipeline_from_config(
        PreprocessingConfig(**{"dummy_scans": 0, "confounds": (), **config})
    )
    runs, bad = prepare(dataset, store, pipeline, progress=False)
    assert not bad
    table, _ = make_table(dataset, runs, ["left", "right"], WindowConfig(4.0))
    (run,) = runs.values()
    return table.assign(acquired_s=run.times_s[table["first_frame"]])


def test_a_start_time_moves_the_frames(make_bids: MakeBids, tmp_path: Path) -> None:
    root = make_bids(subjects=1, runs=1)
    plain = frames_read(root, tmp_path / "a")
    state(root, RepetitionTime=2.0, StartTime=1.5)
    moved = frames_read(root, tmp_path / "b")
    assert open_dataset(root).recordings[0].start_s == 1.5
    for table, start_s in ((plain, 0.0), (moved, 1.5)):
        wait = table["acquired_s"] - (table["onset"] + 4.0)
        assert wait.between(0, 2.0 - 1e-9).all()
        assert np.allclose((table["acquired_s"] - start_s) % 2.0, 0)
    # Onsets are even, so the frame before is the first at or after them now.
    assert (plain["first_frame"] - moved["first_frame"]).eq(0).all()
    state(root, RepetitionTime=2.0, StartTime=-0.5)
    early = frames_read(root, tmp_path / "c")
    assert (early["first_frame"] - plain["first_frame"]).eq(1).all()


def test_volume_timing_with_a_gap_places_the_frames(
    make_bids: MakeBids, tmp_path: Path
) -> None:
    root = make_bids(subjects=1, runs=1)
    times = np.r_[np.arange(30) * 2.0, 80.0 + np.arange(34) * 2.0]
    state(root, VolumeTiming=times.tolist(), AcquisitionDuration=1.9)
    recording = open_dataset(root).recordings[0]
    assert recording.t_r == 2.0
    np.testing.assert_allclose(recording.times_s(N_TIMES), times)
    table = frames_read(root, tmp_path / "s")
    wait = table["acquired_s"] - (table["onset"] + 4.0)
    assert wait.between(0, 2.0 - 1e-9).all()
    assert not table["acquired_s"].between(58.5, 79.5).any()


def test_even_volume_timing_is_a_repetition_time(make_bids: MakeBids) -> None:
    root = make_bids(subjects=1, runs=1)
    state(root, VolumeTiming=(np.arange(N_TIMES) * 2.5).tolist())
    recording = open_dataset(root).recordings[0]
    assert (recording.t_r, recording.frame_numbers) == (2.5, ())


def test_volumes_discarded_before_and_delays_move_nothing(
    make_bids: MakeBids,
) -> None:
    root = make_bids(subjects=1, runs=1)
    fields = {"NumberOfVolumesDiscardedByScanner": 4, "DelayTime": 0.5}
    state(root, RepetitionTime=2.0, AcquisitionDuration=1.5, **fields)
    recording = open_dataset(root).recordings[0]
    np.testing.assert_allclose(recording.times_s(3), [0, 2, 4])


UNEVEN = np.cumsum(np.r_[0, np.tile([2.0, 3.1], 32)])[:N_TIMES].tolist()


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"RepetitionTime": 2.0, "StartTime": "1"}, "unusable StartTime"),
        ({"RepetitionTime": 2.0, "StartTime": None}, "unusable StartTime"),
        ({"RepetitionTime": 2.0, "DelayTime": 2.5}, "unusable DelayTime"),
        ({"RepetitionTime": 2.0, "DelayTime": -1}, "unusable DelayTime"),
        ({"RepetitionTime": 2.0, "AcquisitionDuration": 3}, "AcquisitionDuration"),
        (
            {"RepetitionTime": 2.0, "NumberOfVolumesDiscardedByUser": 1.5},
            "unusable NumberOfVolumesDiscardedByUser",
        ),
        ({"VolumeTiming": UNEVEN}, "volumes at uneven times"),
        ({"VolumeTiming": [0, 2, 4]}, "unusable VolumeTiming.*one a volume"),
        ({"VolumeTiming": "0, 2"}, "unusable VolumeTiming"),
        ({"VolumeTiming": [4.0 + 2 * k for k in range(N_TIMES)]}, "from 0"),
        ({"VolumeTiming": [-k for k in range(N_TIMES)]}, "rising"),
        (
            {"VolumeTiming": [2 * k for k in range(N_TIMES)], "RepetitionTime": 3.0},
            "RepetitionTime contradicts VolumeTiming",
        ),
        ({"RepetitionTime": True}, "unusable repetition time"),
        ({"RepetitionTime": "2.0"}, "unusable repetition time"),
    ],
)
def test_what_cannot_be_used_is_refused(
    fields: dict, reason: str, make_bids: MakeBids
) -> None:
    root = make_bids(subjects=1, runs=1)
    state(root, **fields)
    with pytest.raises(DatasetError, match=reason):
        open_dataset(root)


def test_fields_of_several_sidecars_add_up(make_bids: MakeBids) -> None:
    root = make_bids(subjects=1, runs=1, preprocessed=True)
    bold = next(root.rglob("*_desc-preproc_bold.nii.gz"))
    bold.with_name(bold.name.replace(".nii.gz", ".json")).write_text(
        '{"StartTime": 1.0}'
    )
    recording = open_dataset(root).recordings[0]
    assert (recording.t_r, recording.start_s) == (2.0, 1.0)


def test_volumes_that_fmriprep_marks_as_not_steady_are_dropped(
    make_bids: MakeBids, tmp_path: Path
) -> None:
    root = make_bids(subjects=1, runs=1, preprocessed=True)
    file = next(root.rglob("*timeseries.tsv"))
    table = pd.read_csv(file, sep="\t", na_values="n/a")
    for volume in range(3):
        marks = np.zeros(len(table))
        marks[volume] = 1
        table[f"non_steady_state_outlier{volume:02d}"] = marks
    table.to_csv(file, sep="\t", index=False, na_rep="n/a")
    pipeline = pipeline_from_config(PreprocessingConfig())
    runs, _ = prepare(open_dataset(root), tmp_path / "s", pipeline, progress=False)
    (run,) = runs.values()
    assert run.info["n_dropped_volumes"] == 3
    assert run.times_s[0] == 6.0
