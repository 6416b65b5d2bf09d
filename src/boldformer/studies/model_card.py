"""The card that travels with a model: what it decodes, how well, and what not to do."""

from __future__ import annotations

from typing import Any

from boldformer.evaluation.baselines import decoder_label, scores_of_parts

_CARD = """---
library_name: boldformer
license: other
tags: [fmri, decoding, neuroimaging]
---

# {decoder} decoder of {dataset}

| | |
|---|---|
| classes | {classes} |
| trained on | {n_windows} windows of {n_runs} runs, {n_subjects} subject(s) |
| window | {window} |
| space | {space}, volumes of {shape} at {voxel} mm |
| preprocessing | {mode}: {steps} (`{hash}`) |
| made of | {made_of} |
| accuracy, cross-validated | {accuracy} (chance {chance:.3f}) |
| prepared {other} instead | {column} |
| scheme | {scheme} |
| audit | {verdict}{leaky} |
| weights | `{weights}` |

The score belongs to models fitted by the same recipe to the training side of each
fold; these weights were fitted to all windows by that recipe and have no untouched
data left to be tested on.
{sentences}

```python
from boldformer import Decoder, open_dataset

decoder = Decoder.load("this-folder")
decoder.predict_events(open_dataset("your-dataset"))
```

Recordings are prepared exactly as the model's own were; others are refused.
Whole-run (transductive) preprocessing sees later volumes: do not quote its score for
online decoding. Check the licence of the training data before you share the weights.
"""


def model_card(metrics: dict[str, Any]) -> str:
    """Markdown for the ``README.md`` of a saved decoder, from ``metrics.json``."""
    data, window = metrics["dataset"], metrics["window"]
    score = metrics["scores"][metrics["decoder"]]["accuracy"]
    interval = ""
    if score["low"] is not None:
        level = 100 * metrics["protocol"]["interval"]["level"]
        interval = f", {level:g} % interval {score['low']:.3f}–{score['high']:.3f}"
    return _CARD.format(
        decoder=metrics["decoder"],
        made_of=_made_of(metrics),
        dataset=data["name"],
        classes=", ".join(metrics["labels"]),
        n_windows=metrics["n_windows"],
        n_runs=data["n_runs"],
        n_subjects=data["n_subjects"],
        window=_window(window),
        space=data["space"] or "the scanner's own",
        shape=" × ".join(map(str, data["volume_shape"])),
        voxel=" × ".join(f"{v:g}" for v in data["voxel_size_mm"]),
        mode=metrics["preprocessing"]["mode"],
        steps=", ".join(s["step"] for s in metrics["preprocessing"]["steps"]),
        hash=metrics["preprocessing"]["hash"],
        accuracy=f"{score['value']:.3f}{interval}",
        chance=metrics["chance"],
        scheme=metrics["protocol"]["scheme"],
        verdict=_audited(metrics["audit"]),
        **_other_column(metrics),
        weights=metrics["records"]["model_hash"],
        leaky=" — LEAKY" if metrics["protocol"]["leaky"] else "",
        sentences="\n".join(metrics["verdict"]["sentences"]),
    )


def _window(window: dict[str, Any]) -> str:
    if window["of_maps"]:
        return "a map"
    return f"{window['length_s']:g} s, beginning {window['delay_s']:g} s after an event"


def _audited(audit: dict[str, Any]) -> str:
    unchecked = ", ".join(audit["not_checked"])
    return audit["verdict"] + (f" (not checked: {unchecked})" if unchecked else "")


def _made_of(metrics: dict[str, Any]) -> str:
    """Say whether a linear decoder is part of the model, and what each part reaches."""
    reached = scores_of_parts(metrics["scores"], "accuracy")
    if not reached:
        return "one part"
    return (
        "a network and a linear decoder of window means, whose logits are "
        f"added (accuracy: {', '.join(f'{n} {v:.3f}' for n, v in reached.items())})"
    )


def _other_column(metrics: dict[str, Any]) -> dict[str, str]:
    """Accuracy after the other form of preprocessing, by the decoder or the SVM."""
    mode = metrics["preprocessing"]["mode"]
    cells = [cell for cell in metrics["columns"]["cells"] if cell["mode"] != mode]
    other = "causally" if mode == "transductive" else "with whole runs"
    for cell in cells:
        if cell["scores"]:
            value = cell["scores"]["accuracy"]["value"]
            name = decoder_label(cell["decoder"])
            return {"other": other, "column": f"{value:.3f} ({name})"}
    return {"other": other, "column": "not run"}
