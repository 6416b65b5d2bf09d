# %% [markdown]
# # The leak
#
# Deal the volumes of a dataset at random into a training and a test set, and the test accuracy looks
# better than the decoder is. This page shows what the difference is made of, with an experiment in
# which there is *nothing to learn* about new people, and how BoldFormer keeps you from publishing it.

# %%
from pathlib import Path

import numpy as np
import pandas as pd
from IPython.display import Image
from matplotlib import pyplot as plt
from sklearn.model_selection import GroupKFold, StratifiedKFold, cross_val_score
from sklearn.svm import SVC

from boldformer import CohortSpec, open_dataset, simulate_cohort
from boldformer.config import RunConfig, WindowConfig
from boldformer.data.audit.split_audit import audit
from boldformer.data.cohort import read_cohort
from boldformer.evaluation.leakage_schemes import scheme_folds

pd.set_option("display.max_colwidth", 200)

MOVEMENTS = ("left_leg", "right_leg", "tongue")
spec = CohortSpec(
    subjects=8, runs=2, n_volumes=120, voxel_size_mm=6.0, conditions=MOVEMENTS
)
folder = simulate_cohort("cohort", spec, n_jobs=1, progress=False)

# %% [markdown]
# ## Samples
#
# The samples are single volumes, every one of a block, as where a folder of pictures is shuffled.
# Neighbours lie two seconds apart, while a response of the blood lasts ten and more: two neighbours
# are nearly the same picture.

# %%
settings = RunConfig(window=WindowConfig(length_s=2.0, stride_s=2.0))
cohort = read_cohort(
    open_dataset("cohort"), settings, Path("store"), n_jobs=1, progress=False
)
windows = cohort.windows
volumes = windows.means()
labels = windows.labels.astype(str)
people = windows.table["subject"].to_numpy()
pd.Series(labels).value_counts().to_frame(f"volumes of {volumes.shape[1]} voxels")

# %% [markdown]
# ## The same model, two splits
#
# Nothing differs between the two but the way the volumes are dealt out.

# %%
similarity = volumes @ volumes.T / volumes.shape[1]  # all a linear machine needs
model = SVC(kernel="precomputed")
shuffled_volumes = StratifiedKFold(4, shuffle=True, random_state=0)
whole_people = GroupKFold(4)


def accuracy(labels):
    """Balanced accuracy of every fold under both splits."""
    common = {"X": similarity, "y": labels, "scoring": "balanced_accuracy"}
    return pd.DataFrame(
        {
            "volumes shuffled": cross_val_score(model, cv=shuffled_volumes, **common),
            "people apart": cross_val_score(
                model, cv=whole_people, groups=people, **common
            ),
        }
    )


true_labels = accuracy(labels)
true_labels.round(3)

# %% [markdown]
# Which one is right? Both are numbers about *something*. The first is the accuracy on volumes
# whose neighbours, two seconds away, were in the training set. The second is the accuracy on people
# who were not. Only the second is what a reader takes it for.
#
# ## Nothing to learn
#
# Now every person gets a language of their own: the names of the three movements are permuted at
# random, for each person anew. A decoder that has not met a person cannot know their names. Whatever
# it scores above a third is no knowledge about brains. With eight people luck plays a part (two may
# share a language), so the languages are drawn eight times.

# %%
rng = np.random.default_rng(0)


def own_languages():
    """Labels in which each person names the movements differently."""
    own = np.empty_like(labels)
    for person in np.unique(people):
        names = dict(zip(MOVEMENTS, rng.permutation(MOVEMENTS), strict=True))
        theirs = people == person
        own[theirs] = [names[label] for label in labels[theirs]]
    return own


own_labels = pd.DataFrame([accuracy(own_languages()).mean() for _ in range(8)])
own_labels.agg(["mean", "min", "max"]).round(3)

# %%
figure, axes = plt.subplots(figsize=(6.4, 3), layout="constrained")
kinds = {"one language": true_labels, "own languages": own_labels}
for place, scores in enumerate(kinds.values()):
    for shift, (split, values) in zip((-0.12, 0.12), scores.items(), strict=True):
        colour = "#d55e00" if split == "volumes shuffled" else "#0072b2"
        position = np.full(len(values), place + shift)
        axes.plot(values, position, "o", color=colour, alpha=0.5)
        axes.plot(values.mean(), place + shift, "|", color=colour, ms=22, mew=3)
        axes.text(1.03, place + shift, split, color=colour, va="center")
axes.axvline(1 / 3, color="0.5", ls="--")
axes.text(1 / 3 - 0.01, 0.5, "chance", ha="right", va="center", color="0.4")
axes.set(yticks=range(2), yticklabels=kinds, xlim=(0, 1), ylim=(1.4, -0.4))
axes.set_xlabel("balanced accuracy; a dot is a fold (above) or a draw (below)")
axes.spines[["top", "right"]].set_visible(False)

# %% [markdown]
# With the volumes shuffled the decoder still finds the names: it has met every person, and looks the
# answer up among that person's other volumes. With people apart nothing is left but luck. A high
# score is no evidence by itself; *the split* is what gives it a meaning.
#
# ## The audit
#
# BoldFormer asks before every fit what the two sides of a fold share. Here it is asked about the
# shuffled volumes:

# %%
leaky = audit(windows.table, scheme_folds(windows.table, "volume", folds=4))
pd.DataFrame(
    [(check.name, check.verdict, check.evidence) for check in leaky.checks],
    columns=["check", "verdict", "evidence"],
).query("verdict == 'leak'")

# %%
honest = audit(windows.table, scheme_folds(windows.table, "subject", folds=4))
pd.DataFrame(
    [(c.name, c.verdict, c.evidence) for c in honest.checks if c.verdict != "clean"],
    columns=["check", "verdict", "evidence"],
)

# %% [markdown]
# On the command line a leak ends in exit code 3 and no score. Whoever insists (`--allow-leakage`)
# gets every number and figure marked LEAKY. Below, a split file that puts one run of each person on
# either side:

# %%
runs = sorted(windows.table["recording"].unique())
sides = ["train" if "run-1" in name else "test" for name in runs]
split = pd.DataFrame({"recording": runs, "fold": 0, "set": sides})
split.to_csv("split.tsv", sep="\t", index=False)
# !boldformer audit cohort --split split.tsv --quiet; echo "exit code $?"

# %% [markdown]
# ## Measured on your data
#
# `boldformer leakage` trains the same model with the same number of samples and steps under four
# splits, from volumes to people, and a control with shuffled labels:

# %%
# !boldformer leakage cohort leakage --models linear:centred --folds 2 --stride 4 --linear-shuffles 1 --n-resamples 200 --quiet

# %%
figure = next(Path("leakage/figures").glob("*.png"))
Image(figure, width=640, alt="Balanced accuracy under four ways of splitting")

# %%
pd.read_csv("leakage/leakage.tsv", sep="\t").T

# %% [markdown]
# What this costs on larger cohorts and with networks: [What the split is worth](../docs/leakage.md).
# All questions the audit asks, and what it cannot find: [The audit](../docs/audit.md).
