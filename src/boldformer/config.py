"""Frozen settings of a run, and their way to TOML and back."""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from boldformer.errors import InputError


@dataclass(frozen=True)
class DataConfig:
    """Which recordings are read.

    Parameters
    ----------
    path : str
        Dataset folder.
    derivatives : str, optional
        Folder of preprocessed recordings; found under ``path/derivatives`` when unset.
    participants, tasks, sessions : tuple of str
        Labels to keep (without ``sub-``, ``task-``, ``ses-``); empty keeps all.
    space : str, optional
        Space of the recordings to read, such as ``MNI152NLin2009cAsym``, or with its
        cohort ``MNIPediatricAsym:cohort-1``.
    acquisition : str, optional
        ``acq`` entity to read.
    labels : tuple of str
        Event types to decode; empty takes every type found.
    raw : bool
        Read the raw recordings even where derivatives exist.
    source : {"auto", "bids", "hcp", "class-folders", "maps"}
        Layout of the dataset; "auto" recognises it.
    label_table : str, optional
        How event types become labels: a TSV file with the columns ``trial_type`` and
        ``label`` (and ``task``, where it matters), or the name of one that comes with
        the package. Types it does not list are dropped.
    resolution : str, optional
        ``res`` entity of the recordings to read.
    t_r : float
        Repetition time in seconds where no sidecar says it; it goes before the header.
        0 leaves it to the files.
    filters : dict
        Labels to keep of any other BIDS entity, such as ``{rec = ["a"]}``; an empty
        label keeps files without the entity.
    """

    path: str = ""
    derivatives: str = ""
    participants: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    space: str = ""
    acquisition: str = ""
    labels: tuple[str, ...] = ()
    raw: bool = False
    source: str = "auto"
    label_table: str = ""
    resolution: str = ""
    t_r: float = 0.0
    filters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PreprocessingConfig:
    """How a run is cleaned before decoding.

    The fields are a recipe for the usual order of steps; `steps` replaces them all.

    Parameters
    ----------
    voxel_size_mm : float
        Resample every volume to voxels of this size; 0 keeps the grid.
    grid_like : str, optional
        Resample every volume to the grid of this image, which must lie in the same
        space.
    volume_shape : tuple of int, optional
        Crop or zero-pad every volume to this ``(x, y, z)``; empty keeps the grid.
    smooth_mm : float
        FWHM of a Gaussian in space; 0 does not smooth.
    dummy_scans : int
        Volumes dropped at the start of every run; -1 drops the non-steady-state
        volumes that the run shows at its start (four in a causal pipeline).
    despike : bool
        Squash spikes of single voxels.
    scrub_fd_mm : float
        Framewise displacement above which a volume is replaced by what its neighbours
        say, and does not count in the fit of confounds; 0 replaces none.
    centre : bool
        Subtract each voxel's mean over its run.
    detrend_order : int
        Order of the polynomial removed from each voxel; -1 removes none.
    high_pass_hz : float
        Cut-off of the cosine high-pass filter; 0 switches it off.
    low_pass_hz : float
        Cut-off of a Butterworth low-pass filter; 0 switches it off.
    confounds : tuple of str
        Groups of fMRIPrep confounds regressed out where a run has them: ``motion``
        (six parameters), ``motion24`` (with derivatives and squares), and nilearn's
        ``wm_csf``, ``global_signal``, ``compcor``, ``ica_aroma`` ….
    confound_options : dict
        Further arguments of ``nilearn.interfaces.fmriprep.load_confounds``, such as
        ``n_compcor`` or ``compcor = "temporal"``.
    smooth_s : float
        FWHM of a Gaussian along time, seconds; 0 does not smooth.
    normalise : {"zscore", "percent_signal_change", "none"}
        Scaling of each voxel over its run.
    causal : bool
        Let every step see past volumes only, as a decoder in real time must.
    steps : tuple of dict
        A pipeline written out, each step ``{step = "name", setting = value}``.
    """

    voxel_size_mm: float = 0.0
    grid_like: str = ""
    volume_shape: tuple[int, ...] = ()
    smooth_mm: float = 0.0
    dummy_scans: int = -1
    despike: bool = False
    scrub_fd_mm: float = 0.0
    centre: bool = True
    detrend_order: int = 1
    high_pass_hz: float = 1 / 128
    low_pass_hz: float = 0.0
    confounds: tuple[str, ...] = ("motion", "wm_csf")
    confound_options: dict[str, Any] = field(default_factory=dict)
    smooth_s: float = 0.0
    normalise: str = "zscore"
    causal: bool = False
    steps: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class WindowConfig:
    """Which frames stand for an event.

    Parameters
    ----------
    delay_s : float
        Haemodynamic delay: a window begins this long after its event.
    length_s : float
        Length of a window; 0 takes the median duration of the events.
    stride_s : float
        Further windows of an event begin every so many seconds, while they end before
        the event does (delayed); 0 takes one window an event.
    step_s : float
        Time between the frames of a window. 0 takes the repetition time, the longest
        where recordings have several; others are resampled to it.
    """

    delay_s: float = 5.0
    length_s: float = 0.0
    stride_s: float = 0.0
    step_s: float = 0.0


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

    name: str = "hybrid"
    parameters: dict[str, Any] = field(default_factory=dict)


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

    max_epochs: int = 12
    batch_size: int = 16
    learning_rate: float = 1e-3
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
    device: str = "auto"
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
    unit : {"auto", "subject", "run"}
        What is kept apart: subjects where there are several, else runs.
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
        Shuffles of the labels, within runs, that the linear SVM is tested against. -1
        takes 200, fewer with over a thousand windows or eight classes, and none with
        over five thousand windows.
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

    folds: int = 0
    repeats: int = 1
    unit: str = "auto"
    split: str = ""
    n_resamples: int = 1000
    level: float = 0.95
    seed: int = 0
    allow_leakage: bool = False
    linear_permutations: int = -1
    n_permutations: int = 0
    learning_curve: bool = False
    causal_decoder: bool = True
    calibrate: bool = False


