"""A decoder that was saved, and ways to change what its folder says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from boldformer import Decoder, open_dataset
from boldformer.data.recording import Dataset
from boldformer.training.saved_record import facts_hash

NEW = ("hash", "files", "parameters", "shape", "leaky")


@pytest.fixture(scope="module")
def dataset(
    write_bids: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Dataset:
    root = tmp_path_factory.mktemp("files") / "bids"
    return open_dataset(write_bids(root, subjects=2, runs=1, preprocessed=True))


@pytest.fixture(scope="module")
def fitted(dataset: Dataset) -> Decoder:
    """A decoder whose model has its classes in another order than the sorted one."""
    return Decoder("linear", labels=["right", "left"]).fit(dataset)


@pytest.fixture
def folder(fitted: Decoder, tmp_path: Path) -> Path:
    return fitted.save(tmp_path / "decoder")


@pytest.fixture(scope="session")
def edit() -> Callable[..., None]:
    """Change a folder's record; signed, as one who writes its hash anew."""

    def change_record(
        folder: Path, change: Callable[[dict], object], *, sign: bool = False
    ) -> None:
        file = folder / "decoder.json"
        record = json.loads(file.read_text())
        change(record)
        if sign:
            record["hash"] = facts_hash(record)
        file.write_text(json.dumps(record))

    return change_record


@pytest.fixture(scope="session")
def make_old(edit: Callable[..., None]) -> Callable[[Path], None]:
    """Turn a folder into one of the version that kept only what a model needs."""
    return lambda folder: edit(folder, lambda r: [r.pop(key) for key in NEW])
