"""Confound tables."""

import numpy as np
import pytest

from boldformer.simulation.anatomy import draw_anatomy
from boldformer.simulation.motion import PARAMETERS
from boldformer.simulation.simulated_confounds import (
    column_descriptions,
    confounds_table,
)


@pytest.fixture(scope="module")
def made(template):
    rng = np.random.default_rng(0)
    anatomy = draw_anatomy(rng, template)
    noise = rng.normal(0.0, 10.0, size=(100, int(template.head.sum())))
    data = (1000.0 + noise).astype(np.float32)
    data[60] += 60.0
    motion = np.cumsum(rng.normal(0.0, 0.01, size=(100, 6)), axis=0)
    motion[:, 3:] /= 50.0
    motion[30, 0] += 2.0
    return data, motion, confounds_table(data, motion, template, anatomy, 2.0)


def test_the_table_has_the_columns_of_fmriprep(made):
    _, _, table = made
    expanded = (*PARAMETERS, "csf", "white_matter", "global_signal", "csf_wm")
    for name in expanded:
        for ending in ("", "_derivative1", "_power2", "_derivative1_power2"):
            assert f"{name}{ending}" in table
    for name in ("dvars", "std_dvars", "framewise_displacement", "cosine00"):
        assert name in table
    assert len(table) == 100


def test_only_what_follows_no_volume_is_missing(made):
    _, _, table = made
    missing = set(table.columns[table.iloc[0].isna()])
    derived = {name for name in table if "derivative1" in name}
    assert missing == derived | {"dvars", "std_dvars", "framewise_displacement"}
    assert not table.iloc[1:].isna().any(axis=None)


def test_signals_are_means_of_the_produced_data(made, template):
    data, motion, table = made
    brain = data[:, template.brain[template.head]].mean(axis=1)
    np.testing.assert_allclose(table["global_signal"], brain, rtol=1e-4)
    np.testing.assert_allclose(table["trans_x"], motion[:, 0], atol=1e-7)
    np.testing.assert_allclose(table["rot_z_power2"], motion[:, 5] ** 2, atol=1e-7)


def test_white_noise_has_a_standardised_dvars_of_one(made):
    _, _, table = made
    assert table["std_dvars"].median() == pytest.approx(1.0, abs=0.05)
    assert table["dvars"].median() == pytest.approx(10 * np.sqrt(2), rel=0.05)


def test_cosines_are_orthonormal_and_slower_than_the_cut_off(made):
    _, _, table = made
    cosines = table.filter(like="cosine").to_numpy()
    # 200 s hold three half waves longer than 128 s.
    assert cosines.shape[1] == 3
    np.testing.assert_allclose(cosines.T @ cosines, np.eye(3), atol=1e-6)
    np.testing.assert_allclose(cosines.sum(axis=0), 0.0, atol=1e-6)


def test_jumps_are_flagged_one_a_column(made):
    _, _, table = made
    outliers = table.filter(like="motion_outlier").to_numpy()
    assert (outliers.sum(axis=0) == 1).all()
    flagged = set(np.flatnonzero(outliers.sum(axis=1)))
    assert flagged == {30, 31, 60, 61}


def test_descriptions_name_columns_that_exist(made):
    _, _, table = made
    described = column_descriptions(table)
    assert set(described) <= set(table.columns)
    assert "framewise_displacement" in described
