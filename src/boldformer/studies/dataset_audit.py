"""The audit of a dataset or a table of windows, apart from any decoding."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boldformer.config import EvaluationConfig, RunConfig
from boldformer.data.audit.findings import AuditCheck
from boldformer.data.audit.split_audit import Audit, audit
from boldformer.data.audit.window_tables import read_windows
from boldformer.data.cohort import read_cohort
from boldformer.data.files import read_json
from boldformer.data.places import check_place, check_store
from boldformer.data.sources.layouts import open_source
from boldformer.data.splits import Splits, configured_splits
from boldformer.errors import InputError, OutputExistsError
from boldformer.studies.settings import check_settings
from boldformer.studies.study import audit_split, split_cohort

logger = logging.getLogger(__name__)

AUDIT_FILE = "audit.json"
_SHOWN_WINDOWS = 8


@dataclass(frozen=True)
class AuditReport:
    """An audit and what it was about.

    Parameters
    ----------
    source : str
        Dataset or table.
    n_windows, n_runs : int
        Of the window table.
    splits : Splits
        Folds that were audited.
    audit : Audit
        The answers.
    """

    source: str
    n_windows: int
    n_runs: int
    splits: Splits
    audit: Audit

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: what ``audit.json`` holds (see docs/audit.md)."""
        splits = self.splits
        return {
            "source": self.source,
            "n_windows": self.n_windows,
            "n_runs": self.n_runs,
            "split": {
                "unit": splits.unit,
                "scheme": splits.scheme,
                "n_folds": len(splits.folds),
                "hash": splits.hash,
            },
            **self.audit.to_dict(),
        }

    def to_text(self) -> str:
        """Lay the answers out for a terminal, the worst first."""
        order = ("leak", "warning", "clean", "not checked")
        ranked = sorted(self.audit.checks, key=lambda check: order.index(check.verdict))
        head = (
            f"{self.audit.verdict.upper()}: {self.n_windows} windows of {self.n_runs} "
            f"runs. {self.splits.scheme}"
        )
        return "\n".join([head, *(line for c in ranked for line in _lines(c))])


def _lines(check: AuditCheck) -> Iterator[str]:
    yield f"  {check.verdict:<11} {check.name:<9} {check.evidence}"
    indent = " " * 24
    if check.windows:
        shown = ", ".join(map(str, check.windows[:_SHOWN_WINDOWS]))
        more = ", …" if check.n_windows > _SHOWN_WINDOWS else ""
        yield f"{indent}Test windows concerned: {check.n_windows} (rows {shown}{more})"
    if check.advice:
        yield f"{indent}What to do: {check.advice}"


def check_out(out: Path, inputs: Iterable[str | Path] = ()) -> None:
    """Refuse a folder for ``audit.json`` that is an input or has another such file.

    Raises
    ------
    InputError
        See `boldformer.data.places.check_place`.
    OutputExistsError
        For a file of this name that no audit wrote.
    """
    check_place(out, inputs)
    file = out / AUDIT_FILE
    if file.exists() and not {"verdict", "checks"} <= set(read_json(file, InputError)):
        raise OutputExistsError(
            f"{file} is no audit of ours", fix="choose another folder with --out"
        )


def audit_table(
    path: Path, *, split: Path | None = None, evaluation: EvaluationConfig | None = None
) -> AuditReport:
    """Audit a table of windows; see `boldformer.data.audit.window_tables.read_windows`.

    Parameters
    ----------
    path : Path
        TSV of windows, with or without its split.
    split : Path, optional
        Split file; the one in the table, or else the default split, without it.
    evaluation : EvaluationConfig, optional
        How the default split is made.

    Raises
    ------
    InputError
        For files that cannot be used.
    """
    windows, brought = read_windows(path)
    if split is None and brought is not None:
        splits = Splits.from_table(brought, windows)
    elif split is not None:
        splits = Splits.read(split, windows)
    else:
        splits = configured_splits(windows, evaluation or EvaluationConfig())
    found = audit(windows, splits)
    n_runs = windows["recording"].nunique()
    return AuditReport(str(path), len(windows), n_runs, splits, found)


def audit_dataset(
    settings: RunConfig,
    *,
    split: Path | None = None,
    store: Path | None = None,
    out: Path | None = None,
    n_jobs: int = 1,
    progress: bool = True,
) -> AuditReport:
    """Prepare a dataset and audit a split of its windows.

    Parameters
    ----------
    settings : RunConfig
        Data, preprocessing and windows; how the split is made where there is no file.
    split : Path, optional
        Split file that names windows, recordings or subjects.
    store : Path, optional
        Keeps the prepared runs; without it they are prepared into a temporary folder.
    out : Path, optional
        Where the report is going to be written: looked at before the long work.
    n_jobs : int
        Runs prepared at once.
    progress : bool
        Show a progress bar.

    Raises
    ------
    InputError
        When the data or the split cannot be used.
    """
    check_settings(settings)
    _check_places(store, out, (settings.data.path, settings.data.derivatives))
    dataset = open_source(settings.data)
    _check_places(store, out, dataset.folders)
    with _folder(store) as place:
        cohort = read_cohort(dataset, settings, place, n_jobs=n_jobs, progress=progress)
        if split is None:
            cohort, splits = split_cohort(cohort, settings.evaluation)
        else:
            splits = Splits.read(split, cohort.windows.table)
        table, found = cohort.windows.table, audit_split(cohort, splits)
    source = str(dataset.path)
    return AuditReport(source, len(table), len(cohort.windows.runs), splits, found)


def _check_places(
    store: Path | None, out: Path | None, inputs: Sequence[str | Path]
) -> None:
    if store is not None:
        check_store(store, inputs)
    if out is not None:
        check_out(out, inputs)


@contextlib.contextmanager
def _folder(store: Path | None) -> Iterator[Path]:
    if store is not None:
        yield store
        return
    with tempfile.TemporaryDirectory(prefix="boldformer-audit-") as folder:
        yield Path(folder)
