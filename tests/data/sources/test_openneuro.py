"""Fetching from OpenNeuro: what comes, what goes on, what is caught."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from boldformer.config import DataConfig
from boldformer.data.sources.bids import open_bids
from boldformer.data.sources.openneuro import fetch
from boldformer.errors import DatasetError, InputError

ACCESSION = "ds000001"
MNI = "space-MNI152NLin2009cAsym"
Service = Any  # of conftest.py


def small(text: str) -> bytes:
    return text.encode()


RAW_RUN = ("_bold.nii.gz", "_bold.json", "_events.tsv", "_sbref.nii.gz", "_physio.tsv")
PREPARED_RUN = (
    f"_{MNI}_desc-preproc_bold.nii.gz",
    f"_{MNI}_desc-preproc_bold.json",
    f"_{MNI}_desc-brain_mask.nii.gz",
    f"_{MNI}_boldref.nii.gz",
    "_space-T1w_desc-preproc_bold.nii.gz",
    "_space-T1w_desc-brain_mask.nii.gz",
    "_space-fsLR_den-91k_bold.dtseries.nii",
    "_space-fsLR_den-91k_bold.json",
    "_hemi-L_space-fsaverage5_bold.func.gii",
    "_desc-confounds_timeseries.tsv",
    "_desc-confounds_timeseries.json",
)
NEEDED_OF_PREPARED = (*PREPARED_RUN[:3], *PREPARED_RUN[-2:])


def upload(service: Service, *, derivatives: bool = False) -> None:
    """Two subjects (and a third whose label begins alike), two tasks."""
    for name in ("dataset_description.json", "participants.tsv", "participants.json"):
        service.put(name, small("{}"))
    for name in ("README", "CHANGES", "task-motor_bold.json", "task-rest_bold.json"):
        service.put(name, small("{}"))
    service.put("stimuli/left.png", b"png")
    service.put("task-motor_events.json", small("{}"))
    for subject in ("sub-1", "sub-2", "sub-10"):
        service.put(f"{subject}/anat/{subject}_T1w.nii.gz", b"anatomy")
        _upload_runs(service, subject, RAW_RUN, "")
        if derivatives:
            prefix = "derivatives/fmriprep/"
            _upload_runs(service, subject, PREPARED_RUN, prefix)
            mask = f"anat/{subject}_{MNI}_desc-brain_mask.nii.gz"
            service.put(f"{prefix}{subject}/{mask}", b"anatomy")
            service.put(f"{prefix}{subject}.html", b"report")
    if derivatives:
        service.put("derivatives/fmriprep/dataset_description.json", small("{}"))
        service.put("derivatives/mriqc/sub-1/func/sub-1_task-motor_bold.json", b"{}")


def _upload_runs(
    service: Service, subject: str, endings: tuple[str, ...], prefix: str
) -> None:
    for task in ("motor", "rest"):
        for ending in endings:
            name = f"{prefix}{subject}/func/{subject}_task-{task}{ending}"
            service.put(name, small(name))


def local(root: Path) -> set[str]:
    files = {str(f.relative_to(root)) for f in root.rglob("*") if f.is_file()}
    return files - {".openneuro.json"}


def get(service: Service, root: Path, **filters: Any) -> Path:
    config = DataConfig(path=ACCESSION, **filters)
    return fetch(
        ACCESSION, config, folder=root, endpoint_url=service.url, progress=False
    )


# --- what comes -------------------------------------------------------------------

TOP = {
    "dataset_description.json",
    "participants.tsv",
    "participants.json",
    "task-motor_bold.json",
    "task-motor_events.json",
}


def test_only_the_raw_files_of_a_subject_and_task_come(
    service: Service, tmp_path: Path
) -> None:
    upload(service)
    root = get(service, tmp_path / "got", participants=("1",), tasks=("motor",))
    stem = "sub-1/func/sub-1_task-motor"
    assert local(root) == TOP | {stem + ending for ending in RAW_RUN[:3]}
    assert (root / f"{stem}_bold.nii.gz").read_text() == f"{stem}_bold.nii.gz"
    prefixes = [query for _, query in service.requests if "list-type" in query]
    assert not any("sub-2" in query or "sub-10" in query for query in prefixes)


def test_derivatives_come_in_one_space_with_their_companions(
    service: Service, tmp_path: Path
) -> None:
    upload(service, derivatives=True)
    root = get(service, tmp_path / "got", participants=("sub-1",), tasks=("motor",))
    stem = "sub-1/func/sub-1_task-motor"
    derived = f"derivatives/fmriprep/{stem}"
    assert local(root) == (
        TOP
        | {"derivatives/fmriprep/dataset_description.json"}
        | {f"{stem}_bold.json", f"{stem}_events.tsv"}
        | {derived + ending for ending in NEEDED_OF_PREPARED}
    )


@pytest.mark.parametrize("filters", [{"space": "T1w"}, {"raw": True}])
def test_other_images_on_request(
    service: Service, tmp_path: Path, filters: dict
) -> None:
    upload(service, derivatives=True)
    root = get(service, tmp_path / "got", **filters)
    images = sorted(file.name for file in root.rglob("*_bold.nii.gz"))
    ending = "_space-T1w_desc-preproc_bold.nii.gz" if "space" in filters else RAW_RUN[0]
    assert images == sorted(
        f"sub-{s}_task-{t}{ending}" for s in (1, 2, 10) for t in ("motor", "rest")
    )


def test_with_derivatives_of_ones_own_no_image_comes(
    service: Service, tmp_path: Path
) -> None:
    upload(service, derivatives=True)
    root = get(service, tmp_path / "got", derivatives=str(tmp_path))
    assert not list(root.rglob("*.nii*"))
    assert len(list(root.rglob("*_events.tsv"))) == 6


def test_sessions_and_old_names(service: Service, tmp_path: Path) -> None:
    service.put("dataset_description.json", b"{}")
    for session in "ab":
        stem = f"sub-1/ses-{session}/func/sub-1_ses-{session}_task-motor"
        service.put(f"{stem}_events.tsv", b"x")
        service.put(f"{stem}_bold.nii.gz", b"x")
        for ending in ("space-MNI152NLin2009cAsym_preproc.nii.gz", "confounds.tsv"):
            service.put(f"derivatives/fmriprep-1.0/{stem}_bold_{ending}", b"x")
    service.put("sub-1/sub-1_task-motor_events.json", b"{}")
    root = get(service, tmp_path / "got", sessions=("b",))
    stem = "sub-1/ses-b/func/sub-1_ses-b_task-motor"
    assert local(root) == {
        "dataset_description.json",
        "sub-1/sub-1_task-motor_events.json",
        f"{stem}_events.tsv",
        f"derivatives/fmriprep-1.0/{stem}_bold_confounds.tsv",
        f"derivatives/fmriprep-1.0/{stem}_bold_{MNI}_preproc.nii.gz",
    }


def test_what_comes_opens_as_the_whole_dataset_does(
    service: Service, tmp_path: Path, make_bids: Callable[..., Path]
) -> None:
    whole = make_bids(preprocessed=True)
    for file in whole.rglob("*"):
        if file.is_file():
            service.put(str(file.relative_to(whole)), file.read_bytes())
    root = get(service, tmp_path / "got", participants=("02",))
    config = DataConfig(path=str(root), participants=("02",))
    fetched = open_bids(config)
    expected = open_bids(dataclasses.replace(config, path=str(whole)))
    assert [r.name for r in fetched] == [r.name for r in expected]
    for one, other in zip(fetched, expected, strict=True):
        assert one.bold.read_bytes() == other.bold.read_bytes()
        assert one.events.equals(other.events)
        assert (one.mask is None, one.confounds is None) == (False, False)


def test_a_long_listing_is_read_to_its_end(service: Service, tmp_path: Path) -> None:
    upload(service)
    service.page_size = 3
    root = get(service, tmp_path / "got", participants=("1",), tasks=("rest",))
    assert (root / "sub-1/func/sub-1_task-rest_bold.nii.gz").exists()


def test_the_default_folder_follows_the_environment(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(service)
    monkeypatch.setenv("BOLDFORMER_CACHE", str(tmp_path / "cache"))
    config = DataConfig(tasks=("motor",))
    root = fetch(ACCESSION, config, endpoint_url=service.url, progress=False)
    assert root == tmp_path / "cache" / ACCESSION


# --- again ------------------------------------------------------------------------


def test_a_second_call_fetches_nothing(service: Service, tmp_path: Path) -> None:
    upload(service)
    root = get(service, tmp_path / "got")
    before = {file: file.stat().st_mtime_ns for file in root.rglob("*")}
    service.forget()
    assert get(service, tmp_path / "got") == root
    assert service.fetched == []
    # Not even the record is written: the folder may be one that all only read.
    assert {file: file.stat().st_mtime_ns for file in root.rglob("*")} == before


def test_files_brought_by_other_means_are_kept(
    service: Service, tmp_path: Path
) -> None:
    upload(service)
    root = get(service, tmp_path / "got")
    (root / ".openneuro.json").unlink()
    os.utime(root / "participants.tsv", (1, 1))
    service.forget()
    get(service, tmp_path / "got")
    assert service.fetched == []


def test_a_changed_remote_file_comes_again(service: Service, tmp_path: Path) -> None:
    upload(service)
    root = get(service, tmp_path / "got")
    service.put("participants.tsv", b"[]")  # as long as before
    service.forget()
    get(service, tmp_path / "got")
    assert service.fetched == ["participants.tsv"]
    assert (root / "participants.tsv").read_bytes() == b"[]"


@pytest.mark.parametrize("content", [b"{", b"[]", None])
def test_a_damaged_local_file_comes_again(
    service: Service, tmp_path: Path, content: bytes | None
) -> None:
    upload(service)
    root = get(service, tmp_path / "got")
    file = root / "participants.tsv"
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    service.forget()
    get(service, tmp_path / "got")
    assert service.fetched == ["participants.tsv"]
    assert file.read_bytes() == b"{}"


def test_a_broken_record_is_no_obstacle(service: Service, tmp_path: Path) -> None:
    upload(service)
    root = get(service, tmp_path / "got")
    for text in ("", "[]", "{", '{"files": 1}'):
        (root / ".openneuro.json").write_text(text)
        service.forget()
        get(service, tmp_path / "got")
        assert service.fetched == []
    record = json.loads((root / ".openneuro.json").read_text())
    digest = hashlib.md5(b"{}").hexdigest()
    assert record["files"]["participants.tsv"]["etag"] == digest


# --- interruptions ----------------------------------------------------------------

IMAGE = "sub-1/func/sub-1_task-motor_bold.nii.gz"


def test_half_a_file_goes_on_where_it_stopped(service: Service, tmp_path: Path) -> None:
    content = bytes(range(256)) * 80
    service.put("dataset_description.json", b"{}")
    service.put(IMAGE, content)
    part = tmp_path / f"{IMAGE}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(content[:1000])
    get(service, tmp_path)
    assert (tmp_path / IMAGE).read_bytes() == content
    assert service.n_sent == len(content) - 1000 + len(b"{}")
    assert not part.exists()


def test_a_full_disk_is_said_as_such(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.put("dataset_description.json", b"{}")
    service.put(IMAGE, b"image")
    whole = Path.open

    def full(self: Path, mode: str = "r", *rest: Any, **options: Any) -> Any:
        if self.name.endswith("nii.gz.part") and mode == "r+b":
            raise OSError(errno.ENOSPC, "No space left on device")
        return whole(self, mode, *rest, **options)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(OSError, match="No space left") as caught:
        get(service, tmp_path)
    assert caught.value.errno == errno.ENOSPC
    assert "dataset_description.json" in (tmp_path / ".openneuro.json").read_text()


# --- what cannot be had -----------------------------------------------------------


def offline(root: Path, **filters: Any) -> Path:
    config = DataConfig(**filters)
    url = "http://127.0.0.1:9"
    return fetch(ACCESSION, config, folder=root, endpoint_url=url, progress=False)


def test_offline_is_one_line_in_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    started = time.monotonic()
    with pytest.raises(DatasetError, match="cannot reach OpenNeuro") as caught:
        offline(tmp_path / "got")
    assert time.monotonic() - started < 10
    assert "\n" not in str(caught.value)
    assert "run again" in str(caught.value)
    assert not (tmp_path / "got").exists()


def test_offline_opens_what_was_fetched_with_the_same_filters(
    service: Service, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    upload(service)
    root = get(service, tmp_path / "got", participants=("2", "1"))
    with caplog.at_level(logging.WARNING):
        assert offline(tmp_path / "got", participants=("1", "2")) == root
    assert "using what" in caplog.text
    with pytest.raises(DatasetError, match="cannot reach OpenNeuro"):
        offline(tmp_path / "got")
    (root / "participants.tsv").unlink()
    with pytest.raises(DatasetError, match="cannot reach OpenNeuro"):
        offline(tmp_path / "got", participants=("1", "2"))


def test_an_unknown_accession_is_one_line(service: Service, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=f"has no dataset {ACCESSION}") as caught:
        get(service, tmp_path / "got")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "got").exists()


@pytest.mark.parametrize("text", ["", "ds1", "ds000001/", "../ds000001", "motor"])
def test_no_accession(text: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no accession number"):
        fetch(text, DataConfig(), folder=tmp_path)


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"participants": ("1", "7")}, "no recording has sub-7.*sub in 1, 10, 2"),
        ({"tasks": ("sleep",)}, "no recording has task-sleep"),
        ({"space": "MNI305"}, "no recording in space 'MNI305'"),
    ],
)
def test_a_filter_that_nothing_matches(
    service: Service, tmp_path: Path, filters: dict, message: str
) -> None:
    upload(service, derivatives=True)
    with pytest.raises(InputError, match=message):
        get(service, tmp_path / "got", **filters)
    assert service.fetched == []
