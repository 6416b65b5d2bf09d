"""Confounds and motion from new and old fMRIPrep tables and from HCP."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from nilearn.interfaces.fmriprep import load_confounds

from boldformer import open_dataset
from boldformer.data.confounds import (
    groups_of,
    read_confounds,
)
from boldformer.data.motion import MOTION, read_motion
from boldformer.data.recording import Recording
from boldformer.errors import BadRunError, InputError

MakeBids = Callable[..., Path]
N_TIMES = 64
OLD = ["X", "Y", "Z", "RotX", "RotY", "RotZ"]


@pytest.fixture
def modern(make_bids: MakeBids) -> Recording:
    return open_dataset(make_bids(subjects=1, runs=1, preprocessed=True)).recordings[0]


def recording_with(path: Path) -> Recording:
    return Recording(bold=Path("x.nii.gz"), t_r=2.0, subject="1", confounds=path)


def write_hcp(folder: Path, n_columns: int = 12, n_times: int = N_TIMES) -> Recording:
    values = np.random.default_rng(0).normal(size=(n_times, n_columns))
    np.savetxt(folder / "Movement_Regressors.txt", values, fmt="%10.6f")
    return recording_with(folder / "Movement_Regressors.txt")


def write_old(folder: Path) -> Recording:
    values = np.random.default_rng(0).normal(size=(N_TIMES, 6))
    table = pd.DataFrame(values, columns=OLD).assign(WhiteMatter=1.0)
    table["FramewiseDisplacement"] = np.r_[np.nan, np.arange(N_TIMES - 1)]
    path = folder / "sub-1_task-a_bold_confounds.tsv"
    table.to_csv(path, sep="\t", index=False, na_rep="n/a")
    return recording_with(path)


@pytest.mark.parametrize(
    ("groups", "options", "motion"),
    [
        (("motion", "wm_csf"), {}, "basic"),
        (("motion24",), {}, "full"),
        (("wm_csf", "motion"), {"motion": "power2", "wm_csf": "basic"}, "power2"),
    ],
)
def test_modern_tables_are_nilearns(
    modern: Recording, groups: tuple[str, ...], options: dict, motion: str
) -> None:
    values = read_confounds(modern, groups, options, N_TIMES)
    strategy = tuple(g.replace("motion24", "motion") for g in groups)
    expected, _ = load_confounds(str(modern.bold), strategy=strategy, motion=motion)
    assert values is not None
    np.testing.assert_allclose(values, expected.to_numpy(), rtol=1e-12)


def test_nothing_asked_for_or_nothing_there(modern: Recording) -> None:
    assert read_confounds(modern, (), {}, N_TIMES) is None
    bare = Recording(bold=modern.bold, t_r=2.0, subject="1")
    assert read_confounds(bare, ("auto",), {}, N_TIMES) is None
    with pytest.raises(BadRunError, match="no table of confounds of the group 'motion"):
        read_confounds(bare, ("motion",), {}, N_TIMES)
    motion = read_motion(bare, N_TIMES)
    assert motion.empty
    assert len(motion) == N_TIMES


def test_old_tables_hold_the_same_motion_under_other_names(tmp_path: Path) -> None:
    recording = write_old(tmp_path)
    raw = pd.read_csv(recording.confounds, sep="\t", na_values="n/a")
    six = read_confounds(recording, ("motion",), {}, N_TIMES)
    np.testing.assert_allclose(six, raw[OLD] - raw[OLD].mean())
    motion = read_motion(recording, N_TIMES)
    assert list(motion) == [*MOTION, "framewise_displacement"]
    assert motion["framewise_displacement"].tolist() == [0.0, *range(N_TIMES - 1)]
    for groups in (("wm_csf",), ("motion", "wm_csf")):
        with pytest.raises(BadRunError, match=r"'wm_csf'; wanted csf, white_matter"):
            read_confounds(recording, groups, {}, N_TIMES)
    # The default takes what there is.
    both = read_confounds(recording, ("auto",), {}, N_TIMES)
    np.testing.assert_array_equal(both, six)


def test_the_default_takes_what_a_table_has(modern: Recording, tmp_path: Path) -> None:
    assert groups_of(modern, ("auto",), {}) == ("motion", "wm_csf")
    assert modern.confounds is not None
    table = pd.read_csv(modern.confounds, sep="\t").drop(columns="csf")
    path = tmp_path / "sub-1_task-a_desc-confounds_timeseries.tsv"
    table.to_csv(path, sep="\t", index=False, na_rep="n/a")
    recording = recording_with(path)
    assert groups_of(recording, ("auto",), {}) == ("motion",)
    assert groups_of(recording, ("auto", "motion24"), {})[-1] == "motion24"
    with pytest.raises(BadRunError, match="wanted csf, white_matter; received the"):
        groups_of(recording, ("motion", "wm_csf"), {})


def test_what_nilearn_says_is_not_cut(modern: Recording, monkeypatch: Any) -> None:
    said = "first line\n" + 40 * "and more of it " + "the end"

    def refuse(*_: Any, **__: Any) -> None:
        raise ValueError(said)

    monkeypatch.setattr("boldformer.data.confounds.load_confounds", refuse)
    with pytest.raises(BadRunError, match=r"first line and more.*the end; ") as caught:
        read_confounds(modern, ("motion",), {}, N_TIMES)
    assert "\n" not in str(caught.value)


def test_hcp_rotations_become_radians(tmp_path: Path) -> None:
    recording = write_hcp(tmp_path)
    raw = np.loadtxt(recording.confounds)
    motion = read_motion(recording, N_TIMES)
    np.testing.assert_allclose(motion[list(MOTION[:3])], raw[:, :3])
    np.testing.assert_allclose(motion[list(MOTION[3:])], np.deg2rad(raw[:, 3:6]))


def test_hcp_gives_the_24_regressors_of_friston(tmp_path: Path) -> None:
    recording = write_hcp(tmp_path)
    values = read_confounds(recording, ("motion24",), {}, N_TIMES)
    assert values is not None
    assert values.shape == (N_TIMES, 24)
    np.testing.assert_allclose(values.mean(axis=0), 0, atol=1e-12)
    six = read_motion(recording, N_TIMES)[list(MOTION)].to_numpy()
    change = np.diff(six, axis=0, prepend=six[:1])
    expected = np.hstack([six, change, six**2, change**2])
    np.testing.assert_allclose(values, expected - expected.mean(axis=0), atol=1e-12)
    with pytest.raises(BadRunError, match="'compcor'"):
        read_confounds(recording, ("compcor",), {}, N_TIMES)


@pytest.mark.parametrize(
    ("groups", "options", "message"),
    [
        (("motoin",), {}, "did you mean 'motion'"),
        (("scrub",), {}, "steps of their own"),
        (("motion",), {"n_compcorr": 5}, "did you mean 'n_compcor'"),
    ],
)
def test_requests_that_no_table_could_meet(
    modern: Recording, groups: tuple[str, ...], options: dict, message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_confounds(modern, groups, options, N_TIMES)
    assert not isinstance(caught.value, BadRunError)


def test_tables_of_another_length(modern: Recording, tmp_path: Path) -> None:
    for recording in (modern, write_hcp(tmp_path)):
        with pytest.raises(BadRunError, match="wanted 65 rows; received 64"):
            read_confounds(recording, ("motion",), {}, N_TIMES + 1)
        with pytest.raises(BadRunError, match="wanted 65 rows; received 64"):
            read_motion(recording, N_TIMES + 1)


def test_tables_that_cannot_be_used(modern: Recording, tmp_path: Path) -> None:
    with pytest.raises(BadRunError, match="compcor"):
        read_confounds(modern, ("compcor",), {}, N_TIMES)
    with pytest.raises(BadRunError, match="wanted 12 columns; received 5"):
        read_motion(write_hcp(tmp_path, n_columns=5), N_TIMES)
    empty = tmp_path / "sub-1_desc-confounds_timeseries.tsv"
    empty.write_text("")
    with pytest.raises(BadRunError, match="cannot be read"):
        read_motion(recording_with(empty), N_TIMES)


@pytest.mark.parametrize("column", ["trans_x", "framewise_displacement", "csf"])
def test_gaps_are_known_of_the_first_volume_only(
    column: str, modern: Recording
) -> None:
    assert modern.confounds is not None
    table = pd.read_csv(modern.confounds, sep="\t", na_values="n/a")
    for row, refused in ((0, False), (7, True)):
        gap = table.copy()
        gap.loc[row, column] = np.nan
        gap.to_csv(modern.confounds, sep="\t", index=False, na_rep="n/a")
        read = read_motion if column == "framewise_displacement" else None

        def load(read: Callable | None = read) -> object:
            if read is not None:
                return read(modern, N_TIMES)
            return read_confounds(modern, ("motion", "wm_csf"), {}, N_TIMES)

        if refused:
            with pytest.raises(BadRunError, match="n/a in row 8"):
                load()
        else:
            load()


@pytest.mark.parametrize("cell", ["0,12", "0.1 mm", "nan"])
def test_a_cell_that_is_no_number_is_no_zero(cell: str, modern: Recording) -> None:
    assert modern.confounds is not None
    table = pd.read_csv(modern.confounds, sep="\t", dtype=str, keep_default_na=False)
    table.loc[5, "rot_y"] = cell
    table.to_csv(modern.confounds, sep="\t", index=False)
    for read in (
        lambda: read_motion(modern, N_TIMES),
        lambda: read_confounds(modern, ("motion",), {}, N_TIMES),
    ):
        with pytest.raises(BadRunError, match=r"timeseries.tsv.*row 6, column 'rot_y'"):
            read()
