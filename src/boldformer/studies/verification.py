"""Whether a result still agrees with its record: files, hashes, and scores again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from boldformer import config
from boldformer.data.audit.fit_log import EVERY_FOLD, FitLog
from boldformer.data.splits import Splits
from boldformer.data.store import PreparedRun
from boldformer.errors import BoldFormerError, InputError
from boldformer.evaluation.predictions import weights_hash
from boldformer.evaluation.summary import summarise
from boldformer.studies.records import RECORD_FILE, file_hashes, input_hash
from boldformer.studies.run_metrics import repeat_scores
from boldformer.studies.run_outputs import RUN_FILE
from boldformer.studies.system import versions
from boldformer.training.weights import load_model

_TOLERANCE = 1e-9
# What all decoders' tables of predictions have in common.
_SHARED = ["window", "fold", "repeat", "label", "group"]
# Which check of the audit looks at what was fitted, by its purpose.
_CHECK_OF = {"fit": "fitting", "stop": "stopping", "select": "selection"}
# Named in full up to so many; a folder that was replaced would fill a page.
_NAMED = 3


@dataclass(frozen=True)
class Verification:
    """What verifying a result found.

    Parameters
    ----------
    folder : Path
        The output folder.
    problems : tuple of str
        What does not agree with the record; empty where the result holds.
    notes : tuple of str
        What could not be checked, and versions that differ from the record's.
    """

    folder: Path
    problems: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether everything that could be checked agrees."""
        return not self.problems

    @property
    def line(self) -> str:
        """One line: whether the result holds, and what says otherwise."""
        said = "holds" if self.holds else "does NOT hold: " + "; ".join(self.problems)
        noted = f" ({'; '.join(self.notes)})" if self.notes else ""
        return f"{self.folder}: the result {said}{noted}"


def verify(out: str | Path) -> Verification:
    """Check the output folder of a run against its own record.

    Files are compared by hash. Beyond that, and should the record itself have been
    rewritten: scores, intervals, comparisons and verdict are computed again from the
    predictions, the split is hashed again and compared with who was tested when, the
    weights are hashed, and prepared runs, where they are still there.

    Parameters
    ----------
    out : path
        What ``boldformer run DATA OUT`` calls OUT.

    Returns
    -------
    Verification

    Raises
    ------
    InputError
        When the folder holds no record.
    """
    out = Path(out)
    record = _read_record(out)
    problems = list(_files(out, record))
    checks: tuple[Callable[[Path, dict[str, Any]], Iterator[str]], ...] = (
        _metrics,
        _hashes,
        _splits,
        _protocol,
        _weights,
        _prepared,
    )
    for check in checks:
        try:
            problems += check(out, record)
        except (BoldFormerError, OSError, ValueError, KeyError, TypeError) as error:
            what = check.__name__.strip("_")
            problems.append(f"{what} cannot be checked ({_short(error)})")
    return Verification(out, tuple(dict.fromkeys(problems)), tuple(_notes(out, record)))


def _read_record(out: Path) -> dict[str, Any]:
    path = out / RECORD_FILE
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        missing = {"files", "inputs", "versions", "split_hash"} - set(record)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"{str(out)!r} holds no record of a run",
            wanted=f"a readable {RECORD_FILE}",
            received=_short(error),
            fix="give the folder that boldformer run wrote",
        ) from None
    if missing:
        raise InputError(f"{str(path)!r} is incomplete", wanted=", ".join(missing))
    return record


def _files(out: Path, record: dict[str, Any]) -> Iterator[str]:
    there, recorded = file_hashes(out), record["files"]
    changed = [name for name in recorded if there.get(name, "") != recorded[name]]
    gone = [name for name in changed if name not in there]
    edited = [name for name in changed if name in there]
    added = [name for name in there if name not in recorded]
    for verb, names in (("changed", edited), ("missing", gone), ("new", added)):
        if names:
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            yield f"{', '.join(names[:_NAMED])}{more} {verb}"


