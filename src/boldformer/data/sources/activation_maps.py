"""Activation maps, one frame a sample, described by a table of volumes and labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from boldformer.config import DataConfig
from boldformer.data.files import is_named, read_json, require_content
from boldformer.data.images import open_header
from boldformer.data.recording import Dataset, Recording
from boldformer.data.selection import as_dataset, keep_asked
from boldformer.data.sources.bids_files import entities, misnamed
from boldformer.data.sources.participants import read_participants
from boldformer.data.tables import names, read_table, require_columns
from boldformer.errors import BadRunError, DatasetError

TABLE = "volumes.tsv"
_COLUMNS = {
    "trial_type": ("trial_type", "label"),
    "subject": ("subject", "group"),
    "run": ("run", "half"),
    "session": ("session",),
    "file": ("file",),
    "volume": ("volume",),
}


def is_maps(root: Path) -> bool:
    """Whether a folder holds a table of maps."""
    return is_named(root / TABLE)


def open_maps(config: DataConfig) -> Dataset:
    """Find maps that ``volumes.tsv`` describes, a row each.

    Its columns are ``volume`` (counted from 0 in its file) and ``trial_type`` or
    ``label``; optionally ``half`` or ``run``, ``session``, and ``subject`` or
    ``group``. Without a column ``file`` each ``sub-*/`` holds one 4-D image, and the
    table holds for all of them (or, with subjects, each row for its own). With it a row
    names its 3-D or 4-D image, relative to the folder. Rows without a label are not
    used. ``mask.nii.gz`` beside the table is the mask of all maps.

    Parameters
    ----------
    config : DataConfig
        Folder with the table; participants and sessions to keep.

    Returns
    -------
    Dataset
        One recording a subject, session and half or run. The onset of an event is the
        map's place among the recording's frames, its duration and the repetition time
        are 1.

    Raises
    ------
    DatasetError
        When the table cannot be used, or nothing is left. A subject whose image does
        not fit the table is set aside.
    InputError
        For a filter that nothing matches.
    """
    root = Path(config.path)
    table = _read_volumes(root)
    rows, set_aside = (table, []) if "file" in table else _with_images(root, table)
    _refuse_two_labels(rows)
    groups = [
        (str(sub), str(ses), str(run), part)
        for (sub, ses, run), part in rows.groupby(["subject", "session", "run"])
    ]
    people = read_participants(root, {group[0] for group in groups})
    groups = keep_asked(groups, "sub", config.participants, lambda group: group[0])
    groups = keep_asked(groups, "ses", config.sessions, lambda group: group[1])
    mask = _image(root, "mask")
    recordings = []
    for subject, session, run, part in groups:
        try:
            recording = _recording(subject, session, run, part)
        except BadRunError as error:
            what = f"sub-{subject}" + (f" run {run}" if run else "")
            set_aside.append((what, str(error)))
        else:
            recordings.append(
                dataclasses.replace(recording, mask=mask, participant=people[subject])
            )
    return as_dataset(_title(root), root, recordings, set_aside, people.notes)


def _read_volumes(root: Path) -> pd.DataFrame:
    """Read the rows that have a label, with each column under one name."""
    if not is_maps(root):
        raise DatasetError(f"no maps in {root}", wanted=f"a table {TABLE}")
    raw = read_table(root / TABLE, (), DatasetError)
    spelled = {
        column: found[0]
        for column, spellings in _COLUMNS.items()
        if (found := [name for name in spellings if name in raw.columns])
    }
    wanted = ("trial_type",) if "file" in spelled else ("volume", "trial_type")
    missing = [column for column in wanted if column not in spelled]
    require_columns(root / TABLE, raw, missing, DatasetError)
    table = pd.DataFrame({column: raw[name] for column, name in spelled.items()})
    table = table.apply(lambda cells: names(root / TABLE, cells, DatasetError))
    table = table[table["trial_type"] != ""]
    table = table.assign(volume=_volume_numbers(table))
    if "file" in table:
        _refuse_no_file(table)
        table = table.assign(
            image=[root / name for name in table["file"]], subject=_subjects(table)
        )
    if "subject" in table:
        table = table.assign(subject=table["subject"].str.removeprefix("sub-"))
    absent = {column: "" for column in ("session", "run") if column not in table}
    return table.assign(**absent)


def _volume_numbers(table: pd.DataFrame) -> pd.Series:
    volumes = table.get("volume", pd.Series("0", table.index)).replace("", "0")
    bad = volumes[~volumes.str.fullmatch(r"[0-9]+")]
    if len(bad):
        raise DatasetError(
            f"{TABLE}: not a volume",
            wanted="whole numbers from 0",
            received=f"{bad.iloc[0]!r} in row {int(bad.index[0]) + 1}",
        )
    return volumes.astype(int)


def _refuse_no_file(table: pd.DataFrame) -> None:
    nameless = table[table["file"] == ""]
    if len(nameless):
        raise DatasetError(
            f"{TABLE}: a row without a file",
            wanted="a file in every row with a label",
            received=f"row {int(nameless.index[0]) + 1}",
        )


def _subjects(table: pd.DataFrame) -> pd.Series:
    """Whose maps the rows with files name: as a column says, else as the names do."""
    wrong = [name for name in table["file"] if misnamed(Path(name).name)]
    if wrong and "subject" not in table:
        raise DatasetError(
            f"{TABLE}: the name {misnamed(Path(wrong[0]).name)!r} is not BIDS: whose "
            "maps are they?",
            wanted="letters and digits after each hyphen, or a column 'subject'",
            received=wrong[0],
        )
    stated = table["file"].map(lambda name: entities(Path(name).name).get("sub", ""))
    subjects = (
        table["subject"].where(table["subject"] != "", stated)
        if ("subject" in table)
        else stated
    )
    if (subjects == "").any():
        raise DatasetError(
            f"{TABLE}: whose maps they are is not said",
            wanted="a column 'subject' or 'group', or sub-XX in the names of the files",
            received=str(table["file"][subjects == ""].iloc[0]),
        )
    return subjects


def _with_images(
    root: Path, table: pd.DataFrame
) -> tuple[pd.DataFrame, list[tuple[str, str]]]:
    """Give every subject's folder its rows of the table."""
    parts, set_aside = [], []
    for folder in sorted(path for path in root.glob("sub-*") if path.is_dir()):
        subject = folder.name.removeprefix("sub-")
        rows = table[table["subject"] == subject] if "subject" in table else table
        images = list(_subject_images(folder))
        if len(images) != 1 or rows.empty:
            found = ", ".join(image.name for image in images[:3]) or "none"
            problem = f"wanted one image of maps and rows of {TABLE}; received {found}"
            set_aside.append((folder.name, problem))
            continue
        parts.append(rows.assign(subject=subject, image=images[0]))
    if not parts:
        raise DatasetError(
            f"no maps in {root}",
            wanted="one 4-D image in each sub-*/, or a column 'file'",
            received="; ".join(f"{what}: {why}" for what, why in set_aside[:2]),
        )
    return pd.concat(parts, ignore_index=True), set_aside


