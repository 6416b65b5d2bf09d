"""Pruning a finished run: its fold models made smaller, judged where they were."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from boldformer import config
from boldformer.config import RunConfig
from boldformer.data.audit import Audit
from boldformer.data.folders import OutputFolder, check_place
from boldformer.data.protocol import Protocol
from boldformer.data.sharing import check_protocol
from boldformer.data.sources import open_source
from boldformer.data.splits import Fold, Splits
from boldformer.errors import InputError, import_extra
from boldformer.models.registry import create
from boldformer.training.devices import local_seed
from boldformer.training.pruning import Channels
from boldformer.workflow import pruning_outputs
from boldformer.workflow.cohort import Cohort, read_cohort
from boldformer.workflow.outputs import RUN_FILE
from boldformer.workflow.pruning_fits import Job, PruningSettings, channels_for

__all__ = ["PruningSettings", "prune_run"]


def prune_run(
    run: Path,
    out: Path,
    settings: PruningSettings,
    *,
    n_jobs: int = 1,
    overwrite: bool = False,
    progress: bool = True,
) -> Path:
    """Prune the network of every fold of a run, and judge it on the fold's test side.

    Steps and sizes are settled before anything is judged; channels are chosen, and
    what is left is trained, by the windows that the fold's network was trained on. The
    network that the run shares is pruned in the same way, and saved as a decoder.

    Parameters
    ----------
    run : Path
        Output folder of a finished run.
    out : Path
        Where to write; see docs/pruning.md. Finished steps are kept there, and an
        interrupted job goes on.
    settings : PruningSettings
        How far, and how.
    n_jobs : int
        Runs prepared at once, where the run's store is gone.
    overwrite : bool
        Replace earlier results.
    progress : bool
        Show progress bars.

    Returns
    -------
    Path
        ``pruning.tsv``.

    Raises
    ------
    InputError
        For a folder that is no finished run, or a model that cannot be pruned.
    LeakageError
        When anything was fitted to test windows.
    MissingExtraError
        Without the library torch-pruning.
    OutputExistsError
        When `out` holds something else.
    """
    run, out = Path(run), Path(out)
    import_extra("torch_pruning", "prune")
    decoding, metrics = _finished(run)
    inputs = (run, decoding.data.path, decoding.data.derivatives)
    check_place(out, inputs)
    given = asdict(settings) | {"run": str(run.resolve())}
    with OutputFolder(
        out, "a pruning", pruning_outputs.WRITTEN, given, overwrite=overwrite
    ) as folder:
        return _prune(run, decoding, metrics, settings, folder, n_jobs, progress)


def _prune(
    run: Path,
    decoding: RunConfig,
    metrics: dict[str, Any],
    settings: PruningSettings,
    folder: OutputFolder,
    n_jobs: int,
    progress: bool,
) -> Path:
    out = folder.path
    cohort = _cohort(run, out, decoding, n_jobs=n_jobs, progress=progress)
    table = cohort.windows.table
    splits = Splits.read(run / "splits.tsv", table, seed=decoding.evaluation.seed)
    sizes = _sizes(cohort, decoding, settings)
    folder.begin()
    job = Job(run, out, cohort, decoding, settings, sizes, progress)
    variants = [found for fold in splits.folds for found in job.fold(fold)]
    protocol = Protocol()
    for found in variants:
        protocol.extend(found.protocol, prefix=f"{found.network}: ")
    audit = Audit(tuple(check_protocol(table, splits, protocol)))
    audit.raise_if_leaky(decoding.evaluation.allow_leakage)
    everything = np.arange(len(table))
    last = Fold(len(splits.folds), everything, everything)
    *_, final = job.steps(job.trained(last, "final"))
    study = pruning_outputs.Study(
        cohort=cohort,
        evaluation=decoding.evaluation,
        training=decoding.training,
        name=decoding.model.name,
        settings=asdict(settings) | {"run": str(run.resolve())},
        leaky=bool(metrics["protocol"]["leaky"]) or audit.verdict == "leak",
        chance=metrics["chance"],
        splits=splits,
    )
    return pruning_outputs.write(out, study, variants, protocol, final.model)


def _sizes(
    cohort: Cohort, decoding: RunConfig, settings: PruningSettings
) -> list[Channels]:
    """Settle the sizes of every step, which are those of all folds."""
    _, n_times, *volume_shape = cohort.windows.shape
    x, y, z = volume_shape
    with local_seed(0):
        model = create(
            decoding.model.name,
            n_outputs=len(cohort.labels),
            n_times=n_times,
            volume_shape=(x, y, z),
            **decoding.model.parameters,
        )
    return channels_for(model, settings.shares, n_times)


def _finished(run: Path) -> tuple[RunConfig, dict[str, Any]]:
    try:
        metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise InputError(
            f"{run} is not the folder of a finished run",
            wanted="what boldformer run leaves behind: metrics.json, run.toml, work/",
        ) from None
    return config.load(run / RUN_FILE), metrics


def _cohort(
    run: Path, out: Path, decoding: RunConfig, *, n_jobs: int, progress: bool
) -> Cohort:
    store = run / "work" / "store"
    return read_cohort(
        open_source(decoding.data),
        decoding,
        store if store.is_dir() else out / "work" / "store",
        n_jobs=n_jobs,
        progress=progress,
    )
