"""Settings of what is read, how it is cleaned, and which frames are decoded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from boldformer.config.flag import Flag


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
    derivatives: Annotated[
        str, Flag("--derivatives", "Preprocessed recordings lying elsewhere.", "")
    ] = ""
    participants: Annotated[
        tuple[str, ...],
        Flag("--participant-label", "Subjects, without sub-.", ""),
    ] = ()
    tasks: Annotated[tuple[str, ...], Flag("--task", "Tasks, without task-.", "")] = ()
    sessions: Annotated[tuple[str, ...], Flag("--session-label", "Sessions.", "")] = ()
    space: Annotated[
        str, Flag("--space", "Space, with its cohort as X:cohort-1.", "")
    ] = ""
    acquisition: Annotated[str, Flag("--acquisition", "acq- entity.", "")] = ""
    labels: Annotated[
        tuple[str, ...], Flag("--labels", "Labels to decode.", "all")
    ] = ()
    raw: Annotated[bool, Flag("--raw", "Ignore derivatives.", "")] = False
    source: Annotated[
        str, Flag("--source", "Layout: bids, hcp, class-folders or maps.", "recognised")
    ] = "auto"
    label_table: Annotated[
        str,
        Flag(
            "--label-table",
            "TSV that chooses, merges and renames event types, or a built-in name.",
            "",
        ),
    ] = ""
    resolution: Annotated[
        str, Flag("--resolution", "res- entity of the recordings.", "")
    ] = ""
    t_r: Annotated[
        float, Flag("--tr", "Repetition time in seconds, where no sidecar says it.", "")
    ] = 0.0
    filters: Annotated[
        dict[str, Any],
        Flag(
            "--filter",
            "ENTITY=LABEL of any BIDS entity, such as rec=a.",
            "",
            "ENTITY=LABEL …",
        ),
    ] = field(default_factory=dict)


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
        Groups of fMRIPrep confounds regressed out: ``motion`` (six parameters),
        ``motion24`` (with derivatives and squares), and nilearn's ``wm_csf``,
        ``global_signal``, ``compcor``, ``ica_aroma`` …. A run that lacks one is set
        aside. ``auto`` stands for ``motion`` and ``wm_csf`` as far as a run has them.
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

    voxel_size_mm: Annotated[
        float, Flag("--voxel-size", "Resample to voxels of so many mm.", "")
    ] = 0.0
    grid_like: Annotated[
        str, Flag("--grid-like", "Resample to the grid of this image.", "")
    ] = ""
    volume_shape: Annotated[
        tuple[int, ...],
        Flag("--volume-shape", "Crop or zero-pad volumes to X Y Z.", ""),
    ] = ()
    smooth_mm: Annotated[float, Flag("--smooth", "FWHM in space, mm.")] = 0.0
    dummy_scans: Annotated[
        int, Flag("--dummy-scans", "Volumes dropped at the start.", "detected")
    ] = -1
    despike: Annotated[bool, Flag("--despike", "Squash spikes.", "")] = False
    scrub_fd_mm: Annotated[
        float,
        Flag("--scrub-fd", "Replace volumes that moved more than so many mm.", ""),
    ] = 0.0
    centre: bool = True
    detrend_order: Annotated[
        int, Flag("--detrend-order", "Polynomial removed; -1 for none.")
    ] = 1
    high_pass_hz: Annotated[
        float, Flag("--high-pass", "Cut-off in Hz; 0 for none.", "1/128")
    ] = 1 / 128
    low_pass_hz: Annotated[float, Flag("--low-pass", "Cut-off in Hz; 0 for none.")] = (
        0.0
    )
    confounds: Annotated[
        tuple[str, ...],
        Flag(
            "--confounds",
            "fMRIPrep groups, or none.",
            "motion,wm_csf where a run has them",
        ),
    ] = ("auto",)
    confound_options: dict[str, Any] = field(default_factory=dict)
    smooth_s: Annotated[float, Flag("--smooth-time", "FWHM along time, s.")] = 0.0
    normalise: Annotated[
        str, Flag("--normalise", "zscore, percent_signal_change or none.")
    ] = "zscore"
    causal: Annotated[
        bool, Flag("--causal", "Let every step see past volumes only.", "")
    ] = False
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

    delay_s: Annotated[float, Flag("--delay", "Haemodynamic delay in seconds.")] = 5.0
    length_s: Annotated[
        float, Flag("--length", "Window in seconds.", "median event duration")
    ] = 0.0
    stride_s: Annotated[
        float, Flag("--stride", "Seconds between windows of an event.", "one window")
    ] = 0.0
    step_s: Annotated[
        float, Flag("--step", "Seconds between frames of a window.", "longest TR")
    ] = 0.0
