"""Arms of an ablation, their folds, and statistics against sums done by hand."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pandas as pd
import pytest

from boldformer.config import (
    EvaluationConfig,
    ModelConfig,
    PreprocessingConfig,
    RunConfig,
    TrainingConfig,
)
from boldformer.data.splits import Fold, Splits
from boldformer.errors import InputError
from boldformer.evaluation import ablation_arms as ablation
from boldformer.evaluation.ablation_arms import (
    HYBRID,
    HYBRID_ARMS,
    MODEL_ARMS,
    Arm,
    choose_arms,
    repeat_of,
    repeated_splits,
    stack,
)
from boldformer.models import create, model_parameters
from boldformer.training.augment import Augmentation

RUN = RunConfig()


def table(n_subjects: int = 4, per_label: int = 3) -> pd.DataFrame:
    rows = [
        {"subject": f"{s:02d}", "recording": f"sub-{s:02d}", "label": label}
        for s in range(n_subjects)
        for label in ("left", "right")
        for _ in range(per_label)
    ]
    return pd.DataFrame(rows)


# --- arms -------------------------------------------------------------------------


def test_names_of_arms_are_unique_folder_names() -> None:
    names = [arm.name for arm in (*MODEL_ARMS, *HYBRID_ARMS)]
    assert len(set(names)) == len(names)
    assert all(name.replace("_", "").isalnum() for name in names)


def test_every_arm_of_the_hybrid_changes_something() -> None:
    training = TrainingConfig(mixup=0.2, noise=0.1)
    for arm in HYBRID_ARMS:
        assert arm.model == HYBRID
        changed = [arm.parameters, arm.training, arm.preprocessing, arm.one_frame]
        assert any(changed) or arm.width != 1, arm.name
    (plain,) = (arm for arm in HYBRID_ARMS if arm.name == "no_augmentation")
    bare = plain.configured(RunConfig(training=training)).training
    assert Augmentation.from_config(bare) == Augmentation()
    assert bare.label_smoothing == training.label_smoothing


@pytest.mark.parametrize("arm", [*MODEL_ARMS, *HYBRID_ARMS], ids=lambda a: a.name)
def test_every_arm_can_be_built(arm: Arm) -> None:
    run = arm.configured(RUN)
    sizes = {"n_outputs": 3, "n_times": 4, "volume_shape": (12, 14, 12)}
    model = create(run.model.name, **sizes, **run.model.parameters)  # type: ignore
    assert arm.is_linear == (model.solver == "linear")


def test_the_hybrid_comes_first_and_once() -> None:
    arms = choose_arms(("linear", HYBRID, "linear"), ("none",))
    assert [arm.name for arm in arms] == [HYBRID, "linear"]
    assert choose_arms()[: len(MODEL_ARMS)] == MODEL_ARMS
    assert choose_arms(("reference_deepbrain",), ())[1].model == "reference_deepbrain"


@pytest.mark.parametrize(
    ("models", "variants", "message"),
    [
        (("cnn3",), (), "unknown model 'cnn3'.*'cnn3d'"),
        ((), ("no_dropconect",), "unknown arm.*'no_dropconnect'"),
        ((), ("linear",), "unknown arm 'linear'"),
    ],
)
def test_unknown_names(models: tuple, variants: tuple, message: str) -> None:
    with pytest.raises(InputError, match=message):
        choose_arms(models, variants)


def test_a_parameter_that_does_not_exist_is_one_clear_line() -> None:
    arm = Arm("odd", "", parameters={"sparkle": 1})
    with pytest.raises(InputError, match=r"'odd' cannot be made.*sparkle.*--arms"):
        arm.configured(RUN)


def test_given_parameters_hold_for_all_arms_of_their_model_and_no_other() -> None:
    run = RunConfig(model=ModelConfig(HYBRID, {"width": 32, "drop_prob": 0.3}))
    arms = {arm.name: arm for arm in (*MODEL_ARMS, *HYBRID_ARMS)}
    changed = arms["no_dropconnect"].configured(run).model.parameters
    assert changed == {"width": 32, "drop_prob": 0.0}
    assert arms["cnn3d"].configured(run).model.parameters == {}
    assert arms["half_width"].configured(run).model.parameters["width"] == 16
    full = model_parameters(HYBRID)
    doubled = arms["double_width"].configured(RUN).model.parameters
    assert doubled == {name: 2 * full[name] for name in doubled}


def test_without_centring_nothing_removes_the_mean() -> None:
    from boldformer.preprocessing.recipe import steps_from_config

    (arm,) = (arm for arm in HYBRID_ARMS if arm.name == "no_centring")
    run = RunConfig(preprocessing=PreprocessingConfig(smooth_mm=6.0))
    steps = steps_from_config(arm.configured(run).preprocessing)
    assert [s["step"] for s in steps] == ["drop_volumes", "brain_mask", "smooth"]
    written = PreprocessingConfig(steps=({"step": "brain_mask"},))
    with pytest.raises(InputError, match="written out"):
        arm.configured(RunConfig(preprocessing=written))


# --- folds ------------------------------------------------------------------------


def test_repeats_draw_folds_anew_where_there_is_chance() -> None:
    evaluation = EvaluationConfig(folds=2, repeats=3)
    splits = repeated_splits(table(8), evaluation)
    assert splits.repeats == 3
    assert [fold.index for fold in splits.folds] == list(range(6))
    assert list(repeat_of(splits).values()) == [0, 0, 1, 1, 2, 2]
    assert len({part.folds[0].test.tobytes() for part in splits.parts}) > 1
    assert "drawn anew" in splits.scheme


def test_repeats_of_leave_one_out_keep_their_folds() -> None:
    splits = repeated_splits(table(3), EvaluationConfig(repeats=2))
    first, second = splits.parts
    for a, b in zip(first.folds, second.folds, strict=True):
        np.testing.assert_array_equal(a.test, b.test)
    assert "same folds" in splits.scheme
    with pytest.raises(InputError, match="once at least"):
        repeated_splits(table(3), EvaluationConfig(repeats=0))


def test_stacking_puts_repeats_below_each_other() -> None:
    rows = np.arange(4)
    folds = [
        Fold(0, rows[2:], rows[:2]),
        Fold(1, rows[:2], rows[2:3]),
        Fold(2, rows[2:], rows[:2]),
    ]
    splits = Splits(tuple(folds), "subject", "")
    given = [(f, np.full((len(f.test), 2), float(f.index))) for f in reversed(folds)]
    laid = stack(given, splits, 4)[:, 0]
    nan = np.nan
    np.testing.assert_array_equal(laid, [0, 0, 1, nan, 2, 2, nan, nan])


def test_the_middle_frame_of_each_window(monkeypatch: pytest.MonkeyPatch) -> None:
    class Windows:
        """Stands for a `WindowSet`: the table is what matters."""

        runs: ClassVar[dict] = {}
        grid_mask = None
        table = pd.DataFrame(
            {
                "start_s": [5.0, 5.0],
                "step_s": 2.0,
                "t_r": [2.0, 1.0],
                "n_times": [8, 5],
                "first_frame": [3, 5],
                "n_frames": [8, 10],
            }
        )

    kept: list[pd.DataFrame] = []
    monkeypatch.setattr(ablation, "WindowSet", lambda table, *_: kept.append(table))
    ablation.middle_frames(Windows())  # type: ignore[arg-type]
    (found,) = kept
    assert found["n_times"].tolist() == [1, 1]
    assert found["start_s"].tolist() == [13.0, 9.0]
    # Frames of the second run are averaged into steps: weights pick the step.
    assert found["first_frame"].tolist() == [7, 5]
    assert found["n_frames"].tolist() == [1, 10]
