"""A finished run as its files tell it, read for verification."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from boldformer import config
from boldformer.config import RunConfig
from boldformer.data.groups import FAMILY, event_names
from boldformer.data.hashes import source_content, source_of
from boldformer.data.recording import Recording
from boldformer.data.sources.layouts import open_source
from boldformer.data.splits import Splits
from boldformer.errors import BoldFormerError, InputError
from boldformer.evaluation.intervals import reuse_widening
from boldformer.studies.run_outputs import RUN_FILE
from boldformer.studies.system import versions

_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Recorded:
    """The files of a run, each read once.

    Parameters
    ----------
    out : Path
        The output folder.
    record : dict
        Its ``record.json``.
    """

    out: Path
    record: dict[str, Any]

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """``metrics.json``."""
        return json.loads((self.out / "metrics.json").read_text(encoding="utf-8"))

    @cached_property
    def settings(self) -> RunConfig:
        """``run.toml``."""
        return config.load(self.out / RUN_FILE)

    @property
    def decoder(self) -> str:
        """Name of the decoder that is judged."""
        return self.metrics["decoder"]

    @property
    def labels(self) -> list[str]:
        """Class names, in the order of the probability columns."""
        return self.metrics["labels"]

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """``predictions.tsv``, the decoder's own."""
        return read_predictions(self.out / "predictions.tsv")

    @cached_property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Predictions of all decoders by name, the decoder's own first."""
        names = [name for name in self.metrics["scores"] if name != self.decoder]
        folder = self.out / "baselines"
        others = {n: read_predictions(folder / f"{n}_predictions.tsv") for n in names}
        return {self.decoder: self.predictions, **others}

    @cached_property
    def targets(self) -> np.ndarray:
        """Class of each row of `predictions`, (n_rows,)."""
        return pd.Index(self.labels).get_indexer(self.predictions["label"])

    @property
    def groups(self) -> np.ndarray:
        """What intervals resample, (n_rows,)."""
        return self.predictions["group"].to_numpy(dtype=str)

    @cached_property
    def widening(self) -> float:
        """Of intervals; windows that are trained on alone count by their subject."""
        table = pd.read_csv(self.out / "splits.tsv", sep="\t", dtype=str)
        by_run = bool((self.windows["group"] == self.windows["recording"]).all())
        unit = "recording" if by_run else "subject"
        known = dict(zip(table["window"].astype(int), table[unit], strict=True))
        tested = self.windows
        known |= dict(zip(tested["window"], tested["group"], strict=True))
        groups = [str(known.get(n, "")) for n in range(max(known) + 1)]
        return reuse_widening(self.splits.folds, np.array(groups))

    @cached_property
    def events(self) -> np.ndarray:
        """Event of each row, (n_rows,)."""
        return event_names(self.predictions.rename(columns={"onset": "block"}))

    def probabilities(self, table: pd.DataFrame) -> np.ndarray:
        """Take the probabilities of a table, (n_rows, n_classes).

        Raises
        ------
        InputError
            When its predictions are not the most probable classes.
        """
        columns = [f"probability_{label}" for label in self.labels]
        given = table[columns].to_numpy(float)
        if (np.array(self.labels)[given.argmax(axis=1)] != table["predicted"]).any():
            raise InputError("predicted labels are not the most probable ones")
        return given

    @cached_property
    def windows(self) -> pd.DataFrame:
        """One row a window that was tested, as the table of windows names it."""
        table = self.predictions.drop_duplicates("window").sort_values("window")
        table = table.reset_index(drop=True).replace({"n/a": ""})
        named = table["group"].where(table["group"].str.startswith(FAMILY), "")
        return table.assign(
            family=named.str.removeprefix(FAMILY),
            block=table["onset"],
            onset=pd.to_numeric(table["onset"]),
        )

    @property
    def every_window_is_tested(self) -> bool:
        """Whether `windows` is the whole table of windows."""
        numbers = self.windows["window"].to_numpy()
        return np.array_equal(numbers, np.arange(self.metrics["n_windows"]))

    @cached_property
    def splits(self) -> Splits:
        """Folds of ``splits.tsv``."""
        table = pd.read_csv(self.out / "splits.tsv", sep="\t", dtype={"subject": str})
        known = table.drop_duplicates("window").set_index("window")[["subject"]]
        known = known.reindex(range(int(table["window"].max()) + 1), fill_value="")
        return Splits.from_table(table[["window", "fold", "set"]], known)

    @cached_property
    def recordings(self) -> dict[str, Recording] | None:
        """Recordings that ``run.toml`` names, by name; None where they are not there.

        Nothing is fetched.
        """
        data = self.settings.data
        if not data.path or not Path(data.path).is_dir():
            return None
        try:
            return {recording.name: recording for recording in open_source(data)}
        except (BoldFormerError, OSError):
            return None

    @cached_property
    def sources(self) -> dict[str, bool | None]:
        """Of every recording whether it is the same; None where it is not there."""
        there, inputs = self.recordings or {}, self.record["inputs"]
        return {
            name: _is_source(there[name], recorded) if name in there else None
            for name, recorded in inputs.items()
        }

    def same_version(self, *names: str) -> bool:
        """Tell whether packages are those that the run was computed with."""
        now, then = self.versions, self.record["versions"]
        return all(now.get(name) == then.get(name) for name in names)

    @cached_property
    def versions(self) -> dict[str, str]:
        """Versions that are installed here."""
        return versions()

    def difference(
        self, again: Any, recorded: Any, where: str, tolerance: float = _TOLERANCE
    ) -> str:
        """Path of the first value that is not the same; empty where all are.

        Parameters
        ----------
        again, recorded
            JSON-ready values. Keys that only one of them has differ, unless another
            version wrote them: from version to version keys are added.
        where : str
            Path of both.
        tolerance : float
            Between numbers.
        """
        strict = self.same_version("boldformer")
        return _difference(again, recorded, where, tolerance, strict)