def _metrics(out: Path, record: dict[str, Any]) -> Iterator[str]:
    """Compute everything that follows from the predictions again."""
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    tables = {metrics["decoder"]: _read_predictions(out / "predictions.tsv")}
    for name in metrics["scores"]:
        if name != metrics["decoder"]:
            file = out / "baselines" / f"{name}_predictions.tsv"
            tables[name] = _read_predictions(file)
    first = tables[metrics["decoder"]]
    for name, table in tables.items():
        if not table[_SHARED].equals(first[_SHARED]):
            yield f"predictions of {name} are of other windows than the decoder's"
    again = _summarised(out, metrics, tables)
    for found in (again, metrics):  # words may change, what they rest on may not
        found["verdict"] = {**found["verdict"], "sentences": []}
    for key in ("scores", "comparisons", "verdict", "groups", "repeats"):
        where = _difference(again[key], metrics[key], key)
        if where:
            yield f"{where} does not follow from the predictions"
    yield from _column_scores(out, metrics)


def _hashes(out: Path, record: dict[str, Any]) -> Iterator[str]:
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    for key in ("split_hash", "pipeline_hash", "model_hash", "input_hash", "seed"):
        if metrics["records"][key] != record[key]:
            yield f"{key} differs between metrics.json and {RECORD_FILE}"
    if metrics["protocol"]["split_hash"] != record["split_hash"]:
        yield "the split named in metrics.json is not the recorded one"


def _read_predictions(path: Path) -> pd.DataFrame:
    # As text first: not every parser of numbers gives back each digit.
    table = pd.read_csv(path, sep="\t", keep_default_na=False, dtype=str)
    numbers = [name for name in table if name.startswith("probability_")]
    whole = ("window", "fold", "repeat")
    kinds = dict.fromkeys(numbers, float) | dict.fromkeys(whole, int)
    return table.astype(kinds)


def _summarised(
    out: Path, metrics: dict[str, Any], tables: dict[str, pd.DataFrame]
) -> dict[str, Any]:
    labels, decoder = metrics["labels"], metrics["decoder"]
    first = tables[decoder]
    trained = {
        name: [] if value is None else [value]
        for name, score in metrics["scores"].items()
        for value in [score["training_accuracy"]["value"]]
    }
    truth = _truth(first, labels)
    given = {name: _probabilities(table, labels) for name, table in tables.items()}
    repeats = repeat_scores(truth, given, first["repeat"].to_numpy())
    return {"repeats": repeats} | summarise(
        truth,
        given,
        trained,
        first["group"].to_numpy(dtype=str),
        labels,
        config.load(out / RUN_FILE).evaluation,
        decoder=decoder,
        unit=metrics["protocol"]["interval"]["unit"],
        widening=metrics["protocol"]["interval"]["widening"],
    )


def _truth(table: pd.DataFrame, labels: list[str]) -> np.ndarray:
    return pd.Index(labels).get_indexer(table["label"])


def _probabilities(table: pd.DataFrame, labels: list[str]) -> np.ndarray:
    given = table[[f"probability_{label}" for label in labels]].to_numpy(float)
    if (np.array(labels)[given.argmax(axis=1)] != table["predicted"]).any():
        raise InputError("predicted labels are not the most probable ones")
    return given


def _column_scores(out: Path, metrics: dict[str, Any]) -> Iterator[str]:
    labels = metrics["labels"]
    for cell in metrics["columns"]["cells"]:
        name = f"{cell['decoder']}_{cell['mode']}"
        if cell["scores"] is None or cell["mode"] == metrics["preprocessing"]["mode"]:
            continue
        table = _read_predictions(out / "columns" / f"{name}_predictions.tsv")
        right = _truth(table, labels) == _probabilities(table, labels).argmax(axis=1)
        recorded = cell["scores"]["accuracy"]["value"]
        if abs(right.mean() - recorded) > _TOLERANCE:
            yield f"accuracy of {name} is {right.mean():.3f}, recorded {recorded:.3f}"


