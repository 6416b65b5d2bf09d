"""Two columns: whole-run and causal preprocessing, side by side and never mixed."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from boldformer.config import EvaluationConfig, RunConfig
from boldformer.data.audit.fit_log import FitLog
from boldformer.data.cohort import Cohort
from boldformer.data.splits import Fold, Splits, split_groups
from boldformer.data.windows import WindowSet
from boldformer.errors import BoldFormerError, InputError
from boldformer.evaluation.baselines import Views, baseline_of
from boldformer.evaluation.cross_validation import cross_validate
from boldformer.evaluation.experiment import Experiment
from boldformer.evaluation.judge import COMPARED, Judge
from boldformer.evaluation.out_of_fold import in_every_repeat
from boldformer.evaluation.predictions import as_written
from boldformer.preprocessing.pipeline import Pipeline

logger = logging.getLogger(__name__)

MakeJudge = Callable[[np.ndarray], Judge]
MODES = ("transductive", "causal")
LINEAR = "linear_svm"
NOT_ASKED = "not run, as asked (--no-causal-decoder)"


class JudgedRows(Protocol):
    """Rows of predictions, each of them (n_rows,)."""

    @property
    def targets(self) -> np.ndarray:
        """Class of each row."""
        ...

    @property
    def groups(self) -> np.ndarray:
        """What intervals resample."""
        ...

    @property
    def events(self) -> np.ndarray:
        """Event of each row."""
        ...

    @property
    def widening(self) -> float:
        """Of intervals; see `boldformer.evaluation.intervals.reuse_widening`."""
        ...


def mode_of(cohort: Cohort) -> str:
    """How a cohort was prepared: ``"causal"`` or ``"transductive"``."""
    causal = Pipeline(tuple(cohort.windows.pipeline)).is_causal
    return "causal" if causal else "transductive"


@dataclass(frozen=True)
class OtherColumn:
    """Out-of-fold predictions after the other form of preprocessing.

    Parameters
    ----------
    mode : str
        Which form this is.
    pipeline_hash : str
        Of its pipeline; empty where it could not be prepared.
    probabilities : dict of str to ndarray, shape (n_rows, n_classes)
        By decoder, in the rows of the first column; NaN for windows it lacks.
    reasons : dict of str to str
        Why a decoder is missing.
    log : FitLog
        What was fitted to which windows of the first column.
    """

    mode: str
    pipeline_hash: str
    probabilities: dict[str, np.ndarray]
    reasons: dict[str, str]
    log: FitLog = field(default_factory=FitLog)

    @classmethod
    def of(
        cls,
        cohort: Cohort,
        splits: Splits,
        settings: RunConfig,
        prepared: Callable[[RunConfig, str], Cohort],
        folds: Path,
        *,
        progress: bool,
    ) -> OtherColumn:
        """Prepare the dataset the other way, and judge on the same folds.

        The linear SVM always, the decoder unless ``causal_decoder`` is off.

        Parameters
        ----------
        cohort : Cohort
            Its windows in the first column.
        splits : Splits
            Folds over them.
        settings : RunConfig
            Of the run.
        prepared : callable
            Prepares the dataset as settings say, into a store of a name.
        folds : Path
            Keeps finished fits.
        progress : bool
            Show progress bars.
        """
        mode = MODES[1 - MODES.index(mode_of(cohort))]
        decoder = settings.model.name
        is_linear = baseline_of(settings.model) == LINEAR
        names = (decoder,) if is_linear else (LINEAR, decoder)
        if reason := _impossible(cohort, settings, mode):
            return cls(mode, "", {}, dict.fromkeys(names, f"not run: {reason}"))
        logger.info("The %s column: the same folds, prepared the other way", mode)
        other = replace(
            settings,
            preprocessing=replace(settings.preprocessing, causal=mode == "causal"),
            window=cohort.window,
        )
        found = cls(mode, "", {}, {})
        try:
            twin = prepared(other, f"store_{mode}")
            matched = _Matched.of(cohort, twin, splits)
            found = replace(found, pipeline_hash=twin.windows.pipeline_hash)
            if not is_linear:
                found.probabilities[LINEAR] = matched.linear(found.log)
            if settings.evaluation.causal_decoder or is_linear:
                found.probabilities[decoder] = matched.decoder(
                    other, folds / mode, found.log, progress=progress
                )
            else:
                found.reasons[decoder] = NOT_ASKED
        except BoldFormerError as error:
            # What the run has found in its own column is not lost to the other one.
            logger.warning("%s column: %s", mode, error)
            lost = [name for name in names if name not in found.probabilities]
            found.reasons.update(dict.fromkeys(lost, f"not run: {error}"))
        return found


def _impossible(cohort: Cohort, settings: RunConfig, mode: str) -> str:
    """Why there can be no other column; empty where there can."""
    if (cohort.windows.table["timing"] == "map").all():
        return "frames in no order have no past"
    if (mode == "causal") == settings.preprocessing.causal:
        return "the steps of the pipeline have one form only, or are written out in one"
    return ""


@dataclass(frozen=True, eq=False)
class _Matched:
    """The windows that both columns have, in the order of the first."""

    cohort: Cohort
    twin: Cohort
    rows: np.ndarray
    twin_rows: np.ndarray
    repeats: tuple[Splits, ...]

    @classmethod
    def of(cls, cohort: Cohort, twin: Cohort, splits: Splits) -> _Matched:
        keys = ["recording", "block", "start_s", "label"]
        there = pd.Series(
            np.arange(len(twin.windows)),
            pd.MultiIndex.from_frame(twin.windows.table[keys]),
        )
        there = there[~there.index.duplicated()]
        wanted = pd.MultiIndex.from_frame(cohort.windows.table[keys])
        at = there.reindex(wanted).to_numpy()
        rows = np.flatnonzero(np.isfinite(at))
        place = np.full(len(at), -1)
        place[rows] = np.arange(len(rows))
        repeats = tuple(_kept(part, place) for part in splits.parts)
        return cls(cohort, twin, rows, at[rows].astype(int), repeats)

    @property
    def targets(self) -> np.ndarray:
        return self.cohort.targets[self.rows]

    @property
    def windows(self) -> WindowSet:
        return self.twin.windows[self.twin_rows]

    def linear(self, log: FitLog) -> np.ndarray:
        ours = FitLog()
        found = in_every_repeat(
            LINEAR,
            Views(self.windows),
            self.targets,
            self.repeats,
            split_groups(self.windows.table, self.repeats[0].unit),
            len(self.cohort.labels),
            ours,
        )
        log.extend(ours, rows=self.rows, prefix="other column, ")
        return self._spread(found.probabilities)

    def decoder(
        self, settings: RunConfig, folder: Path, log: FitLog, *, progress: bool
    ) -> np.ndarray:
        experiment = replace(
            Experiment.of(self.cohort, settings),
            windows=self.windows,
            targets=self.targets,
        )
        n_windows, n_classes = len(self.targets), experiment.n_outputs
        found = np.full((len(self.repeats), n_windows, n_classes), np.nan)
        for given, part in zip(found, self.repeats, strict=True):
            for outcome in cross_validate(experiment, part, folder, progress=progress):
                given[outcome.fold.test] = outcome.probabilities
                log.extend(
                    outcome.log,
                    rows=self.rows,
                    prefix=f"other column, {settings.model.name}: ",
                )
        return self._spread(as_written(found.reshape(-1, n_classes)))

    def _spread(self, found: np.ndarray) -> np.ndarray:
        """Put predictions into the rows of the first column, repeat by repeat."""
        n_repeats, n_classes = len(self.repeats), found.shape[1]
        spread = np.full((n_repeats, len(self.cohort.windows), n_classes), np.nan)
        spread[:, self.rows] = found.reshape(n_repeats, -1, n_classes)
        return spread.reshape(-1, n_classes)


def _kept(part: Splits, place: np.ndarray) -> Splits:
    """Folds of the windows that are left; `place` is their new row, -1 without."""
    folds = []
    for fold in part.folds:
        train, test = (place[side] for side in (fold.train, fold.test))
        train, test = train[train >= 0], test[test >= 0]
        if len(train) and len(test):
            folds.append(Fold(fold.index, train, test))
    if not folds:
        raise InputError(
            "no fold has training and test windows in both columns",
            fix="look at what was set aside of the other column",
        )
    return replace(part, folds=tuple(folds))


def columns_table(
    first: dict[str, np.ndarray],
    other: OtherColumn,
    rows: JudgedRows,
    evaluation: EvaluationConfig,
    mode: str,
    pipeline_hash: str,
) -> dict[str, Any]:
    """Put both columns side by side, and the gap between them.

    Parameters
    ----------
    first : dict of str to ndarray, shape (n_windows, n_classes)
        Out-of-fold probabilities of the decoders that stand in both columns.
    other : OtherColumn
        The other column.
    rows : JudgedRows
        Classes, groups and events of the rows.
    evaluation : EvaluationConfig
        Resamples, level and seed.
    mode, pipeline_hash : str
        Of the first column.

    Returns
    -------
    dict
        ``cells``: one a decoder and mode, with its scores, or None and the reason;
        ``gaps``: transductive minus causal, over the windows that both have.
    """
    judge = functools.partial(_judge, rows, evaluation)
    cells: list[dict[str, Any]] = []
    gaps: list[dict[str, Any]] = []
    for name, ours in first.items():
        cells.append(_cell(name, mode, pipeline_hash, ours, judge))
        theirs = other.probabilities.get(name)
        if theirs is None:
            cell = {"decoder": name, "mode": other.mode, "scores": None}
            cells.append(cell | {"reason": other.reasons.get(name, "not run")})
            continue
        cells.append(_cell(name, other.mode, other.pipeline_hash, theirs, judge))
        whole, causal = (ours, theirs) if mode == "transductive" else (theirs, ours)
        gaps += _gaps(name, whole, causal, judge)
    return {"cells": cells, "gaps": gaps}


def _judge(all_: JudgedRows, evaluation: EvaluationConfig, rows: np.ndarray) -> Judge:
    """Judge some rows, as the run judges all of them."""
    return Judge(
        all_.targets[rows],
        all_.groups[rows],
        evaluation,
        all_.widening,
        COMPARED,
        all_.events[rows],
    )


def _cell(
    name: str, mode: str, pipeline_hash: str, given: np.ndarray, judge: MakeJudge
) -> dict[str, Any]:
    rows = np.isfinite(given).all(axis=1)
    ours = judge(rows)
    scored = ours.score(given[rows])
    return {
        "decoder": name,
        "mode": mode,
        "pipeline_hash": pipeline_hash,
        "n_windows": int(rows.sum()),
        "scores": {m: ours.estimate(scored, m).to_dict() for m in COMPARED},
        "reason": "",
    }


def _gaps(
    name: str, whole: np.ndarray, causal: np.ndarray, judge: MakeJudge
) -> list[dict[str, Any]]:
    rows = np.isfinite(whole).all(axis=1) & np.isfinite(causal).all(axis=1)
    ours = judge(rows)
    modes = dict(zip(MODES, (whole, causal), strict=True))
    scored = {mode: ours.score(given[rows]) for mode, given in modes.items()}
    told = {"decoder": name, "n_windows": int(rows.sum())}
    return [told | gap.to_dict() for gap in ours.compare(scored, [MODES])]
