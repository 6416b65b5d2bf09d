"""A saved decoder: its model, the record of how it was made, and its voxels."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.spatialimages import SpatialImage

from boldformer.data.atomic import atomic_path, write_json, write_text
from boldformer.data.images import open_volume, read_voxels
from boldformer.data.store import Grid
from boldformer.errors import InputError, OutputExistsError
from boldformer.models.base import DecoderModel
from boldformer.preprocessing.spatial import bounding_box
from boldformer.training.saved_record import (
    HASH,
    check_files,
    check_model,
    check_record,
    facts_hash,
    said_hash,
)
from boldformer.training.weights import (
    ARCHITECTURE,
    MOST_VOXELS,
    WEIGHTS,
    load_model,
    read_architecture,
    read_facts,
    save_model,
)

FORMAT = "boldformer-decoder"
VERSION = 1

Place = tuple[Grid, np.ndarray]

_RECORD = "decoder.json"
_MASK = "mask.nii.gz"
_README = "README.md"
_CARD = """# BoldFormer decoder

Model `{model}`; classes: {classes}.

`Decoder.load` reads this folder; it prepares recordings as the model's own were
prepared and refuses others.
"""


def write(
    folder: Path,
    model: DecoderModel,
    record: dict[str, Any],
    place: Place | None,
    card: str = "",
) -> None:
    """Write a decoder; its folder appears when it is complete.

    Parameters
    ----------
    folder : Path
        A decoder in it is replaced; other files stay.
    model : DecoderModel
        Fitted model.
    record : dict
        JSON-ready; ``model`` and ``classes`` are needed here.
    place : (Grid, ndarray of bool of shape (x, y, z)), optional
        Where recordings lie, and the voxels of it that the model sees; none for a
        decoder of arrays.
    card : str
        Markdown for ``README.md``.

    Raises
    ------
    OutputExistsError
        When files of these names are there, and no decoder.
    """
    files = (_RECORD, _MASK, _README, ARCHITECTURE, WEIGHTS)
    there = [name for name in files if (folder / name).exists()]
    if there and not (folder / _RECORD).is_file():
        raise OutputExistsError(
            f"{folder} holds other files, and no decoder",
            wanted="a new folder, or one of an earlier decoder",
            received=", ".join(there),
            fix="choose another folder",
        )
    classes = ", ".join(map(str, record["classes"]))
    with atomic_path(folder, ours=files) as temporary:
        temporary.mkdir()
        save_model(model, temporary)
        if place is not None:
            grid, mask = place
            image = nib.Nifti1Image(mask.astype(np.uint8), grid.matrix)
            nib.save(image, temporary / _MASK)
        _write_record(temporary, record)
        plain = _CARD.format(model=record["model"], classes=classes)
        write_text(temporary / _README, card or plain)


def read(folder: Path) -> tuple[DecoderModel, dict[str, Any], Place | None]:
    """Read what `write` wrote.

    Returns
    -------
    model : DecoderModel
    record : dict
    place : (Grid, ndarray of bool of shape (x, y, z)) or None

    Raises
    ------
    InputError
        When the folder holds no decoder this version can read.
    """
    record = _read_record(folder)
    described = read_architecture(folder)
    check_model(record, described, folder)
    image = None
    if "pipeline" in record:
        image = _open_mask(folder, described["config"]["volume_shape"], record)
    check_files(record, folder)
    model = load_model(folder)
    if image is None:
        return model, record, None
    mask = read_voxels(image, _MASK) > 0
    if not mask.any() or mask[bounding_box(mask)].shape != model.volume_shape:
        box = mask[bounding_box(mask)].shape if mask.any() else "no voxel"
        raise _other_mask(folder, f"a brain of {model.volume_shape}", box)
    grid = Grid.from_arrays(mask.shape, image.affine, record["space"])
    return model, record, (grid, mask)


def _write_record(folder: Path, record: dict[str, Any]) -> None:
    """Write the record, with hashes of what it says and of the files beside it."""
    there = (ARCHITECTURE, WEIGHTS, _MASK)
    files = {
        name: said_hash(folder / name) for name in there if (folder / name).exists()
    }
    facts = {"format": FORMAT, "version": VERSION, **record, "files": files}
    # What it will be read as, such as floats for numpy's, is what is hashed.
    facts = json.loads(json.dumps(facts))
    write_json(folder / _RECORD, {**facts, HASH: facts_hash(facts)})


def _read_record(folder: Path) -> dict[str, Any]:
    try:
        record = read_facts(folder / _RECORD)
    except (InputError, OSError) as error:
        raise InputError(
            f"{folder} holds no decoder",
            wanted="a folder that Decoder.save wrote",
            received=str(error),
        ) from None
    if record.get("format") != FORMAT or record.get("version") != VERSION:
        raise InputError(
            f"{folder} was written by another version",
            wanted=f"{FORMAT} {VERSION}",
            received=f"{record.get('format')!r:.40} {record.get('version')!r:.40}",
        )
    check_record(record, folder)
    return record


def _open_mask(
    folder: Path, volume: Sequence[int], record: Mapping[str, Any]
) -> SpatialImage:
    """Open the mask where its header says what the record and the model do, unread."""
    image = open_volume(folder / _MASK)
    shape = tuple(int(size) for size in image.shape)
    if len(shape) != 3 or image.get_data_dtype() != np.uint8:
        wanted = "a 3-D image of bytes"
        raise _other_mask(folder, wanted, f"{shape} of {image.get_data_dtype()}")
    if "shape" in record and list(shape) != record["shape"]:
        raise _other_mask(folder, f"shape {(*record['shape'],)}", shape)
    inside = all(n <= size for n, size in zip(volume, shape, strict=True))
    if not inside or math.prod(shape) > MOST_VOXELS:
        raise _other_mask(folder, f"room for {(*volume,)}, and not much more", shape)
    return image


def _other_mask(folder: Path, wanted: str, received: object) -> InputError:
    return InputError(
        f"the mask in {folder} is not the decoder's",
        wanted=wanted,
        received=str(received),
        fix="take the folder as it was saved",
    )
