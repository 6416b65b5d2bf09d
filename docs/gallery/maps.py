# %% [markdown]
# # Maps
#
# Where a decoder looks, and what was there to be found. The people are simulated, so the planted
# response is known. What such maps show and what they do not:
# [Reading the maps](../../notebooks/03_reading_the_maps.py).

# %%
import nibabel as nib
from example_run import cohort, finished_run, show

from boldformer.visualization.brain import draw_map, draw_maps
from boldformer.visualization.drawing import Drawing
from boldformer.visualization.finished_run import load_results
from boldformer.visualization.style import figure_style

results = load_results(finished_run())
with figure_style():
    drawings = {drawing.name: drawing for drawing in draw_maps(results)}


def of(method, label):
    """The run's map of a method and a label."""
    (name,) = (n for n in drawings if f"label-{label}_desc-{method}_" in n)
    return drawings[name]


# %% [markdown]
# ## Attention, tongue

# %%
show(of("attention", "tongue"))

# %% [markdown]
# ## Saliency, tongue

# %%
show(of("saliency", "tongue"))

# %% [markdown]
# ## Planted response, tongue

# %%
path = next(cohort().glob("derivatives/truth/*tongue*.nii.gz"))
with figure_style():
    figure = draw_map(nib.load(path), results.metrics["dataset"]["space"])
caption = "Percent signal change that the simulation put in, for the average person."
show(Drawing("planted", figure, "tongue", caption, "Planted response to the tongue"))

# %% [markdown]
# ## Saliency, left leg

# %%
show(of("saliency", "leftleg"))
