"""The figure, the words and the page of an ablation."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

from boldformer.evaluation.metrics import SCORES
from boldformer.visualization.ablation_figure import draw_ablation
from boldformer.visualization.ablation_page import render_ablation, sentences
from boldformer.visualization.label_text import label_points
from boldformer.visualization.style import save_figure

CHANCE = 0.25
INTERVAL = {"unit": "subject", "n_units": 30, "level": 0.95, "n_resamples": 1000}
# Arm, model, balanced accuracy, multiply-adds.
ARMS = [
    ("hybrid", "hybrid", 0.83, 4.0e6),
    ("cnn3d", "cnn3d", 0.80, 4.2e6),
    ("transformer", "transformer", 0.74, 4.1e6),
    ("deepbrain", "deepbrain", 0.70, 2.0e9),
    ("reference", "reference", 0.31, 3.0e10),
    ("linear", "linear", 0.81, 1.0e5),
    ("logistic", "linear", 0.80, 1.0e5),
    ("parcel_mlp", "parcel_mlp", 0.78, 1.1e5),
    ("no_dropconnect", "hybrid", 0.82, 4.0e6),
    ("no_positions", "hybrid", 0.55, 4.0e6),
    ("half_width", "hybrid", 0.81, 1.2e6),
    ("double_width", "hybrid", 0.84, 1.5e7),
]


def make_table(arms: list[tuple[str, str, float, float]] = ARMS) -> pd.DataFrame:
    table = pd.DataFrame(arms, columns=["arm", "model", "value", "mac_per_window"])
    value = table.pop("value")
    for score in SCORES:
        table[score] = value
        table[f"{score}_low"], table[f"{score}_high"] = value - 0.04, value + 0.03
    names = table["arm"]
    for name, other in (("hybrid", "hybrid"), ("linear", "linear")):
        gap = value - value[names == other].item()
        gap = gap.where(names != other)
        table[f"minus_{name}"] = gap
        table[f"minus_{name}_low"] = gap - 0.015
        table[f"minus_{name}_high"] = gap + 0.015
        table[f"minus_{name}_p"] = 0.01
        table[f"minus_{name}_p_holm"] = 0.03
    table = table.assign(description="what it is", audit="no leak", failed=None)
    return table.assign(training_accuracy=0.95, parameters=10**6, seconds=60, n_fits=5)


def make_record(**changes: object) -> dict:
    record = {
        "version": "0",
        "leaky": False,
        "dataset": "tiny <b>",
        "classes": ["a", "b", "c", "d"],
        "chance": CHANCE,
        "best_linear": "linear",
        "interval": INTERVAL,
        "samples": {"n_subjects": 30, "n_windows": 600, "shape": [8, 20, 24, 20]},
        "split": {"n_folds": 5, "repeats": 1, "scheme": "Leave subjects out."},
        "settings": {
            "training": {"max_epochs": 12, "batch_size": 16},
            "evaluation": {"seed": 0},
        },
        "audit": {"verdict": "clean", "checks": []},
    }
    return record | changes


# --- words ------------------------------------------------------------------------


def test_the_best_arm_and_its_lead() -> None:
    best, _ = sentences(make_table(), make_record())
    assert best.startswith("Of 12 arms double_width has the highest balanced accuracy")
    assert "0.840 (0.800 to 0.870) over 30 subjects, chance being 0.250" in best
    assert (
        "ahead of the hybrid by 0.010, paired interval −0.005 to 0.025, which does not "
        "exclude 0 (p = 0.03 after Holm's correction)"
    ) in best
    assert "less the best linear decoder, linear, is 0.020" in best
    assert "0.005 to 0.035, which excludes 0" in best
    assert "reliable" not in best


def test_where_the_hybrid_is_best_its_lead_over_the_next_is_told() -> None:
    arms = [arm for arm in ARMS if arm[0] != "double_width"]
    best, _ = sentences(make_table(arms), make_record())
    assert "Of 11 arms the hybrid has the highest" in best
    # The arm less the hybrid is −0.010 (−0.025 to 0.005): turned round.
    lead = "ahead of no_dropconnect by 0.010, paired interval −0.005 to 0.025"
    assert lead in best


def test_few_subjects_failures_and_leaks_are_said() -> None:
    table = make_table()
    table.loc[table["arm"] == "deepbrain", [*SCORES]] = np.nan
    record = make_record(interval=INTERVAL | {"n_units": 5}, leaky=True)
    best, cost = sentences(table, record)
    assert best.startswith("LEAKY: Of 11 arms")
    assert cost.startswith("LEAKY: ")
    assert "with only 5 subjects no interval is reliable" in best
    assert best.endswith("deepbrain could not be trained.")
    assert "deepbrain" not in cost


def test_no_interval_is_not_made_up() -> None:
    table = make_table()
    table[[c for c in table if c.endswith(("_low", "_high"))]] = np.nan
    best, _ = sentences(table, make_record(interval=INTERVAL | {"n_units": 1}))
    assert "of which no interval can be told" in best
    assert "exclude" not in best
    assert "1 subject," in best


def test_costs_are_told_as_multiples_of_the_hybrid() -> None:
    _, cost = sentences(make_table(), make_record())
    assert cost.startswith("A window costs the hybrid 4 million multiply-adds")
    assert "12 s a fit" in cost
    assert "linear 0.025 times as many (0.810)" in cost
    assert "deepbrain 500 times as many (0.700)" in cost
    assert "reference 7,500 times as many (0.310)" in cost
    # What costs what the hybrid costs is not told again.
    assert "no_positions" not in cost


def test_the_hybrid_alone() -> None:
    table = make_table([ARMS[0], ARMS[5]]).iloc[:1]
    best, cost = sentences(table, make_record(best_linear=None))
    assert best.startswith("The hybrid alone has a balanced accuracy of 0.830 (")
    assert "ahead" not in best
    assert cost.endswith("12 s a fit).")


# --- the figure -------------------------------------------------------------------


def _box(note: Annotation) -> Bbox:
    """Place of the name alone, without the line that leads to it."""
    note.get_window_extent()  # brings it to its place
    return Text.get_window_extent(note)


def test_every_arm_is_listed_and_those_of_other_cost_are_named() -> None:
    figure = draw_ablation(make_table(), CHANCE, INTERVAL).figure
    left, right = figure.axes
    listed = [text.get_text() for text in left.get_yticklabels()]
    assert sorted(listed) == sorted(arm for arm, *_ in ARMS)
    # Models first, best first.
    assert listed[:3] == ["hybrid", "linear", "cnn3d"]
    changed = ["double_width", "no_dropconnect", "half_width", "no_positions"]
    assert listed[8:] == changed
    named = {text.get_text() for text in right.texts}
    assert named == {arm for arm, *_ in ARMS} - {"no_dropconnect", "no_positions"}
    assert right.get_xscale() == "log"


def test_a_failed_arm_is_named_and_has_no_point() -> None:
    table = make_table()
    table.loc[3, list(SCORES)] = np.nan
    left, right = draw_ablation(table, CHANCE, INTERVAL).figure.axes
    assert "deepbrain (failed)" in [t.get_text() for t in left.get_yticklabels()]
    assert "deepbrain" not in [t.get_text() for t in right.texts]


@settings(max_examples=6)
@given(st.integers(0, 2**32 - 1))
def test_names_never_lie_on_each_other(seed: int) -> None:
    rng = np.random.default_rng(seed)
    arms = [
        (name, model, float(rng.uniform(0.3, 0.9)), float(10 ** rng.uniform(5, 8)))
        for name, model, *_ in ARMS
    ]
    figure = draw_ablation(make_table(arms), CHANCE, INTERVAL).figure
    frame = figure.axes[1].get_window_extent().padded(1)
    boxes = [_box(note) for note in figure.axes[1].texts]
    for k, box in enumerate(boxes):
        assert frame.contains(box.x0, box.y0)
        assert frame.contains(box.x1, box.y1)
        assert not any(box.overlaps(other) for other in boxes[:k])


def test_points_in_one_place_all_get_their_names_or_none() -> None:
    figure = Figure(figsize=(4, 4))
    axes = figure.add_subplot()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    names = [f"name {k}" for k in range(30)]
    placed = label_points(axes, [0.5] * 30, [0.5] * 30, names)
    assert len(placed) > 10
    assert len(axes.texts) == len(placed)
    boxes = [_box(note) for note in placed]
    for k, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:k])


def test_the_same_table_gives_the_same_bytes(tmp_path: object) -> None:
    svgs = [
        save_figure(draw_ablation(make_table(), CHANCE, INTERVAL).figure, stem)[0]
        for stem in (f"{tmp_path}/a", f"{tmp_path}/b")
    ]
    assert svgs[0].read_bytes() == svgs[1].read_bytes()
    assert "mathdefault" not in svgs[0].read_text()


# --- the page ---------------------------------------------------------------------


@pytest.mark.parametrize("leaky", [False, True])
def test_the_page_needs_nothing_else(leaky: bool, tmp_path: object) -> None:
    table = make_table()
    table.loc[3, list(SCORES)] = np.nan
    table.loc[3, "failed"] = "diverged & stopped"
    record = make_record(leaky=leaky)
    record["sentences"] = sentences(table, record)
    drawing = draw_ablation(table, CHANCE, INTERVAL)
    svg, _ = save_figure(drawing.figure, f"{tmp_path}/figure")
    page = render_ablation(table, record, drawing, svg.read_text())
    assert "<script" not in page
    assert "src=" in page
    assert page.count("src=") == page.count('src="data:')
    assert "tiny &lt;b&gt;" in page
    assert "diverged &amp; stopped" in page
    assert ("LEAKY" in page) == leaky
    for sentence in record["sentences"]:
        assert sentence.split(";")[0].replace("'", "&#39;") in page
    assert page.count("<tr") == 3 + 12 + 11 + 12
