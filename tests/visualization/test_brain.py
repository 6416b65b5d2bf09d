"""Brain maps are drawn as their space allows."""

import nibabel as nib
import numpy as np
import pytest

from boldformer.errors import InputError
from boldformer.visualization import brain
from boldformer.visualization.finished_run import load_results


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        ("MNI152NLin2009cAsym", True),
        ("MNI152NLin6Asym", True),
        ("scanner", False),
        ("T1w", False),
        ("", False),
        (None, False),
    ],
)
def test_only_mni_spaces_have_a_glass_brain(space, expected):
    assert brain.is_mni(space) is expected


def test_file_names_state_their_space():
    assert brain.space_of("maps/space-MNI152_label-a_statmap.nii.gz") == "MNI152"
    assert brain.space_of("label-a_statmap.nii.gz", "scanner") == "scanner"


def test_mni_maps_are_drawn_on_glass_and_native_ones_as_slices(fabricated):
    on_glass = next(brain.draw_maps(load_results(fabricated())))
    assert "Glass brain" in on_glass.caption
    assert not on_glass.on_black
    native = fabricated(space="", background=True)
    as_slices = list(brain.draw_maps(load_results(native)))
    assert all("not on a template" in drawing.caption for drawing in as_slices)
    assert all(drawing.on_black for drawing in as_slices)
    assert {drawing.group for drawing in as_slices} == {"attention", "saliency"}


def test_native_maps_need_no_background(fabricated):
    drawings = list(brain.draw_maps(load_results(fabricated(space="T1w"))))
    assert len(drawings) == 2


def test_empty_maps_are_passed_over_and_nan_is_nothing(fabricated):
    out = fabricated()
    for path, value in zip(
        sorted((out / "maps").glob("*.nii.gz")), (0, np.nan), strict=True
    ):
        image = nib.load(path)
        flat = np.full(image.shape, value, np.float32)
        nib.save(nib.Nifti1Image(flat, image.affine), path)
    assert list(brain.draw_maps(load_results(out))) == []


@pytest.mark.parametrize("content", [None, b"not an image"])
def test_a_map_that_cannot_be_read_is_named(fabricated, content):
    out = fabricated()
    path = next((out / "maps").glob("*attention*.nii.gz"))
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(InputError, match=path.name):
        list(brain.draw_maps(load_results(out)))
