"""Objects come whole and right over a bad line, and no byte comes twice."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tqdm.auto import tqdm

from boldformer.data.sources.bucket import Bucket, etag
from boldformer.errors import DatasetError

Service = Any  # of conftest.py
ACCESSION, NAME = "ds000001", "openneuro.org"
IMAGE = "sub-1/func/sub-1_task-motor_bold.nii.gz"
BYTES = bytes(range(256)) * 8000
PART = 5 << 20


def get(service: Service, root: Path) -> None:
    """Download what a dataset holds and is not here yet."""
    bucket = Bucket(service.url)
    objects, _ = bucket.listing(ACCESSION, "", deep=True)
    for remote in objects:
        if not bucket.is_right(remote, root / remote.path):
            bucket.download(remote, root / remote.path, tqdm(disable=True))


def local(root: Path) -> set[str]:
    return {str(f.relative_to(root)) for f in root.rglob("*") if f.is_file()}


def one_image(service: Service, content: bytes = BYTES) -> None:
    service.put("dataset_description.json", b"{}")
    service.put(IMAGE, content)


def test_half_a_file_goes_on_where_it_stopped(service: Service, tmp_path: Path) -> None:
    one_image(service)
    part = tmp_path / f"{IMAGE}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(BYTES[: len(BYTES) // 2])
    get(service, tmp_path)
    assert (tmp_path / IMAGE).read_bytes() == BYTES
    assert service.n_sent == len(BYTES) // 2 + len(b"{}")
    assert not part.exists()


def test_a_connection_that_breaks_goes_on(service: Service, tmp_path: Path) -> None:
    one_image(service)
    service.faults = [lambda body: body, *[lambda body: body[: len(body) // 2]] * 3]
    get(service, tmp_path)
    assert (tmp_path / IMAGE).read_bytes() == BYTES
    assert service.n_sent == len(BYTES) + len(b"{}")
    assert service.fetched.count(IMAGE) == 4


def test_a_connection_that_brings_nothing_ends(
    service: Service, tmp_path: Path
) -> None:
    one_image(service)
    service.faults = [
        lambda body: body,
        lambda body: body[:1000],
        *[lambda body: b""] * 9,
    ]
    with pytest.raises(DatasetError, match=r"cannot reach OpenNeuro.*run again"):
        get(service, tmp_path)
    assert (tmp_path / f"{IMAGE}.part").read_bytes() == BYTES[:1000]
    assert not (tmp_path / IMAGE).exists()
    service.faults.clear()
    service.forget()
    get(service, tmp_path)
    assert service.fetched == [IMAGE]
    assert service.n_sent == len(BYTES) - 1000


def flip(body: bytes) -> bytes:
    return body[:-1] + bytes([body[-1] ^ 1])


def test_damage_on_the_way_is_caught_and_mended(
    service: Service, tmp_path: Path
) -> None:
    one_image(service)
    service.faults = [lambda body: body, flip]
    get(service, tmp_path)
    assert (tmp_path / IMAGE).read_bytes() == BYTES
    assert service.fetched.count(IMAGE) == 2


def test_damage_every_time_is_one_line(service: Service, tmp_path: Path) -> None:
    one_image(service)
    service.faults = [lambda body: body, flip, flip]
    with pytest.raises(DatasetError, match="does not match its checksum") as caught:
        get(service, tmp_path)
    assert "\n" not in str(caught.value)
    assert service.fetched.count(IMAGE) == 2
    assert local(tmp_path) == {"dataset_description.json"}


@pytest.mark.parametrize("stale", [b"\0" * 1000, b"\0" * (len(BYTES) + 1)])
def test_half_of_another_file_does_no_harm(
    service: Service, tmp_path: Path, stale: bytes
) -> None:
    one_image(service)
    part = tmp_path / f"{IMAGE}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(stale)
    get(service, tmp_path)
    assert (tmp_path / IMAGE).read_bytes() == BYTES


def test_an_object_uploaded_in_parts(service: Service, tmp_path: Path) -> None:
    service.put("dataset_description.json", b"{}")
    parts = [b"a" * PART, b"b" * PART, b"c" * 100]
    service.put_in_parts(IMAGE, parts)
    service.faults = [lambda body: body, flip]
    get(service, tmp_path)
    assert (tmp_path / IMAGE).read_bytes() == b"".join(parts)
    assert service.fetched.count(IMAGE) == 2  # the damage was seen
    objects, _ = Bucket(service.url).listing(ACCESSION, "sub-1/", deep=True)
    assert objects[0].etag.endswith("-3")


@given(st.binary(max_size=300), st.integers(1, 100))
def test_etag_is_the_digest_of_digests(content: bytes, size: int) -> None:
    parts = [content[i : i + size] for i in range(0, len(content), size)]
    digests = b"".join(hashlib.md5(part).digest() for part in parts)
    expected = f"{hashlib.md5(digests).hexdigest()}-{len(parts)}"
    assert etag(io.BufferedReader(io.BytesIO(content)), size) == expected
    whole = etag(io.BufferedReader(io.BytesIO(content)))
    assert whole == hashlib.md5(content).hexdigest()


def test_an_empty_file(service: Service, tmp_path: Path) -> None:
    one_image(service)
    service.put("participants.json", b"")
    get(service, tmp_path)
    assert (tmp_path / "participants.json").read_bytes() == b""


def test_a_folder_is_listed_with_those_in_it(service: Service) -> None:
    one_image(service)
    bucket = Bucket(service.url)
    objects, folders = bucket.listing(ACCESSION, "")
    assert [remote.path for remote in objects] == ["dataset_description.json"]
    assert folders == ["sub-1"]
    assert bucket.listing(ACCESSION, "sub-2/") == ([], [])


def test_a_private_object_is_one_line(service: Service, tmp_path: Path) -> None:
    one_image(service)
    key = f"{ACCESSION}/{IMAGE}"
    service.admin.put_object_acl(Bucket=NAME, Key=key, ACL="private")
    with pytest.raises(DatasetError, match="does not give") as caught:
        get(service, tmp_path)
    assert "\n" not in str(caught.value)


def test_a_key_that_leaves_the_folder_is_left_alone(
    service: Service, tmp_path: Path
) -> None:
    one_image(service)
    service.put("sub-1/../../../participants.tsv", b"evil")
    get(service, tmp_path / "a" / "b")
    assert local(tmp_path) == {
        f"a/b/{name}" for name in ("dataset_description.json", IMAGE)
    }
