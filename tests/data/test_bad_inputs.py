"""Broken and surprising input: each is used rightly or set aside, and the rest goes on.

`docs/inputs.md` tells users the same; the last test holds the two together.
"""

from __future__ import annotations

import gzip
import json
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from boldformer.cli import run_command
from boldformer.data.store import PreparedRun

MakeBids = Callable[..., Path]
STEM = "sub-01_task-test_run-2"
SOUND = "sub-01_task-test_run-1"
DOCS = Path(__file__).parents[2] / "docs" / "inputs.md"


@dataclass(frozen=True)
class Bad:
    """One kind of input: what is done to a run, and what becomes of it."""

    what: str
    spoil: Callable[[Path], object]
    reason: str = ""  # in the table of what was set aside; empty: the run is used
    same: bool = True  # a run that is used holds the values it held before


def bold(root: Path) -> Path:
    return next(root.rglob(f"{STEM}_*bold.nii.gz"))


def events(root: Path) -> Path:
    return root / "sub-01" / "func" / f"{STEM}_events.tsv"


def mask(root: Path) -> Path:
    return next(root.rglob(f"{STEM}_*mask.nii.gz"))


def confounds(root: Path) -> Path:
    return next(root.rglob(f"{STEM}_*timeseries.tsv"))


def cut(share: float) -> Callable[[Path], object]:
    def spoil(root: Path) -> None:
        content = bold(root).read_bytes()
        bold(root).write_bytes(content[: int(share * len(content))])

    return spoil


def resave(change: Callable[[nib.Nifti1Image], nib.Nifti1Image]) -> Callable:
    def spoil(root: Path) -> None:
        path = bold(root)
        nib.save(change(nib.load(path)), path)

    return spoil


def with_data(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], object]:
    return resave(
        lambda image: nib.Nifti1Image(
            change(np.asarray(image.dataobj)), image.affine, image.header
        )
    )


def with_dtype(dtype: object) -> Callable[[Path], object]:
    def change(image: nib.Nifti1Image) -> nib.Nifti1Image:
        data = np.asarray(image.dataobj).astype(dtype)
        return nib.Nifti1Image(data, image.affine)

    return resave(change)


def with_affine(affine: np.ndarray) -> Callable[[Path], object]:
    def spoil(root: Path) -> None:
        for path in [bold(root), mask(root)]:
            image = nib.load(path)
            header = image.header.copy()
            nib.save(nib.Nifti1Image(image.dataobj, affine, header), path)

    return spoil


def with_header(offset: int, form: str, *values: float) -> Callable[[Path], object]:
    """Write into the raw header, past what nibabel would let through."""

    def spoil(root: Path) -> None:
        content = bytearray(gzip.decompress(bold(root).read_bytes()))
        struct.pack_into(form, content, offset, *values)
        bold(root).write_bytes(gzip.compress(bytes(content), 1))

    return spoil


def without_t_r(spoil: Callable[[Path], object]) -> Callable[[Path], object]:
    def both(root: Path) -> None:
        (root / "task-test_bold.json").unlink()
        spoil(root)

    return both


def set_nan(data: np.ndarray) -> np.ndarray:
    data[..., 5] = np.nan
    return data


def set_some_inf(data: np.ndarray) -> np.ndarray:
    data[4, 4, 4, 7] = np.inf
    return data


def rgb(image: nib.Nifti1Image) -> nib.Nifti1Image:
    colour = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
    return nib.Nifti1Image(np.zeros(image.shape, dtype=colour), image.affine)


def big_endian(image: nib.Nifti1Image) -> nib.Nifti1Image:
    header = nib.Nifti1Header(endianness=">")
    header.set_data_dtype(np.dtype(">f4"))
    swapped = nib.Nifti1Image(np.asarray(image.dataobj), image.affine, header)
    swapped.header.set_xyzt_units("mm", "sec")
    swapped.header.set_zooms(image.header.get_zooms())
    return swapped


def scaled(image: nib.Nifti1Image) -> nib.Nifti1Image:
    header = image.header.copy()
    header.set_data_dtype(np.int16)
    header.set_slope_inter(0.05, 100.0)
    return nib.Nifti1Image(np.asarray(image.dataobj), image.affine, header)


def rewrite_events(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable:
    def spoil(root: Path) -> None:
        table = pd.read_csv(events(root), sep="\t")
        change(table).to_csv(events(root), sep="\t", index=False, na_rep="n/a")

    return spoil


def add_row(**row: object) -> Callable[[Path], object]:
    return rewrite_events(lambda t: pd.concat([t, pd.DataFrame([row])]))


def as_bytes(change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    return lambda root: events(root).write_bytes(change(events(root).read_bytes()))


def replace_by_link(target: str) -> Callable[[Path], object]:
    def spoil(root: Path) -> None:
        path = bold(root)
        path.unlink()
        path.symlink_to(path.name if target == "itself" else target)

    return spoil


def replace_by_folder(root: Path) -> None:
    path = bold(root)
    path.unlink()
    path.mkdir()


def zero_mask(root: Path) -> None:
    image = nib.load(mask(root))
    nib.save(nib.Nifti1Image(np.zeros(image.shape, "u1"), image.affine), mask(root))


def shifted_mask(root: Path) -> None:
    image = nib.load(mask(root))
    moved = image.affine.copy()
    moved[0, 3] += 30
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), moved), mask(root))


