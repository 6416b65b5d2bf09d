# %% [markdown]
# # Reading the maps
#
# A decoder gives an accuracy; a map shows where in the brain the accuracy comes from. Or does it?
# Every map below looks plausible. This page asks each of them three questions that an attractive
# picture cannot answer by its looks:
#
# 1. Does it show the place where the truth is known to be?
# 2. Does it depend on what the model has learnt?
# 3. Does the model lose its answer when the voxels of the map are taken away?

# %%
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import torch
from matplotlib import pyplot as plt
from nilearn.plotting import plot_glass_brain
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from boldformer import CohortSpec, Decoder, open_dataset, simulate_cohort
from boldformer.config import RunConfig
from boldformer.data.cohort import read_cohort
from boldformer.interpretation.maps import methods_for

# %% [markdown]
# ## Two decoders of the same people
#
# The cohort is simulated, so that the planted activations are known to the voxel. A linear decoder
# and the hybrid network learn from six people; the maps are made from two others. A map of training
# data would show what the model remembers.

# %%
spec = CohortSpec(
    subjects=8,
    runs=2,
    n_volumes=120,
    voxel_size_mm=6.0,
    conditions=("left_leg", "hand", "tongue"),
)
simulate_cohort("cohort", spec, n_jobs=1, progress=False)
dataset = open_dataset("cohort")
train = dataset.subjects("train", test_fraction=0.25)
test = dataset.subjects("test", test_fraction=0.25)
decoders = {
    name: Decoder(name, store="store").fit(train) for name in ("linear", "hybrid")
}
pd.DataFrame(
    {
        "accuracy, new people": {k: d.score(test) for k, d in decoders.items()},
        "methods": {k: ", ".join(methods_for(d.model_)) for k, d in decoders.items()},
    }
)

# %% [markdown]
# ## One label, several methods
#
# `Decoder.explain` returns one image a label. We take one label, the hand, and look at it with
# *attention* (how much a place is attended to, over an even spread) and *saliency* (the gradient of
# the label's score times the signal), beside what was planted.

# %%
maps = {
    ("linear", "saliency"): decoders["linear"].explain(test, "saliency"),
    ("hybrid", "saliency"): decoders["hybrid"].explain(test, "saliency"),
    ("hybrid", "attention"): decoders["hybrid"].explain(test, "attention"),
}
planted = {
    label: nib.load(
        next(dataset.path.glob(f"derivatives/truth/*{label.replace('_', '')}*.nii.gz"))
    )
    for label in spec.conditions
}
shown = {
    f"{model}, {method}": images["hand"] for (model, method), images in maps.items()
}
shown["planted"] = planted["hand"]
figure, rows = plt.subplots(len(shown), 1, figsize=(8, 2.3 * len(shown)))
for row, (name, image) in zip(rows, shown.items(), strict=True):
    values = np.abs(image.get_fdata())
    plot_glass_brain(
        image,
        axes=row,
        display_mode="lyrz",
        threshold=np.quantile(values[values > 0], 0.95),
        plot_abs=False,
        symmetric_cbar=True,
        colorbar=False,
        cmap="RdBu_r",
    )
    figure.text(0.12, row.get_position().y1, name)

# %% [markdown]
# Red speaks for the hand, blue against it. The hand that moved is the right one, so its primary motor
# and sensory cortex lie on the *left*. Each map has a scale of its own, and only the strongest twentieth of the voxels is drawn: a
# threshold is a choice, and a map of nothing has a strongest twentieth, too.
#
# ## 1. Does it show the place?
#
# Take a voxel that was planted and one that was not: how often is the map larger in the planted
# one? That is the area under the ROC curve; 0.5 is what a map of noise gets.

# %%
brain = nib.load(dataset.recordings[0].mask).get_fdata() > 0


def localisation(images, label):
    """Area under the ROC curve of a map against the planted activation."""
    response = planted[label].get_fdata()[brain]
    return roc_auc_score(
        response > response.max() / 2, images[label].get_fdata()[brain]
    )


pd.DataFrame(
    {
        f"{model}, {method}": {label: localisation(images, label) for label in planted}
        for (model, method), images in maps.items()
    }
).T.round(3)

# %% [markdown]
# On real data nobody has this table. What takes its place is anatomy: a movement should show in the
# contralateral motor cortex, whatever else it shows.
#
# A map can also be right and mislead. A linear weight is large where a voxel helps to *cancel
# noise*, too, with no response of its own (Haufe et al. 2014), and a map of one label holds the
# others: what speaks *against* the leg speaks for the hand.
#
# ## 2. Does it depend on what was learnt?
#
# Some methods draw the anatomy whatever the weights are. The test is cruel and simple: give the
# network random weights and make the map again (Adebayo et al. 2018). A map that stays the same
# tells nothing of what was learnt.

