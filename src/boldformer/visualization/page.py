"""Self-contained pages: one environment of templates, one policy for all of them."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from boldformer.evaluation.baselines import decoder_label
from boldformer.evaluation.metrics import score_label
from boldformer.visualization.drawing import Drawing
from boldformer.visualization.style import adapt_to_page

_TEMPLATES = resources.files("boldformer.visualization") / "templates"


def render_page(template: str, *, script: str = "", **context: Any) -> str:
    """Fill in a template: no scripts, styles, fonts or images from elsewhere.

    Parameters
    ----------
    template : str
        Its file.
    script : str
        File of the page's own script, if it has one.
    **context
        What the template shows; it is also given ``style``, ``script`` and ``policy``.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("boldformer.visualization"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=_number,
        whole=lambda value: f"{value:,.0f}",
        p_value=_p_value,
        decoder_label=decoder_label,
        score_label=score_label,
    )
    # Macros see globals only.
    environment.globals["leaky"] = context.get("leaky", False)
    style, code = _asset("report.css"), _asset(script) if script else ""
    return environment.get_template(template).render(
        style=Markup(style), script=Markup(code), policy=_policy(style, code), **context
    )


def render_study(template: str, drawing: Drawing, svg: str, **context: Any) -> str:
    """Fill in the page of a study, which shows one figure.

    Parameters
    ----------
    template, **context
        As for `render_page`.
    drawing : Drawing
        The figure with its words.
    svg : str
        The figure as it was written.
    """
    data = base64.b64encode(adapt_to_page(svg).encode()).decode("ascii")
    picture = Markup(f"data:image/svg+xml;base64,{data}")
    return render_page(template, drawing=drawing, picture=picture, **context)


def _asset(name: str) -> str:
    return (_TEMPLATES / name).read_text("utf-8")


def _policy(style: str, script: str) -> str:
    """Allow this page's own style and script by hash, embedded images, and no more."""

    def digest(text: str) -> str:
        sha = hashlib.sha256(text.encode()).digest()
        return f"'sha256-{base64.b64encode(sha).decode('ascii')}'"

    scripts = f"script-src {digest(script)}; " if script else ""
    return (
        f"default-src 'none'; img-src data:; style-src {digest(style)}; "
        f"{scripts}base-uri 'none'; form-action 'none'"
    )


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
