"""The page of a run is drawn for every grid, and its slices lie where they should."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from boldformer.visualization.inspection import (
    Condition,
    Inspection,
    Planes,
    draw_inspection,
)
from boldformer.visualization.style import figure_style

T_R, N_TIMES = 2.0, 60


def course() -> pd.DataFrame:
    lags = T_R * np.arange(-2, 12)
    return pd.DataFrame({"time_s": lags, "mean": np.sin(lags / 6), "sem": 0.2})


def inspection(
    shape: tuple[int, int, int] = (12, 14, 10),
    n_conditions: int = 2,
    motion: bool = True,
    tsnr: bool = True,
    n_non_steady: int = 0,
) -> Inspection:
    rng = np.random.default_rng(0)
    mask = np.ones(shape, dtype=bool)
    labels = [f"condition_{k}" for k in range(n_conditions)]
    frames = pd.DataFrame(
        {
            "global_signal": rng.normal(100, 1, N_TIMES),
            "dvars_relative": rng.normal(1, 0.1, N_TIMES),
            "dvars_outlier": np.arange(N_TIMES) == 20,
            "non_steady": np.arange(N_TIMES) < n_non_steady,
        }
    )
    if motion:
        frames["framewise_displacement"] = rng.random(N_TIMES)
    events = pd.DataFrame(
        {
            "onset": 10.0 * np.arange(1, n_conditions + 1),
            "duration": 5.0,
            "trial_type": labels,
        }
    )
    conditions = [
        Condition(k, 3, rng.normal(size=shape), 5 * rng.random(shape), course())
        for k in labels
    ]
    return Inspection(
        name="sub-01_task-test",
        details="12 × 14 × 10 voxels",
        affine=np.diag([3.0, 3.0, 3.0, 1.0]),
        t_r=T_R,
        unit="% signal change",
        mean=100 + rng.random(shape),
        mask=mask,
        tsnr=50 + rng.random(shape) if tsnr else None,
        frames=frames,
        carpet=rng.normal(size=(40, N_TIMES - n_non_steady)),
        events=events,
        conditions=conditions,
        window_s=(5.0, 11.0),
        notes=("A note.",),
    )


@pytest.mark.parametrize(
    "shape", [(12, 14, 10), (40, 20, 1), (6, 10, 10), (1, 20, 30), (5, 1, 5), (2, 2, 2)]
)
def test_every_grid_fits_one_page(shape: tuple[int, int, int]) -> None:
    with figure_style():
        figure = draw_inspection(inspection(shape)).figure
        figure.canvas.draw()
    assert figure.get_figwidth() < 8.3
    assert figure.get_figheight() <= 10.7


@pytest.mark.parametrize("n_conditions", [0, 1, 3, 4, 8, 12, 20])
def test_any_number_of_conditions_fits_one_page(n_conditions: int) -> None:
    with figure_style():
        figure = draw_inspection(inspection(n_conditions=n_conditions)).figure
        figure.canvas.draw()
    assert figure.get_figheight() <= 10.7
    inside = [axes.get_position() for axes in figure.axes]
    assert all(box.y0 >= 0 and box.y1 <= 1 for box in inside)
    assert all(box.x0 >= 0 and box.x1 <= 1.001 for box in inside)


def labels_of(shown: Inspection) -> set[str]:
    with figure_style():
        figure = draw_inspection(shown).figure
    return {axes.get_ylabel() for axes in figure.axes}


def test_without_motion_the_global_signal_takes_its_place() -> None:
    assert "FD, mm" in labels_of(inspection())
    still = labels_of(inspection(motion=False))
    assert "FD, mm" not in still
    assert "global\nsignal" in still


def test_the_caption_says_what_is_shown_and_nothing_else() -> None:
    with figure_style():
        full = draw_inspection(inspection(n_non_steady=3)).caption
        bare = draw_inspection(inspection((8, 8, 8), 0, False, False)).caption
    assert "no event chose the voxels it is shown in" in full
    assert "Framewise" in full or "framewise" in full
    assert "first 3 volumes" in full
    assert full.endswith("A note.")
    for word in ("SNR", "Responses", "framewise", "steady"):
        assert word not in bare


@pytest.mark.parametrize("flip", [(1, 1, 1), (-1, 1, 1), (-1, -1, 1), (1, 1, -1)])
def test_planes_show_left_on_the_left_and_front_on_top(
    flip: tuple[int, int, int],
) -> None:
    affine = np.diag([*(3.0 * np.array(flip)), 1.0])
    volume = np.zeros((6, 6, 6))
    # One bright voxel to the left of, in front of and below the centre.
    left_front_low = [0 if s > 0 else 5 for s in flip]
    left_front_low[1] = 5 - left_front_low[1]
    volume[tuple(left_front_low)] = 1
    planes = Planes(np.ones((6, 6, 6), dtype=bool), affine)
    low = planes.cut(volume, [0], 1)
    assert low.shape == (6, 6)
    assert low[0, 0] == 1
    assert planes.cut(volume, [5], 1).max() == 0


def test_planes_are_named_by_their_place_in_the_world() -> None:
    affine = np.diag([2.0, 2.0, 4.0, 1.0])
    affine[2, 3] = -8
    planes = Planes(np.ones((4, 4, 6), dtype=bool), affine)
    assert [planes.name(k) for k in (0, 2, 5)] == ["z −8", "z 0", "z 12"]


def test_the_strongest_planes_are_found() -> None:
    mask = np.ones((20, 20, 30), dtype=bool)
    strength = np.zeros(mask.shape)
    strength[2:9, 2:9, 7] = 5
    strength[2:9, 2:8, 22] = 4
    planes = Planes(mask, np.eye(4))
    assert planes.strongest(strength, 2) == [7, 22]
    assert len(planes.strongest(strength, 4)) == 4


def test_pictures_are_laid_out_in_rows() -> None:
    volume = np.broadcast_to(np.arange(5.0), (3, 4, 5))
    planes = Planes(np.ones((3, 4, 5), dtype=bool), np.eye(4))
    picture = planes.cut(volume, [0, 1, 2, 3, 4], 3)
    assert picture.shape == (8, 9)
    np.testing.assert_array_equal(picture[0, ::3], [0, 1, 2])
    np.testing.assert_array_equal(picture[-1, ::3], [3, 4, np.nan])
