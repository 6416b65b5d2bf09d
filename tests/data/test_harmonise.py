"""One grid, one window and one table out of data sets recorded apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boldformer.config import WindowConfig
from boldformer.data.event_windows import make_table
from boldformer.data.harmonise import (
    check_spaces,
    combine,
    common_grid,
    person,
    shared_window,
)
from boldformer.data.prepare import prepare
from boldformer.data.recording import Dataset, Recording
from boldformer.data.sources.layouts import open_dataset
from boldformer.data.windows import WindowSet
from boldformer.errors import InputError
from boldformer.preprocessing.pipeline import Pipeline

MakeBids = Callable[..., Path]


def dataset_of(
    folder: Path, shape: tuple, affine: np.ndarray, **more: object
) -> Dataset:
    folder.mkdir(exist_ok=True)
    file = folder / "bold.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((*shape, 2), np.int16), affine), file)
    events = pd.DataFrame({"onset": [0.0], "duration": [12.0], "trial_type": ["a"]})
    settings = {"t_r": 2.0, "subject": "01", "space": "MNI", "events": events} | more
    return Dataset("made", folder, (Recording(file, **settings),))  # type: ignore[arg-type]


def affine(voxel_mm: float, origin_mm: float) -> np.ndarray:
    matrix = np.diag([voxel_mm] * 3 + [1.0])
    matrix[:3, 3] = origin_mm
    return matrix


@given(
    fine=st.sampled_from([2.0, 3.0]),
    coarse=st.sampled_from([4.0, 5.0]),
    shift=st.floats(-20, 20),
)
def test_the_common_grid_lies_inside_every_field_of_view(
    tmp_path_factory: pytest.TempPathFactory, fine: float, coarse: float, shift: float
) -> None:
    root = tmp_path_factory.mktemp("grids")
    shapes = {
        "a": ((24, 22, 20), affine(fine, 0.0)),
        "b": ((12, 12, 12), affine(coarse, shift)),
    }
    sets = [dataset_of(root / k, *v) for k, v in shapes.items()]
    grid = common_grid(sets)
    assert grid is not None
    assert grid.voxel_size_mm == (coarse,) * 3
    # Its voxels are voxels of the coarsest grid: that one is not resampled.
    offset = np.linalg.inv(shapes["b"][1]) @ grid.matrix
    np.testing.assert_allclose(offset[:3, 3], np.rint(offset[:3, 3]), atol=1e-6)
    corners = np.array([np.zeros(3), np.array(grid.shape) - 1])
    world = nib.affines.apply_affine(grid.matrix, corners)
    for shape, matrix in shapes.values():
        voxel = nib.affines.apply_affine(np.linalg.inv(matrix), world)
        assert (voxel > -0.51).all()
        assert (voxel < np.array(shape) - 0.49).all()


def test_equal_grids_need_no_resampling(tmp_path: Path) -> None:
    sets = [dataset_of(tmp_path / n, (5, 5, 5), affine(3, 0)) for n in "ab"]
    assert common_grid(sets) is None


def test_fields_of_view_apart_are_refused(tmp_path: Path) -> None:
    near = dataset_of(tmp_path / "a", (5, 5, 5), affine(3, 0))
    far = dataset_of(tmp_path / "b", (5, 5, 5), affine(4, 500))
    with pytest.raises(InputError, match="no field of view"):
        common_grid([near, far])


@pytest.mark.parametrize("spaces", [("MNI", "Talairach"), ("", ""), ("MNI", "")])
def test_other_spaces_are_refused_unless_asked(
    tmp_path: Path, spaces: tuple[str, str]
) -> None:
    sets = {
        name: dataset_of(tmp_path / name, (5, 5, 5), affine(3, 0), space=space)
        for name, space in zip("ab", spaces, strict=True)
    }
    with pytest.raises(InputError, match="--any-space"):
        check_spaces(sets)
    check_spaces(sets, any_space=True)


def test_one_space_passes_and_maps_do_not_mix(tmp_path: Path) -> None:
    one = dataset_of(tmp_path / "a", (5, 5, 5), affine(3, 0))
    maps = dataset_of(tmp_path / "b", (5, 5, 5), affine(3, 0), timing="map")
    check_spaces({"a": one, "b": one})
    with pytest.raises(InputError, match="maps"):
        check_spaces({"a": one, "b": maps}, any_space=True)


def test_the_window_fits_all(tmp_path: Path) -> None:
    slow = dataset_of(tmp_path / "a", (5, 5, 5), affine(3, 0), t_r=2.0)
    fast = dataset_of(tmp_path / "b", (5, 5, 5), affine(3, 0), t_r=0.72)
    recording = fast.recordings[0]
    short = replace(recording, events=recording.events.assign(duration=8.0))
    fast = replace(fast, recordings=(short,))
    window = shared_window([slow, fast], ["a"], WindowConfig())
    assert (window.delay_s, window.length_s, window.step_s) == (5.0, 8.0, 2.0)


def test_short_labels_count_within_a_data_set_long_ones_name_people() -> None:
    assert person("a", "01") != person("b", "01")
    assert person("a", "100307") == person("b", "100307")


def windows_of(root: Path, store: Path) -> WindowSet:
    dataset = open_dataset(root)
    runs, _ = prepare(dataset, store, Pipeline([{"step": "zscore"}]), progress=False)
    table, _ = make_table(dataset, runs, ["left", "right"], WindowConfig())
    return WindowSet(table, runs)


def test_combining_keeps_apart_what_has_the_same_name(
    make_bids: MakeBids, tmp_path: Path
) -> None:
    one = windows_of(make_bids("one", seed=1, preprocessed=True), tmp_path / "s1")
    two = windows_of(make_bids("two", seed=2, preprocessed=True), tmp_path / "s2")
    both = combine([("one", one), ("two", two)])
    assert len(both) == len(one) + len(two)
    assert both.table["recording"].nunique() == 8
    assert both.table["subject"].nunique() == 4
    np.testing.assert_array_equal(both.table["window"], np.arange(len(both)))
    np.testing.assert_array_equal(
        both.means(), np.concatenate([one.means(), two.means()])
    )
    np.testing.assert_array_equal(both.batch([len(one)])[0], two.batch([0])[0])


def test_voxels_are_those_both_sides_have(make_bids: MakeBids, tmp_path: Path) -> None:
    roots = [
        make_bids(name, subjects=1, seed=n, preprocessed=True)
        for n, name in enumerate("ab")
    ]
    for file in roots[1].rglob("*_mask.nii.gz"):
        image = nib.load(file)
        data = np.asanyarray(image.dataobj).copy()
        data[2] = 0
        nib.save(nib.Nifti1Image(data, image.affine), file)
    one, two = (windows_of(root, tmp_path / root.name / "store") for root in roots)
    both = combine([("a", one), ("b", two)])
    assert both.grid_mask.sum() == two.grid_mask.sum() < one.grid_mask.sum()
