"""Networks of a run made smaller step by step, each step kept when it is done."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from boldformer import config
from boldformer.config import ModelConfig, RunConfig
from boldformer.data.atomic import atomic_path, write_json
from boldformer.data.protocol import Protocol
from boldformer.data.splits import Fold
from boldformer.errors import InputError
from boldformer.evaluation.cross_validation import FoldOutcome, Plan, fit_fold
from boldformer.evaluation.ledger import count_macs
from boldformer.models.base import DecoderModel
from boldformer.training.fit import fit_model
from boldformer.training.pruning import Channels, channels_of, prune, resized
from boldformer.training.weights import load_model, save_model
from boldformer.workflow.cohort import Cohort

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PruningSettings:
    """How far to prune, and in how many steps.

    Parameters
    ----------
    target_macs : float
        Multiply-adds to keep at the last step, as a share of the network's.
    steps : int
        Steps that lead there, each by the same share.
    epochs : int
        Epochs of training after each step, by the run's own schedule: the learning rate
        rises and falls anew (Renda et al., 2020).
    scratch : bool
        Train a network of the last step's sizes from nothing besides, as many epochs as
        the run and the steps took together (Liu et al., 2019).

    References
    ----------
    Renda, A. et al. (2020). Comparing rewinding and fine-tuning in neural network
    pruning. ICLR.
    Liu, Z. et al. (2019). Rethinking the value of network pruning. ICLR.
    """

    target_macs: float = 0.6
    steps: int = 2
    epochs: int = 4
    scratch: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be done."""
        if not 0 < self.target_macs < 1:
            raise InputError(
                "target_macs is out of range",
                wanted="a share of the multiply-adds between 0 and 1",
                received=str(self.target_macs),
            )
        if self.steps < 1 or self.epochs < 1:
            raise InputError(
                "pruning takes a step and an epoch at least",
                received=f"{self.steps} steps, {self.epochs} epochs",
            )

    @property
    def shares(self) -> list[float]:
        """Share of the multiply-adds after each step."""
        return np.linspace(1, self.target_macs, self.steps + 1)[1:].tolist()


@dataclass(frozen=True, eq=False)
class Variant:
    """One network of a fold: as it was, pruned, or small from the start.

    Parameters
    ----------
    network : {"unpruned", "pruned", "from scratch"}
        Which of them.
    step : int
        Steps of pruning that led to it.
    fold : Fold
        What it was trained and tested on.
    model : DecoderModel
        The network.
    probabilities : ndarray, shape (n_test, n_outputs)
        Of the fold's test windows.
    training_accuracy : float
        On its training windows.
    protocol : Protocol
        What was fitted to which windows.
    """

    network: str
    step: int
    fold: Fold
    model: DecoderModel
    probabilities: np.ndarray
    training_accuracy: float
    protocol: Protocol


def channels_for(
    model: DecoderModel, shares: Sequence[float], n_times: int
) -> list[Channels]:
    """Find the largest sizes, in their proportion, of at most these shares of the MACs.

    Parameters
    ----------
    model : DecoderModel
        Model to be pruned; its weights play no part.
    shares : sequence of float
        Between 0 and 1, descending.
    n_times : int
        Frames of a window.

    Raises
    ------
    InputError
        When the model cannot be pruned, or a single channel costs more.
    """
    now, whole = channels_of(model), count_macs(model, 1, n_times)
    found: list[Channels] = []
    left = 1.0
    for size in range(now.out_channels, 0, -1):
        stem = max(1, round(now.stem_channels * size / now.out_channels))
        channels = Channels(stem, size)
        left = count_macs(resized(model, channels), 1, n_times) / whole
        while left <= shares[len(found)]:
            found.append(channels)
            if len(found) == len(shares):
                return found
    raise InputError(
        "no channels can be left with so few multiply-adds",
        wanted=f"a share of {left:.2f} or more",
        received=f"{shares[-1]:.2f}",
    )


