"""The methods paragraph for a paper: what was done, true for this very run."""

from __future__ import annotations

from collections.abc import Iterator

from boldformer.config import TrainingConfig, from_toml
from boldformer.data.wording import count, plural
from boldformer.evaluation.baselines import BASELINES, PARTS, RIDGE
from boldformer.visualization.drawing import listed
from boldformer.visualization.finished_run import FinishedRun
from boldformer.visualization.words import preprocessing_steps, sentence, widened

_LAYOUTS = {
    "bids": "organised after BIDS (Gorgolewski et al., 2016)",
    "hcp": "laid out and minimally preprocessed as by the Human Connectome Project "
    "(Glasser et al., 2013)",
    "class-folders": "given as a folder of volumes for each class",
    "maps": "given as activation maps",
}
_SOFTWARE = {"fmriprep": " (Esteban et al., 2019)"}
_LIBRARIES = {
    "torch": "PyTorch",
    "scikit-learn": "scikit-learn",
    "nilearn": "nilearn",
    "nibabel": "NiBabel",
    "numpy": "NumPy",
    "scipy": "SciPy",
}
_PATHS = {
    "before": "a linear support vector machine, fitted first, whose logits the network "
    "was trained to improve on",
    "beside": "a multinomial logistic regression, fitted beside the network",
}
_BALANCE = {
    "weights": "classes weighted by their rarity",
    "sampler": "windows of rare classes drawn more often",
    "none": "classes as frequent as they come",
}
_CHOSEN = (
    "inverse penalty (0.1, 1, 10 or 100; 10 with fewer than three inner folds) and "
    "number of voxels (all, 2,000 or 500 by their F statistic; all without inner "
    "folds) chosen by balanced accuracy over at most five inner folds of the training"
)


def methods(results: FinishedRun) -> str:
    """Write a methods paragraph for a paper, with author–year references.

    Parameters
    ----------
    results : FinishedRun
        Of the run; what it does not record is not claimed.
    """
    parts = (
        _data(results),
        _preparation(results),
        _model(results),
        _training(results),
        _comparison(results),
        _intervals(results),
        _tests(results),
        _software(results),
    )
    return " ".join(said for part in parts for said in part)


def _data(results: FinishedRun) -> Iterator[str]:
    metrics, dataset = results.metrics, results.metrics["dataset"]
    if results.leaky:
        yield (
            "LEAKY: training and test data were not kept apart, so the scores below do "
            "not measure decoding."
        )
    address = f", {dataset['address']}" if dataset.get("address") else ""
    layout = _LAYOUTS.get(dataset.get("layout", ""), "")
    yield (
        f"{count(len(results.labels), 'class')} ({listed(results.labels)}) were "
        f"decoded with BoldFormer {metrics['versions'].get('boldformer', '')} from "
        f"{count(dataset['n_runs'], 'run')} of "
        f"{count(dataset['n_subjects'], 'subject')} "
        f"(dataset {dataset['name']}{address})" + (f", {layout}." if layout else ".")
    )
    made_by = [name + _cited(name) for name in dataset.get("made_by") or []]
    if made_by:
        yield f"They had been preprocessed with {listed(made_by)}."
    if metrics["set_aside"]:
        n = len(metrics["set_aside"])
        kinds = "runs, events, classes or subjects"
        yield f"{count(n, 'item')} ({kinds}) could not be used."


def _cited(software: str) -> str:
    return _SOFTWARE.get(software.split()[0].lower(), "")


def _preparation(results: FinishedRun) -> Iterator[str]:
    metrics, window = results.metrics, results.metrics["window"]
    steps = "; ".join(
        (step["meaning"] or step["name"]).lower()
        + (f" ({step['settings']})" if step["settings"] else "")
        for step in preprocessing_steps(results)
        if step["settings"] != "dummy scans 0"  # nothing was dropped
    )
    sees = {
        "causal": "from past volumes only",
        "transductive": "over whole runs, later volumes included",
    }
    if window.get("of_maps"):
        yield f"Maps were preprocessed in this order: {steps}. Each map was one sample."
        return
    yield (
        f"Runs were preprocessed {sees.get(metrics['preprocessing']['mode'], '')}, in "
        f"this order: {steps}."
    )
    several = (
        f", and further ones every {window['stride_s']:.3g} s within the event"
        if window.get("stride_s")
        else ""
    )
    yield (
        f"Windows of {window['length_s']:.3g} s ({count(window['n_times'], 'frame')}) "
        f"began {window['delay_s']:.3g} s after event onset{several}: "
        f"{count(metrics['n_windows'], 'window')} in all."
    )


