"""The sentences of the report: what was done, how to cite it, what not to conclude."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from boldformer.config import from_toml, to_toml
from boldformer.data.wording import count, plural
from boldformer.evaluation.baselines import decoder_name, scores_of_parts
from boldformer.evaluation.judge import BETTER, NO_INTERVAL, UNDECIDED, WORSE
from boldformer.preprocessing.pipeline import step_meaning
from boldformer.visualization.drawing import listed
from boldformer.visualization.finished_run import FinishedRun

_UNITS = {"_s": "s", "_hz": "Hz", "_mm": "mm"}
_FEW = 10

_READINGS = {
    BETTER: "above",
    WORSE: "below",
    UNDECIDED: "cannot be told apart",
    NO_INTERVAL: "no interval",
}
_MODES = {
    "transductive": "It looks at whole runs, later volumes included. No labels are "
    "used, but this is not what a decoder would see while the scan is running.",
    "causal": "Each volume is prepared from itself and earlier volumes only, as it "
    "could be while the scan is running.",
}


def mode_text(results: FinishedRun) -> str:
    """Say what cleaning sees."""
    if results.metrics["window"].get("of_maps"):
        return "Each map is cleaned with all maps of its run; they come in no order."
    return _MODES.get(results.metrics["preprocessing"]["mode"], "")


def judged_on(results: FinishedRun) -> str:
    """Say over what a score is taken, and what was held out: to follow a score."""
    n_units = results.metrics["protocol"]["interval"]["n_units"]
    if results.unit == results.held_out:
        return f"on {count(n_units, f'held-out {results.unit}')}"
    held = plural(results.held_out)
    return f"over {count(n_units, results.unit)}, {held} held out within each"


def reading(found: str, interval: dict[str, Any]) -> str:
    """Say what a difference shows; see `boldformer.evaluation.judge.read`."""
    units = count(interval.get("n_units") or 0, interval.get("unit", "subject"))
    return _READINGS.get(found, f"cannot be told from {units}")


def what_was_done(results: FinishedRun) -> list[str]:
    """Tell in plain language what was decoded from what, and how it was judged."""
    metrics = results.metrics
    model, protocol = metrics["model"], metrics["protocol"]
    n_classes = len(results.labels)
    named = f": {listed(results.labels)}" if n_classes <= 12 else ""
    window = metrics["window"]
    cut = (
        f"They were cut into {count(metrics['n_windows'], 'window')} of "
        f"{window['length_s']:.3g} s, each beginning {window['delay_s']:.3g} s after "
        "its event, since the blood response lags behind what causes it."
    )
    if window.get("of_maps"):
        cut = f"They hold {count(metrics['n_windows'], 'map')}, each a sample."
    first = (
        f"{_recordings(metrics)} {cut} The model "
        f"{model['name']}{_parameters(model)} learned to tell {n_classes} classes "
        f"apart{named}.{_parts(results)}"
    )
    apart = {"subject": "person"}.get(results.held_out, results.held_out)
    second = (
        f"{sentence(protocol.get('scheme', ''))} Every window was predicted by a "
        f"model that had seen nothing of its {apart}. {_interval(results)}"
    )
    if results.leaky:
        second = (
            f"{sentence(protocol.get('scheme', ''))} Training and test data were NOT "
            f"kept apart. {_interval(results)}"
        )
    return [first, second.strip()]


def preprocessing_steps(results: FinishedRun) -> list[dict[str, str]]:
    """Every step as ``name``, ``meaning`` and ``settings``, in its order."""
    return [
        {
            "name": str(step.get("step", "")).replace("_", " "),
            "meaning": step_meaning(step.get("step", "")),
            "settings": "; ".join(
                confounds_used(results.metrics)
                if key == "confounds"
                else _setting(key, value)
                for key, value in step.items()
                if key != "step"
            ),
        }
        for step in results.metrics["preprocessing"].get("steps", [])
    ]


def confounds_used(metrics: dict[str, Any]) -> str:
    """Tell which confounds were regressed out of how many runs."""
    used = metrics["preprocessing"].get("confounds") or []
    said = [
        f"{listed(name.replace('_', ' ') for name in one['groups']) or 'none'} "
        f"in {count(one['n_runs'], 'run')}"
        for one in used
    ]
    return f"confounds: {'; '.join(said)}" if said else "confounds not recorded"


def limits(results: FinishedRun) -> list[tuple[str, str]]:
    """Say what not to conclude from this run: a heading and an explanation each."""
    metrics = results.metrics
    found = []
    if results.leaky:
        found.append(
            (
                "That the score means anything.",
                "Training and test data share something, so the numbers measure memory "
                "as much as decoding. They are marked LEAKY and must not be reported "
                "as performance.",
            )
        )
    found += _limits_of_people(results)
    maps = metrics["window"].get("of_maps")
    if metrics["preprocessing"]["mode"] == "transductive" and not maps:
        found.append(
            (
                "That it would work at this accuracy during a scan.",
                "Preprocessing looked at whole runs, later volumes included. "
                "Decoding while the scan is running needs the causal twin of this "
                "preprocessing, and its score is a different number"
                f"{_causal(metrics)}.",
            )
        )
    found.append(
        (
            "That the brain response itself was decoded.",
            "Whatever goes along with a class can carry the score: head motion, eye "
            "movements, the stimulus, the place of a block in the run. The "
            "nuisance-only decoder shows how far some of these get; it cannot rule "
            "out the others.",
        )
    )
    if not results.maps.empty:
        found.append(
            (
                "That a bright place in a map is needed for the task.",
                "A map says where the model looked or what moved its output. Attention "
                "is not an explanation by itself (Jain and Wallace, 2019), weights mix "
                "signal with the noise they cancel (Haufe et al., 2014), and a dark "
                "place may still carry information.",
            )
        )
    if metrics["set_aside"]:
        n = len(metrics["set_aside"])
        found.append(
            (
                "That nothing was left out.",
                f"{count(n, 'item')} could not be used and {'is' if n == 1 else 'are'} "
                "listed below.",
            )
        )
    return found


def _causal(metrics: dict[str, Any]) -> str:
    """Tell what causal preprocessing cost, where that was measured."""
    gaps = (metrics.get("columns") or {}).get("gaps") or []
    for gap in gaps:
        if gap["metric"] == "balanced_accuracy":
            lower = "lower" if gap["difference"] >= 0 else "higher"
            name = decoder_name(gap["decoder"])
            return (
                f": for {name} a balanced accuracy {abs(gap['difference']):.2f} {lower}"
            )
    return ""


def _limits_of_people(results: FinishedRun) -> list[tuple[str, str]]:
    metrics = results.metrics
    n_subjects = metrics["dataset"].get("n_subjects", 0)
    n_units = metrics["protocol"].get("interval", {}).get("n_units") or 0
    found = []
    if n_subjects == 1:
        found.append(
            (
                "That it holds for other people.",
                "All recordings are of one subject. The score says how well this "
                f"person's states can be told apart in {_new(results)}; it says "
                "nothing about the population.",
            )
        )
    elif results.held_out != "subject":
        found.append(
            (
                "That it works on a person never seen before.",
                f"{plural(results.held_out).capitalize()} were held out, not "
                f"subjects: the decoder had seen other {plural(results.held_out)} of "
                "the same people.",
            )
        )
    if n_units < _FEW:
        found.append(
            (
                "That the intervals are exact.",
                f"They rest on {count(n_units, results.unit)}. With so few, a "
                "bootstrapped interval tends to be too narrow (Varoquaux, 2018).",
            )
        )
    found.append(
        (
            "That small differences between decoders are real.",
            f"Intervals resample {plural(results.unit)}. They do not cover the "
            "choice of the training data, the seed or the settings; judge differences "
            "by the paired intervals.",
        )
    )
    return found


def _recordings(metrics: dict[str, Any]) -> str:
    dataset = metrics["dataset"]
    space = dataset.get("space") or ""
    sizes = dataset.get("voxel_size_mm") or []
    voxels = "×".join(f"{size:.3g}" for size in sizes)
    if sizes and max(sizes) - min(sizes) < 0.01:
        voxels = f"{sizes[0]:.3g}"
    repetition = " or ".join(f"{t:g} s" for t in dataset.get("t_r") or [])
    details = [
        "scanner space" if space in ("", "scanner") else f"space {space}",
        f"voxels of {voxels} mm" if voxels else "",
        f"one volume every {repetition}"
        if repetition and not metrics["window"].get("of_maps")
        else "",
    ]
    return (
        f"The data are {count(dataset['n_runs'], 'run')} of "
        f"{count(dataset['n_subjects'], 'subject')} in {dataset['name']}: "
        f"{', '.join(filter(None, details))}."
    )


def _new(results: FinishedRun) -> str:
    return "the rest of the same run" if results.held_out == "stretch" else "a new run"


def _parts(results: FinishedRun) -> str:
    """Tell that a linear decoder is a part of the model, and what each part reaches."""
    reached = scores_of_parts(results.metrics["scores"], "balanced_accuracy")
    if not reached:
        return ""
    said = listed(f"the {name} reaches {value:.2f}" for name, value in reached.items())
    return (
        " A linear decoder of window means is part of it: its logits are "
        f"added to the network's. By balanced accuracy {said}."
    )


def _parameters(model: dict[str, Any]) -> str:
    n = model.get("n_parameters")
    return f" ({count(n, 'parameter')})" if n else ""


def _interval(results: FinishedRun) -> str:
    interval = results.metrics["protocol"].get("interval") or {}
    if not interval.get("n_resamples"):
        return ""
    return (
        f"Intervals cover {100 * interval.get('level', 0.95):g} % and come from "
        f"drawing the {count(interval.get('n_units') or 0, results.unit)} "
        f"{interval['n_resamples']:,} times with replacement"
        + (f", {widened(results)}." if interval.get("widening", 1.0) > 1 else ".")
    )


def widened(results: FinishedRun) -> str:
    """Say how much wider intervals were made, and why."""
    factor = results.metrics["protocol"]["interval"]["widening"]
    return (
        f"made {factor:.2g} times as wide because {plural(results.held_out)} tested in "
        "one fold train the decoders of the others (Nadeau and Bengio, 2003)"
    )


def sentence(text: str) -> str:
    """Write words as a sentence: a capital first, one full stop last."""
    text = text.strip()
    return f"{text[:1].upper()}{text[1:].rstrip('.')}." if text else ""


def _setting(key: str, value: Any) -> str:
    unit = ""
    for suffix, name in _UNITS.items():
        if key.endswith(suffix):
            key, unit = key.removesuffix(suffix), f" {name}"
    if key == "dummy_scans" and value == -1:
        return "those found at the start of each run"
    if isinstance(value, float):
        value = f"{value:.3g}"
    elif isinstance(value, list):
        numbers = all(isinstance(item, int) for item in value)
        value = ("×" if numbers else ", ").join(map(str, value)) or "none"
    return f"{key.replace('_', ' ')} {value}{unit}"


def shareable_config(results: FinishedRun) -> str:
    """Text of ``run.toml`` with folders and files by their names alone."""
    if not results.config:
        return ""
    settings = from_toml(results.config)
    data, cleaning = settings.data, settings.preprocessing
    last = {name: Path(getattr(data, name)).name for name in ("path", "derivatives")}
    table = {"label_table": Path(data.label_table).name}
    like = {"grid_like": Path(cleaning.grid_like).name}
    split = {"split": Path(settings.evaluation.split).name}
    shared = replace(
        settings,
        data=replace(data, **last, **table),
        preprocessing=replace(cleaning, **like),
        evaluation=replace(settings.evaluation, **split),
    )
    return to_toml(shared)
