"""From one site to another: with no labels of its subjects, with few, with only those.

Shots of a subject come from some of the subject's runs, and all that is scored from
that subject's other runs; no run is ever on both sides.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd

from boldformer.errors import InputError
from boldformer.training.linear_decoder import (
    LinearDecoder,
    Rotation,
    gram_matrix,
    make_solver,
)
from boldformer.training.screening import centre_and_scale

# Of the weight of all training windows together, what the shots have. Half lets few
# windows of the right person speak as loud as many of others.
SHOT_SHARE = 0.5


@dataclass(frozen=True)
class Shots:
    """How much of a new subject is labelled.

    Parameters
    ----------
    count : int
        Blocks of each class, or whole runs.
    unit : {"block", "run"}
        Which of the two.
    """

    count: int
    unit: str = "block"

    @classmethod
    def parse(cls, text: str) -> Shots:
        """Read ``4`` (blocks of each class) or ``1run``.

        Raises
        ------
        InputError
            For anything else.
        """
        found = re.fullmatch(r"\s*([1-9]\d*)\s*(runs?)?\s*", str(text))
        if found is None:
            raise InputError(
                "unusable number of shots",
                wanted="blocks of each class, such as 4, or runs, such as 1run",
                received=repr(text),
            )
        return cls(int(found[1]), "run" if found[2] else "block")

    def __str__(self) -> str:
        """As `parse` reads it."""
        return f"{self.count}run" if self.unit == "run" else str(self.count)


@dataclass(frozen=True, eq=False)
class Episode:
    """Some labelled windows of a subject, and windows of the subject's other runs.

    Parameters
    ----------
    subject : str
        Whose.
    shots, test : ndarray of int
        Rows of the window table.
    """

    subject: str
    shots: np.ndarray
    test: np.ndarray


def make_episodes(table: pd.DataFrame, shots: Shots) -> tuple[list[Episode], list[str]]:
    """Draw shots from each subject, starting at each of the subject's runs in turn.

    The first blocks of a run are the shots, as they would be in a session; where a run
    has too few, the next run goes on. Runs that gave a shot are not scored.

    Parameters
    ----------
    table : DataFrame
        Window table of the test data set.
    shots : Shots
        How many.

    Returns
    -------
    episodes : list of Episode
        In the order of subjects.
    without : list of str
        Subjects that have too few blocks, or no run left to be scored on.
    """
    found: list[Episode] = []
    without: list[str] = []
    subjects = table["subject"].to_numpy()
    recordings = table["recording"].to_numpy()
    for subject in dict.fromkeys(subjects):
        runs = list(dict.fromkeys(recordings[subjects == subject]))
        before = len(found)
        for start in range(len(runs)):
            order = runs[start:] + runs[:start]
            drawn = _draw(table, order, shots)
            if drawn is not None:
                found.append(Episode(str(subject), *drawn))
        if len(found) == before:
            without.append(str(subject))
    return found, without


def _draw(
    table: pd.DataFrame, order: Sequence[str], shots: Shots
) -> tuple[np.ndarray, np.ndarray] | None:
    recordings = table["recording"].to_numpy()
    mine = np.flatnonzero(np.isin(recordings, order))
    n_classes = table["label"].iloc[mine].nunique()
    for n_used in range(1, len(order)):
        used = order[:n_used]
        # A stable sort by run keeps the order of time within each.
        rows = np.concatenate([np.flatnonzero(recordings == run) for run in used])
        test = np.setdiff1d(mine, np.flatnonzero(np.isin(recordings, used)))
        part = table.iloc[rows]
        if shots.unit == "run":
            enough = n_used == shots.count and part["label"].nunique() == n_classes
            if enough:
                return rows, test
            continue
        blocks = part.drop_duplicates("block")[["block", "label"]]
        first = blocks[blocks.groupby("label").cumcount() < shots.count]
        if len(first) == n_classes * shots.count:
            return rows[part["block"].isin(first["block"]).to_numpy()], test
    return None


class Learner(Protocol):
    """What transfers: fitted to training sites, adapted to a subject."""

    def zero_shot(self) -> np.ndarray:
        """Predicted class of every test-site window, int (n_target,)."""
        ...

    def few_shot(self, episode: Episode, y: np.ndarray) -> np.ndarray:
        """Predicted classes of an episode's test windows, after its shots.

        Parameters
        ----------
        episode : Episode
            Rows of the test site.
        y : ndarray of int, shape (n_shots,)
            Classes of the shots.
        """
        ...


class LinearTransfer:
    """Linear decoder of window means that takes a subject's shots into its fit.

    Zero-shot it is a `LinearDecoder`. Few-shot it is solved again on training windows
    and shots together, in the voxels and with the penalty that the training windows
    chose; all shots together weigh `SHOT_SHARE` of the whole.

    Parameters
    ----------
    source : ndarray, shape (n_source, n_features)
        Training windows.
    y : ndarray of int, shape (n_source,)
        Their classes.
    groups : ndarray of str, shape (n_source,)
        Their subjects, which inner folds keep apart.
    target : ndarray, shape (n_target, n_features)
        Test-site windows; their labels are not asked for.
    shot_share : float
        Between 0 and 1.
    """

    def __init__(
        self,
        source: np.ndarray,
        y: np.ndarray,
        groups: np.ndarray,
        target: np.ndarray,
        shot_share: float = SHOT_SHARE,
    ) -> None:
        self.decoder = LinearDecoder().fit(source, y, groups)
        self.y, self.target, self.shot_share = y, target, shot_share
        kept = np.any(self.decoder.coef_ != 0, axis=0)
        self.features = np.concatenate([source[:, kept], target[:, kept]])
        self.gram = None
        if len(self.features) < self.features.shape[1]:
            self.gram = gram_matrix(self.features)

    def zero_shot(self) -> np.ndarray:
        """See `Learner`."""
        return self.decoder.predict(self.target)

    def few_shot(self, episode: Episode, y: np.ndarray) -> np.ndarray:
        """See `Learner`."""
        n_source = len(self.y)
        rows = np.r_[np.arange(n_source), n_source + episode.shots]
        n_rows, n_shots = len(rows), len(episode.shots)
        weights = np.full(n_rows, (1 - self.shot_share) * n_rows / n_source)
        weights[n_source:] = self.shot_share * n_rows / n_shots
        fitted, tested = self._coordinates(rows, n_source + episode.test)
        solver = make_solver("svm", self.decoder.C_, tol=self.decoder.tol)
        solver.fit(fitted, np.r_[self.y, y].astype(int), sample_weight=weights)
        return solver.predict(tested)

    def _coordinates(
        self, train: np.ndarray, test: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Put rows into coordinates that are cheap to solve in, scaled by `train`."""
        if self.gram is None:
            mean, scale = centre_and_scale(self.features[train])
            scaled = (self.features - mean) / scale
            return scaled[train], scaled[test]
        rotation = Rotation.from_gram(self.gram[np.ix_(train, train)])
        return rotation.coordinates, rotation.project(self.gram[np.ix_(test, train)])


def predict_alone(target: np.ndarray, episode: Episode, y: np.ndarray) -> np.ndarray:
    """Predict an episode's test windows from its shots alone, by a `LinearDecoder`.

    Parameters
    ----------
    target : ndarray, shape (n_target, n_features)
        Windows of the test site.
    episode : Episode
        Its rows.
    y : ndarray of int, shape (n_shots,)
        Classes of the shots.
    """
    with warnings.catch_warnings():
        # One shot of many classes looks like a regression to scikit-learn.
        warnings.filterwarnings("ignore", message="The number of unique classes")
        decoder = LinearDecoder().fit(target[episode.shots], y)
    return decoder.predict(target[episode.test])
