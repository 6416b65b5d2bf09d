"""What pruning a run writes: the accuracy-compute curve and the smaller decoder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from boldformer import __version__
from boldformer.config import EvaluationConfig
from boldformer.data.atomic import write_json, write_tsv
from boldformer.data.audit.fit_log import FitLog
from boldformer.data.cohort import Cohort
from boldformer.data.groups import event_names, resampling_groups
from boldformer.data.splits import Splits
from boldformer.decoder import Decoder
from boldformer.evaluation.compute import count_macs, windows_shape
from boldformer.evaluation.experiment import Experiment
from boldformer.evaluation.intervals import reuse_widening
from boldformer.evaluation.judge import Judge
from boldformer.evaluation.latency import median_time
from boldformer.evaluation.predictions import as_written
from boldformer.models.base import DecoderModel
from boldformer.studies.pruning_fits import Variant
from boldformer.studies.records import mark_leaky
from boldformer.training.channel_pruning import channels_of
from boldformer.training.devices import resolve_device
from boldformer.visualization.pruning_figure import draw_pruning
from boldformer.visualization.style import figure_style, save_figure

TABLE = "pruning.tsv"
WRITTEN = (TABLE, "pruning.json", "predictions.tsv", "protocol.tsv", "figures", "model")
_TIMED_PASSES = 25
_TIMING_BUDGET_S = 20.0


@dataclass(frozen=True, eq=False)
class PrunedRun:
    """What the networks were, beside their predictions.

    Parameters
    ----------
    cohort : Cohort
        What is decoded.
    experiment : Experiment
        Of the run.
    evaluation : EvaluationConfig
        Settings of the run.
    settings : dict
        Of the pruning, ready for JSON.
    leaky : bool
        Whether training and test windows are not apart.
    splits : Splits
        Folds of the run.
    """

    cohort: Cohort
    experiment: Experiment
    evaluation: EvaluationConfig
    settings: dict[str, Any]
    leaky: bool
    splits: Splits


def write_pruning(
    out: Path,
    study: PrunedRun,
    variants: Sequence[Variant],
    log: FitLog,
    final: DecoderModel,
) -> Path:
    """Write everything `docs/pruning.md` lists; return ``pruning.tsv``."""
    grouped: dict[tuple[str, int], list[Variant]] = {}
    for variant in variants:
        grouped.setdefault((variant.network, variant.step), []).append(variant)
    curve = _curve(study, grouped)
    write_tsv(out / "predictions.tsv", _predictions(study, variants))
    log.write(out / "protocol.tsv")
    with figure_style():
        drawing = draw_pruning(curve, study.cohort.chance, leaky=study.leaky)
        save_figure(drawing.figure, out / "figures" / drawing.name)
    sentence = verdict(curve)
    _save_decoder(out, study, final, sentence)
    device = resolve_device(study.experiment.training.device)
    write_json(
        out / "pruning.json",
        {
            "boldformer": __version__,
            **study.settings,
            "leaky": study.leaky,
            "interval_unit": resampling_groups(study.cohort.windows.table)[0],
            "level": study.evaluation.level,
            "device": str(device),
            "threads": torch.get_num_threads(),
            "verdict": sentence,
        },
    )
    write_tsv(out / TABLE, curve)
    if study.leaky:
        mark_leaky(out / name for name in ("predictions.tsv", "protocol.tsv", TABLE))
    return out / TABLE


def verdict(curve: pd.DataFrame) -> str:
    """Say in one sentence what the last step saved and what it cost."""
    rows = curve[curve["network"] == "pruned"]
    last, whole = rows.iloc[-1], curve.iloc[0]
    return (
        f"{100 * (1 - last['mac_share']):.0f} % fewer multiply-adds, forward pass "
        f"{1e3 * last['forward_s']:.1f} ms instead of {1e3 * whole['forward_s']:.1f} "
        f"ms; accuracy {last['accuracy']:.3f} instead of {whole['accuracy']:.3f}, "
        f"a difference of {last['difference']:+.3f} "
        f"({last['difference_low']:+.3f} to {last['difference_high']:+.3f})."
    )


def _curve(
    study: PrunedRun, grouped: dict[tuple[str, int], list[Variant]]
) -> pd.DataFrame:
    """One row a network: its compute, its accuracy, its distance to the unpruned."""
    table, targets = study.cohort.windows.table, study.cohort.targets
    tested = _tested(grouped["unpruned", 0])
    groups = resampling_groups(table)[1]
    judge = Judge(
        targets[tested],
        groups[tested],
        study.evaluation,
        reuse_widening(study.splits.folds, groups),
        scores=["accuracy"],
        events=event_names(table)[tested],
    )
    scored = {key: judge.score(_probabilities(found)) for key, found in grouped.items()}
    n_times = study.cohort.windows.shape[1]
    whole = count_macs(grouped["unpruned", 0][0].outcome.model, 1, n_times)
    rows = []
    for (network, step), found in grouped.items():
        model = found[0].outcome.model
        mac = count_macs(model, 1, n_times)
        accuracy = judge.estimate(scored[network, step], "accuracy")
        gap = judge.difference(scored[network, step], scored["unpruned", 0], "accuracy")
        rows.append(
            {
                "network": network,
                "step": step,
                "stem_channels": channels_of(model).stem_channels,
                "out_channels": channels_of(model).out_channels,
                "parameters": sum(p.numel() for p in model.parameters()),
                "mac_per_window": mac,
                "mac_share": mac / whole,
                "forward_s": _forward_s(
                    model, n_times, study.experiment.training.device
                ),
                "accuracy": accuracy.value,
                "accuracy_low": accuracy.low,
                "accuracy_high": accuracy.high,
                "difference": gap.value,
                "difference_low": gap.low,
                "difference_high": gap.high,
                "training_accuracy": np.mean(
                    [v.outcome.record.training_accuracy for v in found]
                ),
            }
        )
    return pd.DataFrame(rows)


def _tested(variants: Sequence[Variant]) -> np.ndarray:
    """Rows of all test windows, fold after fold, once for every time tested."""
    return np.concatenate([v.outcome.fold.test for v in variants])


def _probabilities(variants: Sequence[Variant]) -> np.ndarray:
    return as_written(np.concatenate([v.outcome.probabilities for v in variants]))


def _forward_s(model: DecoderModel, n_times: int, device_name: str) -> float:
    """Median duration of a forward pass of one window, in 32-bit floats."""
    device = resolve_device(device_name)
    x = torch.randn(windows_shape(model, 1, n_times), device=device)
    model.to(device)
    step = torch.inference_mode()(lambda: model(x))
    found = median_time(
        step, device, n_repeats=_TIMED_PASSES, budget_s=_TIMING_BUDGET_S
    )
    model.cpu()
    return found


def _predictions(study: PrunedRun, variants: Sequence[Variant]) -> pd.DataFrame:
    return pd.concat(_rows(study, variants), ignore_index=True)


def _rows(study: PrunedRun, variants: Sequence[Variant]) -> Iterator[pd.DataFrame]:
    windows, labels = study.cohort.windows.table, np.array(study.cohort.labels)
    named = windows[["window", "subject", "recording", "onset", "label"]]
    for variant in variants:
        given = as_written(variant.outcome.probabilities)
        table = named.iloc[variant.outcome.fold.test].reset_index(drop=True)
        table.insert(0, "network", variant.network)
        table.insert(1, "step", variant.step)
        table.insert(2, "fold", variant.outcome.fold.index)
        table["predicted"] = labels[given.argmax(axis=1)]
        for column, label in enumerate(labels):
            table[f"probability_{label}"] = given[:, column]
        yield table


def _save_decoder(
    out: Path, study: PrunedRun, final: DecoderModel, sentence: str
) -> None:
    training = study.experiment.training
    decoder = Decoder.from_model(final, study.cohort, training, pd.DataFrame())
    leaky = " LEAKY: training and test data are not apart." * study.leaky
    card = (
        f"# {study.experiment.model.name}, pruned\n\n{sentence}{leaky}\n\n"
        "The scores belong to the fold models of the run, pruned by the same recipe; "
        "these weights were fitted to all windows and have no untouched data left to "
        "be tested on.\n"
    )
    decoder.save(out / "model", card, leaky=study.leaky)
