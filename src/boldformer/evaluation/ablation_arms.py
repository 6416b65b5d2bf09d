"""What an ablation compares: its arms, and the folds that they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from boldformer.config import EvaluationConfig, ModelConfig, RunConfig
from boldformer.data.splits import Fold, Splits, configured_splits
from boldformer.data.windows import SAME_T_R, WindowSet
from boldformer.errors import InputError, did_you_mean
from boldformer.evaluation.matching import match_size
from boldformer.models import DecoderModel, get_model, list_models, model_parameters
from boldformer.training.augment import NO_AUGMENTATION

HYBRID = "hybrid"
ALL, NONE = "all", "none"
# What the width of the hybrid stands for.
_WIDTHS = ("width", "stem_channels", "out_channels")
# Widths that can be divided by the heads.
_SIZES = range(16, 257, 8)


@dataclass(frozen=True)
class Arm:
    """One way to decode: a model, and what is changed for it.

    Parameters
    ----------
    name : str
        Also the name of the folder of its fits.
    description : str
        What it is, in a few words.
    model : str
        Name in the model registry.
    parameters : dict
        Parameters of the model that are changed.
    width : float
        Factor on the model's width and numbers of channels.
    training, preprocessing : dict
        Fields of `TrainingConfig` and `PreprocessingConfig` that are changed.
    matched_by : str
        Parameter of the model that is chosen, unless it is given, so that the model is
        as large and as costly as the hybrid on these windows.
    one_frame : bool
        Whether only the frame in the middle of each window is read.
    """

    name: str
    description: str
    model: str = HYBRID
    parameters: dict[str, Any] = field(default_factory=dict)
    width: float = 1.0
    training: dict[str, Any] = field(default_factory=dict)
    preprocessing: dict[str, Any] = field(default_factory=dict)
    matched_by: str = ""
    one_frame: bool = False

    @property
    def is_linear(self) -> bool:
        """Whether it is solved rather than trained."""
        return get_model(self.model).solver == "linear"

    def configured(self, run: RunConfig) -> RunConfig:
        """Lay what the arm changes over the settings that all arms share.

        Parameters
        ----------
        run : RunConfig
            Shared settings. Parameters of its model are those of all arms with this
            model.

        Raises
        ------
        InputError
            For a model or parameter that does not exist, or preprocessing that cannot
            be changed since it is written out step by step.
        """
        if self.preprocessing and run.preprocessing.steps:
            raise InputError(
                f"the arm {self.name!r} changes the preprocessing, which is written "
                "out step by step",
                wanted="a recipe of settings",
                fix="leave the arm out (--arms)",
            )
        return replace(
            run,
            model=self._model(run.model),
            training=replace(run.training, **self.training),
            preprocessing=replace(run.preprocessing, **self.preprocessing),
        )

    def _model(self, base: ModelConfig) -> ModelConfig:
        allowed = model_parameters(self.model)
        shared = base.parameters if base.name == self.model else {}
        parameters = {**shared, **self.parameters}
        unknown = [name for name in parameters if name not in allowed]
        if unknown:
            raise InputError(
                f"the arm {self.name!r} cannot be made",
                wanted=f"parameters of the model {self.model!r}: {', '.join(allowed)}",
                received=", ".join(unknown),
                fix="leave the arm out (--arms)",
            )
        if self.width != 1:
            full = {name: parameters.get(name, allowed[name]) for name in _WIDTHS}
            parameters |= {k: max(1, round(self.width * v)) for k, v in full.items()}
        return ModelConfig(self.model, parameters)

    def sized(
        self, config: ModelConfig, like: DecoderModel, n_times: int
    ) -> ModelConfig:
        """Match the model's size to that of another one; see `matched_by`."""
        if not self.matched_by or self.matched_by in config.parameters:
            return config
        return match_size(config, self.matched_by, _SIZES, like, n_times)

    def windows(self, windows: WindowSet) -> WindowSet:
        """Windows as the arm reads them."""
        return middle_frames(windows) if self.one_frame else windows


_NO_CENTRING: dict[str, Any] = {
    "centre": False,
    "detrend_order": -1,
    "high_pass_hz": 0.0,
    "confounds": (),
    "normalise": "none",
}

MODEL_ARMS = (
    Arm(HYBRID, "convolutions for space, attention for time"),
    Arm("cnn3d", "its convolutional half alone", "cnn3d"),
    Arm(
        "transformer",
        "its attention half alone",
        "transformer",
        matched_by="patch_width",
    ),
    Arm("deepbrain", "DeepBrain with the window's frames as channels", "deepbrain"),
    Arm("reference", "the published hybrid, on every frame", "reference"),
    Arm("linear", "support vector machine on window means", "linear"),
    Arm(
        "logistic",
        "logistic regression on window means",
        "linear",
        parameters={"loss": "logistic"},
    ),
    Arm("parcel_mlp", "perceptron on parcel means", "parcel_mlp"),
)
HYBRID_ARMS = (
    Arm("no_dropconnect", "without DropConnect", parameters={"drop_prob": 0.0}),
    Arm(
        "dropout",
        "outputs dropped in place of weights",
        parameters={"drop_kind": "outputs"},
    ),
    Arm(
        "no_positions",
        "attention over space that does not know places",
        parameters={"space_pooling": "content"},
    ),
    Arm(
        "global_pooling",
        "one mean over space",
        parameters={"space_pooling": "global"},
    ),
    Arm("batch_norm", "BatchNorm for GroupNorm", parameters={"norm": "batch"}),
    Arm(
        "no_centring",
        "raw volumes: nothing removes the run's mean",
        preprocessing=_NO_CENTRING,
    ),
    Arm("no_augmentation", "training windows as they are", training=NO_AUGMENTATION),
    Arm("one_frame", "the middle frame of each window", one_frame=True),
    Arm("half_width", "half of the width and channels", width=0.5),
    Arm("double_width", "twice the width and channels", width=2.0),
)
"""Models, and what is taken from the hybrid: one line an arm."""


