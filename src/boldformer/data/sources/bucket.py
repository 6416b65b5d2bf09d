"""OpenNeuro's public bucket: what is in it, and its files, whole and resumable."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

from tqdm.auto import tqdm

from boldformer.errors import DatasetError, import_extra

_BUCKET = "openneuro.org"
_CHUNK = 1 << 20
_CONNECT_TIMEOUT_S = 3
_READ_TIMEOUT_S = 10
_ATTEMPTS = 2


class UnreachableError(DatasetError):
    """OpenNeuro does not answer."""


@dataclasses.dataclass(frozen=True)
class Remote:
    """An object of the bucket.

    Parameters
    ----------
    key : str
        Its name in the bucket.
    path : str
        Where it lies in its dataset.
    size : int
        Bytes.
    etag : str
        Checksum, see `etag`.
    """

    key: str
    path: str
    size: int
    etag: str


class Bucket:
    """OpenNeuro's public bucket, read without an account.

    Parameters
    ----------
    endpoint_url : str, optional
        Another S3 service with a bucket of the same name, such as a mirror.

    Raises
    ------
    MissingExtraError
        When boto3 is not installed.
    """

    def __init__(self, endpoint_url: str | None = None) -> None:
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
        self._network_errors = (
            errors.ConnectionError,
            errors.HTTPClientError,
            errors.IncompleteReadError,
        )
        self._refused = errors.ClientError

    def listing(
        self, accession: str, below: str, *, deep: bool = False
    ) -> tuple[list[Remote], list[str]]:
        """List a folder of a dataset.

        Parameters
        ----------
        accession : str
            Such as ``ds004044``.
        below : str
            The folder, with a slash at its end; empty for the dataset itself.
        deep : bool
            At any depth.

        Returns
        -------
        objects : list of Remote
        folders : list of str
            Names of the folders in it; none where `deep`.

        Raises
        ------
        UnreachableError
            When there is no answer.
        DatasetError
            When the answer is a refusal.
        """
        options = {} if deep else {"Delimiter": "/"}
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=_BUCKET, Prefix=f"{accession}/{below}", **options
        )
        objects: list[Remote] = []
        folders: list[str] = []
        try:
            for page in pages:
                objects += map(_remote, page.get("Contents", ()))
                prefixes = page.get("CommonPrefixes", ())
                folders += [PurePosixPath(each["Prefix"]).name for each in prefixes]
        except (*self._network_errors, self._refused) as error:
            self._explain(error, f"the files of {accession}")
        return [each for each in objects if _is_inside(each.path)], folders

    def download(self, remote: Remote, file: Path, bar: tqdm) -> None:
        """Fetch an object; one that stopped half-way goes on there.

        Parameters
        ----------
        remote : Remote
        file : Path
            Appears when it is whole and right; until then it has a suffix ``.part``.
        bar : tqdm
            Counts bytes.

        Raises
        ------
        UnreachableError
            When the connection brings nothing any more.
        DatasetError
            When what comes does not match its checksum twice.
        OSError
            When the disk is full.
        """
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(f"{file.name}.part")
        for _ in range(_ATTEMPTS):
            part.touch()
            self._fill(part, remote, bar)
            if self.is_right(remote, part):
                part.replace(file)
                return
            part.unlink()
            bar.update(-remote.size)
        raise DatasetError(
            f"{remote.path} does not match its checksum",
            wanted=f"ETag {remote.etag}, {remote.size} bytes",
            fix="run again; if this stays, the network or a proxy alters files",
        )

    def is_right(self, remote: Remote, file: Path) -> bool:
        """Whether a file here has the size and the checksum of an object there."""
        if not file.is_file() or file.stat().st_size != remote.size:
            return False
        parts = "-" in remote.etag and self._part_size(remote)
        with file.open("rb") as opened:
            return etag(opened, parts or None) == remote.etag

    def _fill(self, part: Path, remote: Remote, bar: tqdm) -> None:
        """Go on with a file until it has its size, while anything at all comes."""
        if (size := part.stat().st_size) > remote.size:
            part.write_bytes(b"")
            size = 0
        bar.update(size)
        failures = 0
        while (size := part.stat().st_size) < remote.size:
            try:
                start, chunks = self._read(remote, size)
                with part.open("r+b") as file:
                    file.truncate(start)
                    file.seek(start)
                    bar.update(start - size)
                    for chunk in chunks:
                        file.write(chunk)
                        bar.update(len(chunk))
            except self._network_errors as error:
                failures = 0 if part.stat().st_size > size else failures + 1
                if failures == _ATTEMPTS:
                    self._explain(error, remote.path)

    def _part_size(self, remote: Remote) -> int:
        """Size in bytes of the parts that an object was uploaded in."""
        try:
            head = self._client.head_object(
                Bucket=_BUCKET, Key=remote.key, PartNumber=1
            )
        except (*self._network_errors, self._refused) as error:
            self._explain(error, remote.path)
        return int(head["ContentLength"])

    def _read(self, remote: Remote, start: int) -> tuple[int, Iterator[bytes]]:
        """Bytes of an object from `start` on, or, where that is ignored, from 0."""
        try:
            answer = self._client.get_object(
                Bucket=_BUCKET,
                Key=remote.key,
                IfMatch=f'"{remote.etag}"',
                Range=f"bytes={start}-",
            )
        except self._refused as error:
            self._explain(error, remote.path)
        is_part = answer["ResponseMetadata"]["HTTPStatusCode"] == 206
        return (start if is_part else 0), answer["Body"].iter_chunks(_CHUNK)

    def _explain(self, error: Exception, what: str) -> NoReturn:
        """Raise what a user can act on."""
        if not isinstance(error, self._refused):
            raise UnreachableError(
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


def _remote(entry: dict[str, Any]) -> Remote:
    key = entry["Key"]
    path = key.partition("/")[2]
    return Remote(key, path, int(entry["Size"]), entry["ETag"].strip('"'))


def _is_inside(path: str) -> bool:
    """Whether a key is a file that lies in the dataset's folder, wherever that is."""
    return not path.endswith("/") and ".." not in PurePosixPath(path).parts


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
