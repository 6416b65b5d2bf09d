"""The report: one self-contained HTML page from the files of a finished run."""

from __future__ import annotations

import base64
import hashlib
import itertools
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from boldformer.data.atomic import write_text
from boldformer.visualization import tables, words
from boldformer.visualization.figures import Picture, make_figures
from boldformer.visualization.results import Results, load_results
from boldformer.visualization.scores import decoder_name, metric_name

_TEMPLATES = resources.files("boldformer.visualization") / "templates"


def build_report(out_dir: str | Path) -> Path:
    """Draw the figures of a finished run and write its report.

    Parameters
    ----------
    out_dir : path
        Folder that ``boldformer run`` wrote; only its documented files are read.
        ``figures/`` in it is replaced.

    Returns
    -------
    Path
        ``out_dir/report.html``: no scripts, styles, fonts or images from elsewhere, and
        a content security policy that holds it to that.

    Raises
    ------
    InputError
        When the folder does not hold a finished run.
    """
    results = load_results(out_dir)
    pictures, maps = make_figures(results)
    target = results.folder / "report.html"
    write_text(target, render(results, pictures, maps))
    return target


def render(results: Results, pictures: dict[str, Picture], maps: list[Picture]) -> str:
    """Fill the page in.

    Parameters
    ----------
    results : Results
        Of the run.
    pictures : dict of str to Picture
        Figures of scores by name; those that are missing are left out of the page.
    maps : list of Picture
        Brain maps.
    """
    style, script = _asset("report.css"), _asset("report.js")
    return (
        _environment(results)
        .get_template("report.html.j2")
        .render(
            m=results.metrics,
            results=results,
            pictures=pictures,
            map_sets=_sets(maps),
            classes=tables.class_rows(results),
            columns=tables.column_rows(results),
            calibrated=tables.calibration_rows(results),
            metric_names=tables.metric_order(results),
            group_decoders=tables.group_decoders(results),
            words=words,
            style=Markup(style),
            script=Markup(script),
            policy=_policy(style, script),
        )
    )


def _environment(results: Results) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("boldformer.visualization"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=_number,
        p_value=_p_value,
        decoder_name=decoder_name,
        metric_name=metric_name,
    )
    environment.globals["leaky"] = results.leaky
    return environment


def _asset(name: str) -> str:
    return (_TEMPLATES / name).read_text("utf-8")


def _policy(style: str, script: str) -> str:
    """Allow this page's own style and script by hash, embedded images, and no more."""

    def digest(text: str) -> str:
        sha = hashlib.sha256(text.encode()).digest()
        return f"'sha256-{base64.b64encode(sha).decode('ascii')}'"

    return (
        f"default-src 'none'; img-src data:; style-src {digest(style)}; "
        f"script-src {digest(script)}; base-uri 'none'; form-action 'none'"
    )


def _sets(maps: list[Picture]) -> list[tuple[str, str, list[Picture]]]:
    """Gather maps by how they were made, so that this is said once for all classes."""
    first_seen = {picture.group: k for k, picture in reversed(list(enumerate(maps)))}
    ordered = sorted(maps, key=lambda picture: first_seen[picture.group])
    return [
        (group, caption, list(members))
        for (group, caption), members in itertools.groupby(
            ordered, key=lambda picture: (picture.group, picture.caption)
        )
    ]


def _number(value: Any, digits: int = 3) -> str:
    """Write a score; what is missing is said to be so."""
    if value is None or isinstance(value, jinja2.Undefined):
        return "n/a"
    # Adding zero turns a negative zero into zero.
    return f"{round(value, digits) + 0:.{digits}f}".replace("-", "−")


def _p_value(value: Any) -> str:
    """Write a probability under chance; small ones by their bound."""
    if value is None or isinstance(value, jinja2.Undefined):
        return "n/a"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
