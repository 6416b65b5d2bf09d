"""Brain masks where the source brings none."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from boldformer import open_dataset
from boldformer.data.images import brain_mask, open_image
from boldformer.errors import BadRunError


def test_the_mask_covers_a_bright_ball_and_little_else() -> None:
    grid = np.indices((32, 32, 32)) - 15.5
    ball = (grid**2).sum(axis=0) < 12**2
    noise = np.random.default_rng(0).random(ball.shape)
    volume = gaussian_filter(800.0 * ball, 1) + 20 * noise
    mask = brain_mask(volume, np.eye(4) * 3, "test")
    assert mask[ball].mean() > 0.8
    assert mask[~ball].mean() < 0.02


@pytest.mark.parametrize("shape", [(40, 20, 1), (6, 10, 10)])
def test_a_slice_and_a_coarse_grid_get_a_mask(shape: tuple[int, int, int]) -> None:
    volume = np.zeros(shape)
    volume[1:-1, 2:-2] = 500
    mask = brain_mask(volume, np.eye(4), "test")
    np.testing.assert_array_equal(mask, volume > 0)


def test_an_empty_volume_has_no_brain() -> None:
    with pytest.raises(BadRunError, match="no brain"):
        brain_mask(np.zeros((9, 9, 9)), np.eye(4), "test")


def test_real_recordings_get_plausible_masks(recordings_dir: Path) -> None:
    """A head is a fifth to four fifths of a field of view."""
    for name in ("perception", "audiovisual"):
        (recording, *_) = open_dataset(recordings_dir / name)
        image = nib.load(recording.bold)
        mask = brain_mask(image.get_fdata().mean(axis=3), image.affine, name)
        assert 0.15 < mask.mean() < 0.8


def test_a_four_d_mask_of_one_volume_is_a_mask(tmp_path: Path) -> None:
    file = tmp_path / "mask.nii.gz"
    nib.save(nib.Nifti1Image(np.ones((4, 4, 4, 1), np.uint8), np.eye(4)), file)
    assert open_image(file, 3).shape == (4, 4, 4)


def test_a_singular_affine_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.nii.gz"
    image = nib.Nifti1Image(np.ones((4, 4, 4), np.uint8), None)
    image.set_sform(np.diag([0.0, 1, 1, 1]), code=1)
    nib.save(image, file)
    with pytest.raises(BadRunError, match="affine"):
        open_image(file, 3)
