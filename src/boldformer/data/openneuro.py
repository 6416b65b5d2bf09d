"""Datasets of OpenNeuro: just the files that decoding needs, whole and resumable."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import logging
import os
import re
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

from tqdm.auto import tqdm

from boldformer.config import DataConfig
from boldformer.data.atomic import write_json
from boldformer.data.bids_files import entities, find_images, same_label
from boldformer.data.selection import keep_asked
from boldformer.errors import DatasetError, import_extra

_BUCKET = "openneuro.org"
_RECORD = ".openneuro.json"
_CHUNK = 1 << 20
_CONNECT_TIMEOUT_S = 3
_READ_TIMEOUT_S = 10
_ATTEMPTS = 2

_ACCESSION = re.compile(r"ds\d{6}")
_OF_DATASET = ("dataset_description.json", "participants.tsv", "participants.json")
_INHERITED = re.compile(r"(^|_)(bold\.json|events\.(tsv|json))$")
_BESIDE = re.compile(
    r"(_desc-brain_mask|_brainmask)\.(nii(\.gz)?|json)$"
    r"|_(desc-confounds_(timeseries|regressors)|bold_confounds)\.(tsv|json)$"
)
_log = logging.getLogger(__name__)


def fetch(
    accession: str,
    config: DataConfig,
    *,
    folder: Path | None = None,
    endpoint_url: str | None = None,
    progress: bool = True,
) -> Path:
    """Fetch what `open_bids` reads of a dataset on OpenNeuro.

    That is: descriptions, participants, events and sidecars; and the images of the
    runs asked for: those of ``derivatives/fmriprep*`` with their masks and confounds,
    in one space, or the raw ones where there are none (or `config` says so). No
    anatomy, surfaces or reports. A file that stopped half-way goes on there. One that
    is here and right is not fetched again; one that differs from OpenNeuro's is.
    When OpenNeuro cannot be reached, what the same filters fetched before is used.

    Parameters
    ----------
    accession : str
        Such as ``ds004044``.
    config : DataConfig
        Filters: participants, tasks, sessions, acquisition, space, resolution, raw.
        With ``derivatives`` set, images come from there and none are fetched.
    folder : Path, optional
        Where the dataset goes; ``$BOLDFORMER_CACHE/<accession>`` by default, or
        ``~/.cache/boldformer/<accession>``.
    endpoint_url : str, optional
        Another S3 service with a bucket ``openneuro.org``, such as a mirror.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Path
        The local BIDS folder. ``.openneuro.json`` in it records what was fetched.

    Raises
    ------
    DatasetError
        When OpenNeuro cannot be reached, has no such dataset, or sends a file that
        does not match its checksum twice.
    InputError
        For a filter that nothing matches.
    MissingExtraError
        When boto3 is not installed.
    OSError
        When the disk is full.

    Notes
    -----
    A file is right when its size and checksum are those of the bucket: the ETag of an
    S3 object is its MD5, and that of one uploaded in N parts the MD5 of the parts'
    MD5s, followed by ``-N``. A file whose time has not changed since it was checked is
    not read again.

    References
    ----------
    Markiewicz CJ et al. (2021). The OpenNeuro resource for sharing of neuroscience
    data. eLife 10:e71774.
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html (ETag)
    """
    if not _ACCESSION.fullmatch(accession):
        raise DatasetError(
            "no accession number of OpenNeuro",
            wanted="ds and six digits, such as ds004044",
            received=repr(accession),
        )
    root = folder or _cache() / accession
    record = _Record(root)
    bucket = _Bucket(endpoint_url)
    try:
        needed = _needed(bucket, accession, config)
    except _UnreachableError:
        if not record.holds(config):
            raise
        _log.warning("cannot reach OpenNeuro: using what %s holds", root)
        return root
    try:
        _download(bucket, needed, root, record, progress)
        record.add_request(config, needed)
    finally:
        record.write()
    return root


def _cache() -> Path:
    folder = os.environ.get("BOLDFORMER_CACHE") or "~/.cache/boldformer"
    return Path(folder).expanduser()


# --- the bucket -------------------------------------------------------------------


class _UnreachableError(DatasetError):
    """OpenNeuro does not answer."""


@dataclasses.dataclass(frozen=True)
class _Remote:
    """An object of the bucket; `path` is relative to the dataset."""

    key: str
    path: str
    size: int
    etag: str


class _Bucket:
    """OpenNeuro's public bucket, read without an account."""

    def __init__(self, endpoint_url: str | None) -> None:
        boto3 = import_extra("boto3", "openneuro")
        botocore = import_extra("botocore", "openneuro")
        settings = import_extra("botocore.config", "openneuro")
        errors = import_extra("botocore.exceptions", "openneuro")
        self._client = boto3.client(
            "s3",
            region_name="us-east-1",
            endpoint_url=endpoint_url,
            config=settings.Config(
                signature_version=botocore.UNSIGNED,
                connect_timeout=_CONNECT_TIMEOUT_S,
                read_timeout=_READ_TIMEOUT_S,
                retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
                # The bucket's name has a dot, which no TLS certificate covers.
                s3={"addressing_style": "path"},
                response_checksum_validation="when_required",
            ),
        )
        self.network_errors = (
            errors.ConnectionError,
            errors.HTTPClientError,
            errors.IncompleteReadError,
        )
        self._refused = errors.ClientError

    def listing(
        self, accession: str, below: str, *, deep: bool = False
    ) -> tuple[list[_Remote], list[str]]:
        """Objects and names of folders in a folder of a dataset, or at any depth."""
        options = {} if deep else {"Delimiter": "/"}
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=_BUCKET, Prefix=f"{accession}/{below}", **options
        )
        objects: list[_Remote] = []
        folders: list[str] = []
        try:
            for page in pages:
                objects += map(_remote, page.get("Contents", ()))
                prefixes = page.get("CommonPrefixes", ())
                folders += [PurePosixPath(each["Prefix"]).name for each in prefixes]
        except (*self.network_errors, self._refused) as error:
            self.explain(error, f"the files of {accession}")
        return [each for each in objects if _is_inside(each.path)], folders

    def part_size(self, remote: _Remote) -> int:
        """Size in bytes of the parts that an object was uploaded in."""
        try:
            head = self._client.head_object(
                Bucket=_BUCKET, Key=remote.key, PartNumber=1
            )
        except (*self.network_errors, self._refused) as error:
            self.explain(error, remote.path)
        return int(head["ContentLength"])

    def read(self, remote: _Remote, start: int) -> tuple[int, Iterator[bytes]]:
        """Bytes of an object from `start` on, or, where that is ignored, from 0."""
        try:
            answer = self._client.get_object(
                Bucket=_BUCKET,
                Key=remote.key,
                IfMatch=f'"{remote.etag}"',
                Range=f"bytes={start}-",
            )
        except self._refused as error:
            self.explain(error, remote.path)
        is_part = answer["ResponseMetadata"]["HTTPStatusCode"] == 206
        return (start if is_part else 0), answer["Body"].iter_chunks(_CHUNK)

    def explain(self, error: Exception, what: str) -> NoReturn:
        """Raise what a user can act on."""
        if not isinstance(error, self._refused):
            raise _UnreachableError(
                "cannot reach OpenNeuro",
                received=str(error).splitlines()[0],
                fix="check the network and HTTPS_PROXY, then run again (it goes on "
                "where it stopped), or give the folder of a local copy",
            ) from None
        raise DatasetError(
            f"OpenNeuro does not give {what}",
            received=str(error),
            fix="run again later: it may be busy, or the dataset have just changed",
        ) from None


