"""Write a simulated cohort to disk as a BIDS dataset with planted truth."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from nibabel import Nifti1Image
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

from boldformer.config import from_dict
from boldformer.data.atomic import atomic_path, write_json, write_tsv
from boldformer.data.folders import remove_empty_folders
from boldformer.errors import InputError, OutputExistsError
from boldformer.simulation.activation import group_map
from boldformer.simulation.anatomy import Template, load_template
from boldformer.simulation.layout import (
    Layout,
    bold_sidecar,
    map_sidecar,
    mask_sidecar,
    sidecar,
    write_dataset_files,
)
from boldformer.simulation.simulated_confounds import column_descriptions
from boldformer.simulation.simulated_recording import Person, draw_person, draw_run
from boldformer.simulation.spec import CohortSpec

MNI_CODE = 4
# Raised whenever the same settings would make other recordings.
MODEL_VERSION = 1
# What may differ between the cohort on disk and the one asked for: a larger cohort
# begins with the very same people.
GROWING = ("subjects", "runs")


def simulate_cohort(
    out_dir: str | Path,
    spec: CohortSpec,
    *,
    n_jobs: int = 2,
    progress: bool = True,
    overwrite: bool = False,
) -> Path:
    """Write a simulated cohort as a BIDS dataset with fMRIPrep-style derivatives.

    Runs that are complete are left alone, so an interrupted simulation goes on where
    it stopped, and a cohort grows when more subjects or runs are asked for. The bytes
    of every file depend on `spec` alone, not on `n_jobs` or on what was there.

    Parameters
    ----------
    out_dir : path
        Dataset folder; made if missing.
    spec : CohortSpec
        Settings of the cohort.
    n_jobs : int
        Subjects simulated at a time, as joblib counts.
    progress : bool
        Show a progress bar.
    overwrite : bool
        Delete the files of a simulated cohort of other settings found in `out_dir`.

    Returns
    -------
    Path
        The dataset folder: `events.tsv` in the raw dataset, recordings under
        ``derivatives/fmriprep``, planted maps under ``derivatives/truth``.

    Raises
    ------
    OutputExistsError
        When `out_dir` holds something else than a cohort of the same settings.
    """
    layout = Layout(Path(out_dir), spec)
    _prepare_folder(layout, overwrite)
    template = load_template(spec.voxel_size_mm, spec.volume_shape)
    _check_template(template, spec)
    write_json(layout.record, _record(spec))
    write_dataset_files(layout)
    _write_group_maps(layout, template)
    work = (
        delayed(_simulate_subject)(layout, template, subject)
        for subject in range(1, spec.subjects + 1)
    )
    done: Iterable[int] = Parallel(n_jobs=n_jobs, return_as="generator_unordered")(work)
    bar = tqdm(
        total=spec.subjects, desc="simulating", unit="subject", disable=not progress
    )
    with bar:
        for _ in done:
            bar.update()
    return layout.root


def _prepare_folder(layout: Layout, overwrite: bool) -> None:
    root = layout.root
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return
    if not layout.record.is_file():
        raise OutputExistsError(
            "the output folder is not a simulated cohort",
            wanted="a new or empty folder, or one of an earlier simulation",
            received=str(root),
            fix="choose another folder",
        )
    differing = _differences(layout)
    if not differing:
        return
    if not overwrite:
        raise OutputExistsError(
            "the output folder holds a cohort of other settings",
            wanted="the same settings, or more subjects or runs",
            received=f"{root}, which differs in {', '.join(differing)}",
            fix="choose another folder or pass overwrite",
        )
    _remove_earlier(layout)


def _remove_earlier(layout: Layout) -> None:
    """Remove the files of the cohort that is there, and folders left empty."""
    found = json.loads(layout.record.read_text(encoding="utf-8"))
    names = {f.name for f in fields(CohortSpec)}
    try:
        spec = from_dict(CohortSpec, {k: v for k, v in found.items() if k in names})
    except InputError as error:
        raise OutputExistsError(
            f"{layout.root} holds a cohort of another version",
            received=str(error),
            fix="choose another folder",
        ) from None
    for file in Layout(layout.root, spec).files():
        file.unlink(missing_ok=True)
    remove_empty_folders(layout.root)


def _record(spec: CohortSpec) -> dict[str, Any]:
    return {"model_version": MODEL_VERSION, **spec.to_dict()}


def _differences(layout: Layout) -> list[str]:
    found: dict[str, Any] = json.loads(layout.record.read_text(encoding="utf-8"))
    wanted = _record(layout.spec)
    same = [name for name in wanted | found if name not in GROWING]
    differing = [name for name in same if found.get(name) != wanted.get(name)]
    return differing + [name for name in GROWING if found.get(name, 0) > wanted[name]]


def _check_template(template: Template, spec: CohortSpec) -> None:
    if template.brain.sum() < 100:
        raise InputError(
            "hardly any brain fits into the volumes",
            wanted="a volume_shape that holds more of the brain",
            received=f"{spec.volume_shape} voxels of {spec.voxel_size_mm:g} mm",
        )


def _write_group_maps(layout: Layout, template: Template) -> None:
    for condition in layout.spec.conditions:
        values = layout.spec.effect_size * group_map(template, condition)
        path = layout.group_map(condition)
        write_json(sidecar(path), map_sidecar(condition, "the average person"))
        _write_image(path, values.astype(np.float32), template)


def _simulate_subject(layout: Layout, template: Template, subject: int) -> int:
    runs = range(1, layout.spec.runs + 1)
    missing = [run for run in runs if not layout.bold(subject, run).exists()]
    if missing:
        # Sums in another order round differently: one thread, the same bytes anywhere.
        with threadpool_limits(1):
            person = draw_person(layout.spec, template, subject)
            _write_person(layout, template, person, subject)
            for run in missing:
                _write_run(layout, template, person, subject, run)
    return subject


def _write_person(
    layout: Layout, template: Template, person: Person, subject: int
) -> None:
    for condition, values in zip(layout.spec.conditions, person.maps, strict=True):
        path = layout.subject_map(subject, condition)
        who = layout.subject(subject)
        write_json(sidecar(path), map_sidecar(condition, who))
        _write_image(path, values, template)


def _write_run(
    layout: Layout, template: Template, person: Person, subject: int, run: int
) -> None:
    made = draw_run(layout.spec, template, person, subject, run)
    write_tsv(layout.events(subject, run), made.events)
    confounds = layout.confounds(subject, run)
    write_tsv(confounds, made.confounds)
    write_json(sidecar(confounds), column_descriptions(made.confounds))
    mask = layout.mask(subject, run)
    write_json(sidecar(mask), mask_sidecar())
    _write_image(mask, template.brain.astype(np.uint8), template)
    bold = layout.bold(subject, run)
    write_json(sidecar(bold), bold_sidecar(layout.spec))
    # Last, since a run counts as complete when its recording is there.
    _write_recording(bold, made.data, template, layout.spec.t_r)


def _write_recording(
    path: Path, data: np.ndarray, template: Template, t_r: float
) -> None:
    volumes = np.zeros((*template.shape, len(data)), dtype=np.int16, order="F")
    highest = np.iinfo(np.int16).max
    for time, row in enumerate(data):
        volumes[..., time][template.head] = np.clip(np.rint(row), 0, highest)
    _write_image(path, volumes, template, t_r=t_r)


def _write_image(
    path: Path, values: np.ndarray, template: Template, *, t_r: float | None = None
) -> None:
    image = Nifti1Image(values, template.affine)
    image.set_sform(template.affine, MNI_CODE)
    image.set_qform(template.affine, MNI_CODE)
    image.header.set_xyzt_units("mm", "sec")
    if t_r is not None:
        image.header.set_zooms((*image.header.get_zooms()[:3], t_r))
    # nibabel writes neither name nor time into the gzip header, so equal data make
    # equal files.
    with atomic_path(path) as temporary:
        image.to_filename(temporary)
