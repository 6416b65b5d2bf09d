"""Datasets of OpenNeuro: just the files that decoding needs, whole and resumable."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import re
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from tqdm.auto import tqdm

from boldformer.config import DataConfig
from boldformer.data.atomic import write_json
from boldformer.data.selection import keep_asked, same_label
from boldformer.data.sources.bids_files import entities, find_images
from boldformer.data.sources.bucket import Bucket, Remote, UnreachableError
from boldformer.errors import DatasetError

_RECORD = ".openneuro.json"
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
    bucket = Bucket(endpoint_url)
    try:
        needed = _needed(bucket, accession, config)
    except UnreachableError:
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


# --- what is needed ---------------------------------------------------------------


def _needed(bucket: Bucket, accession: str, config: DataConfig) -> list[Remote]:
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


def _fmriprep_folders(bucket: Bucket, accession: str, config: DataConfig) -> list[str]:
    if config.raw or config.derivatives:
        return []
    _, folders = bucket.listing(accession, "derivatives/")
    return [f"derivatives/{name}/" for name in folders if name.startswith("fmriprep")]


def _images(
    listed: Sequence[Remote], accession: str, config: DataConfig
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
        chosen, *_ = find_images(root, dataclasses.replace(config, derivatives=""))
        return [PurePosixPath(image.relative_to(root)) for image in chosen]


def _with_companions(
    listed: Sequence[Remote], images: Sequence[PurePosixPath], *, own_images: bool
) -> list[Remote]:
    """Keep the images, where they are read, and whatever else applies to one."""
    chosen = {str(image) for image in images} if own_images else set()
    of_subject: dict[str, list[PurePosixPath]] = defaultdict(list)
    for image in images:
        of_subject[entities(image.name)["sub"]].append(image)

    def is_needed(remote: Remote) -> bool:
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
    bucket: Bucket,
    needed: Sequence[Remote],
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
            bucket.download(remote, root / remote.path, bar)
            record.add_file(remote)


def _is_here(bucket: Bucket, remote: Remote, root: Path, record: _Record) -> bool:
    if record.knows(remote.path, remote.etag):
        return True
    if not bucket.is_right(remote, root / remote.path):
        return False
    record.add_file(remote)
    return True


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

    def add_file(self, remote: Remote) -> None:
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

    def add_request(self, config: DataConfig, needed: Sequence[Remote]) -> None:
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
    filters = sorted(config.filters.items())
    return json.dumps([*map(sorted, lists), *others, bool(config.derivatives), filters])