def _remote(entry: dict[str, Any]) -> _Remote:
    key = entry["Key"]
    path = key.partition("/")[2]
    return _Remote(key, path, int(entry["Size"]), entry["ETag"].strip('"'))


def _is_inside(path: str) -> bool:
    """Whether a key is a file that lies in the dataset's folder, wherever that is."""
    return not path.endswith("/") and ".." not in PurePosixPath(path).parts


# --- what is needed ---------------------------------------------------------------


def _needed(bucket: _Bucket, accession: str, config: DataConfig) -> list[_Remote]:
    top, folders = bucket.listing(accession, "")
    if not top and not folders:
        raise DatasetError(
            f"OpenNeuro has no dataset {accession}",
            fix="look it up at https://openneuro.org",
        )
    there = [name for name in folders if name.startswith("sub-")]
    subjects = keep_asked(
        there, "sub", config.participants, lambda name: name.removeprefix("sub-")
    )
    listed = list(top)
    for place in ("", *_fmriprep_folders(bucket, accession, config)):
        listed += bucket.listing(accession, place)[0] if place else []
        for subject in subjects:
            listed += bucket.listing(accession, f"{place}{subject}/", deep=True)[0]
    images = _images(listed, accession, config)
    return _with_companions(listed, images, own_images=not config.derivatives)


