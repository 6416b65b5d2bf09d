"""Every notebook runs from top to bottom, and says something."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from doc_scripts import REPOSITORY, run_script, to_page

# `make docs` runs them, once, and asks these of what came out.
pytestmark = pytest.mark.notebook

NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.py"))


@pytest.fixture(scope="module", params=NOTEBOOKS, ids=lambda path: path.stem)
def script(request):
    return request.param


@pytest.fixture(scope="module")
def notebook(script):
    """The notebook with its outputs; a cell that fails fails the test."""
    return run_script(script)


def test_every_cell_ran_in_order(notebook):
    counts = [c.execution_count for c in notebook.cells if c.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))


def test_only_cells_that_announce_it_fail(notebook):
    failed = [
        cell.source
        for cell in notebook.cells
        if any(out.output_type == "error" for out in cell.get("outputs", []))
        and "raises-exception" not in cell.metadata.get("tags", [])
    ]
    assert failed == []


def test_cells_that_announce_a_failure_show_one_of_ours(notebook):
    for cell in notebook.cells:
        if "raises-exception" in cell.metadata.get("tags", []):
            errors = [o.ename for o in cell.outputs if o.output_type == "error"]
            assert len(errors) == 1
            assert errors[0] in {"InputError", "MismatchError", "LeakageError"}


def test_nothing_goes_to_standard_error(notebook):
    streams = [
        out.text
        for cell in notebook.cells
        for out in cell.get("outputs", [])
        if out.output_type == "stream" and out.name == "stderr"
    ]
    assert streams == []


def test_it_opens_with_a_title_and_explains_itself(notebook):
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    assert texts[0].startswith("# ")
    assert len(" ".join(texts).split()) > 250


def test_its_links_lead_to_files(script):
    links = re.findall(r"\]\((?![a-z]+:|#)([^)#\s]+)", script.read_text("utf-8"))
    assert links
    missing = [link for link in links if not (script.parent / link).is_file()]
    assert missing == []


def test_no_path_of_this_machine_is_shown(notebook):
    page, _ = to_page(notebook, "page")
    assert str(Path.home()) not in page
    assert str(REPOSITORY) not in page


def test_the_script_holds_no_outputs(script):
    assert "image/png" not in script.read_text("utf-8")


def test_the_navigation_lists_every_notebook():
    text = (REPOSITORY / "mkdocs.yml").read_text("utf-8")
    listed = re.findall(r"notebooks/(\w+)\.md", text)
    assert sorted(listed) == [path.stem for path in NOTEBOOKS]


def test_an_executed_notebook_is_valid_json(script, notebook):
    cells = json.loads(json.dumps(notebook))["cells"]
    assert len(cells) == len(notebook.cells) > 5, script