def _difference(again: Any, recorded: Any, where: str) -> str:
    """Path of the first value that is not the same; empty where all are."""
    if isinstance(again, dict) and isinstance(recorded, dict):
        if set(again) != set(recorded):
            return where
        pairs = [(again[key], recorded[key], f"{where}.{key}") for key in again]
    elif isinstance(again, list) and isinstance(recorded, list):
        if len(again) != len(recorded):
            return where
        numbered = enumerate(zip(again, recorded, strict=True))
        pairs = [(a, b, f"{where}[{k}]") for k, (a, b) in numbered]
    else:
        return "" if _same(again, recorded) else where
    return next(filter(None, (_difference(*pair) for pair in pairs)), "")


def _same(one: Any, other: Any) -> bool:
    numbers = all(isinstance(value, (int, float)) for value in (one, other))
    return abs(one - other) <= _TOLERANCE if numbers else one == other


def _splits(out: Path, record: dict[str, Any]) -> Iterator[str]:
    """Hash the folds, and compare them with the fold each window was tested in."""
    splits = _read_splits(out)
    if splits.hash != record["split_hash"]:
        yield "splits.tsv holds another split than the recorded one"
    table = _read_predictions(out / "predictions.tsv")
    tested = [
        (window, fold.index, repeat)
        for repeat, part in enumerate(splits.parts)
        for fold in part.folds
        for window in fold.test.tolist()
    ]
    predicted = table[["window", "fold", "repeat"]].to_numpy().tolist()
    if not {tuple(row) for row in predicted} <= set(tested):
        yield "predictions.tsv names folds that did not test its windows"
    elif len(predicted) != len(tested):
        yield "predictions.tsv lacks windows that were tested"


def _read_splits(out: Path) -> Splits:
    sides = pd.read_csv(out / "splits.tsv", sep="\t")[["window", "fold", "set"]]
    known = pd.DataFrame({"subject": ""}, index=range(int(sides["window"].max()) + 1))
    return Splits.from_table(sides, known)


def _protocol(out: Path, record: dict[str, Any]) -> Iterator[str]:
    """Look for windows outside training that something was fitted to, unsaid."""
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    checks = {check["name"]: check for check in metrics["audit"]["checks"]}
    uses = list(FitLog.read(out / "protocol.tsv"))
    for fold in _read_splits(out).folds:
        for use in uses:
            said = checks[_CHECK_OF[use.purpose]]["verdict"]
            serves = use.fold in (fold.index, EVERY_FOLD)
            if serves and said == "clean" and len(np.setdiff1d(use.rows, fold.train)):
                yield f"protocol.tsv: the {use.what} saw windows outside training"


def _weights(out: Path, record: dict[str, Any]) -> Iterator[str]:
    if weights_hash(load_model(out / "model")) != record["model_hash"]:
        yield "the weights in model/ are not the recorded ones"


def _prepared(out: Path, record: dict[str, Any]) -> Iterator[str]:
    """Hash the prepared runs that are still in the store."""
    if input_hash(record["inputs"]) != record["input_hash"]:
        yield f"the inputs listed in {RECORD_FILE} are not those it hashes"
    changed = []
    for name, recorded in record["inputs"].items():
        folder = out / "work" / "store" / name
        if folder.is_dir() and not _is_run(PreparedRun(folder), recorded):
            changed.append(name)
    if changed:
        more = f" and {len(changed) - _NAMED} more" if len(changed) > _NAMED else ""
        yield f"prepared runs changed: {', '.join(changed[:_NAMED])}{more}"


def _is_run(run: PreparedRun, recorded: dict[str, str]) -> bool:
    digest = hashlib.sha256(np.ascontiguousarray(run.stored).data)
    digest.update(run.voxels.data)
    same = all(run.info.get(key) == value for key, value in recorded.items())
    return same and digest.hexdigest() == recorded["content_hash"]


def _notes(out: Path, record: dict[str, Any]) -> Iterator[str]:
    names = list(record["inputs"])
    gone = [name for name in names if not (out / "work" / "store" / name).is_dir()]
    if gone:
        yield f"{len(gone)} of {len(names)} prepared runs are gone: not checked"
    now, then = versions(), record["versions"]
    differ = [
        f"{name} {then[name]} → {now.get(name, 'not installed')}"
        for name in then
        if now.get(name) != then[name]
    ]
    if differ:
        yield f"versions differ: {', '.join(differ)}"


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:120]
