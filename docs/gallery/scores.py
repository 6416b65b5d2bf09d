# %% [markdown]
# # Scores
#
# The figures of a run: the hybrid decoder, eight simulated people, three movements, four folds of
# people. `boldformer run` draws all of them into `OUT/figures` as SVG and PNG and into the report;
# here each is drawn from the run's files.

# %%
from example_run import finished_run, show

from boldformer.visualization import curves, learning, scores
from boldformer.visualization import robustness_figures as robustness
from boldformer.visualization.finished_run import load_results
from boldformer.visualization.style import figure_style

results = load_results(finished_run())

# %% [markdown]
# ## Beside the baselines

# %%
with figure_style():
    show(scores.draw_decoders(results))

# %% [markdown]
# ## Confusions

# %%
with figure_style():
    show(scores.draw_confusion(results))

# %% [markdown]
# ## Every subject

# %%
with figure_style():
    show(scores.draw_groups(results))

# %% [markdown]
# ## Receiver operating characteristic

# %%
with figure_style():
    show(curves.draw_roc(results))

# %% [markdown]
# ## Precision and recall

# %%
with figure_style():
    show(curves.draw_precision_recall(results))

# %% [markdown]
# ## Confidence against accuracy

# %%
with figure_style():
    show(curves.draw_reliability(results))

# %% [markdown]
# ## What declining buys

# %%
with figure_style():
    show(curves.draw_coverage(results))

# %% [markdown]
# ## Against chance

# %%
with figure_style():
    show(robustness.draw_null(results))

# %% [markdown]
# ## What more subjects would bring

# %%
with figure_style():
    show(robustness.draw_curve(results))

# %% [markdown]
# ## Learning

# %%
with figure_style():
    show(learning.draw_loss(results))
