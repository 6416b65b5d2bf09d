"""Pruning a finished run: its fold models made smaller, judged where they were."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from boldformer import config
from boldformer.config import RunConfig
from boldformer.data.audit.fit_log import FitLog
from boldformer.data.folders import WORK
from boldformer.data.splits import Fold, Splits
from boldformer.errors import InputError, import_extra
from boldformer.evaluation.experiment import Experiment
from boldformer.studies.pruning_fits import PruningFits, PruningSettings, channels_for
from boldformer.studies.pruning_outputs import WRITTEN, PrunedRun, write_pruning
from boldformer.studies.run_outputs import RUN_FILE
from boldformer.studies.study import Study, audit_fits

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
    out, settings, n_jobs, overwrite, progress
        See `boldformer.studies.study.Study`.

    Returns
    -------
    Path
        ``pruning.tsv``.

    Raises
    ------
    InputError
        For a folder that is no finished run, or a model that cannot be pruned.
    MissingExtraError
        Without the library torch-pruning.
    """
    study = Pruning(run, settings, out, n_jobs=n_jobs, progress=progress)
    return study.run(overwrite=overwrite)


class Pruning(Study[PruningSettings]):
    """The networks of a finished run, made smaller."""

    job = "a pruning"
    written = WRITTEN

    def __init__(
        self, run: str | Path, settings: PruningSettings, out: Path, **how: Any
    ) -> None:
        super().__init__(settings, out, **how)
        self._run = Path(run)

    @property
    def inputs(self) -> tuple[str | Path, ...]:
        """See `Study`."""
        data = self._decoding.data
        return self._run, data.path, data.derivatives

    @property
    def recorded(self) -> dict[str, Any]:
        """See `Study`."""
        return asdict(self.settings) | {"run": str(self._run.resolve())}

    def check(self) -> None:
        """See `Study`."""
        import_extra("torch_pruning", "prune")
        self._decoding, self._metrics = _finished(self._run)

    def read(self) -> None:
        """See `Study`."""
        decoding, store = self._decoding, self._run / WORK / "store"
        self._cohort = self.prepare(
            self.open(decoding.data),
            decoding,
            store if store.is_dir() else self.work / "store",
        )
        table, seed = self._cohort.windows.table, decoding.evaluation.seed
        self._splits = Splits.read(self._run / "splits.tsv", table, seed=seed)
        self._experiment = Experiment.of(self._cohort, decoding)
        n_times = self._cohort.windows.shape[1]
        # Sizes are those of all folds.
        self._sizes = channels_for(
            self._experiment.build(), self.settings.shares, n_times
        )

    def measure(self) -> Path:
        """See `Study`."""
        fits = PruningFits(
            self._experiment,
            self._run / WORK / "folds",
            self.work / "folds",
            self.settings,
            self._sizes,
            self.progress,
        )
        variants = [v for fold in self._splits.folds for v in fits.fold(fold)]
        log, evaluation = FitLog(), self._decoding.evaluation
        for variant in variants:
            log.extend(variant.outcome.log, prefix=f"{variant.network}: ")
        allowed = evaluation.allow_leakage
        audit = audit_fits(self._cohort, self._splits, log, allowed)
        everything = np.arange(len(self._cohort.windows))
        last = Fold(len(self._splits.folds), everything, everything)
        *_, final = fits.steps(fits.trained(last, "final"))
        pruned = PrunedRun(
            cohort=self._cohort,
            experiment=self._experiment,
            evaluation=evaluation,
            settings=self.recorded,
            leaky=bool(self._metrics["protocol"]["leaky"]) or audit.verdict == "leak",
            splits=self._splits,
        )
        return write_pruning(self.out, pruned, variants, log, final.outcome.model)


def _finished(run: Path) -> tuple[RunConfig, dict[str, Any]]:
    try:
        metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise InputError(
            f"{run} is not the folder of a finished run",
            wanted="what boldformer run leaves behind: metrics.json, run.toml, work/",
        ) from None
    return config.load(run / RUN_FILE), metrics