def _fmriprep_folders(bucket: _Bucket, accession: str, config: DataConfig) -> list[str]:
    if config.raw or config.derivatives:
        return []
    _, folders = bucket.listing(accession, "derivatives/")
    return [f"derivatives/{name}/" for name in folders if name.startswith("fmriprep")]


def _images(
    listed: Sequence[_Remote], accession: str, config: DataConfig
) -> list[PurePosixPath]:
    """Choose images as the reader of the dataset will, from a tree of empty files."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / accession
        root.mkdir()
        for remote in listed:
            if "_bold" in remote.path and ".nii" in remote.path:
                stand_in = root / remote.path
                stand_in.parent.mkdir(parents=True, exist_ok=True)
                stand_in.touch()
        chosen, _ = find_images(root, dataclasses.replace(config, derivatives=""))
        return [PurePosixPath(image.relative_to(root)) for image in chosen]


def _with_companions(
    listed: Sequence[_Remote], images: Sequence[PurePosixPath], *, own_images: bool
) -> list[_Remote]:
    """Keep the images, where they are read, and whatever else applies to one."""
    chosen = {str(image) for image in images} if own_images else set()
    of_subject: dict[str, list[PurePosixPath]] = defaultdict(list)
    for image in images:
        of_subject[entities(image.name)["sub"]].append(image)

    def is_needed(remote: _Remote) -> bool:
        path = PurePosixPath(remote.path)
        subject = entities(path.name).get("sub")
        nearby = of_subject.get(subject, []) if subject else images
        if remote.path in chosen or path.name in _OF_DATASET:
            return True
        if _INHERITED.search(path.name):
            return any(_applies(path, image) for image in nearby)
        return bool(_BESIDE.search(path.name)) and any(
            path.parent == image.parent and _applies(path, image, "desc")
            for image in nearby
        )

    return [remote for remote in listed if is_needed(remote)]


def _applies(path: PurePosixPath, image: PurePosixPath, but: str = "") -> bool:
    """Whether every entity that a file states, but one, is the image's (BIDS)."""
    own = entities(image.name)
    return all(
        key == but or same_label(key, own.get(key), value)
        for key, value in entities(path.name).items()
    )


# --- fetching ---------------------------------------------------------------------


def _download(
    bucket: _Bucket,
    needed: Sequence[_Remote],
    root: Path,
    record: _Record,
    progress: bool,
) -> None:
    todo = [each for each in needed if not _is_here(bucket, each, root, record)]
    with tqdm(
        total=sum(remote.size for remote in todo),
        desc="Fetching",
        unit="B",
        unit_scale=True,
        disable=not progress or not todo,
    ) as bar:
        for remote in todo:
            _fetch_one(bucket, remote, root / remote.path, bar)
            record.add_file(remote)


def _is_here(bucket: _Bucket, remote: _Remote, root: Path, record: _Record) -> bool:
    file = root / remote.path
    if record.knows(remote.path, remote.etag):
        return True
    if not file.is_file() or file.stat().st_size != remote.size:
        return False
    if not _is_right(bucket, remote, file):
        return False
    record.add_file(remote)
    return True


def _fetch_one(bucket: _Bucket, remote: _Remote, file: Path, bar: tqdm) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.part")
    part.touch()
    for _ in range(_ATTEMPTS):
        _fill(bucket, remote, part, bar)
        if _is_right(bucket, remote, part):
            part.replace(file)
            return
        part.unlink()
        part.touch()
        bar.update(-remote.size)
    part.unlink()
    raise DatasetError(
        f"{remote.path} does not match its checksum",
        wanted=f"ETag {remote.etag}, {remote.size} bytes",
        fix="run again; if this stays, the network or a proxy alters files",
    )


