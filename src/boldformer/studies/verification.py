"""Whether a result still agrees with its record: files, hashes, and scores again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boldformer.data.hashes import file_hashes
from boldformer.data.wording import first_of
from boldformer.errors import BoldFormerError, InputError
from boldformer.evaluation.predictions import weights_hash
from boldformer.studies import verification_inputs as inputs
from boldformer.studies import verification_protocol as protocol
from boldformer.studies import verification_scores as scores
from boldformer.studies.records import RECORD_FILE, RECORDED
from boldformer.studies.verification_inputs import NAMED
from boldformer.studies.verification_reading import Recorded
from boldformer.training.weights import load_model
from boldformer.visualization.report import DRAWN, REPORT_FILE, REPORT_RECORD

Check = Callable[[Recorded], Iterator[str]]


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

    Files are compared by hash, those of the report with what drew it. Beyond that, and
    should the record itself have been rewritten, all that follows from other files is
    computed again: what ``metrics.json`` says from predictions, split and shuffles,
    the split and the pipelines from ``run.toml``, the audit's answers as far as tables
    give them. The weights are hashed, and prepared runs and source recordings, where
    they are still there.

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
    run = Recorded(out, _read_record(out))
    problems: list[str] = []
    unchecked: dict[str, list[str]] = {}
    for check in _CHECKS:
        try:
            problems += check(run)
        except _UNREADABLE as error:
            what = check.__name__.strip("_").replace("_", " ")
            unchecked.setdefault(_short(error), []).append(what)
    problems += [
        f"{', '.join(what)} cannot be checked ({why})"
        for why, what in unchecked.items()
    ]
    return Verification(out, tuple(dict.fromkeys(problems)), tuple(_notes(run)))


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


def _files(run: Recorded) -> Iterator[str]:
    yield from _changes(file_hashes(run.out, RECORDED), run.record["files"])


def _changes(there: dict[str, str], recorded: dict[str, str]) -> Iterator[str]:
    changed = [name for name in recorded if there.get(name, "") != recorded[name]]
    gone = [name for name in changed if name not in there]
    edited = [name for name in changed if name in there]
    added = [name for name in there if name not in recorded]
    for verb, names in (("changed", edited), ("missing", gone), ("new", added)):
        if names:
            yield f"{first_of(names, NAMED)} {verb}"


def _report(run: Recorded) -> Iterator[str]:
    """Compare report and figures with what drew them, and from what."""
    path = run.out / REPORT_RECORD
    if not path.is_file():
        yield f"{REPORT_RECORD} missing (boldformer report builds the report again)"
        return
    drawn = json.loads(path.read_text(encoding="utf-8"))
    yield from _changes(file_hashes(run.out, DRAWN), drawn["files"])
    recorded, used = run.record["files"], drawn["drawn_from"]
    others = [name for name in used if recorded.get(name) != used[name]]
    if others:
        yield f"{REPORT_FILE} was drawn from another {first_of(others, NAMED)}"


def _hashes(run: Recorded) -> Iterator[str]:
    metrics, record = run.metrics, run.record
    for key in ("split_hash", "pipeline_hash", "model_hash", "input_hash", "seed"):
        if metrics["records"][key] != record[key]:
            yield f"{key} differs between metrics.json and {RECORD_FILE}"
    if metrics["protocol"]["split_hash"] != record["split_hash"]:
        yield "the split named in metrics.json is not the recorded one"
    if metrics["preprocessing"]["hash"] != record["pipeline_hash"]:
        yield "the pipeline named in metrics.json is not the recorded one"


def _weights(run: Recorded) -> Iterator[str]:
    """Hash the weights of the shared decoder, and see that it is the one described."""
    metrics, model = run.metrics, load_model(run.out / "model")
    if weights_hash(model) != run.record["model_hash"]:
        yield "the weights in model/ are not the recorded ones"
    n_parameters = sum(parameter.numel() for parameter in model.parameters())
    again = {"n_parameters": n_parameters, "config": model.get_config()}
    said = {key: metrics["model"][key] for key in again}
    where = run.difference(again, said, "model")
    if run.difference(n_parameters, metrics["compute"]["n_parameters"], "compute"):
        where = where or "compute.n_parameters"
    if where:
        yield f"{where} is not that of model/"


def _decoder(run: Recorded) -> Iterator[str]:
    """Compare how the shared decoder says it was made with ``metrics.json``."""
    path, metrics = run.out / "model" / "decoder.json", run.metrics
    decoder = json.loads(path.read_text(encoding="utf-8"))
    said = {
        "classes": metrics["labels"],
        "model": metrics["decoder"],
        "pipeline_hash": metrics["preprocessing"]["hash"],
        "window": {k: metrics["window"][k] for k in decoder["window"]},
    }
    where = run.difference(
        {key: decoder[key] for key in said}, said, "model/decoder.json"
    )
    if where:
        yield f"{where} is not what metrics.json says"


def _notes(run: Recorded) -> Iterator[str]:
    try:
        yield from inputs.absent(run)
    except _UNREADABLE:
        yield "inputs are not checked"
    now, then = run.versions, run.record["versions"]
    differ = [
        f"{name} {then[name]} → {now.get(name, 'not installed')}"
        for name in then
        if now.get(name) != then[name]
    ]
    if differ:
        yield f"versions differ: {', '.join(differ)}"


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:120]


# What a file that was tampered with may raise when it is read.
_UNREADABLE = (
    *(BoldFormerError, OSError, ValueError, TypeError),
    *(LookupError, AttributeError, ArithmeticError),
)
_CHECKS: tuple[Check, ...] = (
    _files,
    _report,
    _hashes,
    scores.counts,
    scores.scores,
    scores.folds,
    scores.calibration,
    scores.permutation,
    scores.curve,
    scores.columns,
    scores.set_aside,
    protocol.splits,
    protocol.folds_asked,
    protocol.protocol,
    protocol.audit,
    protocol.settings,
    protocol.preprocessing,
    _weights,
    _decoder,
    inputs.prepared,
    inputs.sources,
)