@dataclass(frozen=True, eq=False)
class Job:
    """Networks of a run, made smaller, one fold after the other.

    Parameters
    ----------
    run, out : Path
        Folder of the run, and the one in which finished steps are kept.
    cohort : Cohort
        What the run decodes.
    decoding : RunConfig
        Settings of the run.
    settings : PruningSettings
        How far to prune.
    sizes : sequence of Channels
        Of each step.
    progress : bool
        Show progress bars.
    """

    run: Path
    out: Path
    cohort: Cohort
    decoding: RunConfig
    settings: PruningSettings
    sizes: Sequence[Channels]
    progress: bool

    @property
    def _plan(self) -> Plan:
        cohort, decoding = self.cohort, self.decoding
        n_outputs = len(cohort.labels)
        return Plan(
            cohort.windows,
            cohort.targets,
            n_outputs,
            decoding.model,
            decoding.training,
        )

    @property
    def _work(self) -> Path:
        return self.out / "work" / "folds"

    def fold(self, fold: Fold) -> Iterator[Variant]:
        """Give the networks of a fold: as it was, after each step, from scratch."""
        trained = self.trained(fold, f"fold-{fold.index}")
        record = trained.record
        yield Variant(
            "unpruned",
            0,
            fold,
            trained.model,
            trained.probabilities,
            record.training_accuracy,
            trained.protocol,
        )
        yield from self.steps(trained)
        if self.settings.scratch:
            yield self._from_scratch(trained)

    def trained(self, fold: Fold, name: str) -> FoldOutcome:
        """Read the run's own network; train it again where it is not there."""
        place, kept = self._work / name, self.run / "work" / "folds" / name
        if kept.is_dir() and not place.exists():
            with atomic_path(place) as temporary:
                shutil.copytree(kept, temporary)
        logger.info("Fold %d: the network as it was", fold.index + 1)
        return fit_fold(self._plan, fold, place, progress=self.progress)

    def steps(self, trained: FoldOutcome) -> Iterator[Variant]:
        """Prune a fold's network step by step, training after each."""
        model = trained.model
        for step, channels in enumerate(self.sizes, start=1):
            logger.info(
                "Fold %d, step %d: %d and %d channels",
                trained.fold.index + 1,
                step,
                *asdict(channels).values(),
            )
            found = self._step(trained, model, channels, step)
            model = found.model
            yield found

    def _step(
        self, trained: FoldOutcome, model: DecoderModel, channels: Channels, step: int
    ) -> Variant:
        rows, key = trained.fold.train, self._key(trained)
        place = self._work / f"{key}-step-{step}"
        found = _load(place, "pruned", step, trained.fold)
        if found is not None:
            return found
        windows, training = self.cohort.windows[rows], self.decoding.training
        times_s = np.arange(windows.shape[1]) * windows.t_r
        small = prune(
            model,
            windows,
            self.cohort.targets[rows],
            channels,
            times_s=times_s,
            batch_size=training.batch_size,
            device=training.device,
        )
        result = fit_model(
            small,
            windows,
            self.cohort.targets[rows],
            windows.groups,
            replace(training, max_epochs=self.settings.epochs),
            times_s=times_s,
            checkpoint_dir=place.with_name(f"{place.name}-checkpoint"),
            progress=self.progress,
        )
        protocol, index = Protocol(), trained.fold.index
        protocol.record(f"channels of step {step}", rows, fold=index, purpose="select")
        protocol.extend(result.uses, rows=rows, fold=index, prefix=f"step {step}, ")
        return self._finish(place, "pruned", step, trained.fold, small, protocol)

    def _from_scratch(self, trained: FoldOutcome) -> Variant:
        """Train a network of the last step's sizes from nothing."""
        settings, decoding, fold = self.settings, self.decoding, trained.fold
        place = self._work / f"{self._key(trained)}-scratch"
        step = settings.steps
        found = _load(place, "from scratch", step, fold)
        if found is not None:
            return found
        parameters = decoding.model.parameters | asdict(self.sizes[-1])
        n_epochs = decoding.training.max_epochs + step * settings.epochs
        plan = replace(
            self._plan,
            model=ModelConfig(decoding.model.name, parameters),
            training=replace(decoding.training, max_epochs=n_epochs),
        )
        logger.info("Fold %d: from scratch, %d epochs", fold.index + 1, n_epochs)
        checkpoints = place.with_name(f"{place.name}-checkpoint")
        small, result = plan.estimate(fold.train, checkpoints, progress=self.progress)
        protocol = Protocol()
        protocol.extend(result.uses, fold=fold.index)
        return self._finish(place, "from scratch", step, fold, small, protocol)

    def _finish(
        self,
        place: Path,
        network: str,
        step: int,
        fold: Fold,
        model: DecoderModel,
        protocol: Protocol,
    ) -> Variant:
        """Test a network, and keep it."""
        trained = self._plan.probabilities(model, fold.train).argmax(axis=1)
        accuracy = float((trained == self.cohort.targets[fold.train]).mean())
        tested = self._plan.probabilities(model, fold.test)
        with atomic_path(place) as temporary:
            temporary.mkdir()
            save_model(model, self.decoding.model.name, temporary)
            protocol.write(temporary / "protocol.tsv")
            np.save(temporary / "probabilities.npy", tested, allow_pickle=False)
            write_json(temporary / "variant.json", {"training_accuracy": accuracy})
        shutil.rmtree(place.with_name(f"{place.name}-checkpoint"), ignore_errors=True)
        return Variant(network, step, fold, model, tested, accuracy, protocol)

    def _key(self, trained: FoldOutcome) -> str:
        """Name of a fold's steps, which depends on all that they depend on."""
        fold = trained.fold
        facts: Sequence[Any] = [
            trained.record.model_hash,
            fold.train.tolist(),
            fold.test.tolist(),
            config.to_dict(self.decoding.training),
            self.settings.shares,
            self.settings.epochs,
        ]
        digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
        return f"fold-{fold.index}-{digest[:12]}"


def _load(place: Path, network: str, step: int, fold: Fold) -> Variant | None:
    try:
        kept = json.loads((place / "variant.json").read_text(encoding="utf-8"))
        return Variant(
            network,
            step,
            fold,
            load_model(place),
            np.load(place / "probabilities.npy", allow_pickle=False),
            float(kept["training_accuracy"]),
            Protocol.read(place / "protocol.tsv"),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
