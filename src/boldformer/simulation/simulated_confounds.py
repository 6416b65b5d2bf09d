"""The confounds of a run, in the columns and with the names that fMRIPrep uses."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy.fft

from boldformer.simulation.anatomy import Anatomy, Template
from boldformer.simulation.fields import Floats
from boldformer.simulation.motion import PARAMETERS, framewise_displacement_mm

HIGH_PASS_S = 128.0
OUTLIER_FD_MM = 0.5
OUTLIER_STD_DVARS = 1.5
PURE_TISSUE = 0.8
FEWEST_VOXELS = 20
VOXELS_AT_A_TIME = 20_000
IQR_PER_SD = 1.349

DESCRIPTIONS = {
    "csf": "Mean signal of voxels that are mostly cerebrospinal fluid.",
    "white_matter": "Mean signal of voxels that are mostly white matter.",
    "csf_wm": "Mean signal of both tissues together.",
    "global_signal": "Mean signal of the brain mask.",
    "dvars": "Root mean square of the change of the brain since the volume before, "
    "in thousandths of the median intensity.",
    "std_dvars": "DVARS over what autocorrelated noise alone would give.",
    "framewise_displacement": "Sum of absolute changes of the motion parameters in mm, "
    "rotations as arcs of 50 mm radius.",
    "trans_x": "Simulated translation, mm.",
    "trans_y": "Simulated translation, mm.",
    "trans_z": "Simulated translation, mm.",
    "rot_x": "Simulated rotation, radians.",
    "rot_y": "Simulated rotation, radians.",
    "rot_z": "Simulated rotation, radians.",
}


def confounds_table(
    data: Floats,
    motion: np.ndarray,
    template: Template,
    anatomy: Anatomy,
    t_r: float,
) -> pd.DataFrame:
    """Measure the confounds of a produced run.

    Parameters
    ----------
    data : array, (n_times, n_head)
        Intensities in the voxels of ``template.head``.
    motion : array, (n_times, 6)
        Realignment parameters.
    template, anatomy : Template, Anatomy
        Where the tissues are.
    t_r : float
        Repetition time in seconds.

    Returns
    -------
    DataFrame
        One row a volume; the first rows of derivatives are missing, as in fMRIPrep.
    """
    table = pd.DataFrame(_tissue_signals(data, template, anatomy))
    expanded = [_expand(table[[name]]) for name in table]
    dvars, std_dvars = _dvars(data, template.brain[template.head])
    quality = pd.DataFrame(
        {
            "dvars": dvars,
            "std_dvars": std_dvars,
            "framewise_displacement": framewise_displacement_mm(motion),
        }
    )
    movement = pd.DataFrame(motion, columns=list(PARAMETERS))
    moved = [_expand(movement[[name]]) for name in PARAMETERS]
    parts = [*expanded, quality, _cosines(len(data), t_r), *moved, _outliers(quality)]
    return pd.concat(parts, axis=1).round(8)


def column_descriptions(table: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Describe the measured columns of a confounds table, for its sidecar."""
    return {
        name: {"Description": DESCRIPTIONS[name]}
        for name in table
        if name in DESCRIPTIONS
    }


def _tissue_signals(
    data: Floats, template: Template, anatomy: Anatomy
) -> dict[str, np.ndarray]:
    inside = template.brain[template.head]
    fluid = _purest(anatomy.fluid[template.head] * inside)
    white = _purest(anatomy.white[template.head] * inside)
    masks = {
        "global_signal": inside,
        "csf": fluid,
        "white_matter": white,
        "csf_wm": fluid | white,
    }
    # A product with weights, since picking voxels of a fine grid copies gigabytes.
    return {
        name: data @ (mask / mask.sum()).astype(np.float32)
        for name, mask in masks.items()
    }


def _purest(share: Floats) -> np.ndarray:
    # Large voxels may hold no pure tissue at all: then the purest there are.
    nth = np.partition(share, -FEWEST_VOXELS)[-FEWEST_VOXELS]
    return share >= min(PURE_TISSUE, nth)


def _expand(column: pd.DataFrame) -> pd.DataFrame:
    """Add the derivative and the squares of a column."""
    (name,) = column.columns
    values = column[name].astype(float)
    derivative = values.diff()
    return pd.DataFrame(
        {
            name: values,
            f"{name}_derivative1": derivative,
            f"{name}_derivative1_power2": derivative**2,
            f"{name}_power2": values**2,
        }
    )


def _dvars(data: Floats, brain: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute DVARS and its standardised form [1]_, NaN for the first volume.

    References
    ----------
    .. [1] Nichols (2017), Notes on creating a standardized version of DVARS,
       arXiv:1704.01469.
    """
    columns = np.flatnonzero(brain)
    scale = np.float32(1000.0 / np.median(data.mean(axis=0)[columns]))
    squares = np.zeros(len(data) - 1)
    expected = 0.0
    for part in np.array_split(columns, max(1, len(columns) // VOXELS_AT_A_TIME)):
        block = data[:, part] * scale
        squares += (np.diff(block, axis=0) ** 2).sum(axis=1)
        low, high = np.quantile(block, [0.25, 0.75], axis=0)
        block -= block.mean(axis=0)
        lagged = (block[1:] * block[:-1]).sum(axis=0)
        memory = lagged / np.maximum((block**2).sum(axis=0), 1e-6)
        expected += np.sum(2.0 * (1.0 - memory) * ((high - low) / IQR_PER_SD) ** 2)
    dvars = np.sqrt(squares / len(columns))
    standardised = dvars / np.sqrt(expected / len(columns))
    return np.r_[np.nan, dvars], np.r_[np.nan, standardised]


def _cosines(n_times: int, t_r: float) -> pd.DataFrame:
    order = int(np.floor(2.0 * n_times * t_r / HIGH_PASS_S))
    waves = scipy.fft.idct(np.eye(n_times)[1 : order + 1], norm="ortho").T
    return pd.DataFrame(
        waves, columns=[f"cosine{k:02d}" for k in range(waves.shape[1])]
    )


def _outliers(quality: pd.DataFrame) -> pd.DataFrame:
    bad = quality["framewise_displacement"] > OUTLIER_FD_MM
    bad |= quality["std_dvars"] > OUTLIER_STD_DVARS
    rows = np.flatnonzero(bad)
    spikes = np.zeros((len(quality), len(rows)), dtype=int)
    spikes[rows, np.arange(len(rows))] = 1
    names = [f"motion_outlier{k:02d}" for k in range(len(rows))]
    return pd.DataFrame(spikes, columns=names)
