"""The numbers of a run, computed again from its tables by what computed them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from boldformer.data.groups import FAMILY
from boldformer.errors import InputError
from boldformer.evaluation.calibration import temper
from boldformer.evaluation.intervals import Estimate
from boldformer.evaluation.learning_curve import CurvePoint, curve_table
from boldformer.evaluation.out_of_fold import OutOfFold
from boldformer.evaluation.permutation import PermutationTest
from boldformer.evaluation.predictions import as_written
from boldformer.evaluation.summary import VERDICT_METRIC, summarise
from boldformer.studies.run_columns import LINEAR, MODES, OtherColumn, columns_table
from boldformer.studies.run_results import with_temperatures
from boldformer.studies.run_robustness import Null
from boldformer.studies.run_scores import (
    calibration_of,
    detailed_scores,
    repeat_scores,
)
from boldformer.studies.verification_reading import (
    Recorded,
    read_predictions,
)

# What all decoders' tables of predictions have in common.
_SHARED = ["window", "fold", "repeat", "label", "group"]
_ROW = ["window", "repeat"]
# Probabilities before a temperature are recovered from eight digits after it.
_RECOVERED = 1e-5


def counts(run: Recorded) -> Iterator[str]:
    """Count windows, subjects and runs, and name the classes, again."""
    metrics, labels, windows = run.metrics, run.labels, run.windows
    columns = [n for n in run.predictions if str(n).startswith("probability_")]
    if columns != [f"probability_{label}" for label in labels]:
        yield "labels are not the classes of predictions.tsv"
    if run.difference(1 / len(labels), metrics["chance"], "chance"):
        yield "chance is not one over the number of labels"
    said, found = metrics["windows_per_label"], windows["label"].value_counts()
    again = {label: int(found.get(label, 0)) for label in labels}
    if run.every_window_is_tested:
        dataset = {
            "n_subjects": windows["subject"].nunique(),
            "n_runs": windows["recording"].nunique(),
        }
        listed = {key: metrics["dataset"][key] for key in dataset}
        yield from _unlike(run, again, said, "windows_per_label")
        yield from _unlike(run, dataset, listed, "dataset")
    elif not run.settings.evaluation.split:
        yield "n_windows is not the number of windows in predictions.tsv"
    elif list(said) != labels or any(said[label] < again[label] for label in labels):
        yield "windows_per_label does not follow from the predictions"
    if sum(said.values()) != metrics["n_windows"]:
        yield "n_windows is not the sum of windows_per_label"


def scores(run: Recorded) -> Iterator[str]:
    """Score the decoders again, with intervals, comparisons and verdict."""
    metrics, first = run.metrics, run.predictions
    for name, table in run.tables.items():
        if not table[_SHARED].equals(first[_SHARED]):
            yield f"predictions of {name} are of other windows than the decoder's"
    given = {name: run.probabilities(table) for name, table in run.tables.items()}
    summary = _summarised(run, given)
    yield from _unlike(
        run,
        summary.pop("interval"),
        metrics["protocol"]["interval"],
        "protocol.interval",
    )
    said = {key: metrics[key] for key in summary}
    if not run.same_version("boldformer"):
        # Words may change from version to version, what they rest on may not.
        for found in (summary, said):
            found["verdict"] = {**found["verdict"], "sentences": []}
    again = {
        **summary,
        **detailed_scores(run.targets, given[run.decoder], run.labels),
        "repeats": repeat_scores(run.targets, given, first["repeat"].to_numpy()),
    }
    for key, value in again.items():
        yield from _unlike(run, value, said.get(key, metrics[key]), key)


def _summarised(run: Recorded, given: dict[str, np.ndarray]) -> dict[str, Any]:
    on_training = {
        name: []
        if score["training_accuracy"]["value"] is None
        # Of baselines the mean over folds is all there is.
        else [score["training_accuracy"]["value"]]
        for name, score in run.metrics["scores"].items()
    }
    of_folds = [fold["training_accuracy"] for fold in run.metrics["folds"]]
    return summarise(
        run.targets,
        given,
        on_training | {run.decoder: of_folds},
        run.groups,
        run.labels,
        run.settings.evaluation,
        decoder=run.decoder,
        unit=_unit(run.predictions),
        widening=run.widening,
        events=run.events,
    )


def _unit(table: pd.DataFrame) -> str:
    """Tell what was resampled, by the names of the groups."""
    if (table["group"] == table["recording"]).all():
        return "run"
    related = table["group"].str.startswith(FAMILY)
    if (table["group"] == table["subject"])[~related].all():
        return "family" if related.any() else "subject"
    raise InputError("groups in predictions.tsv are neither runs nor subjects")


def folds(run: Recorded) -> Iterator[str]:
    """Describe every fold again by the windows it tested."""
    metrics, table = run.metrics, run.predictions
    by = "subject" if metrics["protocol"]["unit"] == "subject" else "recording"
    again = []
    for fold in run.splits.folds:
        tested = table[table["fold"] == fold.index]
        again.append(
            {
                "fold": fold.index,
                "test_groups": sorted(set(tested[by])),
                "n_train": len(fold.train),
                "n_test": len(fold.test),
                "accuracy": float((tested["predicted"] == tested["label"]).mean()),
            }
        )
    said = metrics["folds"]
    if len(again) == len(said):
        # What only the fit itself could tell is taken as it is.
        again = [{**one, **found} for one, found in zip(said, again, strict=True)]
    yield from _unlike(run, again, said, "folds")
    seconds = sum(fold["seconds"] for fold in said)
    listed = metrics["compute"]["training_seconds"]
    yield from _unlike(run, seconds, listed, "compute.training_seconds")


def calibration(run: Recorded) -> Iterator[str]:
    """Judge probabilities again, before and after the temperatures."""
    said = run.metrics["calibration"]
    if set(said) != set(run.tables):
        yield "calibration is of other decoders than scores"
    for name, table in run.tables.items():
        given, listed = run.probabilities(table), said[name]
        fitted, fold_of = listed["temperatures"], table["fold"].to_numpy()
        if name == run.decoder:
            found = with_temperatures(given, fold_of, run.metrics["folds"])
        else:
            plain = _untempered(given, fold_of, fitted, run)
            found = OutOfFold(given, (), tuple(fitted), untempered=plain)
        again = calibration_of(run.targets, found)
        if found.untempered is not None:
            where = f"calibration.{name}.before"
            yield from _unlike(
                run, again.pop("before"), listed["before"], where, tolerance=_RECOVERED
            )
        elif fitted and name != run.decoder:
            # A fold without anything to fit has no temperature: which is not said.
            again = {"after": again["before"]}
        said_of_it = {key: listed[key] for key in again}
        yield from _unlike(run, again, said_of_it, f"calibration.{name}")


def _untempered(
    given: np.ndarray, fold_of: np.ndarray, fitted: list[float], run: Recorded
) -> np.ndarray | None:
    """Take back the temperatures of a baseline; None where it is not clear whose."""
    indices = [fold.index for fold in run.splits.folds]
    if not fitted or len(fitted) != len(indices):
        return None
    plain = np.zeros_like(given)
    for index, temperature in zip(indices, fitted, strict=True):
        rows = np.flatnonzero(fold_of == index)
        # A class without training windows has no probability at any temperature.
        known = np.flatnonzero(given[rows].any(axis=0))
        cells = np.ix_(rows, known)
        plain[cells] = temper(given[cells], 1 / temperature)
    return as_written(plain)


def permutation(run: Recorded) -> Iterator[str]:
    """Read p-values, counts and nulls off the scores of shuffled labels again."""
    table = _read_numbers(run.out / "permutations.tsv", VERDICT_METRIC)
    said, evaluation = run.metrics["permutation"], run.settings.evaluation
    if not set(table["decoder"]) <= {null["decoder"] for null in said}:
        yield "permutations.tsv holds decoders that metrics.json does not name"
    for place, null in enumerate(said):
        name, ours = null["decoder"], null["decoder"] == run.decoder
        drawn = table.loc[table["decoder"] == name, VERDICT_METRIC].to_numpy()
        # That of the linear SVM is of a fixed penalty, and in no other table.
        score = run.metrics["scores"][name][VERDICT_METRIC]["value"] if ours else None
        score = null.get("score") if score is None else score
        test = PermutationTest(score, drawn) if len(drawn) else None
        again = Null(name, test, null["reason"]).to_dict()
        yield from _unlike(
            run, again, null, f"permutation[{place}]", "permutations.tsv"
        )
        asked = evaluation.n_permutations if ours else evaluation.linear_permutations
        if asked >= 0 and len(drawn) not in (0, asked):
            yield f"run.toml asks for {asked} shuffles of {name}, not {len(drawn)}"


def curve(run: Recorded) -> Iterator[str]:
    """Hold ``learning_curve.tsv`` against the learning curves of ``metrics.json``."""
    said = run.metrics["learning_curve"]
    points = {name: list(map(_point, rows)) for name, rows in said["decoders"].items()}
    listed = curve_table(points)
    numbers = list(listed.columns.drop("decoder"))
    table = _read_numbers(run.out / "learning_curve.tsv", *numbers)[list(listed)]
    rows, again = (_plain(one) for one in (listed, table))
    yield from _unlike(run, again, rows, "learning_curve", "learning_curve.tsv")
    yield from _unlike(
        run,
        {"unit": run.splits.unit, "metric": VERDICT_METRIC},
        {key: said[key] for key in ("unit", "metric")},
        "learning_curve",
    )
    ours = {run.decoder} if run.settings.evaluation.learning_curve else set()
    if set(points) != {LINEAR} | ours:
        yield "run.toml asks for learning curves of other decoders"


def _point(row: dict[str, Any]) -> CurvePoint:
    ends = (np.nan if row[k] is None else row[k] for k in ("value", "low", "high"))
    return CurvePoint(row["n_groups"], row["n_windows"], Estimate(*ends))


def columns(run: Recorded) -> Iterator[str]:
    """Put both columns side by side again, with their intervals and gaps."""
    metrics, tables = run.metrics, run.tables
    mode, other = metrics["preprocessing"]["mode"], _other_column(run)
    names = [name for name in (run.decoder, LINEAR) if name in tables]
    again = columns_table(
        {name: run.probabilities(tables[name]) for name in names},
        other,
        run,
        run.settings.evaluation,
        mode,
        metrics["preprocessing"]["hash"],
    )
    yield from _unlike(run, again, metrics["columns"], "columns")
    twin = mode == "causal" or bool(other.probabilities)
    if metrics["preprocessing"]["causal_twin_available"] != twin:
        yield "preprocessing.causal_twin_available does not follow from columns/"


def _other_column(run: Recorded) -> OtherColumn:
    """Read what was predicted after the other form of preprocessing."""
    mode = MODES[1 - MODES.index(run.metrics["preprocessing"]["mode"])]
    cells = [c for c in run.metrics["columns"]["cells"] if c["mode"] == mode]
    given = {}
    for name in (run.decoder, LINEAR):
        path = run.out / "columns" / f"{name}_{mode}_predictions.tsv"
        if path.is_file():
            given[name] = _spread(run, read_predictions(path), path.name)
    hashes = [cell["pipeline_hash"] for cell in cells if cell["scores"]]
    reasons = {c["decoder"]: c["reason"] for c in cells if not c["scores"]}
    return OtherColumn(mode, next(iter(hashes), ""), given, reasons)


def _spread(run: Recorded, table: pd.DataFrame, name: str) -> np.ndarray:
    """Put probabilities into the rows of the first column; NaN where they lack one."""
    wanted = pd.MultiIndex.from_frame(run.predictions[_ROW])
    rows = wanted.get_indexer(pd.MultiIndex.from_frame(table[_ROW]))
    there = run.predictions[_SHARED].iloc[rows].reset_index(drop=True)
    if (rows < 0).any() or not there.equals(table[_SHARED]):
        raise InputError(f"{name} is of other windows than predictions.tsv")
    spread = np.full((len(wanted), len(run.labels)), np.nan)
    spread[rows] = run.probabilities(table)
    return spread


def set_aside(run: Recorded) -> Iterator[str]:
    """Hold ``set_aside.tsv`` against what ``metrics.json`` lists."""
    table = pd.read_csv(
        run.out / "set_aside.tsv", sep="\t", keep_default_na=False, dtype=str
    )
    rows = table[["what", "reason"]].to_dict("records")
    yield from _unlike(
        run, rows, run.metrics["set_aside"], "set_aside", "set_aside.tsv"
    )


def _read_numbers(path: Path, *columns: str) -> pd.DataFrame:
    table = pd.read_csv(path, sep="\t", keep_default_na=False, dtype=str)
    # As text first: not every parser of numbers gives back each digit.
    return table.replace({"n/a": "nan"}).astype(dict.fromkeys(columns, float))


def _plain(table: pd.DataFrame) -> list[dict[str, Any]]:
    return table.astype(object).where(table.notna(), None).to_dict("records")


def _unlike(
    run: Recorded,
    again: Any,
    recorded: Any,
    where: str,
    source: str = "the predictions",
    *,
    tolerance: float = 1e-9,
) -> Iterator[str]:
    found = run.difference(again, recorded, where, tolerance)
    if found:
        yield f"{found} does not follow from {source}"
