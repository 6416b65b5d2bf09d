"""A saved decoder: its model, the record of how it was made, and its voxels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from boldformer.data.atomic import atomic_path, write_json, write_text
from boldformer.data.images import open_image
from boldformer.data.store import Grid
from boldformer.errors import InputError, OutputExistsError
from boldformer.models.base import DecoderModel
from boldformer.training.weights import (
    ARCHITECTURE,
    WEIGHTS,
    load_model,
    save_model,
)

FORMAT = "boldformer-decoder"
VERSION = 1

Place = tuple[Grid, np.ndarray]

_RECORD = "decoder.json"
_MASK = "mask.nii.gz"
_README = "README.md"
_NEEDED = ("classes", "t_r", "model", "model_parameters", "training")
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
        write_json(
            temporary / _RECORD, {"format": FORMAT, "version": VERSION, **record}
        )
        if place is not None:
            grid, mask = place
            image = nib.Nifti1Image(mask.astype(np.uint8), grid.matrix)
            nib.save(image, temporary / _MASK)
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
    model = load_model(folder)
    if "pipeline" not in record:
        return model, record, None
    image = open_image(folder / _MASK, 3)
    mask = np.asanyarray(image.dataobj) > 0
    grid = Grid.from_arrays(mask.shape, image.affine, record.get("space", ""))
    return model, record, (grid, mask)


def _read_record(folder: Path) -> dict[str, Any]:
    try:
        record = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{folder} holds no decoder",
            wanted="a folder that Decoder.save wrote",
            received=str(error),
        ) from None
    if record.get("format") != FORMAT or record.get("version") != VERSION:
        raise InputError(
            f"{folder} was written by another version",
            wanted=f"{FORMAT} {VERSION}",
            received=f"{record.get('format')} {record.get('version')}",
        )
    missing = [key for key in _NEEDED if key not in record]
    if missing:
        raise InputError(f"{folder} is incomplete", wanted=f"{missing[0]} in {_RECORD}")
    return record
