"""The report: one self-contained HTML page from the files of a finished run."""

from __future__ import annotations

import itertools
from pathlib import Path

from boldformer import __version__
from boldformer.data.atomic import write_json, write_text
from boldformer.data.hashes import file_hashes
from boldformer.visualization import report_tables as tables
from boldformer.visualization import words
from boldformer.visualization.figures import Picture, make_figures
from boldformer.visualization.finished_run import FinishedRun, load_results
from boldformer.visualization.methods_text import methods
from boldformer.visualization.page import render_page
from boldformer.visualization.references import Reference, bibliography, cited_in

REPORT_FILE = "report.html"
# Says which files the report was drawn from, and what was drawn: a report that is
# built again brings its own, and the record of the run stays as it is.
REPORT_RECORD = "report.json"
REFERENCES_FILE = "methods.bib"
DRAWN = (REPORT_FILE, REFERENCES_FILE, "figures")
_DRAWN_FROM = (
    "run.toml",
    "metrics.json",
    "predictions.tsv",
    "history.tsv",
    "permutations.tsv",
    "maps",
)


def build_report(out_dir: str | Path) -> Path:
    """Draw the figures of a finished run and write its report.

    Parameters
    ----------
    out_dir : path
        Folder that ``boldformer run`` wrote; only its documented files are read.
        ``figures/`` in it is replaced, and so are ``methods.bib``, the references of
        its methods text, and the hashes in ``report.json``.

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
    target = results.folder / REPORT_FILE
    write_text(target, render(results, pictures, maps))
    write_text(results.folder / REFERENCES_FILE, bibliography(_cited(results)))
    write_json(
        results.folder / REPORT_RECORD,
        {
            "format": "boldformer-report",
            "version": 1,
            "boldformer": __version__,
            "drawn_from": file_hashes(results.folder, _DRAWN_FROM),
            "files": file_hashes(results.folder, DRAWN),
        },
    )
    return target


def _cited(results: FinishedRun) -> list[Reference]:
    """List what the page's own words refer to."""
    limits = [text for _, text in words.limits(results)]
    return cited_in([methods(results), *words.what_was_done(results), *limits])


def render(
    results: FinishedRun, pictures: dict[str, Picture], maps: list[Picture]
) -> str:
    """Fill the page in.

    Parameters
    ----------
    results : FinishedRun
        Of the run.
    pictures : dict of str to Picture
        Figures of scores by name; those that are missing are left out of the page.
    maps : list of Picture
        Brain maps.
    """
    return render_page(
        "report.html.j2",
        script="report.js",
        m=results.metrics,
        leaky=results.leaky,
        results=results,
        pictures=pictures,
        map_sets=_sets(maps),
        classes=tables.class_rows(results),
        columns=tables.column_rows(results),
        calibrated=tables.calibration_rows(results),
        metric_names=tables.metric_order(results),
        group_decoders=tables.group_decoders(results),
        methods=methods(results),
        references=_cited(results),
        words=words,
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
