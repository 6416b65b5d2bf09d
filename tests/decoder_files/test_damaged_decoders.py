"""A decoder's folder that was damaged, edited or made up is refused in one line."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from boldformer import Decoder
from boldformer.errors import InputError

Change = Callable[[Path], object]
Edit = Callable[..., None]
MakeOld = Callable[[Path], None]


@pytest.mark.parametrize("spoil", ["missing", "version", "weights", "json"])
def test_folders_that_hold_no_decoder(spoil: str, folder: Path, tmp_path: Path) -> None:
    if spoil == "missing":
        folder = tmp_path / "nothing"
    elif spoil == "version":
        record = json.loads((folder / "decoder.json").read_text())
        (folder / "decoder.json").write_text(json.dumps({**record, "version": 9}))
    elif spoil == "weights":
        (folder / "model.safetensors").write_bytes(b"not weights")
    else:
        (folder / "decoder.json").write_text("{")
    with pytest.raises(InputError):
        Decoder.load(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record["classes"].reverse(),
        lambda record: record["pipeline"].pop(),
        lambda record: record.update(leaky=True),
        lambda record: record.update(t_r=3.0),
        lambda record: record["parameters"].update(labels=["left"]),
    ],
)
def test_a_record_that_was_edited_is_refused(
    change: Callable[[dict], object], folder: Path, edit: Edit
) -> None:
    edit(folder, change)
    with pytest.raises(InputError, match="changed after it was written"):
        Decoder.load(folder)


WRONG: dict[str, Callable[[dict], object]] = {
    "one class": lambda record: record["classes"].pop(),
    "three classes": lambda record: record["classes"].append("third"),
    "a class twice": lambda record: record.update(classes=["left", "left"]),
    "classes of numbers": lambda record: record.update(classes=[1, 2]),
    "classes of text": lambda record: record.update(classes="ab"),
    "classes of lists": lambda record: record.update(classes=[["left"], ["right"]]),
    "no classes": lambda record: record.update(classes=None),
    "t_r of zero": lambda record: record.update(t_r=0),
    "t_r below zero": lambda record: record.update(t_r=-2.0),
    "t_r not a number": lambda record: record.update(t_r=float("nan")),
    "t_r without end": lambda record: record.update(t_r=float("inf")),
    "t_r of text": lambda record: record.update(t_r="2"),
    "t_r true": lambda record: record.update(t_r=True),
    "another pipeline": lambda record: record["pipeline"].pop(),
    "a changed step": lambda record: record["pipeline"][-1].update(step="centre"),
    "no pipeline hash": lambda record: record.update(pipeline_hash=None),
    "steps of text": lambda record: record.update(pipeline=["centre"]),
    "steps of objects": lambda record: record.update(pipeline={}),
    "no window": lambda record: record.pop("window"),
    "a window of text": lambda record: record.update(window="long"),
    "an unknown setting": lambda record: record["training"].update(speed=1),
    "no training": lambda record: record.pop("training"),
    "training of lists": lambda record: record.update(training=[]),
    "parameters of lists": lambda record: record.update(model_parameters=[]),
    "a model of lists": lambda record: record.update(model=[]),
    "a window without end": lambda record: record["window"].update(length_s=1e999),
    "a space of numbers": lambda record: record.update(space=3),
}


@pytest.mark.parametrize("old", [False, True], ids=["new", "old"])
@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_a_record_that_makes_no_sense_is_refused(
    change: Callable[[dict], object],
    old: bool,
    folder: Path,
    edit: Edit,
    make_old: MakeOld,
) -> None:
    if old:
        make_old(folder)
    edit(folder, change, sign=not old)
    with pytest.raises(InputError) as caught:
        Decoder.load(folder)
    assert "\n" not in str(caught.value)


NEW_WRONG: dict[str, Callable[[dict], object]] = {
    "a shape of text": lambda record: record.update(shape="large"),
    "leaky as text": lambda record: record.update(leaky="no"),
    "files as a list": lambda record: record.update(files=[]),
    "a file elsewhere": lambda record: record["files"].update({"../x": "0"}),
    "parameters as null": lambda record: record.update(parameters=None),
    "an unknown parameter": lambda record: record["parameters"].update(speed=1),
    "labels as a number": lambda record: record["parameters"].update(labels=1),
}


@pytest.mark.parametrize("change", NEW_WRONG.values(), ids=NEW_WRONG)
def test_newer_facts_that_make_no_sense_are_refused(
    change: Callable[[dict], object], folder: Path, edit: Edit
) -> None:
    edit(folder, change, sign=True)
    with pytest.raises(InputError) as caught:
        Decoder.load(folder)
    assert "\n" not in str(caught.value)


TEXTS = {
    "nested deep": "[" * 200_000,
    "objects nested deep": '{"a":' * 200_000,
    "a list": "[]",
    "null": "null",
    "text": '"decoder"',
    "a number": "3",
    "nothing": "",
    "half": '{"format": "boldformer-decoder"',
    "a long number": "1" * 100_000,
    "20 MB": "{" + " " * 20_000_000 + "}",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("name", ["decoder.json", "model.json"])
def test_json_that_is_no_object_is_refused(name: str, text: str, folder: Path) -> None:
    (folder / name).write_text(text)
    with pytest.raises(InputError) as caught:
        Decoder.load(folder)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400 + len(str(folder))


def other_weights(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    save_file({k: v + 1 for k, v in weights.items()}, folder / "model.safetensors")


def more_outputs(folder: Path) -> None:
    described = json.loads((folder / "model.json").read_text())
    described["config"]["n_outputs"] = 3
    (folder / "model.json").write_text(json.dumps(described))


def other_mask(folder: Path) -> None:
    image = nib.load(folder / "mask.nii.gz")
    mask = np.asarray(image.dataobj).copy()
    mask[mask.nonzero()[0][0]] = 0
    nib.save(nib.Nifti1Image(mask, image.affine), folder / "mask.nii.gz")


@pytest.mark.parametrize("change", [other_weights, more_outputs, other_mask])
def test_other_files_than_those_that_were_written_are_refused(
    change: Change, folder: Path
) -> None:
    change(folder)
    with pytest.raises(InputError):
        Decoder.load(folder)


def test_weights_that_are_no_numbers_are_refused(
    folder: Path, make_old: MakeOld
) -> None:
    make_old(folder)
    weights = load_file(folder / "model.safetensors")
    first = sorted(weights)[0]
    weights[first] = torch.full_like(weights[first], float("nan"))
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(InputError, match="NaN or infinity"):
        Decoder.load(folder)


def mask_of(shape: tuple[int, ...], dtype: Any = np.uint8) -> Change:
    """Write a mask whose header declares a shape, in a file far too small for it."""

    def change(folder: Path) -> None:
        header = nib.Nifti1Header()
        header.set_data_dtype(dtype)
        header.set_data_shape(shape)
        header.set_sform(np.eye(4), code=1)
        header["vox_offset"], header["magic"] = 352, b"n+1"
        padding = bytes(12_000_000) if np.prod(shape, dtype=float) > 1e8 else b""
        with gzip.open(folder / "mask.nii.gz", "wb", compresslevel=1) as stream:
            stream.write(header.binaryblock + bytes(4) + padding)

    return change


MASKS: dict[str, Change] = {
    "10 GB": mask_of((2200, 2200, 2200)),
    "10 GB in time": mask_of((9, 10, 8, 32000)),
    "too small": mask_of((4, 4, 4)),
    "of numbers": mask_of((9, 10, 8), np.float64),
    "in time": mask_of((9, 10, 8, 1)),
    "without voxels": mask_of((9, 10, 8)),
    "no image": lambda folder: (folder / "mask.nii.gz").write_bytes(b"mask"),
    "missing": lambda folder: (folder / "mask.nii.gz").unlink(),
    "of another brain": other_mask,
}


@pytest.mark.parametrize("old", [False, True], ids=["new", "old"])
@pytest.mark.parametrize("change", MASKS.values(), ids=MASKS)
def test_a_mask_that_is_another_is_refused_unread(
    change: Change,
    old: bool,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    make_old: MakeOld,
) -> None:
    if old:
        make_old(folder)
    change(folder)
    read: list[tuple[int, ...]] = []
    original = nib.arrayproxy.ArrayProxy.__getitem__

    def watched(self: Any, where: Any) -> Any:
        read.append(self.shape)
        return original(self, where)

    monkeypatch.setattr(nib.arrayproxy.ArrayProxy, "__getitem__", watched)
    with pytest.raises(InputError) as caught:
        Decoder.load(folder)
    assert "\n" not in str(caught.value)
    assert all(shape == (9, 10, 8) for shape in read)


def test_a_large_mask_that_fits_its_file_is_refused_by_its_shape(
    folder: Path, make_old: MakeOld
) -> None:
    """One that could be read, of an older folder, which does not state a shape."""
    make_old(folder)
    large = np.zeros((520, 520, 520), dtype=np.uint8)
    image = nib.Nifti1Image(large, np.eye(4))
    with gzip.open(folder / "mask.nii.gz", "wb", compresslevel=1) as stream:
        stream.write(image.to_bytes())
    with pytest.raises(InputError, match=r"mask in .* is not the decoder's"):
        Decoder.load(folder)
