"""Networks of a run made smaller step by step, each step kept when it is done."""

from __future__ import annotations

import functools
import logging
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from boldformer.config import ModelConfig
from boldformer.data.atomic import atomic_path
from boldformer.data.audit.fit_log import FitLog
from boldformer.data.splits import Fold
from boldformer.errors import InputError
from boldformer.evaluation.compute import count_macs
from boldformer.evaluation.cross_validation import fit_fold, judge_fit
from boldformer.evaluation.experiment import Experiment
from boldformer.evaluation.kept_fits import FoldOutcome, kept
from boldformer.models.base import DecoderModel
from boldformer.training.channel_pruning import Channels, channels_of, prune, resized
from boldformer.training.fit import FitResult, fit_model

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
    outcome : FoldOutcome
        The network and its predictions.
    """

    network: str
    step: int
    outcome: FoldOutcome


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
class PruningFits:
    """Networks of a run, made smaller, one fold after the other.

    Parameters
    ----------
    experiment : Experiment
        What the run fitted to what.
    run_folds, folder : Path
        Where the run kept its fits, and where finished steps are kept.
    settings : PruningSettings
        How far to prune.
    sizes : sequence of Channels
        Of each step.
    progress : bool
        Show progress bars.
    """

    experiment: Experiment
    run_folds: Path
    folder: Path
    settings: PruningSettings
    sizes: Sequence[Channels]
    progress: bool

    def fold(self, fold: Fold) -> Iterator[Variant]:
        """Give the networks of a fold: as it was, after each step, from scratch."""
        trained = self.trained(fold, f"fold-{fold.index}")
        yield Variant("unpruned", 0, trained)
        yield from self.steps(trained)
        if self.settings.scratch:
            yield self._from_scratch(trained)

    def trained(self, fold: Fold, name: str) -> FoldOutcome:
        """Read the run's own network; train it again where it is not there."""
        place, run_fit = self.folder / name, self.run_folds / name
        if run_fit.is_dir() and not place.exists():
            with atomic_path(place) as temporary:
                shutil.copytree(run_fit, temporary)
        logger.info("Fold %d: the network as it was", fold.index + 1)
        return fit_fold(self.experiment, fold, place, progress=self.progress)

    def steps(self, trained: FoldOutcome) -> Iterator[Variant]:
        """Prune a fold's network step by step, training after each."""
        model, fold = trained.model, trained.fold
        for step, channels in enumerate(self.sizes, start=1):
            said = (fold.index + 1, step, *asdict(channels).values())
            logger.info("Fold %d, step %d: %d and %d channels", *said)

            def fit(
                checkpoints: Path,
                model: DecoderModel = model,
                channels: Channels = channels,
                step: int = step,
            ) -> FoldOutcome:
                cut = functools.partial(
                    self._cut_and_train, model, channels, step, fold, checkpoints
                )
                return judge_fit(self.experiment, fold, cut)

            place = self.folder / f"{self._name(trained)}-step-{step}"
            found = kept(place, fold, self._key(trained, step), fit)
            model = found.model
            yield Variant("pruned", step, found)

    def _cut_and_train(
        self,
        model: DecoderModel,
        channels: Channels,
        step: int,
        fold: Fold,
        checkpoints: Path,
    ) -> tuple[DecoderModel, FitResult]:
        """Cut channels out by a fold's training windows, and train on with those."""
        experiment, rows, log = self.experiment, fold.train, FitLog()
        windows, targets = experiment.windows[rows], experiment.targets[rows]
        training = experiment.training
        times_s = np.arange(windows.shape[1]) * windows.t_r
        log.record(f"channels of step {step}", rows, purpose="select")
        small = prune(
            model,
            windows,
            targets,
            channels,
            times_s=times_s,
            batch_size=training.batch_size,
            device=training.device,
        )
        result = fit_model(
            small,
            windows,
            targets,
            windows.groups,
            replace(training, max_epochs=self.settings.epochs),
            times_s=times_s,
            classes=experiment.classes,
            checkpoint_dir=checkpoints,
            progress=self.progress,
        )
        log.extend(result.uses, rows=rows, prefix=f"step {step}, ")
        return small, replace(result, uses=tuple(log))

    def _from_scratch(self, trained: FoldOutcome) -> Variant:
        """Train a network of the last step's sizes from nothing."""
        experiment, settings, fold = self.experiment, self.settings, trained.fold
        parameters = experiment.model.parameters | asdict(self.sizes[-1])
        epochs = experiment.training.max_epochs + settings.steps * settings.epochs
        small = replace(
            experiment,
            model=ModelConfig(experiment.model.name, parameters),
            training=replace(experiment.training, max_epochs=epochs),
        )
        logger.info("Fold %d: from scratch, %d epochs", fold.index + 1, epochs)
        place = self.folder / f"{self._name(trained)}-scratch"
        found = fit_fold(small, fold, place, progress=self.progress)
        return Variant("from scratch", settings.steps, found)

    def _key(self, trained: FoldOutcome, step: int) -> str:
        """Hash of all that a step of a fold's network depends on."""
        settings = (step, self.settings.shares, self.settings.epochs)
        hash_ = trained.record.model_hash
        return self.experiment.key(trained.fold, hash_, *settings)

    def _name(self, trained: FoldOutcome) -> str:
        return f"fold-{trained.fold.index}-{self._key(trained, 0)[:12]}"
