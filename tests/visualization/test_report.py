"""The report: complete, self-contained, escaped, and loud about leaks."""

import base64
import dataclasses
import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from importlib import resources

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from boldformer.config import DataConfig, RunConfig, to_toml
from boldformer.data.hashes import file_hashes
from boldformer.errors import InputError
from boldformer.visualization import build_report
from boldformer.visualization.finished_run import load_results
from boldformer.visualization.report import render

HOSTILE = ("<script>alert(1)</script>", '"a" & <b>b</b>', "$x$ {{ 7 * 7 }}", "a" * 70)
VOID = {"meta", "link", "img", "input", "br", "hr"}


class Page(HTMLParser):
    """Tags, attributes, visible text and unbalanced tags of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags, self.text, self.open, self.stray = [], [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.stray.append(tag)

    def handle_data(self, data):
        if not {"script", "style"} & set(self.open):
            self.text.append(data)


def _page(out):
    return Page((out / "report.html").read_text("utf-8"))


def _estimates(node):
    if isinstance(node, dict):
        if {"value", "low", "high"} <= set(node):
            yield from (v for v in node.values() if v is not None)
        else:
            for child in node.values():
                yield from _estimates(child)


@pytest.fixture(scope="module")
def page(finished):
    return _page(finished)


def test_it_holds_the_numbers_of_the_run(finished, page):
    metrics = json.loads((finished / "metrics.json").read_text())
    text = " ".join(page.text)
    scores = {
        n: {k: v for k, v in s.items() if k != "recall"}
        for n, s in metrics["scores"].items()
    }
    shown = [*_estimates(scores), *_estimates(metrics["scores"]["hybrid"])]
    shown += [v for row in metrics["groups"] for v in row["accuracy"].values()]
    shown += [row["difference"] for row in metrics["comparisons"]]
    for value in shown:
        assert f"{value:.3f}".replace("-", "−") in text
    for row in [*metrics["set_aside"], *metrics["audit"]["checks"]]:
        assert all(
            part.replace("_", " ") in text.replace("_", " ") for part in row.values()
        )


def test_it_says_what_it_must(page):
    text = " ".join(" ".join(page.text).split())
    for words in (
        "Transductive",
        "What not to conclude",
        "boldformer run NEW_FOLDER --config run.toml",
        "Audit: clean",
        "Training accuracy",
    ):
        assert words in text
    assert "LEAKY" not in text


def test_it_loads_nothing_from_elsewhere(finished, page):
    for tag, attributes in page.tags:
        for name in ("src", "href", "srcset", "data", "action", "poster"):
            target = attributes.get(name, "#")
            outside = tag == "a" and target.startswith("https://doi.org/")
            assert outside or target.startswith(("#", "data:")), (tag, target[:80])
    html = (finished / "report.html").read_text("utf-8")
    assert "@import" not in html
    assert not re.search(r"url\(\s*['\"]?(?!data:|#)", html)
    (policy,) = [a["content"] for _, a in page.tags if "http-equiv" in a]
    assert policy.startswith("default-src 'none'; img-src data:;")


def test_it_is_light_enough_to_mail(finished):
    assert (finished / "report.html").stat().st_size < 3e6


def test_its_structure_can_be_used_without_eyes_or_mouse(page):
    assert page.stray == []
    assert page.open == []
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    targets = {a["href"][1:] for t, a in page.tags if a.get("href", "")[:1] == "#"}
    assert targets <= set(ids)
    assert all(a.get("alt") for t, a in page.tags if t == "img")
    assert all("scope" in a for t, a in page.tags if t == "th")
    assert [t for t, _ in page.tags if t == "h1"] == ["h1"]
    assert dict(page.tags)["html"]["lang"] == "en"


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_its_colours_have_enough_contrast(scheme):
    templates = resources.files("boldformer.visualization") / "templates"
    css = (templates / "report.css").read_text("utf-8")
    block = re.findall(r":root \{(.*?)\}", css, re.S)[scheme]
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block))
    for name in ("ink", "muted", "accent", "good", "warn", "bad"):
        for ground in ("paper", "raised"):
            assert _contrast(colours[name], colours[ground]) >= 4.5, (name, ground)


def _contrast(one, other):
    def luminance(colour):
        parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        linear = [
            p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts
        ]
        return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_its_figures_lie_beside_it_and_inside_it(finished, page):
    figures = sorted((finished / "figures").iterdir())
    stems = {path.stem for path in figures}
    assert {"confusion", "roc", "precision_recall", "decoders", "groups"} <= stems
    assert {"learning_loss", "learning_accuracy", "recall", "coverage"} <= stems
    for stem in stems:
        ET.parse(finished / "figures" / f"{stem}.svg")
        with Image.open(finished / "figures" / f"{stem}.png") as image:
            low, high = image.convert("L").getextrema()
            assert high - low > 100
    sources = [a["src"] for t, a in page.tags if t == "img"]
    assert len(sources) == len(stems)
    for source in sources:
        kind, _, content = source.partition(";base64,")
        assert kind in ("data:image/svg+xml", "data:image/png")
        assert base64.b64decode(content, validate=True)


@pytest.fixture(scope="module")
def leaky(tmp_path_factory, request):
    fabricate = request.getfixturevalue("fabricator")
    out = fabricate(
        tmp_path_factory.mktemp("leaky") / "out",
        labels=HOSTILE,
        name='<img src=x onerror="alert(1)">',
        leaky=True,
        n_subjects=5,
        n_mapped=0,
    )
    build_report(out)
    return out


def test_hostile_names_are_text(leaky):
    page = _page(leaky)
    text = " ".join(page.text)
    for name in HOSTILE:
        assert name in text
    assert '<img src=x onerror="alert(1)">' in text
    assert [t for t, _ in page.tags if t == "script"] == ["script"]
    assert all(a["src"].startswith("data:") for t, a in page.tags if t == "img")
    assert not any(name.startswith("on") for _, a in page.tags for name in a)


def test_leaks_are_marked_wherever_a_score_stands(leaky):
    html = (leaky / "report.html").read_text("utf-8")
    assert "(LEAKY) · BoldFormer</title>" in html
    assert 'class="banner"' in html
    assert "Audit: leak" in html
    values = re.findall(r'<span class="value">(?!n/a)[^<]*</span>(.{0,30})', html)
    assert len(values) > 20
    assert all("LEAKY" in after or "leaky" in after for after in values)
    for svg in (leaky / "figures").glob("*.svg"):
        assert "LEAKY" in svg.read_text("utf-8")


@pytest.mark.parametrize(
    "options",
    [
        {"labels": ("face", "house"), "n_subjects": 3},
        {"n_subjects": 1, "n_runs": 3, "space": "", "validated": False},
        {"n_subjects": 2, "n_runs": 1, "per_label": 1, "mode": "causal"},
    ],
    ids=["two classes", "one subject", "tiny"],
)
def test_runs_of_every_size_have_a_report(fabricated, options):
    out = fabricated(n_mapped=0, **options)
    page = Page(build_report(out).read_text("utf-8"))
    assert page.stray == []
    assert "undefined" not in " ".join(page.text).lower()


def test_numbers_that_do_not_exist_are_said_not_to(fabricated):
    out = fabricated(n_mapped=0)
    metrics = json.loads((out / "metrics.json").read_text())
    nothing = {"value": None, "low": None, "high": None}
    for metric in ("balanced_accuracy", "roc_auc", "training_accuracy"):
        metrics["scores"]["hybrid"][metric] = nothing
    metrics["folds"], metrics["groups"], metrics["comparisons"] = [], [], []
    (out / "metrics.json").write_text(json.dumps(metrics))
    text = " ".join(_page_text(build_report(out)))
    assert "n/a" in text
    assert "None" not in text


def _page_text(path):
    return Page(path.read_text("utf-8")).text


def test_building_it_again_changes_nothing(fabricated):
    out = fabricated(n_mapped=0)
    first = build_report(out).read_bytes()
    assert build_report(out).read_bytes() == first
    assert not [p for p in out.rglob("*") if p.name.startswith(".partial")]


def test_it_says_what_was_drawn_and_from_which_files(fabricated):
    out = fabricated(n_mapped=0)
    build_report(out)
    record = json.loads((out / "report.json").read_text())
    drawn = ("report.html", "methods.bib", "figures")
    assert record["files"] == file_hashes(out, drawn)
    assert set(record["files"]) > {"report.html", "figures/confusion.svg"}
    assert {"metrics.json", "predictions.tsv"} <= set(record["drawn_from"])
    assert file_hashes(out, record["drawn_from"]) == record["drawn_from"]
    (out / "metrics.json").write_text((out / "metrics.json").read_text() + "\n")
    build_report(out)
    again = json.loads((out / "report.json").read_text())
    assert again["drawn_from"]["metrics.json"] != record["drawn_from"]["metrics.json"]


def test_a_folder_without_a_run_ends_in_one_line(tmp_path):
    with pytest.raises(InputError, match="not the output of a run") as caught:
        build_report(tmp_path)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(text=st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1))
def test_no_text_can_add_an_element(finished, text):
    def tags(name):
        results = load_results(finished)
        metrics = json.loads(json.dumps(results.metrics))
        metrics["dataset"]["name"] = name
        metrics["groups"][0]["group"] = name
        metrics["set_aside"][0]["reason"] = name
        metrics["verdict"]["sentences"] = [name]
        config = to_toml(RunConfig(data=DataConfig(path=name)))
        results = dataclasses.replace(results, metrics=metrics, config=config)
        return [tag for tag, _ in Page(render(results, {}, [])).tags]

    assert tags(text) == tags("plain")
