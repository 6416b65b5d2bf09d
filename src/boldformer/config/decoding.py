"""Settings of the model, its training, and how it is judged."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from boldformer.config.flag import Flag


@dataclass(frozen=True)
class ModelConfig:
    """Which model decodes.

    Parameters
    ----------
    name : str
        Name in the model registry.
    parameters : dict
        Keyword arguments of the model, its defaults where unset.
    """

    name: Annotated[str, Flag("--model", "Model to decode with: {models}.")] = "hybrid"
    parameters: Annotated[
        dict[str, Any],
        Flag("--model-parameter", "Settings of the model.", "", "KEY=VALUE …"),
    ] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainingConfig:
    """How a network is trained.

    Parameters
    ----------
    max_epochs : int
        Passes over the training windows at the most.
    batch_size : int
        Windows in a step.
    learning_rate, weight_decay : float
        Of AdamW, with warm-up and cosine decay.
    label_smoothing : float
        Mass moved from the true class to all classes.
    shift_voxels : int
        Largest random shift of a training window along each axis.
    noise : float
        Standard deviation of noise added to training windows (of normalised signal).
    mixup : float
        Parameter of the beta distribution that mixes pairs of training windows; 0
        mixes none.
    ema_decay : float
        Memory of the average over steps whose weights are kept; 0 keeps the last.
    balance : {"weights", "sampler", "none"}
        How rare classes count as much as others: by weights in the loss, or by being
        drawn as often; one of the two or neither, never both.
    accumulate : int
        Pieces in which a batch is computed, one after another, where memory is short.
        They add up to the gradient of the whole batch.
    gradient_clip : float
        Largest norm of a step's gradient; 0 for no limit.
    rotation_deg, zoom : float
        Standard deviations of rotations about each axis, in degrees, and of relative
        sizes along each axis, by which windows are varied in training.
    warp_voxels : float
        Standard deviation of smooth displacements, in voxels.
    field, gain : float
        Standard deviations of the relative amplitude of a window: smooth over space,
        and of the whole window.
    frame_drop : float
        Probability that a frame of a training window is left out.
    time_jitter : int
        Most frames by which a training window starts later or ends sooner.
    flip_x : bool
        Mirror every other window left to right. Refused where classes have a side.
    compile : bool
        Compile the network; it pays in long trainings only.
    linear_path : {"auto", "before", "beside", "off"}
        What becomes of a model's linear skip path. "before": the closed-form linear
        decoder of the training windows, fitted first, so that the network learns what
        it leaves. "beside": the network learns by itself, and the closed-form decoder's
        logits are added to its own. "auto": before with fewer than four training
        groups, where a network alone does worse, and beside with more.
    patience : int
        Epochs without a better accuracy on held-out *training* groups before training
        stops. 0 holds nothing out and trains to the end of the schedule: with few
        groups, what those held out would have taught is worth more than the choice of
        an epoch that they allow.
    validation_fraction : float
        Share of the training groups held out for early stopping.
    early_stopping_groups : int
        Fewest training groups of which some are held out. With fewer, what is lost to
        training costs more than stopping early gains, and training runs its full
        length.
    seed : int
        Of weights, order and augmentation.
    device : {"auto", "cpu", "cuda"}
        Where to train.
    precision : {"auto", "32", "bf16"}
        Arithmetic; "auto" takes bf16 where the hardware is fast at it.
    """

    max_epochs: Annotated[int, Flag("--epochs", "Epochs at the most.")] = 12
    batch_size: Annotated[int, Flag("--batch-size", "Windows in a step.")] = 16
    learning_rate: Annotated[float, Flag("--learning-rate", "Peak learning rate.")] = (
        1e-3
    )
    weight_decay: float = 0.05
    label_smoothing: float = 0.1
    shift_voxels: int = 1
    noise: float = 0.6
    mixup: float = 0.4
    ema_decay: float = 0.98
    balance: str = "weights"
    accumulate: int = 1
    gradient_clip: float = 1.0
    rotation_deg: float = 0.0
    zoom: float = 0.0
    warp_voxels: float = 1.8
    field: float = 0.4
    gain: float = 0.0
    frame_drop: float = 0.0
    time_jitter: int = 0
    flip_x: bool = False
    compile: bool = False
    linear_path: str = "auto"
    patience: int = 8
    validation_fraction: float = 0.15
    early_stopping_groups: int = 20
    seed: int = 0
    device: Annotated[str, Flag("--device", "auto, cpu or cuda.")] = "auto"
    precision: str = "auto"


@dataclass(frozen=True)
class EvaluationConfig:
    """How the decoder is judged.

    Parameters
    ----------
    folds : int
        Number of folds; 0 leaves one group out where there are at most six subjects
        (always, for runs within a subject) and makes five folds otherwise; -1 leaves
        one group out.
    repeats : int
        How often the folds are drawn anew and everything is fitted again.
    unit : {"auto", "subject", "run", "stretch"}
        What is kept apart: subjects where there are several, else runs; or contiguous
        stretches of each run, which leaves the run on both sides.
    split : str, optional
        Split file that says what is trained on and tested, instead of the former three.
    n_resamples : int
        Bootstrap resamples for intervals.
    level : float
        Coverage of the intervals.
    seed : int
        Of folds and bootstrap.
    allow_leakage : bool
        Go on when the audit finds a leak; every number is then marked LEAKY.
    linear_permutations : int
        Shuffles of the labels, among the events of a run, that a linear ridge
        classifier is tested against. -1 takes 200, and none with over 20,000 windows.
    n_permutations : int
        The same for the decoder, which is trained anew on every fold of every shuffle.
    learning_curve : bool
        Train the decoder on fewer subjects, too; the linear SVM always is.
    causal_decoder : bool
        Train the decoder on the other of the two forms of preprocessing, whole-run and
        causal, too, which takes as long again; the linear SVM always is.
    calibrate : bool
        Train every fold once more with some of its training groups held out, to fit a
        temperature to them where early stopping holds none out.
    """

    folds: Annotated[
        int,
        Flag(
            "--folds",
            "Number of folds; loo (or -1) leaves one group out.",
            "loo up to six subjects, else 5",
            "N|loo",
        ),
    ] = 0
    repeats: Annotated[int, Flag("--repeats", "Draw the folds so many times.")] = 1
    unit: Annotated[
        str,
        Flag(
            "--split-unit",
            "What is kept apart: subject; run or (leaky) stretch, within each subject.",
            "subject, if several",
        ),
    ] = "auto"
    split: Annotated[
        str,
        Flag(
            "--split",
            "TSV that fixes the folds: fold, set, and window, recording or subject.",
            "",
        ),
    ] = ""
    n_resamples: Annotated[int, Flag("--n-resamples", "Bootstrap resamples.")] = 1000
    level: float = 0.95
    seed: Annotated[
        int, Flag("--seed", "Of folds, weights, order: all that is random.")
    ] = 0
    allow_leakage: Annotated[
        bool,
        Flag("--allow-leakage", "Go on after a leak; numbers are marked LEAKY.", ""),
    ] = False
    linear_permutations: int = -1
    n_permutations: Annotated[
        int, Flag("--n-permutations", "Label shuffles that train again.")
    ] = 0
    learning_curve: Annotated[
        bool, Flag("--learning-curve", "Train on fewer and fewer subjects, too.", "")
    ] = False
    causal_decoder: Annotated[
        bool,
        Flag(
            "--causal-decoder/--no-causal-decoder",
            "Train again on past volumes only, too.",
            "yes",
        ),
    ] = True
    calibrate: Annotated[
        bool, Flag("--calibrate", "Fit temperatures on held-out training groups.", "")
    ] = False