def _is_source(recording: Recording, recorded: dict[str, str]) -> bool | None:
    """Compare size and time, and where these differ the content: copies are alike."""
    try:
        if source_of(recording).items() <= recorded.items():
            return True
        return source_content(recording) == recorded.get("source_content")
    except OSError:
        return None


def read_predictions(path: Path) -> pd.DataFrame:
    """Read a table of predictions with each digit that was written."""
    # As text first: not every parser of numbers gives back each digit.
    table = pd.read_csv(path, sep="\t", keep_default_na=False, dtype=str)
    numbers = [name for name in table if name.startswith("probability_")]
    whole = ("window", "fold", "repeat")
    kinds = dict.fromkeys(numbers, float) | dict.fromkeys(whole, int)
    return table.astype(kinds)


def _difference(
    again: Any, recorded: Any, where: str, tolerance: float, strict: bool
) -> str:
    if isinstance(again, dict) and isinstance(recorded, dict):
        if strict and set(again) != set(recorded):
            return where
        common = [key for key in again if key in recorded]
        pairs = [(again[key], recorded[key], f"{where}.{key}") for key in common]
    elif isinstance(again, (list, tuple)) and isinstance(recorded, list):
        if len(again) != len(recorded):
            return where
        numbered = enumerate(zip(again, recorded, strict=True))
        pairs = [(a, b, f"{where}[{k}]") for k, (a, b) in numbered]
    else:
        return "" if _same(again, recorded, tolerance) else where
    found = (_difference(*pair, tolerance, strict) for pair in pairs)
    return next(filter(None, found), "")


def _same(one: Any, other: Any, tolerance: float) -> bool:
    numbers = all(isinstance(value, (int, float)) for value in (one, other))
    return abs(one - other) <= tolerance if numbers else one == other
