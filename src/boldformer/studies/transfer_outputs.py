"""What a transfer writes: a table, a record, a figure and words for a report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from boldformer import config
from boldformer.data.atomic import write_json, write_text, write_tsv
from boldformer.data.audit.split_audit import Audit
from boldformer.evaluation.intervals import UNRELIABLE_BELOW
from boldformer.evaluation.judge import BETTER, NO_INTERVAL, TOO_FEW, WORSE, corrected
from boldformer.evaluation.transfer_learners import SHOT_SHARE
from boldformer.evaluation.transfer_scores import SettingScore, SiteJudge
from boldformer.studies.records import (
    LEAKY,
    header,
    listed_set_aside,
    plain_rows,
    rounded,
)
from boldformer.studies.transfer_sites import Sites, TransferSettings
from boldformer.training.feature_alignment import ALIGNMENTS
from boldformer.visualization.style import save_figure
from boldformer.visualization.transfer_figure import draw_transfer

WRITTEN = ("transfer.tsv", "transfer.json", "transfer.md", "figures")


@dataclass(frozen=True, eq=False)
class Direction:
    """What was found on one test data set.

    Parameters
    ----------
    train : list of str
        Data sets trained on.
    test : str
        The one tested.
    verdict : Audit
        Of the training data sets against it.
    judge : SiteJudge
        Compares the scores.
    scores : list of SettingScore
        One a setting, alignment and number of shots.
    """

    train: list[str]
    test: str
    verdict: Audit
    judge: SiteJudge
    scores: list[SettingScore]


def write_transfer(
    out: Path,
    sites: Sites,
    directions: Sequence[Direction],
    settings: TransferSettings,
) -> Path:
    """Write everything `docs/transfer.md` lists; return ``transfer.tsv``."""
    rows = [row for found in directions for row in _rows(found, sites, settings)]
    table = pd.DataFrame(rows)
    pairs = pd.DataFrame([row for found in directions for row in _differences(found)])
    drawing = draw_transfer(table)
    save_figure(drawing.figure, out / "figures" / drawing.name)
    write_text(out / "transfer.md", _words(table, pairs, sites, drawing.caption))
    record = _record(table, pairs, sites, directions, settings)
    write_json(out / "transfer.json", record)
    write_tsv(out / "transfer.tsv", table)
    return out / "transfer.tsv"


def _rows(
    found: Direction, sites: Sites, settings: TransferSettings
) -> Iterator[dict[str, Any]]:
    for scored in found.scores:
        p_chance, reading = scored.against(1 / len(sites.classes))
        yield {
            "train": _trained_on(found, scored),
            "test": found.test,
            "setting": scored.setting,
            "model": scored.model,
            "alignment": scored.alignment,
            "alignment_sees": _sees(scored.alignment),
            "preprocessing": _preprocessing(settings),
            "shots": scored.shots,
            "n_subjects": scored.n_subjects,
            "n_windows": len(set(scored.rows.tolist())),
            "balanced_accuracy": rounded(scored.estimate.value),
            "low": rounded(scored.estimate.low),
            "high": rounded(scored.estimate.high),
            "chance": rounded(1 / len(sites.classes)),
            "p_chance": float(f"{p_chance:.4g}"),
            "reading": reading,
            "audit": LEAKY if found.verdict.verdict == "leak" else "no leak",
        }


def _trained_on(found: Direction, scored: SettingScore) -> str:
    if scored.setting == "within-subject":
        return "shots"
    if scored.setting == "within-site":
        return found.test
    return "+".join(found.train)


def _sees(alignment: str) -> str:
    transductive = ALIGNMENTS[alignment].sees_target
    return "unlabelled test windows" if transductive else "nothing of the test"


def _preprocessing(settings: TransferSettings) -> str:
    return "causal" if settings.run.preprocessing.causal else "transductive"


def _differences(found: Direction) -> Iterator[dict[str, Any]]:
    """Compare all pairs of a direction together, corrected for their number."""
    pairs = list(_pairs(found))
    gaps = [scored.minus(other) for _, scored, other in pairs]
    if not gaps:
        return
    n_units = min(scored.judge.n_units for _, scored, _ in pairs)
    level = pairs[0][1].judge.bootstrap.level
    for (name, scored, _), gap in zip(
        pairs, corrected(gaps, n_units, level), strict=True
    ):
        yield {
            "test": found.test,
            "setting": scored.setting,
            "alignment": scored.alignment,
            "shots": scored.shots,
            "minus": name,
            **gap.difference.to_dict(),
            "p_value": gap.p_value,
            "p_holm": gap.p_holm,
            "reading": gap.reading,
        }


def _pairs(found: Direction) -> Iterator[tuple[str, SettingScore, SettingScore]]:
    """Pairs worth comparing: shots against none, transfer against alone, alignments."""
    by_key = {(s.setting, s.alignment, s.shots): s for s in found.scores}
    for (setting, alignment, shots), scored in by_key.items():
        others: list[tuple[str, SettingScore | None]] = []
        if setting == "few-shot":
            alone = by_key.get(("within-subject", "none", shots))
            zero = by_key[("zero-shot", alignment, "0")]
            others += [("shots alone", alone)]
            others += [("zero-shot", found.judge.same_rows(zero, scored))]
        if setting in ("zero-shot", "few-shot") and alignment != "none":
            others += [("alignment none", by_key.get((setting, "none", shots)))]
        yield from ((name, scored, other) for name, other in others if other)


def _record(
    table: pd.DataFrame,
    pairs: pd.DataFrame,
    sites: Sites,
    directions: Sequence[Direction],
    settings: TransferSettings,
) -> dict[str, Any]:
    windows = sites.windows
    n_windows = windows.table.groupby("dataset", sort=False).size()
    leaky = bool((table["audit"] == LEAKY).any())
    return header("transfer", leaky, classes=sites.classes) | {
        "level": settings.level,
        "made_of": sites.made_of,
        "datasets": {str(key): int(count) for key, count in n_windows.items()},
        "grid": {
            "resampled": sites.grid is not None,
            "shape": list(windows.grid.shape),
            "voxel_size_mm": list(windows.grid.voxel_size_mm),
            "n_voxels": int(windows.mask.sum()),
        },
        "window": {
            "step_s": windows.t_r,
            "n_times": windows.shape[1],
            "t_r": sorted({float(t_r) for t_r in windows.table["t_r"]}),
        },
        "shot_share": SHOT_SHARE,
        "alignments": {
            name: {
                "description": ALIGNMENTS[name].description,
                "transductive": ALIGNMENTS[name].sees_target,
            }
            for name in settings.alignments
        },
        "settings": config.to_dict(settings),
        "pipeline_hash": windows.pipeline_hash,
        "scores": plain_rows(table),
        "differences": plain_rows(pairs),
        "audit": {found.test: found.verdict.to_dict() for found in directions},
        "interval_unit": {found.test: found.judge.unit for found in directions},
        "set_aside": listed_set_aside(sites.set_aside),
    }


def _words(table: pd.DataFrame, pairs: pd.DataFrame, sites: Sites, caption: str) -> str:
    """Markdown for a report: what was done, the table, and what it does not show."""
    chance = float(table["chance"].iloc[0])
    lines = ["# Transfer between data sets", ""]
    if (table["audit"] == LEAKY).any():
        lines += ["**LEAKY: training and test data are not apart.**", ""]
    sizes = ", ".join(f"{size:g}" for size in sites.windows.grid.voxel_size_mm)
    lines += [
        f"Classes: {', '.join(sites.classes)} (chance {chance:.3f}). All data on one "
        f"grid of {sizes} mm, windows of {sites.windows.shape[1]} steps of "
        f"{sites.windows.t_r:g} s. Whole-run preprocessing is transductive where the "
        "column says so; alignments that see unlabelled test windows are marked \\*.",
        "",
        "| tested on | setting | alignment | shots | subjects | balanced accuracy | "
        "interval |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in table.itertuples():
        mark = "\\*" if ALIGNMENTS[row.alignment].sees_target else ""
        interval = f"{row.low:.3f}–{row.high:.3f}" if pd.notna(row.low) else "n/a"
        lines.append(
            f"| {row.test} | {row.setting} | {row.alignment}{mark} | {row.shots} | "
            f"{row.n_subjects} | {row.balanced_accuracy:.3f} | {interval} |"
        )
    lines += ["", f"![{caption}](figures/transfer.svg)", "", caption, ""]
    lines += _verdicts(table, pairs)
    return "\n".join(lines) + "\n"


def _verdicts(table: pd.DataFrame, pairs: pd.DataFrame) -> list[str]:
    said = []
    for row in table[table["setting"] == "zero-shot"].itertuples():
        if row.reading != BETTER:
            said.append(
                f"- On {row.test}, {_shown(row.reading)} zero-shot with alignment "
                f"{row.alignment} is above chance."
            )
    for row in pairs.itertuples():
        if row.minus == "shots alone" and row.reading != BETTER:
            beats = "beat" if row.reading != WORSE else "are worse than"
            shown = "" if row.reading == WORSE else f"{_shown(row.reading)} "
            said.append(
                f"- On {row.test}, {shown}{row.shots} shots with the training data "
                f"({row.alignment}) {beats} the shots alone: {row.value:+.3f}."
            )
    few = int(table["n_subjects"].min())
    if few < UNRELIABLE_BELOW:
        said.append(
            f"- With {few} subjects intervals are unreliable: fewer than "
            f"{UNRELIABLE_BELOW} cannot show how different the next would be."
        )
    return said


def _shown(reading: str) -> str:
    """Begin a sentence on what is not claimed."""
    if reading in (TOO_FEW, NO_INTERVAL):
        return "it cannot be told whether"
    return "it is not shown that"
