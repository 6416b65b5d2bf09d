# %% [markdown]
# # A first decoder in ten minutes
#
# Somebody lies in a scanner and moves one leg, the other, or the tongue. From the volumes of those
# seconds alone, can we tell which? This page answers that from beginning to end: recordings,
# a decoder, an honest score, a look at where the decoder looks, and a model on disk.
#
# No download is needed. We simulate a small cohort, so that the truth is known; with your own
# data only the first step differs ([Your own BIDS data](02_your_own_bids_data.py)).

# %%
import nibabel as nib
import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from nilearn.plotting import plot_glass_brain
from sklearn.metrics import ConfusionMatrixDisplay

from boldformer import CohortSpec, Decoder, open_dataset, simulate_cohort

# %% [markdown]
# ## Recordings
#
# Eight people, two runs each, three movements in blocks of 16 seconds. Voxels of 6 mm and short
# runs keep this page quick. Each simulated person has a brain shape, a haemodynamic response,
# head movements and noise of their own, and the response lies where published studies found it.

# %%
spec = CohortSpec(
    subjects=8,
    runs=2,
    n_volumes=120,
    voxel_size_mm=6.0,
    conditions=("left_leg", "right_leg", "tongue"),
)
simulate_cohort("cohort", spec, n_jobs=1, progress=False)
dataset = open_dataset("cohort")
pd.DataFrame(
    [
        {
            "recording": recording.name,
            "space": recording.space,
            "TR (s)": recording.t_r,
            "events": len(recording.events),
        }
        for recording in dataset
    ]
).head(4)

# %% [markdown]
# Every recording carries its events. This is all the decoder is told: what happened, when, and
# for how long.

# %%
dataset.recordings[0].events.head()

# %% [markdown]
# ## People to learn from, people to be tested on
#
# The decoder should work for people it has not seen, so whole *people* are put aside. A split of
# volumes would let it recognise a person it knows; what that is worth is shown in
# [The leak](04_the_leak.py).

# %%
train = dataset.subjects("train", test_fraction=0.25)
test = dataset.subjects("test", test_fraction=0.25)
train.subject_labels, test.subject_labels

# %% [markdown]
# ## Fit and score
#
# `Decoder` is a scikit-learn classifier that also takes recordings: it cleans them, cuts one
# window of volumes for each event, a few seconds late because blood answers late, and fits a
# model to the windows. We begin with the simplest model there is, a linear one. Prepared runs go
# to `store`, so that the next decoder finds them ready.

# %%
linear = Decoder("linear", store="store").fit(train)
linear.score(test)

# %% [markdown]
# Chance is one in three. Now the hybrid network: convolutions make tokens of each volume,
# attention chooses places, a Transformer reads the window in time.

# %%
hybrid = Decoder("hybrid", store="store").fit(train)
hybrid.score(test)

# %% [markdown]
# Is one of the two better? **These numbers cannot say.** There are two test people and a few dozen
# windows, and every window of a person shares that person's noise. `boldformer run` does it
# properly: every person is tested once, scores come with intervals over people, and beside them
# stand chance, linear decoders and a decoder that sees only head motion and timing.
#
# One thing can be read even from so few: which movements are mistaken for which. The legs lie
# next to each other between the hemispheres; the tongue lies far away from them.

# %%
events = hybrid.predict_events(test)
decoded = events[events["reason"] == ""]
truth, predicted = decoded["label"], decoded["prediction"]
ConfusionMatrixDisplay.from_predictions(truth, predicted, cmap="Blues", colorbar=False)
plt.title("Two people the decoder has not seen")

# %% [markdown]
# ## One run, event by event
#
# `predict_events` gives a row for each event, in their order. One that was left out, because its
# window leaves the run for example, is there too: its `reason` says why.

# %%
recording = test.recordings[0]
table = hybrid.predict_events(recording)
table.head()

# %%
probability = table.filter(like="probability_").to_numpy(dtype=float)
figure, axes = plt.subplots(figsize=(8, 2.6), layout="constrained")
axes.imshow(probability.T, aspect="auto", vmin=0, vmax=1, cmap="Blues")
labels = list(hybrid.classes_)
rows = [labels.index(label) for label in table["label"]]
axes.plot(range(len(rows)), rows, "o", color="#d55e00", label="what happened")
axes.set(yticks=range(len(labels)), yticklabels=labels, xlabel="event", xticks=[])
axes.set_title(f"Probability of each movement, {recording.name}")
axes.legend(loc="upper right", bbox_to_anchor=(1, 1.3), frameon=False)

# %% [markdown]
# ## Where the decoder looks
#
# `explain` gives one image a label, in the grid of the recordings. For a linear model the gradient
# times the signal shows which voxels moved the score. Beside it we draw what was planted in the
# simulation: a luxury that real data do not offer.

# %%
maps = linear.explain(test, "saliency")
planted = next(dataset.path.glob("derivatives/truth/*tongue*.nii.gz"))
shown = {"what the decoder uses": maps["tongue"], "what was planted": nib.load(planted)}
figure, rows = plt.subplots(2, 1, figsize=(8, 4.6))
for row, (name, image) in zip(rows, shown.items(), strict=True):
    plot_glass_brain(image, axes=row, display_mode="lyrz", plot_abs=False)
    figure.text(0.12, row.get_position().y1 + 0.01, f"tongue: {name}")

# %% [markdown]
# Maps of a decoder show what *it* used, which need not be all there is, nor only what matters.
# [Reading the maps](03_reading_the_maps.py) is about telling the difference.
#
# ## Save, load, pass on
#
# A saved decoder is a folder of safetensors and JSON, with the preprocessing and the window that
# it was trained on. Nothing in it is executed on loading.

# %%
folder = hybrid.save("tongue-or-leg")
sorted(path.name for path in folder.iterdir())

# %%
loaded = Decoder.load(folder)
np.array_equal(loaded.predict_proba(recording), hybrid.predict_proba(recording))

# %% [markdown]
# It prepares new recordings the way it was trained on, and refuses what cannot be made to fit:
# here, one of another voxel size.

# %% tags=["raises-exception"]
other = CohortSpec(subjects=1, runs=1, n_volumes=120, voxel_size_mm=8.0)
simulate_cohort("other", other, n_jobs=1, progress=False)
loaded.predict(open_dataset("other").recordings[0])

# %% [markdown]
# ## Next
#
# - The same on your recordings, in one command: `boldformer run BIDS_DIR OUT`
#   ([Your own BIDS data](02_your_own_bids_data.py), [what a run writes](../docs/outputs.md)).
# - Why a split by volumes looks so good: [The leak](04_the_leak.py).
# - A model of your own: [Adding a model](05_adding_a_model.py).
