# %% [markdown]
# # Your own BIDS data
#
# BoldFormer reads a BIDS dataset as it is: fMRIPrep's recordings where there are any, raw ones
# otherwise. This page follows a dataset from the folder to a report and stops where your own data
# will make you stop: which files are read, what becomes of a broken run, which confounds are
# removed, how events become windows, and how a run is looked at before anything is decoded.
#
# The data are simulated, with the names and columns that fMRIPrep writes. All layouts that can be
# read are listed in [What goes in](../docs/inputs.md).

# %%
import json
from pathlib import Path

import pandas as pd
from IPython.display import Image

from boldformer import CohortSpec, Decoder, open_dataset, simulate_cohort
from boldformer.config import PreprocessingConfig, WindowConfig
from boldformer.studies.dataset_inspection import inspect_run

pd.set_option("display.max_colwidth", 120)
spec = CohortSpec(
    subjects=4,
    runs=2,
    n_volumes=120,
    voxel_size_mm=6.0,
    conditions=("left_leg", "hand", "tongue"),
)
root = simulate_cohort("my-dataset", spec, n_jobs=1, progress=False)

# %% [markdown]
# ## What lies in the folder
#
# Events are in the raw part, recordings, masks and confounds under `derivatives`. This is one run:

# %%
[
    str(path.relative_to(root))
    for path in sorted(root.rglob("*sub-01_task-somatotopy_run-1*"))
]

# %% [markdown]
# ## What is read
#
# `open_dataset` matches the files. `task`, `space`, `participants` and others choose; a wish that
# nothing matches is an error that names what there is.

# %%
dataset = open_dataset(root, participants=["01", "02", "03"])
first = dataset.recordings[0]
{
    "subjects": dataset.subject_labels,
    "event types": dataset.event_types,
    "space": first.space,
    "TR (s)": first.t_r,
    "mask": first.mask.name,
    "confounds": first.confounds.name,
}

# %% tags=["raises-exception"]
open_dataset(root, task="memory")

# %% [markdown]
# ## Broken runs
#
# A copy was interrupted and one file ends in the middle. One bad run should not stop a night's
# work, nor vanish silently: it is set aside, with its reason, and the rest goes on.

# %%
broken = next(root.rglob("sub-04*run-2*desc-preproc_bold.nii.gz"))
whole = broken.read_bytes()
broken.write_bytes(whole[: len(whole) // 2])
# !boldformer prepare my-dataset store --quiet
pd.read_csv("store/set_aside.tsv", sep="\t")

# %% [markdown]
# We copy the file again, and go on with whole data.

# %%
_ = broken.write_bytes(whole)
# %% [markdown]
# ## Confounds
#
# By default six motion parameters and the signals of white matter and CSF are regressed out of
# every voxel, together with a line and slow drifts, in one projection. The groups are those of
# nilearn's `load_confounds`.

# %%
confounds = pd.read_csv(first.confounds, sep="\t")
columns = ["trans_x", "rot_x", "csf", "white_matter", "framewise_displacement"]
confounds[columns].describe().loc[["mean", "std", "max"]].round(3)

# %%
cleaning = PreprocessingConfig(confounds=("motion24", "wm_csf"), smooth_mm=8.0)
window = WindowConfig(delay_s=5.0, length_s=12.0)
{
    "by default": PreprocessingConfig().confounds,
    "here": cleaning.confounds,
    "window": (window.delay_s, window.length_s),
}

# %% [markdown]
# ## Labels
#
# Every `trial_type` is a class unless you say otherwise. A table chooses, merges and renames:
# types that it does not list are dropped.

# %%
table = pd.DataFrame(
    {"trial_type": ["left_leg", "hand", "tongue"], "label": ["limb", "limb", "tongue"]}
)
table.to_csv("labels.tsv", sep="\t", index=False)
merged = open_dataset(root, label_table="labels.tsv")
merged.recordings[0].events.head(4)

# %% [markdown]
# ## Look before you decode
#
# `boldformer inspect` puts the noise, the motion and the responses of one run on a page. If the
# response to your task is not to be seen here, ask why before a network is asked to find it.
# [How to read it](../docs/inspect.md).

# %%
page = inspect_run(first.bold, Path("inspection"))
Image(page, width=760, alt="Noise, motion and responses of one simulated run")

# %% [markdown]
# ## Decode
#
# In Python the settings go to the `Decoder`. One person is left out by hand here:

# %%
decoder = Decoder("linear", preprocessing=cleaning, window=window)
decoder.fit(open_dataset(root, participants=["01", "02", "03"]))
decoder.score(open_dataset(root, participants=["04"]))

# %% [markdown]
# On the command line one run does everything: each person is left out once, an audit looks for
# leaks first, baselines and intervals stand beside the score, and a report is written. The same
# command goes on where it was interrupted.

# %%
# !boldformer run my-dataset results --model linear --confounds motion24,wm_csf --smooth 8 --delay 5 --length 12 --quiet

# %%
metrics = json.loads(Path("results/metrics.json").read_text())
scores = pd.DataFrame(
    {name: score["balanced_accuracy"] for name, score in metrics["scores"].items()}
).T
scores.astype(float).round(3)

# %% [markdown]
# `low` and `high` bound a 95 % interval over people. With four people it is not to be relied on,
# and the report says so: the intervals become useful from about six on.

# %%
sorted(path.name for path in Path("results").iterdir())

# %% [markdown]
# `report.html` is the page to open; [What a run writes](../docs/outputs.md) explains every file.
# To have the audit alone, `boldformer audit my-dataset` ([the audit](../docs/audit.md)).
