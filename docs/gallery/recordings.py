# %% [markdown]
# # Recordings
#
# What goes into a decoder: a run before it is cleaned, a voxel while it is, and events as windows
# of volumes.

# %%
from pathlib import Path

import nibabel as nib
import numpy as np
from example_run import cohort, show
from IPython.display import Image
from matplotlib.figure import Figure

from boldformer import open_dataset
from boldformer.config import WindowConfig
from boldformer.data.event_windows import used_window
from boldformer.preprocessing.normalisation import zscore
from boldformer.preprocessing.temporal import cosine_drifts, polynomial_drifts
from boldformer.studies.dataset_inspection import inspect_run
from boldformer.visualization.drawing import FULL, Drawing
from boldformer.visualization.style import CLASS_COLOURS, INK, MUTED, figure_style

dataset = open_dataset(cohort())
run = dataset.recordings[0]
colours = dict(zip(dataset.event_types, CLASS_COLOURS, strict=False))

# %% [markdown]
# ## A run on a page
#
# `boldformer inspect`: noise, motion, carpet and responses, from the raw run
# ([how to read it](../inspect.md)).

# %%
page = inspect_run(run.bold, Path("inspection"))
Image(page, width=720, alt="Noise, motion and responses of a simulated run")

# %% [markdown]
# ## A voxel is cleaned
#
# The voxel that answers most to the tongue. A line and slow cosines are fitted and removed, the rest
# is scaled to one standard deviation. (The default pipeline fits motion and tissue signals in the
# same projection.)

# %%
planted = next(dataset.path.glob("derivatives/truth/*tongue*.nii.gz"))
values = nib.load(planted).get_fdata()
voxel = np.unravel_index(values.argmax(), values.shape)
signal = np.asarray(nib.load(run.bold).dataobj[voxel], dtype=float)
n_times = len(signal)
drifts = np.column_stack(
    [
        np.ones(n_times),
        polynomial_drifts(n_times, 1),
        cosine_drifts(n_times, run.t_r, 1 / 128),
    ]
)
drift = drifts @ np.linalg.lstsq(drifts, signal, rcond=None)[0]
cleaned = zscore((signal - drift)[:, None])[:, 0]
time_s = np.arange(n_times) * run.t_r

with figure_style():
    figure = Figure(figsize=(FULL, 3), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    above.plot(time_s, signal, color=MUTED, lw=1)
    above.plot(time_s, drift, color=CLASS_COLOURS[0])
    below.plot(time_s, cleaned, color=INK, lw=1)
    tongue = run.events.query("trial_type == 'tongue'")
    for event in tongue.itertuples():
        below.axvspan(
            event.onset + 5,
            event.onset + 5 + event.duration,
            color=colours["tongue"],
            alpha=0.25,
            lw=0,
        )
    above.set_ylabel("signal and drift")
    below.set(ylabel="z-score", xlabel="time, s")
    caption = "Shaded: windows of the tongue, five seconds after it began to move."
    show(Drawing("voxel", figure, "A voxel", caption, "A voxel before and after"))

# %% [markdown]
# ## Events become windows
#
# A window begins when the blood begins to answer, and is as long as the event.

# %%
window = used_window(dataset, dataset.event_types, WindowConfig())
with figure_style():
    figure = Figure(figsize=(FULL, 1.5), layout="constrained")
    axes = figure.subplots()
    for event in run.events.itertuples():
        colour = colours[event.trial_type]
        axes.broken_barh([(event.onset, event.duration)], (1.1, 0.8), color=colour)
        start_s = event.onset + window.delay_s
        axes.broken_barh([(start_s, window.length_s)], (0.1, 0.8), color=colour)
    for label, colour in colours.items():
        axes.plot([], [], "s", color=colour, label=label)
    axes.set(yticks=[0.5, 1.5], yticklabels=["windows", "events"], xlabel="time, s")
    figure.legend(loc="outside upper right", ncols=len(colours))
    caption = (
        f"Windows of {window.length_s:g} s, {window.delay_s:g} s after each event."
    )
    show(Drawing("windows", figure, "Windows", caption, "Events and their windows"))