def _subject_images(folder: Path) -> Iterator[Path]:
    for image in sorted(folder.glob("[!.]*.nii*")):
        if not image.name.split(".")[0].endswith("mask"):
            yield image


def _refuse_two_labels(rows: pd.DataFrame) -> None:
    twice = rows[rows.duplicated(["image", "volume"], keep=False)]
    if len(twice):
        first = twice.iloc[0]
        raise DatasetError(
            f"{TABLE}: {first['image'].name} volume {first['volume']} is there twice",
            wanted="one row a map",
            received=", ".join(sorted(set(twice["trial_type"]))[:4]),
        )


def _recording(subject: str, session: str, run: str, rows: pd.DataFrame) -> Recording:
    images = list(dict.fromkeys(rows["image"]))
    shapes = {image: _shape(image) for image in images}
    flat = all(len(shape) == 3 for shape in shapes.values())
    if len(images) > 1 and not flat:
        raise BadRunError(
            "the maps of one run lie in several files",
            wanted="one 4-D image, or 3-D images only",
            received=", ".join(image.name for image in images[:3]),
            fix="tell the files apart by a column 'run' or 'session'",
        )
    n_maps = 1 if flat else shapes[images[0]][3]
    beyond = rows["volume"][rows["volume"] >= n_maps]
    if len(beyond):
        raise BadRunError(
            f"{images[0].name}: fewer maps than {TABLE} names",
            wanted=f"volumes 0 to {n_maps - 1}",
            received=f"{beyond.iloc[0]}",
        )
    return Recording(
        bold=images[0],
        t_r=1.0,
        subject=subject,
        session=session,
        run=run,
        space=entities(images[0].name).get("space", ""),
        events=pd.DataFrame(
            {
                "onset": [float(frame) for frame in range(len(rows))],
                "duration": 1.0,
                "trial_type": rows["trial_type"].tolist(),
            }
        ),
        volumes=tuple(images) if flat else (),
        frames=() if flat else tuple(int(volume) for volume in rows["volume"]),
        timing="map",
    )


def _shape(image: Path) -> tuple[int, ...]:
    try:
        shape = tuple(open_header(image).shape)
    except BadRunError:
        raise
    except Exception as error:  # nibabel raises many kinds on broken headers
        raise BadRunError(
            f"{image.name}: cannot be read as an image",
            wanted="a NIfTI file",
            received=f"{type(error).__name__}: {error}".splitlines()[0][:160],
        ) from None
    if len(shape) not in (3, 4):
        raise BadRunError(
            f"{image.name}: wrong number of dimensions",
            wanted="a 3-D or 4-D image",
            received=f"shape {shape}",
        )
    return shape


def _image(root: Path, name: str) -> Path | None:
    for file in (root / f"{name}{suffix}" for suffix in (".nii.gz", ".nii")):
        if is_named(file):
            require_content(file, DatasetError)
            return file
    return None


def _title(root: Path) -> str:
    file = root / "dataset_description.json"
    stated = read_json(file).get("Name") if is_named(file) else None
    return str(stated or root.resolve().name)
