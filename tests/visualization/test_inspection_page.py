"""The page of a run is drawn for every grid, with words that fit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from boldformer.data.store import Grid
from boldformer.visualization.cards import Condition
from boldformer.visualization.inspection_page import Inspection, draw_inspection
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
        Condition(
            label=label,
            n_events=3,
            duration_s=5.0,
            response=rng.normal(size=shape),
            peak=np.zeros(shape),
            strength=5 * rng.random(shape),
            course=course(),
        )
        for label in labels
    ]
    return Inspection(
        name="sub-01_task-test",
        t_r=T_R,
        grid=Grid.from_arrays(shape, np.diag([3.0, 3.0, 3.0, 1.0])),
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


def test_the_size_of_the_run_is_a_line() -> None:
    words = inspection().details.split("  ·  ")
    assert words[:2] == ["12 × 14 × 10 voxels of 3 × 3 × 3 mm", "1,680 in the mask"]
    assert words[2:] == ["TR 2 s", "60 volumes (2 min 0 s)", "scanner space"]


def test_conditions_that_do_not_fit_are_said_to_be_left_out() -> None:
    with figure_style():
        caption = draw_inspection(inspection(n_conditions=14)).caption
        assert "first 12 of 14 conditions" in caption
        assert "first 12" not in draw_inspection(inspection()).caption


@pytest.mark.parametrize(("tsnr", "expected"), [(True, "ABCD"), (False, "ABC")])
def test_panels_are_lettered_in_order(tsnr: bool, expected: str) -> None:
    with figure_style():
        figure = draw_inspection(inspection(tsnr=tsnr)).figure
    letters = [text.get_text() for text in figure.texts if len(text.get_text()) == 1]
    assert "".join(x for x in letters if x.isupper()) == expected