def _model(results: FinishedRun) -> Iterator[str]:
    metrics = results.metrics
    model = metrics["model"]
    what = model.get("in_words") or f"the model {model['name']}"
    n = model.get("n_parameters")
    size = f" ({count(n, 'parameter')})" if n else ""
    yield f"The decoder was {what}{size}."
    paths = {fold.get("linear_path", "off") for fold in metrics["folds"]} - {"off"}
    for path in sorted(paths & set(_PATHS)):
        yield (
            "To its logits were added those of a linear decoder of window means "
            f"fitted to the same training windows: {_PATHS[path]}, with "
            f"{_CHOSEN} {plural(results.held_out)}."
        )


def _training(results: FinishedRun) -> Iterator[str]:
    metrics, training = results.metrics, from_toml(results.config).training
    epochs = [fold["epochs"] for fold in metrics["folds"] if fold.get("epochs")]
    if not epochs:
        penalty = metrics["model"].get("config", {}).get("C")
        told = f" (its inverse penalty fixed at {penalty})"
        fixed = told if penalty not in ("auto", None) else ""
        yield (
            f"It was fitted to convergence, with {_CHOSEN} "
            f"{plural(results.held_out)}{fixed}."
        )
        return
    yield (
        f"It was trained with PyTorch (Paszke et al., 2019) by AdamW (Loshchilov and "
        f"Hutter, 2019; learning rate {training.learning_rate:g} after a linear "
        f"warm-up, with cosine decay; weight decay {training.weight_decay:g}) in "
        f"batches of {training.batch_size} for {_span(epochs)} epochs of at most "
        f"{training.max_epochs}, {_BALANCE[training.balance]}, label smoothing "
        f"{training.label_smoothing:g}, {_clipped(training)}weights averaged "
        f"over steps with decay {training.ema_decay:g}, seed {training.seed}."
    )
    augmented = _augmentation(training)
    if augmented:
        yield f"Training windows were varied by {listed(augmented)}."
    stopped = sum(bool(fold.get("early_stopping")) for fold in metrics["folds"])
    if stopped:
        share = f"{100 * training.validation_fraction:g} %"
        yield (
            f"In {stopped} of {count(len(metrics['folds']), 'fold')} {share} of the "
            f"training {plural(results.held_out)} were held out of the fit to choose "
            "the epoch."
        )
    else:
        yield "No epoch was chosen: training ran its full length."


def _clipped(training: TrainingConfig) -> str:
    clip = training.gradient_clip
    return f"gradients clipped at {clip:g}, " if clip else ""


