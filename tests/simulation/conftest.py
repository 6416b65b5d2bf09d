"""A template on a coarse grid and a tiny cohort, made once for all tests here."""

import pytest

from boldformer.simulation import CohortSpec, simulate_cohort
from boldformer.simulation.anatomy import load_template

TINY = CohortSpec(
    subjects=2,
    runs=2,
    seed=3,
    n_volumes=45,
    voxel_size_mm=8.0,
    conditions=("left_leg", "forearm", "tongue"),
    block_s=10.0,
)


@pytest.fixture(scope="session")
def tiny_spec():
    return TINY


@pytest.fixture(scope="session")
def template():
    return load_template(8.0)


@pytest.fixture(scope="session")
def tiny_cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohort") / "tiny"
    return simulate_cohort(folder, TINY, n_jobs=1, progress=False)
