"""The methods paragraph is true of the run at hand, and cites what it lists."""

import dataclasses
import re

import pytest

from boldformer.models import create, list_models
from boldformer.visualization import build_report
from boldformer.visualization.finished_run import load_results
from boldformer.visualization.methods_text import methods
from boldformer.visualization.references import REFERENCES, cited_in

_CITATION = re.compile(r"[A-Z][a-z]+(?: et al\.| and [A-Z][a-z]+)?, (?:19|20)\d\d")


def changed(results, **sections):
    """The same run with some of its metrics otherwise."""
    metrics = dict(results.metrics)
    for name, values in sections.items():
        whole = {**metrics[name], **values} if isinstance(values, dict) else values
        metrics[name] = whole
    return dataclasses.replace(results, metrics=metrics)


def test_it_states_what_a_reviewer_asks_for(fabricated):
    text = methods(load_results(fabricated()))
    for part in (
        "24 runs of 12 subjects",
        "later volumes included",
        "Windows of 16 s (8 frames) began 5 s after event onset",
        "0.00781 Hz",
        "motion and wm csf in 23 runs; none in 1 run",
        "1,000 bootstrap resamples of the 12 subjects",
        "1.5 times as wide because subjects tested in one fold",
        "fMRIPrep 23.1.4 (Esteban et al., 2019)",
        "AdamW (Loshchilov and Hutter, 2019; learning rate 0.001",
        "mixup (Zhang et al., 2018; α 0.4)",
        "all, 2,000 or 500 by their F statistic",
        "multinomial logistic regression, fitted beside the network",
        "network alone and linear path alone were scored",
        "seed 0",
        "PyTorch 2.13.0",
    ):
        assert part in text, part


def test_nothing_is_claimed_of_a_source_that_it_is_not(fabricated):
    results = load_results(fabricated())
    hcp = methods(changed(results, dataset={"layout": "hcp", "made_by": []}))
    assert "Human Connectome Project (Glasser et al., 2013)" in hcp
    for other in (hcp, methods(changed(results, dataset={"layout": "class-folders"}))):
        assert "BIDS" not in other
    raw = methods(changed(results, dataset={"made_by": []}))
    assert "fMRIPrep" not in raw
    maps = methods(changed(results, window={"of_maps": True}))
    assert "Each map was one sample" in maps
    assert "after event onset" not in maps


def test_closed_form_models_were_not_trained_with_pytorch(fabricated):
    results = load_results(fabricated())
    folds = [
        fold | {"epochs": 0, "linear_path": "off"} for fold in results.metrics["folds"]
    ]
    model = {"in_words": "a linear support vector machine", "config": {"C": "auto"}}
    text = methods(changed(results, folds=folds, model=model))
    assert "Paszke" not in text
    assert "AdamW" not in text
    assert "fitted to convergence, with inverse penalty (0.1, 1, 10 or 100;" in text


def test_leaks_are_said_first(fabricated):
    assert methods(load_results(fabricated(leaky=True))).startswith("LEAKY")


@pytest.mark.parametrize("mode", ["causal", "transductive"])
def test_every_citation_is_listed_and_no_other(fabricated, mode):
    folder = fabricated(mode=mode, n_subjects=3)
    page = build_report(folder).read_text()
    listed = re.search(r'<ol class="references">(.*?)</ol>', page, re.S).group(1)
    cited = set(_CITATION.findall(page.replace(listed, "").replace("(2014)", ", 2014")))
    known = {one.cited for one in REFERENCES}
    assert cited <= known
    n_listed = listed.count("<li>")
    named = [one for one in REFERENCES if one.title in listed.replace("&#39;", "'")]
    assert len(named) == n_listed
    assert cited <= {one.cited for one in named}
    bib = (folder / "methods.bib").read_text()
    assert bib.count("\n}") == n_listed
    assert all(one.bibtex in bib for one in named)


def test_models_are_told_in_words_with_known_citations():
    for name in list_models():
        model = create(name, n_outputs=4, n_times=8, volume_shape=(12, 14, 11))
        text = model.in_words()
        assert text[0].islower() or text.startswith("DeepBrain")
        found = _CITATION.findall(text)
        assert {one.cited for one in cited_in([text])} == set(found), name