@dataclass(frozen=True)
class RunConfig:
    """Everything a run needs to be run again."""

    data: DataConfig = field(default_factory=DataConfig)
    preprocessing: PreprocessingConfig = field(default_factory=PreprocessingConfig)
    window: WindowConfig = field(default_factory=WindowConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)


def to_dict(config: Any) -> dict[str, Any]:
    """Plain, JSON- and TOML-ready form of a configuration dataclass."""

    def plain(value: Any) -> Any:
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {
                f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)
            }
        if isinstance(value, (tuple, list)):
            return [plain(item) for item in value]
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        return value

    return plain(config)


def from_dict(kind: type, values: dict[str, Any], where: str = "") -> Any:
    """Build the configuration dataclass `kind` from plain values.

    Raises
    ------
    InputError
        For a key the class does not have (with the nearest one it has), or a value
        of another type.
    """
    hints = typing.get_type_hints(kind)
    names = [f.name for f in dataclasses.fields(kind)]
    for key in values:
        if key not in names:
            near = difflib.get_close_matches(key, names, n=1)
            raise InputError(
                f"unknown setting {where + key!r}",
                wanted=f"one of {', '.join(names)}",
                fix=f"did you mean {near[0]!r}?" if near else "remove it",
            )
    built = {
        key: _coerce(hints[key], value, f"{where}{key}")
        for key, value in values.items()
    }
    return kind(**built)


def _coerce(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, dict):
            raise InputError(
                f"setting {where!r} is not a table", received=repr(value)[:60]
            )
        return from_dict(typing.cast(type, hint), value, f"{where}.")
    origin = typing.get_origin(hint)
    if origin is tuple and isinstance(value, (list, tuple)):
        item_type = typing.get_args(hint)[0]
        return tuple(_coerce(item_type, item, where) for item in value)
    expected = origin or hint
    if expected is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    is_bool_for_number = isinstance(value, bool) and expected is not bool
    if not isinstance(value, expected) or is_bool_for_number:
        wanted = str(hint) if isinstance(hint, types.GenericAlias) else hint.__name__
        raise InputError(
            f"setting {where!r} has the wrong type",
            wanted=wanted,
            received=repr(value)[:60],
        )
    return value


def to_toml(config: Any) -> str:
    """Write a configuration dataclass as TOML text that `from_toml` reads back."""
    return "\n".join(_toml_lines(to_dict(config), ())).lstrip("\n") + "\n"


def _toml_lines(table: dict[str, Any], path: tuple[str, ...]) -> list[str]:
    scalars = {k: v for k, v in table.items() if not isinstance(v, dict)}
    tables = {k: v for k, v in table.items() if isinstance(v, dict)}
    lines = [f"\n[{'.'.join(_toml_key(part) for part in path)}]"] if path else []
    lines += [f"{_toml_key(k)} = {_toml_value(v)}" for k, v in scalars.items()]
    for key, value in tables.items():
        lines += _toml_lines(value, (*path, key))
    return lines


def _toml_key(key: str) -> str:
    bare = key.isascii() and key.replace("_", "").replace("-", "").isalnum()
    return key if bare else _toml_string(key)


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        return _toml_string(value)
    if isinstance(value, list):
        return "[" + ", ".join(_toml_value(item) for item in value) + "]"
    if isinstance(value, dict):  # a table inside a list
        pairs = (f"{_toml_key(k)} = {_toml_value(v)}" for k, v in value.items())
        return "{" + ", ".join(pairs) + "}"
    raise InputError(
        "a setting cannot be written to TOML",
        wanted="text, numbers, booleans, lists or tables",
        received=type(value).__name__,
    )


def _toml_string(text: str) -> str:
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    escaped = "".join(
        escapes.get(c, c if c.isprintable() else f"\\U{ord(c):08X}") for c in text
    )
    return f'"{escaped}"'


def from_toml(text: str, kind: type = RunConfig) -> Any:
    """Read a configuration dataclass from TOML text.

    Raises
    ------
    InputError
        For text that is not TOML, unknown settings or values of the wrong type.
    """
    try:
        values = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError("the configuration is not TOML", received=str(error)) from None
    return from_dict(kind, values)


def parse_value(text: str) -> Any:
    """Read a value as TOML writes it (``0.2``, ``true``, ``[1, 2]``), else as text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return text


def load(path: Path, kind: type = RunConfig) -> Any:
    """Read a configuration dataclass from a TOML file (see `from_toml`)."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"cannot read the configuration {str(path)!r}", received=str(error)
        ) from None
    return from_toml(text, kind)