def choose_arms(
    models: Sequence[str] = (ALL,), variants: Sequence[str] = (ALL,)
) -> tuple[Arm, ...]:
    """Pick arms by name; the hybrid, which all are held against, is always among them.

    Parameters
    ----------
    models : sequence of str
        Names out of `MODEL_ARMS` or of the model registry; "all" takes `MODEL_ARMS`.
    variants : sequence of str
        Names out of `HYBRID_ARMS`; "all" takes them all, "none" none.

    Raises
    ------
    InputError
        For an unknown name; names the nearest one.
    """
    known = {arm.name: arm for arm in MODEL_ARMS}
    others = {name: Arm(name, "as registered", name) for name in list_models()}
    chosen = _named(models, "model", others | known, list(known))
    altered = {arm.name: arm for arm in HYBRID_ARMS}
    variants = [name for name in variants if name != NONE]
    chosen += _named(variants, "arm", altered, list(altered))
    by_name = {arm.name: arm for arm in (known[HYBRID], *chosen)}
    return tuple(by_name.values())


def _named(
    names: Sequence[str], what: str, known: Mapping[str, Arm], every: list[str]
) -> list[Arm]:
    listed = [one for name in names for one in (every if name == ALL else [name])]
    for name in listed:
        if name not in known:
            raise InputError(
                f"unknown {what} {name!r}",
                wanted=f"some of {', '.join(known)}",
                fix=did_you_mean(name, known),
            )
    return [known[name] for name in listed]


def middle_frames(windows: WindowSet) -> WindowSet:
    """Keep the middle step of each window: the same events, one frame each.

    Parameters
    ----------
    windows : WindowSet
        Windows of any length; of an even one, the step after the middle is kept.

    Returns
    -------
    WindowSet
        Of the same rows and voxels, with ``n_times`` 1.
    """
    table = windows.table
    middle = table["n_times"] // 2
    # In other runs frames are averaged into steps, and weights follow `start_s`.
    frames_are_steps = (table["t_r"] - table["step_s"]).abs() <= SAME_T_R
    table = table.assign(
        start_s=table["start_s"] + middle * table["step_s"],
        n_times=1,
        first_frame=table["first_frame"] + middle.where(frames_are_steps, 0),
        n_frames=table["n_frames"].mask(frames_are_steps, 1),
    )
    return WindowSet(table, windows.runs, windows.grid_mask)


# --- folds ------------------------------------------------------------------------


def repeated_splits(table: pd.DataFrame, evaluation: EvaluationConfig) -> Splits:
    """Make the folds of every repeat, which all arms share.

    The folds of repeat r are drawn with seed ``evaluation.seed + r``. Where nothing is
    left to chance (one group left out, a split file) they are the same each time, and
    repeats differ by the seed of training alone (see `training_seed`).

    Parameters
    ----------
    table : DataFrame, index 0 … n-1
        Windows.
    evaluation : EvaluationConfig
        ``split``, or ``unit`` and ``folds``; ``repeats`` and ``seed``.

    Raises
    ------
    InputError
        For a split that cannot be made or read, or no repeat.
    """
    if evaluation.repeats < 1:
        raise InputError(
            "an ablation is done once at least",
            received=f"{evaluation.repeats} repeats",
        )
    once = replace(evaluation, repeats=1)
    drawn = [
        configured_splits(table, replace(once, seed=evaluation.seed + repeat))
        for repeat in range(evaluation.repeats)
    ]
    if len(drawn) == 1:
        return drawn[0]
    folds = [fold for splits in drawn for fold in splits.folds]
    same = len({splits.hash for splits in drawn}) == 1
    how = "the same folds" if same else "folds drawn anew"
    scheme = f"{drawn[0].scheme[:-1]}; {len(drawn)} times over, {how}."
    numbered = (replace(fold, index=k) for k, fold in enumerate(folds))
    return Splits(tuple(numbered), drawn[0].unit, scheme, evaluation.seed)


def repeat_of(splits: Splits) -> dict[int, int]:
    """Which repeat each fold belongs to, by the index of the fold."""
    parts = enumerate(splits.parts)
    return {fold.index: repeat for repeat, part in parts for fold in part.folds}


def stack(
    found: Sequence[tuple[Fold, np.ndarray]], splits: Splits, n_windows: int
) -> np.ndarray:
    """Lay out-of-fold probabilities out, one repeat after the other.

    Parameters
    ----------
    found : sequence of (Fold, ndarray of shape (n_test, n_classes))
        Predictions of every fold's test windows.
    splits : Splits
        The folds.
    n_windows : int
        All windows.

    Returns
    -------
    ndarray, shape (n_repeats * n_windows, n_classes)
        NaN for a window that a repeat does not test.
    """
    repeats = repeat_of(splits)
    n_rows, n_classes = splits.repeats * n_windows, found[0][1].shape[1]
    laid = np.full((n_rows, n_classes), np.nan)
    for fold, given in found:
        laid[repeats[fold.index] * n_windows + fold.test] = given
    return laid
