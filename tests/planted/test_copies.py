"""One person under two names stops the default run, however the copy was saved."""

import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nilearn.image import resample_img

from boldformer.cli import run_command
from boldformer.simulation import CohortSpec, simulate_cohort

Save = Callable[[nib.Nifti1Image], nib.Nifti1Image]


def exact(image: nib.Nifti1Image) -> nib.Nifti1Image:
    return image


def coarser_integers(image: nib.Nifti1Image) -> nib.Nifti1Image:
    """Half of the values, rounded: a bit is lost."""
    data = np.rint(0.5 * image.get_fdata()).astype(np.int16)
    return nib.Nifti1Image(data, image.affine)


def rescaled_floats(image: nib.Nifti1Image) -> nib.Nifti1Image:
    return nib.Nifti1Image(2.5 * image.get_fdata(dtype=np.float32) + 3, image.affine)


def resampled(image: nib.Nifti1Image) -> nib.Nifti1Image:
    """To 8 mm and back, as a copy that went through another pipeline."""
    coarse = image.affine.copy()
    coarse[:3, :3] *= 8.0 / 6.0
    floats = nib.Nifti1Image(image.get_fdata(dtype=np.float32), image.affine)
    linear = {"interpolation": "linear"}
    there = resample_img(floats, coarse, **linear)
    return resample_img(there, image.affine, image.shape[:3], **linear)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """Return a cohort of three people by its seed, made once."""
    made: dict[int, Path] = {}

    def cohort(seed: int) -> Path:
        if seed not in made:
            spec = CohortSpec(
                subjects=3,
                runs=1,
                seed=seed,
                n_volumes=80,
                voxel_size_mm=6.0,
                conditions=("left_leg", "hand"),
            )
            folder = tmp_path_factory.mktemp(f"seed-{seed}")
            made[seed] = simulate_cohort(folder, spec, n_jobs=1, progress=False)
        return made[seed]

    return cohort


def add_copy(root: Path, save: Save) -> None:
    """Save subject 02 a second time, as 77."""
    for path in sorted(root.rglob("sub-02*")):
        if path.is_dir():
            continue
        twin = root / str(path.relative_to(root)).replace("sub-02", "sub-77")
        twin.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, twin)
        if twin.name.endswith("_bold.nii.gz") and save is not exact:
            image = nib.load(path)
            saved = save(image)
            saved.header.set_xyzt_units("mm", "sec")
            saved.header.set_zooms(image.header.get_zooms())
            nib.save(saved, twin)


@pytest.mark.parametrize(
    ("save", "seed"),
    [(save, 0) for save in (exact, coarser_integers, rescaled_floats)]
    + [(resampled, seed) for seed in range(5)],
)
def test_a_copied_person_stops_the_run(simulated, tmp_path, capsys, save, seed):
    root, out = shutil.copytree(simulated(seed), tmp_path / "bids"), tmp_path / "out"
    add_copy(root, save)
    assert run_command(["run", str(root), str(out), "--quiet", "--n-jobs=1"]) == 3
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("boldformer: the split leaks (content)")
    assert "sub-02" in error
    assert "sub-77" in error
    assert not (out / "metrics.json").exists()


@pytest.mark.parametrize("seed", range(5))
def test_different_people_do_not_stop_it(simulated, seed):
    root = simulated(seed)
    assert run_command(["audit", str(root), "--quiet", "--n-jobs=1"]) == 0
