"""From recordings on disk to prepared runs in a store: parallel, resumable."""

from __future__ import annotations

import collections
import functools
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

from boldformer.config import PreprocessingConfig
from boldformer.data import images
from boldformer.data.atomic import remove_leftovers
from boldformer.data.confounds import AUTO, check_confound_groups
from boldformer.data.folders import locked
from boldformer.data.prepare_run import is_prepared, prepare_run
from boldformer.data.recording import Dataset, Recording
from boldformer.data.scheduling import Failure, run_each
from boldformer.data.store import PreparedRun
from boldformer.errors import BadRunError, DatasetError, InputError
from boldformer.preprocessing.pipeline import Pipeline, pipeline_from_config

logger = logging.getLogger(__name__)


def configured_pipeline(config: PreprocessingConfig) -> Pipeline:
    """Build the pipeline a configuration asks for, reading the grid it names.

    Raises
    ------
    InputError
        For settings that contradict each other, unknown groups of confounds, or an
        unusable ``grid_like``.
    """
    check_confound_groups(config.confounds, config.confound_options)
    if not config.grid_like:
        return pipeline_from_config(config)
    try:
        image = images.open_volume(Path(config.grid_like))
    except BadRunError as error:
        raise InputError(f"grid_like: {error}") from None
    grid = {
        "shape": [int(n) for n in image.shape[:3]],
        "affine": np.asarray(image.affine, dtype=float).tolist(),
    }
    return pipeline_from_config(config, grid)


def prepare(
    dataset: Dataset,
    store: Path,
    pipeline: Pipeline,
    *,
    n_jobs: int = 1,
    scheduler: str = "",
    progress: bool = True,
) -> tuple[dict[str, PreparedRun], list[tuple[str, str]]]:
    """Prepare every recording of a dataset that the store does not hold yet.

    Parameters
    ----------
    dataset : Dataset
        What to prepare.
    store : Path
        Folder of the store; made where it is missing.
    pipeline : Pipeline
        Steps to apply.
    n_jobs : int
        Runs prepared at once on this machine.
    scheduler : str
        Address of a Dask scheduler that prepares them instead.
    progress : bool
        Show a progress bar.

    Returns
    -------
    runs : dict of str to PreparedRun
        The dataset's runs by name.
    set_aside : list of (str, str)
        Runs that could not be prepared, each with its reason.

    Raises
    ------
    DatasetError
        When no run could be prepared.
    OutputExistsError
        When another process prepares into the store.
    """
    with locked(store):
        remove_leftovers(store)
        todo = [r for r in dataset if not is_prepared(r, store / r.name, pipeline)]
        work = functools.partial(
            _try_prepare, store=store.absolute(), pipeline=pipeline
        )
        done = tqdm(
            run_each(work, todo, n_jobs=n_jobs, scheduler=scheduler),
            total=len(todo),
            desc="Preparing runs",
            unit="run",
            disable=not progress or not todo,
        )
        set_aside = sorted(_reasons(done))
    bad = {name for name, _ in set_aside}
    runs = {r.name: PreparedRun(store / r.name) for r in dataset if r.name not in bad}
    if not runs:
        raise DatasetError("no run could be prepared", received=set_aside[0][1])
    _tell_confounds(runs.values(), pipeline)
    return runs, set_aside


def confounds_used(runs: Iterable[PreparedRun]) -> list[dict[str, Any]]:
    """List which groups of confounds were regressed out of how many runs, most first.

    Returns
    -------
    list of dict
        ``groups`` (list of str) and ``n_runs``, ready for JSON.
    """
    used = collections.Counter(tuple(run.info.get("confounds", ())) for run in runs)
    return [{"groups": list(g), "n_runs": n} for g, n in used.most_common()]


def _tell_confounds(runs: Iterable[PreparedRun], pipeline: Pipeline) -> None:
    """Say what was regressed out where that was left to what runs have."""
    if AUTO not in (pipeline.settings("clean") or {}).get("confounds", ()):
        return
    told = [
        f"{', '.join(one['groups']) or 'none'} in {one['n_runs']} runs"
        for one in confounds_used(runs)
    ]
    logger.info("Confounds regressed out: %s", "; ".join(told))


def _reasons(done: Iterator[tuple[Recording, Any]]) -> Iterator[tuple[str, str]]:
    for recording, reason in done:
        if isinstance(reason, Failure):
            yield recording.name, str(reason)
        elif reason:
            yield recording.name, reason


def _try_prepare(recording: Recording, store: Path, pipeline: Pipeline) -> str:
    """Prepare one run; a bad one gives its reason instead of stopping the cohort."""
    try:
        # The products are small: more threads would fight with the one that reads.
        with threadpool_limits(1):
            prepare_run(recording, store / recording.name, pipeline)
    except BadRunError as error:
        return str(error)
    except MemoryError:
        return "not enough memory for this run; prepare fewer at once (--n-jobs)"
    return ""
