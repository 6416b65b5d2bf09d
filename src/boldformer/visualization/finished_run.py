"""What a run left behind, read once and checked, for the figures and the report."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from boldformer.errors import InputError
from boldformer.evaluation.baselines import BASELINES

_REQUIRED = (
    "audit",
    "chance",
    "comparisons",
    "compute",
    "created",
    "dataset",
    "decoder",
    "folds",
    "groups",
    "labels",
    "model",
    "n_windows",
    "preprocessing",
    "protocol",
    "scores",
    "set_aside",
    "verdict",
    "versions",
    "window",
)
_TEXT_COLUMNS = (
    "window",
    "subject",
    "session",
    "task",
    "run",
    "label",
    "predicted",
    "group",
)


@dataclass(frozen=True)
class FinishedRun:
    """The documented files of one output folder.

    Parameters
    ----------
    folder : Path
        The output folder.
    metrics : dict
        ``metrics.json``.
    predictions, history, maps, permutations : DataFrame
        The tables of these names; all but `predictions` may be empty.
    config : str
        Text of ``run.toml``, empty where there is none.
    """

    folder: Path
    metrics: dict[str, Any]
    predictions: pd.DataFrame
    history: pd.DataFrame
    maps: pd.DataFrame
    permutations: pd.DataFrame
    config: str

    @property
    def labels(self) -> list[str]:
        """Class names, in the order of the probability columns."""
        return self.metrics["labels"]

    @property
    def decoder(self) -> str:
        """Name of the decoder that was run."""
        return self.metrics["decoder"]

    @property
    def baselines(self) -> list[str]:
        """Names of the decoders that the run is held against, best known first."""
        known = list(BASELINES)
        others = [name for name in self.metrics["scores"] if name != self.decoder]
        return sorted(others, key=lambda n: known.index(n) if n in known else -1)

    @property
    def leaky(self) -> bool:
        """Whether training and test data shared something they must not."""
        return bool(self.metrics["protocol"].get("leaky"))

    @property
    def held_out(self) -> str:
        """What folds keep apart: ``"subject"``, ``"run"`` or ``"stretch"`` of a run."""
        protocol = self.metrics["protocol"]
        return protocol.get("held_out") or protocol.get("unit", "subject")

    @property
    def unit(self) -> str:
        """What is counted and resampled: ``"subject"``, ``"family"`` or ``"run"``.

        Runs held out within each of several subjects are judged subject by subject.
        """
        interval = self.metrics["protocol"].get("interval") or {}
        return interval.get("unit", self.held_out)

    @property
    def headline(self) -> str:
        """Metric that leads: balanced accuracy, unless only others were compared."""
        compared = [row["metric"] for row in self.metrics["comparisons"]]
        best = "balanced_accuracy"
        return compared[0] if compared and best not in compared else best

    @cached_property
    def truth(self) -> np.ndarray:
        """Index into `labels` of each window's class, ``(n_windows,)``."""
        return self._indices("label")

    @cached_property
    def guess(self) -> np.ndarray:
        """Index into `labels` of each window's predicted class, ``(n_windows,)``."""
        return self._indices("predicted")

    @cached_property
    def probabilities(self) -> np.ndarray:
        """Probability of each class, ``(n_windows, n_classes)``."""
        columns = [f"probability_{label}" for label in self.labels]
        return self.predictions[columns].to_numpy(float)

    def _indices(self, column: str) -> np.ndarray:
        return pd.Index(self.labels).get_indexer(self.predictions[column])


def load_results(folder: str | Path) -> FinishedRun:
    """Read the output folder of a run.

    Parameters
    ----------
    folder : path
        What ``boldformer run DATA OUT`` calls OUT.

    Raises
    ------
    InputError
        When the folder is no finished run: ``metrics.json`` or ``predictions.tsv`` is
        missing or incomplete.
    """
    folder = Path(folder)
    metrics = _read_metrics(folder / "metrics.json")
    predictions = _read_table(folder / "predictions.tsv")
    if predictions.empty:
        raise InputError(
            f"no predictions in {str(folder)!r}",
            wanted="predictions.tsv with one row a window",
            fix="finish the run first with boldformer run",
        )
    wanted = {"label", "predicted", *(f"probability_{n}" for n in metrics["labels"])}
    _require(wanted - set(predictions.columns), folder / "predictions.tsv")
    _check_labels(predictions, metrics["labels"])
    config = folder / "run.toml"
    return FinishedRun(
        folder,
        metrics,
        predictions,
        _read_table(folder / "history.tsv"),
        _read_table(folder / "maps" / "maps.tsv"),
        _read_table(folder / "permutations.tsv"),
        config.read_text("utf-8") if config.is_file() else "",
    )


def _check_labels(predictions: pd.DataFrame, labels: list[str]) -> None:
    found = {*predictions["label"], *predictions["predicted"]}
    if unknown := found - set(labels):
        raise InputError(
            "predictions.tsv and metrics.json belong to different runs",
            wanted=f"labels among {', '.join(labels)}",
            received=", ".join(sorted(map(str, unknown))),
            fix="repeat the run",
        )


def _read_metrics(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(
            f"{str(path.parent)!r} is not the output of a run",
            wanted="a folder with metrics.json in it",
            received="no such file" if path.parent.is_dir() else "no such folder",
            fix="give the folder that boldformer run wrote",
        )
    try:
        metrics = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise InputError(
            f"cannot read {str(path)!r}", wanted="JSON", received=str(error)
        ) from None
    _require(set(_REQUIRED) - set(metrics), path)
    return metrics


def _require(missing: set[str], path: Path) -> None:
    if missing:
        raise InputError(
            f"{str(path)!r} is incomplete",
            wanted=", ".join(sorted(missing)),
            fix="repeat the run with this version of boldformer",
        )


def _read_table(path: Path) -> pd.DataFrame:
    """Read a BIDS table; only ``n/a`` is missing, for a class may be called ``NA``."""
    if not path.is_file():
        return pd.DataFrame()
    return pd.read_csv(
        path,
        sep="\t",
        keep_default_na=False,
        na_values=["n/a"],
        dtype=dict.fromkeys(_TEXT_COLUMNS, str),
    )
