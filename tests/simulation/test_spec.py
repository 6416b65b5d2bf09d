"""Settings of a simulated cohort."""

import json

import pytest

from boldformer.errors import InputError
from boldformer.simulation import CONDITIONS, CohortSpec


def test_defaults_give_four_blocks_of_each_of_six_conditions():
    spec = CohortSpec()
    assert spec.conditions == CONDITIONS
    assert len(CONDITIONS) == 6
    assert spec.cycles == 4
    assert spec.duration_s == 464.0


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"subjects": 0}, "subjects"),
        ({"subjects": 2.0}, "subjects"),
        ({"runs": True}, "runs"),
        ({"seed": -1}, "seed"),
        ({"t_r": 0.0}, "t_r"),
        ({"t_r": float("nan")}, "t_r"),
        ({"n_volumes": 0}, "n_volumes"),
        ({"voxel_size_mm": 0.5}, "voxel_size_mm"),
        ({"effect_size": -1.0}, "effect_size"),
        ({"effect_size": float("inf")}, "effect_size"),
        ({"block_s": 0.0}, "block_s"),
        ({"noise_scale": -0.1}, "noise_scale"),
        ({"noise_scale": float("inf")}, "noise_scale"),
        ({"site_offset": -0.1}, "site_offset"),
        ({"site_offset": 1.1}, "site_offset"),
        ({"site_offset": "0.1"}, "site_offset"),
        ({"volume_shape": (10, 10)}, "volume_shape"),
        ({"volume_shape": (10, 10, 101)}, "volume_shape"),
        ({"volume_shape": (10, 10, 10.0)}, "volume_shape"),
        ({"conditions": ()}, "conditions"),
        ({"conditions": ("hand", "hand")}, "conditions"),
        ({"conditions": ("hand", "elbow")}, "conditions"),
        ({"task": "somato_topy"}, "task"),
        ({"task": ""}, "task"),
        ({"n_volumes": 60}, "too short"),
    ],
)
def test_a_setting_that_makes_no_cohort_is_refused_by_name(settings, named):
    with pytest.raises(InputError, match=named):
        CohortSpec(**settings)


def test_the_shortest_run_that_fits_is_accepted():
    # 6 blocks of 16 s, 2 s of rest each, 10 s before and 10 s after: 128 s.
    assert CohortSpec(n_volumes=64).cycles == 1
    with pytest.raises(InputError, match="128 s"):
        CohortSpec(n_volumes=63)


def test_settings_survive_json():
    spec = CohortSpec(
        subjects=3, volume_shape=(20, 24, 20), noise_scale=2.0, site_offset=0.1
    )
    found = json.loads(json.dumps(spec.to_dict()))
    found["conditions"] = tuple(found["conditions"])
    found["volume_shape"] = tuple(found["volume_shape"])
    assert CohortSpec(**found) == spec


def test_what_came_later_is_not_written_where_it_changes_nothing():
    written = CohortSpec().to_dict()
    assert {"noise_scale", "site_offset"}.isdisjoint(written)
    assert CohortSpec(site_offset=0.1).to_dict() == written | {"site_offset": 0.1}