def _fill(bucket: _Bucket, remote: _Remote, part: Path, bar: tqdm) -> None:
    """Go on with a file until it has its size, while anything at all comes."""
    if (size := part.stat().st_size) > remote.size:
        part.write_bytes(b"")
        size = 0
    bar.update(size)
    failures = 0
    while (size := part.stat().st_size) < remote.size:
        try:
            start, chunks = bucket.read(remote, size)
            with part.open("r+b") as file:
                file.truncate(start)
                file.seek(start)
                bar.update(start - size)
                for chunk in chunks:
                    file.write(chunk)
                    bar.update(len(chunk))
        except bucket.network_errors as error:
            failures = 0 if part.stat().st_size > size else failures + 1
            if failures == _ATTEMPTS:
                bucket.explain(error, remote.path)


def _is_right(bucket: _Bucket, remote: _Remote, file: Path) -> bool:
    if file.stat().st_size != remote.size:
        return False
    parts = "-" in remote.etag and bucket.part_size(remote)
    with file.open("rb") as opened:
        return etag(opened, parts or None) == remote.etag


def etag(file: BufferedReader, part_size: int | None = None) -> str:
    """Compute the ETag that S3 gives a file.

    Parameters
    ----------
    file : binary file
        Read from where it stands to its end.
    part_size : int, optional
        Bytes in each part, for an object that was uploaded in parts.

    Returns
    -------
    str
        The MD5 in hexadecimal; with parts, that of their MD5s, and ``-N``.
    """
    if part_size is None:
        return hashlib.file_digest(file, _md5).hexdigest()
    digests = [_md5(part).digest() for part in iter(lambda: file.read(part_size), b"")]
    return f"{_md5(b''.join(digests)).hexdigest()}-{len(digests)}"


def _md5(data: bytes = b"") -> Any:
    return hashlib.md5(data, usedforsecurity=False)


# --- what was fetched -------------------------------------------------------------


class _Record:
    """What was fetched, with which filters; a small JSON file beside the data."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._files: dict[str, dict[str, Any]] = {}
        self._requests: dict[str, list[str]] = {}
        # Without a readable record, files are told by their checksums.
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            content = json.loads((root / _RECORD).read_text(encoding="utf-8"))
            self._files, self._requests = content["files"], content["requests"]
        self._before = self._content()

    def add_file(self, remote: _Remote) -> None:
        stat = (self._root / remote.path).stat()
        self._files[remote.path] = {
            "etag": remote.etag,
            "size": stat.st_size,
            "mtime_ns": stat.st_mtime_ns,
        }

    def knows(self, path: str, expected: str | None = None) -> bool:
        """Whether a file is as it was when it was last checked."""
        entry = self._files.get(path, {})
        try:
            stat = (self._root / path).stat()
        except OSError:
            return False
        same = (entry.get("size"), entry.get("mtime_ns")) == (
            stat.st_size,
            stat.st_mtime_ns,
        )
        return same and expected in (None, entry.get("etag"))

    def add_request(self, config: DataConfig, needed: Sequence[_Remote]) -> None:
        self._requests[_request(config)] = [remote.path for remote in needed]

    def holds(self, config: DataConfig) -> bool:
        """Whether all that these filters asked for is still here."""
        paths = self._requests.get(_request(config), [])
        return bool(paths) and all(self.knows(path) for path in paths)

    def write(self) -> None:
        """Write the record, unless it says so already (in a folder for all to read)."""
        if self._content() != self._before:
            write_json(self._root / _RECORD, json.loads(self._content()))

    def _content(self) -> str:
        return json.dumps({"files": self._files, "requests": self._requests})


def _request(config: DataConfig) -> str:
    lists = (config.participants, config.tasks, config.sessions)
    others = (config.acquisition, config.space, config.resolution, config.raw)
    return json.dumps([*map(sorted, lists), *others, bool(config.derivatives)])
