"""Looking at a run finds what was planted, whatever shape the run comes in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from boldformer.cli import run_command
from boldformer.config import DataConfig
from boldformer.data.prepare import prepare
from boldformer.data.sources.layouts import open_source
from boldformer.errors import InputError, OutputExistsError
from boldformer.preprocessing.pipeline import Pipeline
from boldformer.studies.dataset_inspection import inspect_run

MakeBids = Callable[..., Path]
TABLES = {"frames.tsv", "responses.tsv", "summary.json", "tsnr.nii.gz"}


@pytest.fixture(scope="module")
def raw(write_bids: MakeBids, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("inspect") / "raw"
    return write_bids(root, subjects=1, runs=2, n_blocks=8, n_times=70)


@pytest.fixture(scope="module")
def inspected(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("inspected") / "out"
    return inspect_run(bold_of(raw), out).parent


def bold_of(root: Path, pattern: str = "*run-1*_bold.nii.gz") -> Path:
    return next(root.rglob(pattern))


def summary_of(out: Path) -> dict:
    return json.loads((out / "summary.json").read_text())


def test_it_writes_what_it_says(inspected: Path) -> None:
    there = {file.name for file in inspected.iterdir()}
    assert there == set(summary_of(inspected)["files"])
    assert there > TABLES | {"inspection.png", "inspection.svg"}
    maps = {name for name in there if "_statmap" in name}
    assert maps == {
        f"sub-01_task-test_run-1_label-{label}_desc-{kind}_statmap.nii.gz"
        for label in ("left", "right")
        for kind in ("response", "peak")
    }


def test_maps_and_curves_find_the_planted_response(inspected: Path) -> None:
    # Each half answers to its type with 25 over a level of about 1050.
    for label, own, other in (("left", 0, 1), ("right", 1, 0)):
        file = next(inspected.glob(f"*label-{label}_desc-response*"))
        image = nib.load(file)
        response = image.get_fdata()
        halves = response[2:5, 2:9, 2:7].mean(), response[5:8, 2:9, 2:7].mean()
        assert halves[own] > halves[other] + 1
        assert response[0, 0, 0] == 0
        np.testing.assert_allclose(image.affine, np.diag([3, 3, 3, 1]))
    table = pd.read_csv(inspected / "responses.tsv", sep="\t")
    inside = table[table["time_s"].between(6, 10)]
    # Of 2.4 %, up to half is lost to baselines in which the event before, of the same
    # type, is still answered.
    assert inside.groupby("trial_type")["mean"].mean().between(1.2, 2.6).all()
    assert (table["sem"].dropna() > 0).all()
    for condition in summary_of(inspected)["conditions"]:
        assert condition["n_events"] == condition["n_events_in_run"] == 4


def test_tsnr_is_the_planted_one(inspected: Path) -> None:
    tsnr = nib.load(inspected / "tsnr.nii.gz").get_fdata()
    assert 40 < tsnr[2:8, 2:9, 2:7].mean() < 56
    assert summary_of(inspected)["tsnr_median"] == pytest.approx(48, abs=8)


def test_curves_of_noise_are_flat(tmp_path: Path) -> None:
    """Voxels chosen by the events they are shown in would show a response."""
    rng = np.random.default_rng(5)
    func = tmp_path / "bids" / "sub-01" / "func"
    func.mkdir(parents=True)
    (tmp_path / "bids" / "dataset_description.json").write_text('{"Name": "noise"}')
    image = nib.Nifti1Image(
        rng.normal(1000, 20, (14, 14, 12, 150)).astype("f4"), np.diag([3, 3, 3, 1])
    )
    image.header.set_xyzt_units("mm", "sec")
    image.header.set_zooms((3, 3, 3, 2.0))
    bold = func / "sub-01_task-rest_bold.nii.gz"
    nib.save(image, bold)
    onsets = 8 + 28 * np.arange(10)
    events = pd.DataFrame({"onset": onsets, "duration": 8.0, "trial_type": "on"})
    events.to_csv(func / "sub-01_task-rest_events.tsv", sep="\t", index=False)
    out = inspect_run(bold, tmp_path / "out").parent
    table = pd.read_csv(out / "responses.tsv", sep="\t")
    inside = table.loc[table["time_s"].between(5, 13), "mean"]
    # Noise of 2 % over 10 events, 24 voxels, 5 frames against 2 of baseline.
    assert abs(inside.mean()) < 4 * 2 / np.sqrt(10 * 24) * np.sqrt(1 / 5 + 1 / 2)


def test_spikes_are_marked(raw: Path, tmp_path: Path, change_image: Callable) -> None:
    bold = tmp_path / "bare.nii.gz"
    bold.write_bytes(bold_of(raw).read_bytes())

    def spike(data: np.ndarray) -> np.ndarray:
        data[..., 30] += 60
        return data

    change_image(bold, spike)
    out = inspect_run(bold, tmp_path / "out").parent
    frames = pd.read_csv(out / "frames.tsv", sep="\t", na_values="n/a")
    assert frames.loc[frames["time_s"].isin([60, 62]), "dvars_outlier"].all()
    assert set(frames["dvars_relative"].nlargest(2).index) == {30, 31}
    assert np.isnan(frames["dvars"].iloc[0])


def test_a_bare_image_is_looked_at_without_events(raw: Path, tmp_path: Path) -> None:
    bold = tmp_path / "some image.nii.gz"
    bold.write_bytes(bold_of(raw).read_bytes())
    summary = summary_of(inspect_run(bold, tmp_path / "out").parent)
    assert summary["name"] == "some image"
    assert summary["t_r"] == 2.0
    assert summary["conditions"] == []
    assert "fd_mean_mm" not in summary


def test_a_bare_image_needs_its_repetition_time(tmp_path: Path) -> None:
    bold = tmp_path / "bare.nii.gz"
    nib.save(nib.Nifti1Image(np.ones((4, 4, 4, 9), "f4"), np.eye(4)), bold)
    with pytest.raises(InputError, match=r"repetition time is missing.*bare\.json"):
        inspect_run(bold, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_preprocessed_run_brings_mask_confounds_and_events(
    make_bids: MakeBids, tmp_path: Path
) -> None:
    root = make_bids(subjects=1, preprocessed=True)
    bold = bold_of(root, "*run-1*desc-preproc_bold.nii.gz")
    out = inspect_run(bold, tmp_path / "out").parent
    summary = summary_of(out)
    assert summary["n_voxels"] == 6 * 7 * 5
    assert summary["space"] == "MNI152NLin2009cAsym"
    assert summary["fd_max_mm"] > 0
    assert len(summary["conditions"]) == 2
    assert any("space-MNI152NLin2009cAsym_label-left" in f for f in summary["files"])


def test_a_run_without_events_keeps_its_mask_and_motion(
    make_bids: MakeBids, tmp_path: Path
) -> None:
    root = make_bids(subjects=1, preprocessed=True)
    for file in root.rglob("*_events.tsv"):
        file.unlink()
    bold = bold_of(root, "*run-1*desc-preproc_bold.nii.gz")
    summary = summary_of(inspect_run(bold, tmp_path / "out").parent)
    assert summary["n_voxels"] == 6 * 7 * 5
    assert "fd_mean_mm" in summary
    assert summary["conditions"] == []
    assert any("No events" in note for note in summary["notes"])


def test_an_hcp_run_brings_its_events_and_motion(raw: Path, tmp_path: Path) -> None:
    name = "tfMRI_MOTOR_LR"
    folder = tmp_path / "hcp" / "100307" / "MNINonLinear" / "Results" / name
    (folder / "EVs").mkdir(parents=True)
    (folder / f"{name}.nii.gz").write_bytes(bold_of(raw).read_bytes())
    (folder / "EVs" / "lf.txt").write_text("20 12 1\n80 12 1\n")
    motion = np.zeros((70, 12))
    motion[30:, 0] = 1.5
    np.savetxt(folder / "Movement_Regressors.txt", motion)
    out = inspect_run(folder / f"{name}.nii.gz", tmp_path / "out").parent
    summary = summary_of(out)
    assert summary["fd_max_mm"] == pytest.approx(1.5)
    assert [c["n_events"] for c in summary["conditions"]] == [2]


def test_a_prepared_run_is_shown_as_it_is(raw: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    pipeline = Pipeline(({"step": "centre"}, {"step": "zscore"}))
    runs, _ = prepare(
        open_source(DataConfig(path=str(raw))), store, pipeline, progress=False
    )
    name = next(iter(runs))
    for run, recording in ((store / name, ""), (store, name)):
        out = tmp_path / f"out{recording}"
        summary = summary_of(inspect_run(run, out, recording=recording).parent)
        assert summary["name"] == name
        assert "tsnr_median" not in summary
        assert any("not defined" in note for note in summary["notes"])
        assert not (out / "tsnr.nii.gz").exists()
        assert (out / "inspection.svg").exists()


def test_a_dataset_needs_the_name_of_a_recording(raw: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--recording"):
        inspect_run(raw, tmp_path / "out")
    with pytest.raises(InputError, match=r"no recording 'sub-9'.*sub-01_task-test"):
        inspect_run(raw, tmp_path / "out", recording="sub-9")
    name = "sub-01_task-test_run-2"
    out = inspect_run(raw, tmp_path / "out", recording=name, labels=["left"]).parent
    assert [c["label"] for c in summary_of(out)["conditions"]] == ["left"]


def test_it_overwrites_nothing_but_an_inspection(raw: Path, tmp_path: Path) -> None:
    bold, out = bold_of(raw), tmp_path / "out"
    inspect_run(bold, out)
    with pytest.raises(OutputExistsError, match="--overwrite"):
        inspect_run(bold, out)
    inspect_run(bold, out, overwrite=True)
    (out / "thesis.docx").write_text("years of work")
    with pytest.raises(OutputExistsError, match="other files"):
        inspect_run(bold, out, overwrite=True)
    assert (out / "thesis.docx").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--label", "up"], "no event is of the type 'up'"),
        (["--delay", "-1"], "not negative"),
        (["--recording", "x", "--window", "-3"], "not negative"),
    ],
)
def test_faults_are_one_line(
    raw: Path,
    tmp_path: Path,
    options: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    assert run_command(["inspect", str(bold_of(raw)), str(out), *options]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert words in lines[0]
    assert not out.exists()


def test_the_command_names_its_folder_and_prints_the_figure(
    raw: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command(["inspect", str(bold_of(raw)), "--window", "8"]) == 0
    figure = Path(capsys.readouterr().out.strip())
    assert figure == Path("sub-01_task-test_run-1_inspect/inspection.png")
    assert figure.exists()
    assert summary_of(figure.parent)["response_window_s"] == [5.0, 13.0]


def test_real_recordings_of_every_kind_are_drawn(
    recordings_dir: Path, tmp_path: Path
) -> None:
    kinds = {"slice": "haxby", "coarse": "haxby", "audiovisual": "audiovisual"}
    for kind, folder in kinds.items():
        bold = bold_of(recordings_dir / folder, f"*{kind}*_bold.nii.gz")
        assert inspect_run(bold, tmp_path / kind).stat().st_size > 20_000