# %%
hybrid = decoders["hybrid"]
learnt = {name: value.clone() for name, value in hybrid.model_.state_dict().items()}
torch.manual_seed(0)
with torch.no_grad():
    for value in hybrid.model_.parameters():
        value.copy_(value.flatten()[torch.randperm(value.numel())].view_as(value))
random_maps = {
    method: hybrid.explain(test, method) for method in ("saliency", "attention")
}
hybrid.model_.load_state_dict(learnt)

similarity = {
    method: {
        label: spearmanr(
            maps["hybrid", method][label].get_fdata()[brain],
            images[label].get_fdata()[brain],
        ).statistic
        for label in planted
    }
    for method, images in random_maps.items()
}
pd.DataFrame(similarity).T.round(3)

# %% [markdown]
# The numbers are rank correlations between the map of the trained network and that of the same
# network with its weights shuffled within every layer. Near 0: the map came from learning. Near 1:
# it would have looked the same without. In between, part of the picture belongs to the architecture
# and to the anatomy, however well it localises.
#
# Another part of the same question: does the map of one label differ from the map of another? If
# not, it says where the network looks, and nothing of what for.

# %%
between = {}
for (model, method), images in maps.items():
    values = [images[label].get_fdata()[brain] for label in planted]
    pairs = spearmanr(np.stack(values), axis=1).statistic[np.triu_indices(3, 1)]
    between[f"{model}, {method}"] = pairs.mean()
pd.Series(between, name="mean correlation between labels").to_frame().round(3)

# %% [markdown]
# ## 3. Does the model need these voxels?
#
# Silence the voxels a map ranks highest, first a few, then more, and ask the decoder again. If the
# map tells the truth about the model, the answer is lost sooner than when voxels are silenced at
# random.


# %%
def without(windows, order, share):
    """Windows with a share of the brain's voxels, in their order, set to zero."""
    changed = windows.copy()
    x, y, z = np.nonzero(box_brain)
    chosen = order[: int(share * len(order))]
    changed[:, :, x[chosen], y[chosen], z[chosen]] = 0
    return changed


cohort = read_cohort(test, RunConfig(), Path("store"), n_jobs=1, progress=False)
windows = hybrid.preparation_.fitting(cohort.windows)
box_brain = windows.mask
values = windows.batch(range(len(windows)))
labels = windows.labels.astype(str)
times = torch.arange(values.shape[1]) * hybrid.preparation_.t_r
shares = [0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4]
rng = np.random.default_rng(0)


def accuracy(changed):
    """Share of windows that the hybrid still names correctly."""
    with torch.no_grad():
        scores = hybrid.model_(torch.from_numpy(changed), times)
    # The network's own outputs: their order is that of `model_classes_`.
    return float(np.mean(hybrid.model_classes_[scores.argmax(1).numpy()] == labels))


curves = {}
for method in ("saliency", "attention"):
    images = maps["hybrid", method].values()
    strength = np.max([np.abs(image.get_fdata()) for image in images], axis=0)
    order = np.argsort(-strength[windows.box][box_brain])
    curves[method] = [accuracy(without(values, order, share)) for share in shares]
curves["at random"] = [
    accuracy(without(values, rng.permutation(int(box_brain.sum())), share))
    for share in shares
]
figure, axes = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
for (name, curve), colour in zip(
    curves.items(), ("#d55e00", "#0072b2", "0.5"), strict=True
):
    axes.plot(np.array(shares) * 100, curve, "o-", color=colour, label=name)
axes.axhline(1 / 3, color="0.7", ls="--")
axes.set(
    xlabel="voxels silenced, % of the brain", ylabel="accuracy left", ylim=(0, 1.03)
)
axes.legend(title="highest first by", frameon=False)
axes.spines[["top", "right"]].set_visible(False)

# %% [markdown]
# ## What to write under a map
#
# - Which model, trained on whom; whose windows the map is made of (not the training ones).
# - The method and its unit: "spatial attention over an even spread" and "gradient times signal" are
#   different things and have different scales.
# - The threshold, and that it is one.
# - What became of the three questions. A map that fails the second is decoration.
# - What it is no evidence of: that a region *does* the function, that the regions left dark do not,
#   or that the map of a weak decoder means anything.
#
# `boldformer run` writes such maps for every fold's held-out people: [what a run
# writes](../docs/outputs.md).
#
# ## References
#
# Adebayo J et al. (2018). Sanity checks for saliency maps. NeurIPS 31. Haufe S et al. (2014). On the
# interpretation of weight vectors of linear models in multivariate neuroimaging. NeuroImage 87.
# Samek W et al. (2017). Evaluating the visualization of what a deep neural network has learned. IEEE
# TNNLS 28.
