"""What went into a run, as far as it is still there: prepared runs and recordings."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np

from boldformer.data.folders import WORK
from boldformer.data.store import PreparedRun
from boldformer.data.wording import first_of
from boldformer.studies.records import input_hash
from boldformer.studies.run_outputs import RUN_FILE
from boldformer.studies.verification_protocol import grid_is_there
from boldformer.studies.verification_reading import Recorded

# Named in full up to so many; a folder that was replaced would fill a page.
NAMED = 3


def prepared(run: Recorded) -> Iterator[str]:
    """Hash the prepared runs that are still in the store."""
    record = run.record
    if input_hash(record["inputs"]) != record["input_hash"]:
        yield "the inputs listed in record.json are not those it hashes"
    changed = []
    for name, recorded in record["inputs"].items():
        folder = run.out / WORK / "store" / name
        if folder.is_dir() and not _is_run(PreparedRun(folder), recorded):
            changed.append(name)
    if changed:
        yield f"prepared runs changed: {first_of(changed, NAMED)}"


def _is_run(run: PreparedRun, recorded: dict[str, str]) -> bool:
    digest = hashlib.sha256(np.ascontiguousarray(run.stored).data)
    digest.update(run.voxels.data)
    same = all(run.info.get(key) == value for key, value in recorded.items())
    return same and digest.hexdigest() == recorded["content_hash"]


def sources(run: Recorded) -> Iterator[str]:
    """Compare the recordings that are still there with those that were prepared."""
    changed = [name for name, same in run.sources.items() if same is False]
    if changed:
        yield f"source recordings changed: {first_of(changed, NAMED)}"


def absent(run: Recorded) -> Iterator[str]:
    """Say what is not there to be checked."""
    names = list(run.record["inputs"])
    store = run.out / WORK / "store"
    gone = [name for name in names if not (store / name).is_dir()]
    if gone:
        yield f"{len(gone)} of {len(names)} prepared runs are gone: not checked"
    if run.recordings is None:
        yield f"the dataset that {RUN_FILE} names is not there: not checked"
    else:
        lost = [name for name, same in run.sources.items() if same is None]
        if lost:
            yield f"{len(lost)} of {len(names)} recordings are gone: not checked"
    if not grid_is_there(run):
        yield "the image of grid_like is not there: steps are not checked"