def _span(numbers: list[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low}" if low == high else f"{low}–{high}"


def _augmentation(training: TrainingConfig) -> list[str]:
    said = {
        "noise": "Gaussian noise (SD {:g})",
        "shift_voxels": "shifts of up to {:g} voxel(s)",
        "mixup": "mixup (Zhang et al., 2018; α {:g})",
        "rotation_deg": "rotations (SD {:g}°)",
        "zoom": "zooms (SD {:g})",
        "warp_voxels": "smooth displacements (SD {:g} voxels)",
        "field": "a smooth field of amplitude (SD {:g})",
        "gain": "a gain (SD {:g})",
        "frame_drop": "leaving out frames (probability {:g})",
        "time_jitter": "shifts in time of up to {:g} frame(s)",
    }
    found = [
        text.format(getattr(training, name))
        for name, text in said.items()
        if getattr(training, name)
    ]
    return [*found, "left–right flips"] if training.flip_x else found


def _comparison(results: FinishedRun) -> Iterator[str]:
    scores, protocol = results.metrics["scores"], results.metrics["protocol"]
    yield sentence(protocol.get("scheme", ""))
    parts = [PARTS[name].label for name in scores if name in PARTS]
    if parts:
        yield f"The {listed(parts)} were scored beside it."
    names = [name for name in results.baselines if name in BASELINES]
    if names:
        baselines = listed(BASELINES[name].methods for name in names)
        chosen = ""
        if {"linear_svm", "logistic"} & set(names):
            told = f"{_CHOSEN} {plural(results.held_out)}"
            chosen = f"; of linear ones on window means, {told}"
        yield (
            f"It was compared, on the same folds, with {baselines} (scikit-learn, "
            f"Pedregosa et al., 2011; linear machines after Cortes and Vapnik, 1995"
            f"{chosen})."
        )
    cells = (results.metrics.get("columns") or {}).get("cells", [])
    mode = results.metrics["preprocessing"]["mode"]
    other = [cell for cell in cells if cell["mode"] != mode and cell["scores"]]
    if other:
        seen = {"causal": "past volumes only", "transductive": "whole runs"}
        yield (
            f"The same folds were decoded after preprocessing that sees "
            f"{seen[other[0]['mode']]}, as a result of its own."
        )


def _intervals(results: FinishedRun) -> Iterator[str]:
    interval = results.metrics["protocol"].get("interval") or {}
    yield (
        "Scores are pooled over held-out windows; ROC and precision–recall areas are "
        "one-vs-rest, averaged over classes without weights."
    )
    if not interval.get("n_resamples"):
        yield "No intervals were computed."
        return
    if (interval.get("n_units") or 0) < 2:
        yield f"There are no intervals: one {results.unit} alone cannot give any."
        return
    wide = f" They were {widened(results)}." if interval.get("widening", 1) > 1 else ""
    yield (
        f"Intervals cover {100 * interval.get('level', 0.95):g} % and lie between "
        f"percentiles of {interval['n_resamples']:,} bootstrap resamples of the "
        f"{count(interval['n_units'], results.unit)}, moved outwards for their small "
        f"number (Hesterberg, 2015).{wide} Those of accuracy, balanced accuracy and "
        "recall are never narrower than exact binomial ones over events, for a sample "
        "of few units (Korn and Graubard, 1998)."
    )


def _tests(results: FinishedRun) -> Iterator[str]:
    metrics = results.metrics
    if metrics["comparisons"]:
        alpha = 1 - metrics["protocol"]["interval"]["level"]
        yield (
            f"Differences were tested by swapping decoders within "
            f"{plural(results.unit)}, with Holm's correction (Holm, 1979); one decoder "
            "is said to beat another only where the interval of the difference "
            f"excludes 0 and the corrected p is at most {alpha:.2g}."
        )
    for test in metrics.get("permutation") or []:
        if test["n_permutations"]:
            name = test["decoder"]
            fixed = "a linear ridge classifier of window means, at a fixed penalty,"
            told = fixed if name == RIDGE else f"the {name}"
            yield (
                f"A permutation test (Ojala and Garriga, 2010) of {told} "
                f"exchanged labels among the events of each run "
                f"{count(test['n_permutations'], 'time')}."
            )
    calibration = (metrics.get("calibration") or {}).get(results.decoder) or {}
    if calibration.get("after"):
        yield (
            "Probabilities were calibrated by a temperature (Guo et al., 2017) fitted "
            f"to held-out training {plural(results.held_out)} of each fold."
        )


def _software(results: FinishedRun) -> Iterator[str]:
    versions = results.metrics["versions"]
    used = [f"{name} {versions[k]}" for k, name in _LIBRARIES.items() if k in versions]
    python = f"Python {versions['python']}" if versions.get("python") else "Python"
    with_ = f" with {listed(used)}" if used else ""
    yield (
        "Images were handled with nilearn (Abraham et al., 2014). Software: "
        f"{python}{with_}."
    )