def shorter_confounds(root: Path) -> None:
    table = pd.read_csv(confounds(root), sep="\t")
    table.iloc[:-3].to_csv(confounds(root), sep="\t", index=False, na_rep="n/a")


def fewer_confounds(root: Path) -> None:
    table = pd.read_csv(confounds(root), sep="\t")
    table.drop(columns="csf").to_csv(confounds(root), sep="\t", index=False)


def sidecar(text: str) -> Callable[[Path], object]:
    return lambda root: (root / "sub-01" / "func" / f"{STEM}_bold.json").write_text(
        text
    )


def replace_by_pipe(root: Path) -> None:
    path = bold(root)
    path.unlink()
    os.mkfifo(path)


def declare_gigabytes(root: Path) -> None:
    with_header(DIM + 2, "<3h", 1500, 1500, 1500)(root)


UNEVEN = json.dumps({"VolumeTiming": [0.0, 2.0, *(5.1 + 2 * k for k in range(62))]})


def uncompressed_and_short(root: Path) -> None:
    content = gzip.decompress(bold(root).read_bytes())
    path = bold(root)
    path.unlink()
    path.with_suffix("").write_bytes(content[: len(content) // 2])


def fewer_volumes_than_the_header_says(root: Path) -> None:
    with_header(40 + 2 * 4, "<h", 90)(root)


ROTATED = nib.affines.from_matvec(
    3 * np.array([[0.9, -0.3, 0.1], [0.3, 0.95, 0.0], [-0.1, 0.0, 1.0]]), [5, -7, 3]
)
LEFT_HANDED = np.diag([-3.0, 3.0, 3.0, 1.0])
# Byte offsets of the NIfTI-1 header.
DIM, PIXDIM, SLOPE, UNITS, SROW_Z = 40, 76, 112, 123, 312

BAD = [
    Bad("an empty file", lambda root: bold(root).write_bytes(b""), "cannot be read"),
    Bad("gzip cut in its header", cut(0.001), "cannot be read"),
    Bad("gzip cut at a tenth", cut(0.1), "truncated"),
    Bad("gzip cut in the middle", cut(0.5), "truncated"),
    Bad("gzip cut at 99 %", cut(0.99), "truncated"),
    Bad(
        "text in gzip",
        lambda root: bold(root).write_bytes(gzip.compress(b"not an image" * 99)),
        "cannot be read as an image",
    ),
    Bad(
        "plain bytes named .gz",
        lambda root: bold(root).write_bytes(b"x" * 4000),
        "cannot be read as an image",
    ),
    Bad("a wrong magic number", with_header(344, "<4s", b"ooh\0"), "cannot be read"),
    Bad(
        "a header with more volumes than the file",
        with_header(DIM + 8, "<h", 90),
        "truncated",
    ),
    Bad(
        "a header with a dimension of zero", with_header(DIM + 4, "<h", 0), "dimensions"
    ),
    Bad(
        "a header with a negative dimension",
        with_header(DIM + 4, "<h", -9),
        "dimensions",
    ),
    Bad("an uncompressed file cut short", uncompressed_and_short, "truncated"),
    Bad("a 3-D image", resave(lambda image: image.slicer[..., 0]), "4-D"),
    Bad("a 5-D image", with_data(lambda data: data[..., None, :]), "4-D"),
    Bad("one volume", resave(lambda image: image.slicer[..., :1]), "too short"),
    Bad("three volumes", resave(lambda image: image.slicer[..., :3]), "too short"),
    Bad("complex values", with_dtype(np.complex64), "real numbers"),
    Bad("RGB values", resave(rgb), "real numbers"),
    Bad("NaN in one volume everywhere", with_data(set_nan), "not finite"),
    Bad("a constant run", with_data(lambda data: data * 0 + 7), "constant"),
    Bad("an affine that is singular", with_header(SROW_Z, "<4f", 0, 0, 0, 0), "affine"),
    Bad("a mask of zeros", zero_mask, "mask is empty"),
    Bad("a mask on another grid", shifted_mask, "different grids"),
    Bad("confounds of another length", shorter_confounds, "rows"),
    Bad("confounds without a column asked for", fewer_confounds, "confounds"),
    Bad(
        "a repetition time of zero in the header, no sidecar",
        without_t_r(with_header(PIXDIM + 16, "<f", 0.0)),
        "repetition time",
    ),
    Bad(
        "no unit of time in the header, no sidecar",
        without_t_r(with_header(UNITS, "<B", 2)),
        "repetition time",
    ),
    Bad(
        "a sidecar with milliseconds",
        sidecar('{"RepetitionTime": 2000}'),
        "repetition time",
    ),
    Bad(
        "a sidecar with text for a number",
        sidecar('{"RepetitionTime": "2 s"}'),
        "repetition time",
    ),
    Bad("a sidecar that is not JSON", sidecar('{"RepetitionTime": 2.0,'), "JSON"),
    Bad("no events file", lambda root: events(root).unlink(), "no events"),
    Bad(
        "an events file without rows",
        rewrite_events(lambda t: t.iloc[:0]),
        "no usable event",
    ),
    Bad(
        "events without a column",
        rewrite_events(lambda t: t.drop(columns="duration")),
        "duration",
    ),
    Bad("commas for tabs", as_bytes(lambda b: b.replace(b"\t", b",")), "tabs"),
    Bad(
        "an events file of bytes",
        as_bytes(lambda b: bytes(range(256)) * 9),
        "events.tsv",
    ),
    Bad("a symbolic link to itself", replace_by_link("itself"), "missing"),
    Bad("a symbolic link to nowhere", replace_by_link("gone.nii.gz"), "missing"),
    Bad("a folder named like an image", replace_by_folder, "read"),
    Bad("a pipe named like an image", replace_by_pipe, "a pipe"),
    Bad(
        "a pointer of git-annex, DataLad or Git LFS",
        lambda root: bold(root).write_text("/annex/objects/MD5E-s9--0.nii.gz\n"),
        "datalad get",
    ),
    Bad("a tiny file that declares gigabytes", declare_gigabytes, "too few"),
    Bad("values too small to vary", with_data(lambda d: d * 1e-42), "constant"),
    Bad(
        "a row with more cells than the header",
        as_bytes(lambda b: b.replace(b"\n6.0\t", b"\n1\t6.0\t")),
        "row 1 has another number of cells",
    ),
    Bad(
        "a decimal comma",
        as_bytes(lambda b: b.replace(b"\n6.0\t", b"\n6,0\t")),
        "received '6,0'",
    ),
    Bad(
        "a number with its unit",
        as_bytes(lambda b: b.replace(b"\n6.0\t", b"\n6.0 s\t")),
        "received '6.0 s'",
    ),
    Bad(
        "NA or NaN where BIDS has n/a",
        as_bytes(lambda b: b.replace(b"\n6.0\t", b"\nNA\t")),
        "received 'NA'",
    ),
    Bad(
        "a negative duration",
        add_row(onset=50.0, duration=-3, trial_type="left"),
        "negative duration",
    ),
    Bad("volumes at uneven times", sidecar(UNEVEN), "uneven times"),
    Bad(
        "a name that BIDS does not allow",
        lambda root: [
            path.rename(path.with_name(path.name.replace("task-test", "task-a-b")))
            for path in root.rglob(f"{STEM}_space*")
        ],
        "not BIDS",
    ),
    # --- surprising, and used -----------------------------------------------------
    Bad("big-endian values", resave(big_endian)),
    Bad("NIfTI-2", resave(lambda i: nib.Nifti2Image(np.asarray(i.dataobj), i.affine))),
    Bad("double precision", with_dtype(np.float64)),
    Bad("integers with a slope and an intercept", resave(scaled), same=False),
    Bad("a slope of zero, which means none", with_header(SLOPE, "<f", 0.0)),
    Bad("a slope that is not a number", with_header(SLOPE, "<f", np.nan)),
    Bad("an oblique affine", with_affine(ROTATED)),
    Bad("a left-handed affine", with_affine(LEFT_HANDED)),
    Bad("an infinite value in one voxel", with_data(set_some_inf), same=False),
    Bad(
        "the repetition time in milliseconds in the header, no sidecar",
        without_t_r(
            lambda root: [
                with_header(PIXDIM + 16, "<f", 2000.0)(root),
                with_header(UNITS, "<B", 2 | 16)(root),
            ]
        ),
    ),
    Bad("events out of order", rewrite_events(lambda t: t.iloc[::-1])),
    Bad("an onset of n/a", add_row(onset=np.nan, duration=3, trial_type="left")),
    Bad("a type of n/a", add_row(onset=50.0, duration=3, trial_type=np.nan)),
    Bad("a negative onset", add_row(onset=-4.0, duration=3, trial_type="left")),
    Bad("a duration of zero", add_row(onset=50.0, duration=0, trial_type="left")),
    Bad("a duration of n/a", add_row(onset=50.0, duration=np.nan, trial_type="left")),
    Bad("an event past the end", add_row(onset=9e4, duration=3, trial_type="left")),
    Bad("a byte-order mark", as_bytes(lambda b: b"\xef\xbb\xbf" + b)),
    Bad("Windows line ends", as_bytes(lambda b: b.replace(b"\n", b"\r\n"))),
]


def prepare(
    root: Path, store: Path, capsys: pytest.CaptureFixture, *more: str
) -> tuple[int, str]:
    arguments = [str(root), str(store), "--n-jobs", "1", "--quiet", *more]
    code = run_command(["prepare", *arguments])
    return code, capsys.readouterr().err


@pytest.fixture(scope="module")
def untouched(
    write_bids: MakeBids, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, np.ndarray]:
    """A sound dataset to copy, and what its second run holds."""
    folder = tmp_path_factory.mktemp("sound")
    root = write_bids(folder / "bids", subjects=1, runs=2, preprocessed=True)
    arguments = [str(root), str(folder / "store"), "--n-jobs", "1", "--quiet"]
    assert run_command(["prepare", *arguments]) == 0
    return root, np.array(PreparedRun(folder / "store" / STEM).stored)


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.what)
def test_a_bad_run_is_set_aside_and_the_rest_goes_on(
    bad: Bad,
    write_bids: MakeBids,
    untouched: tuple[Path, np.ndarray],
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    root, store = tmp_path / "bids", tmp_path / "store"
    write_bids(root, subjects=1, runs=2, preprocessed=True)
    bad.spoil(root)
    asked = ("--confounds", "motion,wm_csf")  # the default takes what there is
    code, errors = prepare(root, store, capsys, *asked)
    table = pd.read_csv(store / "set_aside.tsv", sep="\t")
    prepared = {path.name for path in store.iterdir() if path.is_dir()}
    if bad.reason:
        assert code == 1
        assert prepared == {SOUND}
        (row,) = table.itertuples()
        assert row.what.startswith((STEM, "sub-01_task-a-b_run-2"))
        assert bad.reason in row.reason
        assert len(errors.strip().splitlines()) == 1
        assert "Traceback" not in errors
    else:
        assert code == 0, errors
        assert prepared == {SOUND, STEM}
        run = PreparedRun(store / STEM)
        assert np.isfinite(run.window(0, run.n_times)).all()
        if bad.same:
            np.testing.assert_array_equal(run.stored, untouched[1])


def test_one_subject_under_two_names_is_named(
    make_bids: MakeBids, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    root = make_bids(subjects=2, runs=1)
    first, second = sorted(root.rglob("*_bold.nii.gz"))
    second.write_bytes(first.read_bytes())
    code, errors = prepare(root, tmp_path / "store", capsys)
    assert code == 1
    assert "sub-02_task-test_run-1: holds the same data as sub-01" in errors


def test_unicode_and_spaces_in_paths(
    make_bids: MakeBids, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    root = make_bids("Daten für Ähm – 脳 (copy)", subjects=1, runs=1)
    code, _ = prepare(root, tmp_path / "mein Speicher", capsys)
    assert code == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_an_unreadable_file_is_set_aside(
    make_bids: MakeBids, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    root = make_bids(subjects=1, runs=2, preprocessed=True)
    bold(root).chmod(0)
    code, errors = prepare(root, tmp_path / "store", capsys)
    assert code == 1
    assert "cannot be read" in errors


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.integers(0, 351), st.binary(min_size=1, max_size=8))
def test_no_damage_to_a_header_gets_through_as_a_crash(
    untouched: tuple[Path, np.ndarray],
    tmp_path_factory: pytest.TempPathFactory,
    offset: int,
    damage: bytes,
) -> None:
    """Whatever the header says, the run is used or set aside with one line."""
    root = tmp_path_factory.mktemp("fuzz") / "bids"
    root.mkdir()
    source = untouched[0]
    for path in source.rglob("*"):
        target = root / path.relative_to(source)
        if path.is_dir():
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, target)
    content = bytearray(gzip.decompress(bold(root).read_bytes()))
    content[offset : offset + len(damage)] = damage
    path = bold(root)
    path.unlink()
    path.write_bytes(gzip.compress(bytes(content), 1))
    store = root.parent / "store"
    arguments = [str(root), str(store), "--n-jobs", "1", "--quiet"]
    code = run_command(["prepare", *arguments, "--confounds", "motion,wm_csf"])
    assert code in (0, 1)
    assert (store / SOUND).is_dir()


def test_the_documentation_lists_every_kind() -> None:
    rows = [line for line in DOCS.read_text().splitlines() if line.startswith("| ")]
    listed = {row.split("|")[1].strip(): row.split("|")[2] for row in rows[1:]}
    for bad in BAD:
        assert bad.what in listed, bad.what
        assert ("set aside" in listed[bad.what]) == bool(bad.reason), bad.what
